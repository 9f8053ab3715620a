"""What was claimed by a commit that PostgreSQL made and never answered: nobody knows of it, and nobody may wait."""

import logging
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from receiver.domain.errors import UnavailableError
from receiver.domain.task import Change, Status, Task, Work
from receiver.domain.watched import Watched
from receiver.lifecycle.ports import ArtifactWork, Decision
from receiver.storage.store import SqlStore, open_store
from tests.postgresql import Server
from tests.storage.making import (
    LEASE,
    LIMITS,
    NOW,
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
from tests.storage.test_postgres import DEAD
from tests.storage.wires import Wire, wired


@pytest.fixture
def there(postgresql: Server, empty_postgresql: str) -> str:
    """Where a database of this test alone is, without the wire."""
    return postgresql.database(empty_postgresql)


@pytest.fixture
async def wire(there: str) -> AsyncIterator[Wire]:
    async with wired(there) as laid:
        yield laid


@pytest.fixture
async def store(wire: Wire) -> AsyncIterator[SqlStore]:
    async with open_store(wire.url) as opened:
        yield opened


async def lease_reports(store: SqlStore) -> list[tuple[bytes, int]]:
    found = await store.lease_inbox(now=NOW, limit=10, lease=LEASE)
    return [(one.body, one.attempts) for one in found]


async def lease_tasks(store: SqlStore) -> list[Task]:
    return await store.lease_tasks(Work.LOOKUP, "runware", now=NOW, limit=10, lease=LEASE)


async def lease_looks(store: SqlStore) -> list[Watched]:
    return await store.lease_looks("runware", now=NOW, limit=10, lease=LEASE)


async def lease_artifacts(store: SqlStore) -> list[ArtifactWork]:
    return await store.lease_artifacts(now=NOW, limit=10, lease=LEASE)


async def test_a_claim_whose_commit_was_never_answered_is_let_go_by_the_next_of_its_kind(
    store: SqlStore, wire: Wire
) -> None:
    due, told = submitted(), report(task().key)
    await given(store, due, replace(submitted(), work=Work.LOOKUP))
    await store.append(report(due.key, b"settled"), LIMITS)
    [first] = await store.lease_inbox(now=NOW, limit=10, lease=LEASE)
    await store.apply([settling(first, result())])
    await store.append(told, LIMITS)
    for lease in (lease_reports, lease_tasks, lease_looks, lease_artifacts):
        wire.lose_answers()
        before = wire.lost
        with pytest.raises(UnavailableError):
            await lease(store)
        assert wire.lost == before + 1
        assert len(await lease(store)) == 1, lease
        assert await lease(store) == [], lease


async def test_no_attempt_at_a_report_is_counted_that_was_claimed_in_doubt(store: SqlStore, wire: Wire) -> None:
    await store.append(report(task().key, b"{}"), LIMITS)
    for _ in range(3):
        wire.lose_answers()
        with pytest.raises(UnavailableError):
            await lease_reports(store)
    assert await lease_reports(store) == [(b"{}", 1)]


async def test_a_claim_that_others_made_meanwhile_is_left_to_them(store: SqlStore, wire: Wire) -> None:
    await store.append(report(task().key, b"{}"), LIMITS)
    wire.lose_answers()
    with pytest.raises(UnavailableError):
        await lease_reports(store)
    # The claim has run out, and another instance has taken it over.
    await store._engine.write(
        lambda connection: connection.exec_driver_sql("UPDATE inbox SET lease_until = lease_until - interval '1 h'")
    )
    async with open_store(wire.url) as other:
        assert await lease_reports(other) == [(b"{}", 2)]
        assert await lease_reports(store) == []
        assert await lease_reports(other) == []


async def test_a_connection_lost_under_a_decision_costs_no_more_than_another_try(
    store: SqlStore, there: str, postgresql: Server, caplog: pytest.LogCaptureFixture
) -> None:
    nameless = replace(task("aimlapi"), provider_task_id=None)
    await given(store, nameless)
    tries: list[str] = []
    kill = f"{DEAD} AND pid <> pg_backend_pid()"

    def decide(current: Task) -> Change:
        tries.append("once")
        if len(tries) == 1:
            # The loop is busy with us, and a thread may have only one.
            aside = threading.Thread(target=postgresql.ask, args=(kill,), kwargs={"of": there})
            aside.start()
            aside.join()
        named = replace(current, status=Status.SUBMITTED, work=Work.POLL, provider_task_id="lark-1")
        return Change(named, (event(),))

    with caplog.at_level(logging.ERROR, "receiver.storage"):
        [change] = await store.apply([Decision(nameless.key, decide)])
    assert change is not None
    assert len(tries) == 2
    assert (await stored(store, nameless)).provider_task_id == "lark-1"
    assert caplog.text == ""
    await store.apply([changing(nameless, lambda current: current)])
