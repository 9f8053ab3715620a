"""What an instance stores for itself to settle, and every way in which that could be lost or come twice."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from receiver.domain.report import NewReport, StoredReport, Via
from receiver.domain.task import Change, Task
from receiver.lifecycle.ports import Appended, Decision
from receiver.storage.inbox import ENOUGH_IN_HAND, LOOK_AGAIN, MOST_IN_HAND, PATIENCE_SECONDS
from receiver.storage.reports import SMALL
from receiver.storage.store import SqlStore, open_store
from tests.storage.making import LEASE, LIMITS, NOW, given, new_key, report, settling, submitted


@pytest.fixture
async def store(database: Path) -> AsyncIterator[SqlStore]:
    async with open_store(database, settles=True) as opened:
        assert await leased(opened) == []
        yield opened


async def leased(store: SqlStore, limit: int = 256, later: timedelta = timedelta()) -> list[StoredReport]:
    return await store.lease_inbox(now=NOW + later, limit=limit, lease=LEASE)


async def everything(store: SqlStore, later: timedelta = timedelta()) -> list[StoredReport]:
    found = []
    while some := await leased(store, later=later):
        found += some
    return found


def lines(database: Path) -> list[tuple[int, bool]]:
    """For each line of the inbox how often it was claimed, and whether it is."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT attempts, lease_owner IS NOT NULL FROM inbox ORDER BY report_id").fetchall()


async def test_a_report_is_claimed_as_it_is_stored_and_handed_out_as_it_lies_there(
    store: SqlStore, database: Path
) -> None:
    doubted = replace(report(new_key(), b'{"half":1}'), doubt="not signed")
    for new in (report(new_key(), b'{"one":1}'), doubted):
        assert await store.append(new, LIMITS) is Appended.ACCEPTED
    assert lines(database) == [(1, True), (1, True)], "the attempt counts before anything is read"
    in_hand = await leased(store)
    assert in_hand == [await store.report(each.id) for each in in_hand]
    assert [each.body for each in in_hand] == [b'{"one":1}', b'{"half":1}']
    assert await leased(store) == []
    await store.apply([settling(each) for each in in_hand])
    assert lines(database) == []


async def test_a_duplicate_is_handed_out_as_one(store: SqlStore) -> None:
    task_key = new_key()
    first, again = report(task_key, b"{}"), report(task_key, b"{}")
    assert await store.append(first, LIMITS) is Appended.ACCEPTED
    assert await store.append(again, LIMITS) is Appended.DUPLICATE
    _, second = await leased(store)
    assert (second.id, second.duplicate_of, second.body) == (again.id, first.id, b"")


async def test_before_anybody_settles_a_report_is_stored_free(database: Path) -> None:
    async with open_store(database, settles=True) as store:
        await store.append(report(new_key()), LIMITS)
        assert lines(database) == [(0, False)]
        assert len(await leased(store)) == 1


async def test_what_is_in_hand_when_the_process_dies_is_claimed_alone_by_the_next(
    database: Path, tmp_path: Path
) -> None:
    async with open_store(database, settles=True) as store:
        await leased(store)
        for _ in range(3):
            await store.append(report(new_key()), LIMITS)
        with (
            contextlib.closing(sqlite3.connect(database)) as living,
            contextlib.closing(sqlite3.connect(tmp_path / "dead.db")) as dead,
        ):
            living.backup(dead)
    async with open_store(tmp_path / "dead.db", settles=True) as store:
        await store.void_leases()
        assert [[each.attempts for each in await leased(store)] for _ in range(4)] == [[2], [2], [2], []]


async def test_what_is_in_hand_at_the_end_is_given_back_as_if_it_had_never_been_begun(database: Path) -> None:
    async with open_store(database, settles=True) as store:
        await leased(store)
        for _ in range(3):
            await store.append(report(new_key()), LIMITS)
        assert len(await leased(store, 1)) == 1
    assert sorted(lines(database)) == [(0, False), (0, False), (1, True)]


async def test_a_report_whose_caller_has_gone_is_handed_out_all_the_same(store: SqlStore) -> None:
    new = report(new_key())
    caller = asyncio.create_task(store.append(new, LIMITS))
    await asyncio.sleep(0)
    caller.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await caller
    # Whatever is written next is written behind it.
    await store.append(report(new_key(), b"[]"), LIMITS)
    assert new.id in {each.id for each in await everything(store)}


async def test_what_is_too_large_or_too_much_lies_free_and_comes_exactly_once(
    store: SqlStore, database: Path
) -> None:
    new = [report(new_key(), b" " * (SMALL + (number % 50 == 0))) for number in range(MOST_IN_HAND + 300)]
    for start in range(0, len(new), 256):
        await asyncio.gather(*(store.append(each, LIMITS) for each in new[start : start + 256]))
    free = lines(database).count((0, False))
    assert free > MOST_IN_HAND // 50, "some are too large, and some too many"
    found = await everything(store)
    assert sorted(each.id for each in found) == sorted(each.id for each in new)
    assert {each.attempts for each in found} == {1}
    assert all(each.body == b" " * each.size for each in found)


async def test_who_comes_while_there_is_enough_in_hand_waits_until_some_is_taken(
    store: SqlStore, database: Path
) -> None:
    await asyncio.gather(*(store.append(report(new_key()), LIMITS) for _ in range(ENOUGH_IN_HAND)))
    clock = asyncio.get_running_loop().time
    began = clock()
    late = asyncio.create_task(store.append(report(new_key()), LIMITS))
    # Whatever else is to be written has its turn meanwhile.
    await store.ping()
    seen = (late.done(), len(lines(database)))
    # On a machine that stood still it may have lost its patience.
    assert seen == (False, ENOUGH_IN_HAND) or clock() - began >= PATIENCE_SECONDS
    taken = await leased(store, 1)
    assert await late is Appended.ACCEPTED
    assert len(taken) + len(await everything(store)) == ENOUGH_IN_HAND + 1


async def test_nobody_waits_for_ever_for_one_who_settles_no_more(store: SqlStore) -> None:
    await asyncio.gather(*(store.append(report(new_key()), LIMITS) for _ in range(ENOUGH_IN_HAND)))
    began = asyncio.get_running_loop().time()
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
    in_hand = await leased(store, 1, later=LOOK_AGAIN / 2)
    assert [each.via for each in in_hand] == [Via.CALLBACK]
    [turn] = await leased(store, 1, later=LOOK_AGAIN)
    assert turn.id == answer.id


def bringing(of: Task, answer: NewReport) -> Decision:
    """A decision that stores a report of our own asking."""
    return Decision(of.key, lambda task: Change(task, report=answer))
