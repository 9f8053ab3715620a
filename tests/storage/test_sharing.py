"""Several processes on one database: each row is worked on once, and nobody who follows the events misses one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection, select

from receiver.domain.event import EventType
from receiver.domain.report import StoredReport
from receiver.domain.task import Change, Status, Task
from receiver.domain.watched import Watched
from receiver.lifecycle.ports import Once, TakenError, TaskFilter
from receiver.storage.claiming import Moment
from receiver.storage.store import SqlStore, open_store
from receiver.storage.tables import tasks
from tests.postgresql import Server, connected
from tests.storage.making import (
    LEASE,
    LIMITS,
    NOW,
    SECOND,
    changing,
    event,
    given,
    report,
    result,
    settling,
    stored,
    submitted,
    task,
)

Opened = Callable[..., Awaitable[SqlStore]]


@pytest.fixture
def url(postgresql: Server, empty_postgresql: str) -> str:
    return postgresql.database(empty_postgresql)


def as_told(_: Connection, now: datetime) -> datetime:
    """Leases go by the moment that a test names."""
    return now


@pytest.fixture
async def opened(url: str) -> AsyncIterator[Opened]:
    """Opens the database as one more process would."""
    async with AsyncExitStack() as stack:

        async def another(moment: Moment | None = as_told) -> SqlStore:
            return await stack.enter_async_context(open_store(url, moment=moment))

        yield another


async def polled(store: SqlStore, now: datetime = NOW, limit: int = 10) -> list[Watched]:
    return await store.lease_looks("runware", now=now, limit=limit, lease=LEASE)


async def inbox(store: SqlStore, now: datetime = NOW, limit: int = 10) -> list[StoredReport]:
    return await store.lease_inbox(now=now, limit=limit, lease=LEASE)


async def test_two_instances_never_hold_the_same_row(opened: Opened) -> None:
    one, other = await opened(), await opened()
    many = [replace(submitted(), results=(result(0),)) for _ in range(60)]
    await given(one, *many)
    for each in many:
        await one.append(report(each.key), LIMITS)

    async def take(store: SqlStore) -> list[object]:
        taken: list[object] = []
        while True:
            found = [each.id for each in await polled(store, limit=7)]
            found += [each.id for each in await inbox(store, limit=7)]
            found += [work.result_id for work in await store.lease_artifacts(now=NOW, limit=7, lease=LEASE)]
            if not found:
                return taken
            taken += found

    shares = await asyncio.gather(*(take(store) for store in (one, other, one, other)))
    seen = [row for share in shares for row in share]
    assert len(seen) == len(set(seen)) == 3 * 60
    assert all(shares[place] or shares[place + 2] for place in (0, 1))


async def test_a_report_whose_claim_ran_out_is_settled_by_the_second_and_not_again_by_the_first(
    opened: Opened,
) -> None:
    first, second = await opened(), await opened()
    one = submitted()
    await given(first, one)
    await first.append(report(one.key), LIMITS)
    [early] = await inbox(first)
    assert await inbox(second, NOW + LEASE - SECOND) == []
    [late] = await inbox(second, NOW + LEASE)
    assert late.id == early.id
    # The first wakes up while the second is at it, and once more when all is done.
    assert await first.apply([settling(early)]) == [None]
    assert None not in await second.apply([settling(late)])
    assert await first.apply([settling(early)]) == [None]
    await first.defer_report(early.id, NOW)
    assert (await stored(first, one)).callbacks == 1
    assert [told.seq for told in await first.events(one.id)] == [1, 2, 3]
    assert await inbox(first, NOW + 9 * LEASE) == []


async def test_a_late_answer_to_a_look_is_recorded_and_takes_no_claim_from_who_holds_it_now(opened: Opened) -> None:
    first, second = await opened(), await opened()
    one = submitted()
    await given(first, one)
    assert len(await polled(first)) == len(await polled(second, NOW + LEASE)) == 1
    [change] = await first.apply([changing(one, lambda current: replace(current, polls=1), release=True)])
    assert change is not None
    assert (await stored(second, one)).polls == 1
    assert await polled(first, NOW + 2 * LEASE - SECOND) == []
    assert len(await polled(first, NOW + 2 * LEASE)) == 1


async def test_a_claim_on_a_result_is_prolonged_and_given_back_by_its_owner_alone(opened: Opened) -> None:
    first, second = await opened(), await opened()
    one = replace(submitted(), status=Status.COLLECTING, work=None, due_at=None, results=(result(0),))
    await given(first, one)
    [work] = await first.lease_artifacts(now=NOW, limit=1, lease=LEASE)
    name = work.result_id
    await second.release_artifact(name)
    assert await second.prolong_artifacts([name], now=NOW, lease=9 * LEASE) == set()
    assert await first.prolong_artifacts([name], now=NOW, lease=2 * LEASE) == {name}
    assert await second.lease_artifacts(now=NOW + LEASE, limit=1, lease=LEASE) == []
    assert len(await second.lease_artifacts(now=NOW + 2 * LEASE, limit=1, lease=LEASE)) == 1


async def test_a_start_voids_no_claim_of_those_who_run(opened: Opened) -> None:
    running, starting = await opened(), await opened()
    await given(running, submitted())
    assert len(await polled(running)) == 1
    await starting.void_leases()
    assert await polled(starting) == []


async def test_leases_go_by_the_clock_of_the_database_however_wrong_those_of_the_processes_are(
    opened: Opened,
) -> None:
    ahead, behind = await opened(None), await opened(None)
    now, hour = datetime.now(UTC), timedelta(hours=1)
    one = replace(submitted(), due_at=now - SECOND)
    await given(ahead, one)
    assert len(await polled(ahead, now + hour)) == 1
    # By its own clock, the second would have to wait an hour more than it may, or have taken it at once.
    assert await polled(behind, now - hour) == await polled(behind, now + 3 * hour) == []

    def until(connection: Connection) -> datetime | None:
        found: datetime | None = connection.scalar(select(tasks.columns.lease_until))
        return found

    ends = await behind._engine.read(until)
    assert ends is not None
    assert now + LEASE <= ends < now + LEASE + 60 * SECOND
    # What was due is due for the one whose clock is behind, too.
    other = replace(submitted(), due_at=now - SECOND)
    await given(ahead, other)
    assert [each.id for each in await polled(behind, now - hour)] == [other.id]


async def numbered_slowly(url: str, of: Task, numbered: asyncio.Event, let_go: asyncio.Event, *, keep: bool) -> None:
    """A process that has numbered an event and does not come to its commit for a while, if ever."""

    async def number(connection: "asyncpg.Connection[Any]") -> None:
        await connection.execute("BEGIN")
        await connection.execute(
            "INSERT INTO events (task_key, seq, type, at, data) VALUES ($1, 99, 'slow', now(), '{}')", of.key
        )
        numbered.set()
        await let_go.wait()
        await connection.execute("COMMIT" if keep else "ROLLBACK")

    await connected(url, number)


@pytest.mark.parametrize("keep", [True, False])
async def test_an_event_of_a_slow_transaction_is_not_skipped_by_who_follows(
    url: str, opened: Opened, keep: bool
) -> None:
    store = await opened()
    one = task()
    await given(store, one)
    head = await store.last_event()
    numbered, let_go = asyncio.Event(), asyncio.Event()
    slow = asyncio.create_task(numbered_slowly(url, one, numbered, let_go, keep=keep))
    await asyncio.wait([slow, asyncio.ensure_future(numbered.wait())], return_when=asyncio.FIRST_COMPLETED)
    assert numbered.is_set()
    await given(store, task(), task())
    # Two events with greater numbers are there; whoever read them now would go on behind the slow one.
    assert await store.events(None, after=head) == []
    assert await store.last_event() == head
    let_go.set()
    await slow
    told = await store.events(None, after=head)
    assert [each.type for each in told] == ["slow"] * keep + [EventType.TASK_CREATED] * 2
    assert await store.last_event() == told[-1].id


async def test_who_follows_while_many_write_sees_every_event_once_and_in_order(opened: Opened) -> None:
    stores = [await opened() for _ in range(3)]
    reader = await opened()
    writing = 0

    async def write(store: SqlStore) -> None:
        nonlocal writing
        writing += 1
        for number in range(25):
            one = task()
            await store.create(Change(one, (event(EventType.TASK_CREATED),) * (1 + number % 3)))
            await asyncio.gather(store.apply([changing(one, lambda current: replace(current, polls=1))]))
        writing -= 1

    async def follow() -> list[int]:
        seen: list[int] = []
        ending = False
        while not ending:
            ending = writing == 0
            seen += [each.id for each in await reader.events(None, after=seen[-1] if seen else 0)]
        return seen

    writers = [asyncio.create_task(write(store)) for store in stores for _ in range(2)]
    await asyncio.sleep(0)
    seen = await follow()
    await asyncio.gather(*writers)
    assert seen == [each.id for each in await reader.events(None, limit=10_000)]
    assert len(seen) == 6 * (25 * 2 + 24)


async def test_twins_under_one_name_are_one_task_wherever_they_arrive(opened: Opened) -> None:
    stores = [await opened() for _ in range(3)]
    for number in range(10):
        once = Once("a caller", f"number {number}", b"\0" * 32)
        twins = [task() for _ in stores]
        answers = await asyncio.gather(
            *(store.create(Change(twin), once) for store, twin in zip(stores, twins, strict=True))
        )
        [made] = [twin for twin, answer in zip(twins, answers, strict=True) if answer is None]
        assert [answer for answer in answers if answer is not None] == [made.id] * 2
    assert len(await stores[0].tasks(TaskFilter())) == 10


async def test_one_generation_is_adopted_once_wherever_that_is_asked(opened: Opened) -> None:
    stores = [await opened() for _ in range(3)]
    for number in range(10):
        twins = [replace(task("aimlapi"), provider_task_id=f"generation-{number}") for _ in stores]
        answers = await asyncio.gather(
            *(store.create(Change(twin)) for store, twin in zip(stores, twins, strict=True)), return_exceptions=True
        )
        [made] = [twin for twin, answer in zip(twins, answers, strict=True) if answer is None]
        refused = [answer for answer in answers if answer is not None]
        assert [(type(answer), getattr(answer, "task_id", None)) for answer in refused] == [(TakenError, made.id)] * 2
