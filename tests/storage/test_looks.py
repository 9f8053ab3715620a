"""Looks that found nothing new: written without reading the task again, and only where it is still as it was seen."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

import pytest

from receiver.domain.task import Change, Status, Task, Work
from receiver.lifecycle.ports import Decision
from receiver.storage.store import SqlStore
from tests.storage.making import LEASE, NOW, SECOND, event, given, stored, submitted

AGAIN = NOW + 15 * SECOND


def looked_at() -> Task:
    """A task that was looked at once, due for the next look."""
    return replace(submitted(), polls=1, answer_digest=sha256(b"pending").digest(), looked_at=NOW - SECOND)


def look(seen: Task, met: list[Task]) -> Decision:
    """Say that it is still under way; ``met`` gets the task as it is when that is decided."""

    def decide(task: Task) -> Change:
        met.append(task)
        return Change(replace(task, polls=task.polls + 1, due_at=AGAIN, looked_at=NOW))

    return Decision(seen.key, decide, release=True, seen=seen)


async def leased(store: SqlStore, now: datetime = NOW) -> list[Task]:
    return await store.lease_tasks(Work.POLL, "runware", now=now, limit=100, lease=LEASE)


async def test_a_task_that_is_as_it_was_seen_is_written_without_being_read_again(store: SqlStore) -> None:
    # More than go into one statement, and no round number of them.
    tasks = [looked_at() for _ in range(75)]
    await given(store, *tasks)
    held, met = await leased(store), list[Task]()
    changes = await store.apply([look(task, met) for task in held])
    assert len(held) == 75
    # As it was seen, and as nothing else: a task that was read is another value.
    assert [id(task) for task in met] == [id(task) for task in held]
    for task, change in zip(held, changes, strict=True):
        after = replace(task, polls=2, due_at=AGAIN, looked_at=NOW)
        assert change == Change(after)
        assert await stored(store, task) == after
    assert await leased(store, NOW) == []
    assert len(await leased(store, AGAIN)) == 75, "its lease was given back"


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
async def test_a_task_that_changed_meanwhile_is_decided_on_as_it_is_now(
    store: SqlStore, meanwhile: Callable[[Task], Change]
) -> None:
    changed, same = looked_at(), looked_at()
    await given(store, changed, same)
    held = {task.key: task for task in await leased(store)}
    await store.apply([Decision(changed.key, meanwhile)])
    met: list[Task] = []
    first, second = await store.apply([look(held[changed.key], met), look(held[same.key], met)])
    now_true = meanwhile(held[changed.key]).task
    assert first is not None
    assert first.task == replace(now_true, polls=2, due_at=AGAIN, looked_at=NOW)
    assert met[-1] == now_true
    assert await stored(store, changed) == first.task
    assert second == Change(replace(held[same.key], polls=2, due_at=AGAIN, looked_at=NOW))
    assert await stored(store, same) == second.task


async def test_what_is_more_than_a_look_is_decided_on_as_it_is_now(store: SqlStore) -> None:
    task = looked_at()
    await given(store, task)
    [held] = await leased(store)
    calls: list[Task] = []

    def decide(current: Task) -> Change:
        calls.append(current)
        return Change(replace(current, polls=current.polls + 1, due_at=AGAIN, looked_at=NOW), (event(),))

    [change] = await store.apply([Decision(task.key, decide, release=True, seen=held)])
    assert change is not None
    assert calls[-1] is not held
    assert (await store.events(task.id))[-1].type == event().type
