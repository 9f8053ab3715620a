"""Looks that found nothing new: written without reading the task again, and only where it is still as it was seen."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

import pytest
from sqlalchemy import delete

from receiver.domain.task import Change, Status, Task, Work
from receiver.domain.watched import Look, Watched
from receiver.lifecycle.ports import Decision
from receiver.storage.store import SqlStore
from receiver.storage.tables import requests
from tests.domain.making import watched
from tests.storage.making import LEASE, NOW, SECOND, event, given, stored, submitted, task

AGAIN = NOW + 15 * SECOND


def looked_at() -> Task:
    """A task that was looked at once, due for the next look."""
    return replace(submitted(), polls=1, answer_digest=sha256(b"pending").digest(), looked_at=NOW - SECOND)


def look(seen: Watched) -> Look:
    """Say that it is still under way."""
    return Look(seen, due_at=AGAIN, looked_at=NOW)


def looked(task: Task) -> Task:
    """What that makes of it."""
    return replace(task, polls=task.polls + 1, due_at=AGAIN, looked_at=NOW)


async def leased(store: SqlStore, now: datetime = NOW, limit: int = 100) -> list[Watched]:
    return await store.lease_looks("runware", now=now, limit=limit, lease=LEASE)


async def test_looks_at_tasks_that_are_as_they_were_seen_are_written_and_give_them_back(store: SqlStore) -> None:
    # More than go into one statement, and no round number of them.
    tasks = [looked_at() for _ in range(75)]
    await given(store, *tasks)
    held = await leased(store)
    assert await store.look([look(each) for each in held]) == [True] * 75
    for each in tasks:
        assert await stored(store, each) == looked(each)
    assert await leased(store, NOW) == []
    assert len(await leased(store, AGAIN)) == 75, "its lease was given back"


async def test_looks_of_many_callers_are_told_of_each(store: SqlStore) -> None:
    await given(store, *(looked_at() for _ in range(30)))
    held = await leased(store)
    await store.apply([Decision(held[7].key, heard)])
    told = await asyncio.gather(*(store.look([look(task) for task in held[place::3]]) for place in range(3)))
    assert told == [[True] * 10, [True, True, False, *[True] * 7], [True] * 10]


def heard(task: Task) -> Change:
    return Change(replace(task, callbacks=task.callbacks + 1), (event(),))


def hurried(task: Task) -> Change:
    return Change(replace(task, due_at=NOW - SECOND))


def cancelled(task: Task) -> Change:
    return Change(replace(task, status=Status.CANCELLED, work=None, due_at=None, completed_at=NOW))


def doubted(task: Task) -> Change:
    return Change(replace(task, doubt_since=NOW))


def unknown(task: Task) -> Change:
    return Change(replace(task, status=Status.UNKNOWN, submitted_at=None))


def overdue(task: Task) -> Change:
    return Change(replace(task, overdue=True))


def told_otherwise(task: Task) -> Change:
    return Change(replace(task, answer_digest=sha256(b"other").digest()))


@pytest.mark.parametrize("meanwhile", [heard, hurried, cancelled, doubted, overdue, told_otherwise])
async def test_a_task_that_changed_meanwhile_is_left_as_it_is_now(
    store: SqlStore, meanwhile: Callable[[Task], Change]
) -> None:
    changed, same = looked_at(), looked_at()
    await given(store, changed, same)
    held = {task.key: task for task in await leased(store)}
    await store.apply([Decision(changed.key, meanwhile)])
    assert await store.look([look(held[changed.key]), look(held[same.key])]) == [False, True]
    assert await stored(store, changed) == meanwhile(changed).task
    assert await stored(store, same) == looked(same)


async def test_a_task_that_somebody_else_has_leased_by_now_is_left_to_them(store: SqlStore) -> None:
    task = looked_at()
    await given(store, task)
    [held] = await leased(store)
    await store.apply([Decision(task.key, Change, release=True)])
    assert await store.look([look(held)]) == [False]


async def test_what_is_due_for_a_look_is_claimed_with_what_that_takes_earliest_first(store: SqlStore) -> None:
    late, early, future, sent = looked_at(), looked_at(), looked_at(), task()
    early, future = replace(early, due_at=NOW - SECOND), replace(future, due_at=NOW + SECOND)
    named = replace(looked_at(), provider_task_id="of its own", pushed=True, callbacks=3, answer_digest=None)
    sought, elsewhere = replace(looked_at(), work=Work.LOOKUP), submitted("aimlapi")
    await given(store, late, early, future, sent, sought, elsewhere, replace(named, due_at=NOW - 2 * SECOND))
    assert await leased(store, limit=2) == [watched(replace(named, due_at=NOW - 2 * SECOND)), watched(early)]
    assert await leased(store) == [watched(late)]
    assert await leased(store) == []
    assert await leased(store, NOW + SECOND) == [watched(future)]
    assert len(await leased(store, NOW + LEASE)) == 3, "a claim ends by itself"


async def test_a_task_whose_request_is_gone_holds_nobody_up(store: SqlStore) -> None:
    broken, whole = looked_at(), looked_at()
    await given(store, broken, whole)
    await store._engine.write(
        lambda connection: connection.execute(delete(requests).where(requests.columns.task_key == broken.key))
    )
    assert await leased(store) == [watched(whole)]


def failed(task: Task) -> Change:
    return Change(replace(task, tries=1, fault="no answer"))


def quiet(task: Task) -> Change:
    return Change(replace(task, quiet_since=NOW))


@pytest.mark.parametrize("before", [doubted, overdue, failed, quiet, unknown])
async def test_what_is_not_as_usual_is_claimed_as_such_and_no_look_is_written(
    store: SqlStore, before: Callable[[Task], Change]
) -> None:
    seen = before(looked_at()).task
    await given(store, seen)
    [held] = await leased(store)
    assert held == watched(seen)
    assert not held.is_usual
    assert await store.look([look(held)]) == [False]
    assert await stored(store, seen) == seen
