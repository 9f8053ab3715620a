"""Every change is told once it is durable, whichever way it was made, and none that was not made."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from receiver.domain.event import EventType
from receiver.domain.task import Change, Status, Task, Work
from receiver.domain.usual import Done
from receiver.lifecycle.ports import Decision, Erasing, Once, UnderWay
from receiver.storage.store import SqlStore, open_store
from tests.storage.making import LEASE, NOW, changing, event, given, submitted, task


class Told:
    """What a store told of its changes."""

    def __init__(self) -> None:
        self.types: list[str] = []

    def __call__(self, changes: Sequence[Done]) -> None:
        self.types += [one.type.value for change in changes for one in change.events]


def to(*kinds: EventType, of: Task) -> Change:
    return Change(of, tuple(event(kind) for kind in kinds))


async def test_what_was_made_durable_is_told_and_what_was_not_is_not(database: Path) -> None:
    told = Told()
    first, second, absent = task(), task(), task()
    async with open_store(database, on_change=told) as store:
        once = Once("me", "order-1", b"\x01" * 32)
        await store.create(to(EventType.TASK_CREATED, of=first), once)
        await store.create(to(EventType.TASK_CREATED, of=second), once)
        assert told.types == ["task.created"]

        await store.apply(
            [
                Decision(first.key, lambda one: to(EventType.TASK_SUBMITTED, of=one)),
                Decision(first.key, lambda one: to(EventType.TASK_LOST, EventType.TASK_FOUND, of=one)),
                Decision(absent.key, lambda one: to(EventType.TASK_FAILED, of=one)),
                Decision(first.key, lambda one: None),
            ]
        )
        assert told.types[1:] == ["task.submitted", "task.lost", "task.found"]

        def begin(one: Task) -> Change:
            return to(EventType.TASK_UNKNOWN, of=one)

        await store.lease_tasks(Work.SUBMIT, "runware", now=NOW, limit=9, lease=LEASE, decide=begin)
        assert told.types[4:] == ["task.unknown"]

        erased = Erasing(to(EventType.TASK_ERASED, of=replace(first, erased_at=NOW, work=None, due_at=None)), {})
        assert (await store.erase([first.key, first.key, absent.key], lambda _: erased))[0] == 1
        assert told.types[5:] == ["task.erased"]
        recorded = [one.type for one in await store.events(None)]
    assert told.types == recorded


async def test_a_decision_that_fails_tells_nothing(database: Path) -> None:
    told = Told()
    one, other = task(), task()
    async with open_store(database, on_change=told) as store:
        await given(store, one, other)

        def breaks(_: Task) -> Change:
            raise ValueError("broken")

        good = changing(other, lambda now: replace(now, polls=1))
        await store.apply([Decision(one.key, breaks), good])
        assert told.types == [one.type for one in await store.events(None)]


@pytest.mark.parametrize("ended", [Status.SUCCEEDED, Status.LOST])
async def test_tasks_under_way_are_counted_and_those_that_ended_are_not(store: SqlStore, ended: Status) -> None:
    queued, late, other = task(), replace(submitted(), overdue=True), submitted("aimlapi")
    over = replace(submitted(), status=ended, work=None, due_at=None, completed_at=NOW)
    await given(store, queued, late, other, over)
    found = await store.under_way()
    assert sorted(found, key=str) == sorted(
        [
            UnderWay("runware", Status.QUEUED, overdue=False, tasks=1),
            UnderWay("runware", Status.SUBMITTED, overdue=True, tasks=1),
            UnderWay("aimlapi", Status.SUBMITTED, overdue=False, tasks=1),
        ],
        key=str,
    )
