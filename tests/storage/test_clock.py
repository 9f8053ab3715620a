"""What becomes of plans when the clock is set: see ``SqlStore.follow_clock``."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.event import Event, EventType
from receiver.domain.task import Change, Status
from receiver.domain.watched import Watched
from receiver.lifecycle.ports import Decision, Pause, Queue
from receiver.storage.store import SqlStore
from tests.storage.making import LEASE, LIMITS, NOW, SECOND, given, new_key, report, result, stored, submitted

HOUR = timedelta(hours=1)
LONGEST = timedelta(seconds=420)


async def set_by(store: SqlStore, by: timedelta) -> None:
    await store.follow_clock(by=by, now=NOW + by, longest_lease=LONGEST)


async def due(store: SqlStore, now: datetime) -> list[Watched]:
    return await store.lease_looks("runware", now=now, limit=10, lease=LEASE)


async def test_what_was_planned_ahead_of_a_clock_that_went_back_keeps_its_distance(store: SqlStore) -> None:
    soon = replace(submitted(), due_at=NOW + 20 * SECOND, doubt_since=NOW - SECOND, quiet_since=NOW - 2 * SECOND)
    lost = replace(submitted(), status=Status.UNKNOWN, unknown_since=NOW - 60 * SECOND, due_at=NOW + 5 * SECOND)
    await given(store, soon, lost)
    await set_by(store, -HOUR)
    found = await stored(store, soon)
    assert (found.due_at, found.doubt_since, found.quiet_since) == (
        NOW - HOUR + 20 * SECOND,
        NOW - HOUR - SECOND,
        NOW - HOUR - 2 * SECOND,
    )
    found = await stored(store, lost)
    assert (found.due_at, found.unknown_since) == (NOW - HOUR + 5 * SECOND, NOW - HOUR - 60 * SECOND)


@pytest.mark.parametrize("by", [HOUR, 365 * 24 * HOUR])
@pytest.mark.parametrize("overdue", [False, True])
async def test_a_deadline_of_a_clock_that_was_too_far_ahead_comes_when_it_was_due(
    store: SqlStore, by: timedelta, overdue: bool
) -> None:
    deadline = NOW - 60 * SECOND if overdue else NOW + 60 * SECOND
    flying = replace(submitted(), deadline_at=deadline, overdue=overdue)
    unclear = replace(flying, key=new_key(), id=new_key(), provider_task_id=None, status=Status.UNKNOWN)
    await given(store, flying, unclear)
    await set_by(store, -by)
    assert [(await stored(store, one)).deadline_at for one in (flying, unclear)] == [deadline - by] * 2
    if not overdue:
        found = await store.overdue(deadline - by, timedelta(days=1), 9, askable=["runware"])
        assert set(found) == {flying.key, unclear.key}


async def test_a_deadline_that_was_put_off_comes_back_with_the_clock(store: SqlStore) -> None:
    flying = submitted()
    await given(store, flying)
    await store.follow_clock(by=HOUR, now=NOW + HOUR, longest_lease=LONGEST)
    await store.follow_clock(by=-HOUR, now=NOW, longest_lease=LONGEST)
    assert (await stored(store, flying)).deadline_at == flying.deadline_at


async def test_what_an_erased_task_left_is_removed_when_it_would_have_been(store: SqlStore) -> None:
    erased = submitted()
    await given(store, erased)
    await store.apply([Decision(erased.key, lambda task: Change(task, discarded=(("audio/a", NOW + SECOND),)))])
    await set_by(store, -HOUR)
    assert await store.condemn(NOW - HOUR, 9, lease=SECOND) == []
    assert await store.condemn(NOW - HOUR + SECOND, 9, lease=SECOND) == ["audio/a"]


async def test_what_lies_behind_the_new_time_stays(store: SqlStore) -> None:
    old = replace(submitted(), due_at=NOW - 2 * HOUR, doubt_since=NOW - 3 * HOUR)
    await given(store, old)
    await set_by(store, -HOUR)
    found = await stored(store, old)
    assert (found.due_at, found.doubt_since) == (old.due_at, old.doubt_since)


async def test_no_lease_lasts_for_the_hour_that_a_clock_went_back(store: SqlStore) -> None:
    sent = submitted()
    audio = replace(submitted(), status=Status.COLLECTING, work=None, due_at=None, results=(result(),))
    await given(store, sent, audio)
    await store.append(report(new_key()), LIMITS)
    assert await due(store, NOW)
    assert await store.lease_artifacts(now=NOW, limit=1, lease=LEASE)
    assert await store.lease_inbox(now=NOW, limit=1, lease=LEASE)
    await set_by(store, -HOUR)
    assert set((await store.next_due()).values()) == {NOW - HOUR + LEASE}


async def test_a_lease_taken_after_the_clock_went_back_is_kept(store: SqlStore) -> None:
    await given(store, replace(submitted(), due_at=NOW - HOUR))
    assert await due(store, NOW - HOUR)
    await set_by(store, -HOUR)
    assert (await store.next_due())[Queue.POLL] == NOW - HOUR + LEASE


async def test_a_pause_ends_when_it_would_have(store: SqlStore) -> None:
    await store.pause(Pause("runware", NOW + 30 * SECOND, TaskError(ErrorCode.RATE, "slow down")))
    await set_by(store, -HOUR)
    assert (await store.pauses())["runware"].until == NOW - HOUR + 30 * SECOND


@pytest.mark.parametrize("overdue", [False, True])
async def test_a_clock_set_forward_puts_off_the_deadlines_that_had_not_come(store: SqlStore, overdue: bool) -> None:
    flying = replace(submitted(), overdue=overdue)
    await given(store, flying)
    await set_by(store, HOUR)
    found = await stored(store, flying)
    assert flying.deadline_at is not None
    assert found.deadline_at == flying.deadline_at + (timedelta() if overdue else HOUR)
    assert found.due_at == flying.due_at


async def test_the_time_of_the_newest_event_is_that_of_the_last_recorded(store: SqlStore) -> None:
    assert await store.last_moment() is None
    first = submitted()
    await given(store, first)
    assert await store.last_moment() == NOW
    earlier = Event(EventType.POLL_ANSWERED, NOW - HOUR, {})
    await store.apply([Decision(first.key, lambda task: Change(task, (earlier,)))])
    assert await store.last_moment() == NOW - HOUR
