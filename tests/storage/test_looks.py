"""Looks that found nothing new: written without reading the task again, and only where it is still as it was seen."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

import pytest

from receiver.domain.looking import Look
from receiver.domain.task import Change, Status, Task, Work
from receiver.lifecycle.ports import Decision
from receiver.storage.store import SqlStore
from tests.storage.making import LEASE, NOW, SECOND, event, given, stored, submitted

AGAIN = NOW + 15 * SECOND


def looked_at() -> Task:
    """A task that was looked at once, due for the next look."""
    return replace(submitted(), polls=1, answer_digest=sha256(b"pending").digest(), looked_at=NOW - SECOND)


def look(seen: Task) -> Look:
    """Say that it is still under way."""
    return Look(seen, due_at=AGAIN, looked_at=NOW)


async def leased(store: SqlStore, now: datetime = NOW) -> list[Task]:
    return await store.lease_tasks(Work.POLL, "runware", now=now, limit=100, lease=LEASE)


async def test_looks_at_tasks_that_are_as_they_were_seen_are_written_and_give_them_back(store: SqlStore) -> None:
    # More than go into one statement, and no round number of them.
    await given(store, *(looked_at() for _ in range(75)))
    held = await leased(store)
    assert await store.look([look(task) for task in held]) == [True] * 75
    for task in held:
        after = replace(task, polls=2, due_at=AGAIN, looked_at=NOW)
        assert look(task).change == Change(after)
        assert await stored(store, task) == after
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
    assert await stored(store, changed) == meanwhile(held[changed.key]).task
    assert await stored(store, same) == look(held[same.key]).change.task


async def test_a_task_that_somebody_else_has_leased_by_now_is_left_to_them(store: SqlStore) -> None:
    task = looked_at()
    await given(store, task)
    [held] = await leased(store)
    await store.apply([Decision(task.key, Change, release=True)])
    assert await store.look([look(held)]) == [False]


@pytest.mark.parametrize(
    "seen", [replace(looked_at(), answer_digest=None), replace(looked_at(), tries=1), cancelled(looked_at()).task]
)
async def test_a_task_that_was_seen_in_another_state_is_left_as_it_is(store: SqlStore, seen: Task) -> None:
    await given(store, seen)
    assert await store.look([look(seen)]) == [False]
    assert await stored(store, seen) == seen
