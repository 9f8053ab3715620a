"""What an instance stores for itself to settle, and every way in which that could be lost or come twice."""

import asyncio
import contextlib
import errno
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Connection, select

from receiver.domain.errors import UnavailableError
from receiver.domain.report import NewReport, StoredReport, Via
from receiver.domain.task import Change, Task
from receiver.lifecycle.ports import Appended, Decision
from receiver.storage import reports
from receiver.storage.claim import Hold
from receiver.storage.firsts import store_firsts
from receiver.storage.inbox import ENOUGH_IN_HAND, LOOK_AGAIN, LOOK_AGAIN_SHARED, MOST_IN_HAND, PATIENCE_SECONDS
from receiver.storage.reports import SMALL
from receiver.storage.store import SqlStore, open_store
from receiver.storage.tables import inbox
from tests.postgresql import Server
from tests.storage.making import LEASE, LIMITS, NOW, given, new_key, report, settling, submitted


@pytest.fixture
async def store(either: Path | str) -> AsyncIterator[SqlStore]:
    async with opening(either) as opened:
        assert await leased(opened) == []
        yield opened


@pytest.fixture
def shared(postgresql: Server, empty_postgresql: str) -> str:
    return postgresql.database(empty_postgresql)


def opening(database: Path | str) -> AbstractAsyncContextManager[SqlStore]:
    """An instance that settles what comes in; its claims go by the moments that a test names."""
    return open_store(database, settles=True, moment=lambda _, now: now)


async def leased(store: SqlStore, limit: int = 256, later: timedelta = timedelta()) -> list[StoredReport]:
    return await store.lease_inbox(now=NOW + later, limit=limit, lease=LEASE)


async def everything(store: SqlStore, later: timedelta = timedelta()) -> list[StoredReport]:
    found = []
    while some := await leased(store, later=later):
        found += some
    return found


async def lines(store: SqlStore) -> list[tuple[int, bool]]:
    """For each line of the inbox how often it was claimed, and whether it is."""
    columns = inbox.columns
    asked = select(columns.attempts, columns.lease_owner.is_not(None)).order_by(columns.report_id)
    found = await store._engine.read(lambda connection: connection.execute(asked).all())
    return [(attempts, bool(claimed)) for attempts, claimed in found]


async def test_a_report_is_claimed_as_it_is_stored_and_handed_out_as_it_lies_there(store: SqlStore) -> None:
    doubted = replace(report(new_key(), b'{"half":1}'), doubt="not signed")
    for new in (report(new_key(), b'{"one":1}'), doubted):
        assert await store.append(new, LIMITS) is Appended.ACCEPTED
    assert await lines(store) == [(1, True), (1, True)], "the attempt counts before anything is read"
    in_hand = await leased(store)
    assert in_hand == [await store.report(each.id) for each in in_hand]
    assert [each.body for each in in_hand] == [b'{"one":1}', b'{"half":1}']
    assert await leased(store) == []
    await store.apply([settling(each) for each in in_hand])
    assert await lines(store) == []


async def test_beside_work_under_way_only_what_is_in_hand_is_handed_out(store: SqlStore) -> None:
    free = report(new_key(), bytes(SMALL + 1))
    await store.append(free, LIMITS)
    in_hand = report(new_key())
    await store.append(in_hand, LIMITS)
    for expected in ([in_hand.id], []):
        beside = await store.lease_inbox(now=NOW, limit=9, lease=LEASE, in_hand=True)
        assert [each.id for each in beside] == expected
    # A claim that ends is one for whoever looks at the table.
    assert await store.lease_inbox(now=NOW + 2 * LEASE, limit=9, lease=LEASE, in_hand=True) == []
    assert {each.id for each in await everything(store, later=2 * LEASE)} == {free.id, in_hand.id}


async def test_a_duplicate_is_handed_out_as_one(store: SqlStore) -> None:
    task_key = new_key()
    first, again = report(task_key, b"{}"), report(task_key, b"{}")
    assert await store.append(first, LIMITS) is Appended.ACCEPTED
    assert await store.append(again, LIMITS) is Appended.DUPLICATE
    _, second = await everything(store)
    assert (second.id, second.duplicate_of, second.body) == (again.id, first.id, b"")


async def test_before_anybody_settles_a_report_is_stored_free(either: Path | str) -> None:
    async with opening(either) as store:
        await store.append(report(new_key()), LIMITS)
        assert await lines(store) == [(0, False)]
        assert len(await leased(store)) == 1


async def test_what_is_in_hand_when_the_process_dies_is_claimed_alone_by_the_next(
    database: Path, tmp_path: Path
) -> None:
    async with opening(database) as store:
        await leased(store)
        for _ in range(3):
            await store.append(report(new_key()), LIMITS)
        with (
            contextlib.closing(sqlite3.connect(database)) as living,
            contextlib.closing(sqlite3.connect(tmp_path / "dead.db")) as dead,
        ):
            living.backup(dead)
    async with opening(tmp_path / "dead.db") as store:
        await store.void_leases()
        assert [[each.attempts for each in await leased(store)] for _ in range(4)] == [[2], [2], [2], []]


async def test_what_another_instance_has_in_hand_is_left_to_it_until_its_claim_ends(shared: str) -> None:
    async with opening(shared) as one, opening(shared) as other:
        assert [await leased(each) for each in (one, other)] == [[], []]
        new = [report(new_key()) for _ in range(3)]
        for each in new:
            await one.append(each, LIMITS)
        assert await leased(other) == []
        late = [await leased(other, later=2 * LEASE) for _ in range(4)]
        # Each alone: it may be what ended the instance that had it.
        assert [[(each.id, each.attempts) for each in some] for some in late] == [
            *([(each.id, 2)] for each in new),
            [],
        ]
        # What was settled by the one who took it over is not settled by whoever had it.
        await other.apply([settling(late[0][0])])
        await one.settle([settling(each) for each in await leased(one)])
        assert await lines(one) == [(2, True), (2, True)]


async def test_what_was_stored_though_the_answer_was_lost_is_settled_at_once(
    shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opening(shared) as store:
        assert await leased(store) == []

        def lost(connection: Connection, asked: Sequence[NewReport], hold: Hold | None = None) -> set[UUID]:
            store_firsts(connection, asked, hold)
            if hold is None:
                return set()
            raise OSError(errno.ECONNRESET, "the connection was lost")

        monkeypatch.setattr(reports, "store_firsts", lost)
        new = report(new_key())
        with pytest.raises(UnavailableError):
            await store.append(new, LIMITS)
        assert await lines(store) == [(1, True)]
        [again] = await leased(store)
        assert (again.id, again.attempts) == (new.id, 1)


async def test_what_is_in_hand_at_the_end_is_given_back_as_if_it_had_never_been_begun(either: Path | str) -> None:
    async with opening(either) as store:
        await leased(store)
        for _ in range(3):
            await store.append(report(new_key()), LIMITS)
        assert len(await leased(store, 1)) == 1
    async with opening(either) as store:
        assert sorted(await lines(store)) == [(0, False), (0, False), (1, True)]


async def test_a_report_whose_caller_has_gone_is_handed_out_all_the_same(store: SqlStore) -> None:
    new = report(new_key())
    caller = asyncio.ensure_future(store.append(new, LIMITS))
    await asyncio.sleep(0)
    caller.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await caller
    # Whatever is written next is written behind it.
    await store.append(report(new_key(), b"[]"), LIMITS)
    assert new.id in {each.id for each in await everything(store)}


async def test_what_is_too_large_or_too_much_lies_free_and_comes_exactly_once(store: SqlStore) -> None:
    new = [report(new_key(), b" " * (SMALL + (number % 50 == 0))) for number in range(MOST_IN_HAND + 300)]
    for start in range(0, len(new), 256):
        await asyncio.gather(*(store.append(each, LIMITS) for each in new[start : start + 256]))
    free = (await lines(store)).count((0, False))
    assert free > MOST_IN_HAND // 50, "some are too large, and some too many"
    found = await everything(store)
    assert sorted(each.id for each in found) == sorted(each.id for each in new)
    assert {each.attempts for each in found} == {1}
    assert all(each.body == b" " * each.size for each in found)


async def test_who_comes_while_there_is_enough_in_hand_waits_until_some_is_taken(store: SqlStore) -> None:
    await asyncio.gather(*(store.append(report(new_key()), LIMITS) for _ in range(ENOUGH_IN_HAND)))
    clock = asyncio.get_running_loop().time
    began = clock()
    late = asyncio.ensure_future(store.append(report(new_key()), LIMITS))
    # Whatever else is to be written has its turn meanwhile.
    await store.ping()
    seen = (late.done(), len(await lines(store)))
    # On a machine that stood still it may have lost its patience.
    assert seen == (False, ENOUGH_IN_HAND) or clock() - began >= PATIENCE_SECONDS
    taken = await leased(store, 1)
    assert await late is Appended.ACCEPTED
    assert len(taken) + len(await everything(store)) == ENOUGH_IN_HAND + 1


async def test_nobody_waits_for_ever_for_one_who_settles_no_more(store: SqlStore) -> None:
    # The wait begins with the last of these, and not with the news that they are stored.
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(store.append(report(new_key()), LIMITS) for _ in range(ENOUGH_IN_HAND)))
    for _ in range(2):
        assert await store.append(report(new_key()), LIMITS) is Appended.ACCEPTED
    assert asyncio.get_running_loop().time() - began >= PATIENCE_SECONDS, "the first has waited"
    assert len(await everything(store)) == ENOUGH_IN_HAND + 2


async def test_claims_that_have_ended_in_hand_are_made_anew_as_if_they_had_never_been(store: SqlStore) -> None:
    for _ in range(3):
        await store.append(report(new_key()), LIMITS)
    await asyncio.sleep(0)
    again = await leased(store, later=2 * LEASE)
    assert [each.attempts for each in again] == [1, 1, 1], "together, for nobody has begun to read one"
    assert await everything(store, later=2 * LEASE) == []
    # Those were begun.
    assert [each.attempts for each in await leased(store, later=4 * LEASE)] == [2]


async def test_what_we_asked_for_has_its_turn_while_callbacks_keep_coming(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    answer = report(one.key, b'{"asked":1}', via=Via.POLL)
    await store.apply([bringing(one, answer)])
    for _ in range(3):
        await store.append(report(new_key()), LIMITS)
    again = LOOK_AGAIN_SHARED if store._engine.shared else LOOK_AGAIN
    in_hand = await leased(store, 1, later=again / 2)
    assert [each.via for each in in_hand] == [Via.CALLBACK]
    [turn] = await leased(store, 1, later=again)
    assert turn.id == answer.id


def bringing(of: Task, answer: NewReport) -> Decision:
    """A decision that stores a report of our own asking."""
    return Decision(of.key, lambda task: Change(task, report=answer))
