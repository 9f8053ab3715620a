"""Erasing against whoever works on the task meanwhile, and against faults; a real store and a real folder."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from receiver.domain.errors import UnavailableError
from receiver.domain.result import ArtifactStatus
from receiver.domain.task import Change, Status, Task
from receiver.lifecycle import erase, settle
from receiver.lifecycle.ports import Decision, Objects, Store, TaskFilter
from tests.lifecycle.upkeep import World, world


async def erased(around: World, task: Task) -> None:
    assert await erase.erase_task(around.ports, task.id) == erase.Erased(1)


async def with_audio(around: World) -> Task:
    task = await around.begun()
    await around.called(task)
    await around.settled()
    await around.collected()
    return await around.now(task)


def husk(task: Task) -> bool:
    """Whether nothing is left but numbers."""
    return (task.request.prompt, task.metadata, task.erased_at is not None) == ("", {}, True)


async def test_audio_that_is_being_fetched_while_its_task_is_erased_does_not_stay(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        task = await around.begun()
        await around.called(task)
        await around.settled()
        around.source.beside = lambda: erased(around, task)
        await around.collected()
        assert around.source.fetched
        assert [name.endswith(".wav") for name in around.files()] == [True]
        assert (await erase.sweep(around.ports)).count == 1
        assert around.files() == []
        now = await around.now(task)
        assert husk(now)
        assert [result.artifact.status for result in now.results] == [ArtifactStatus.ERASED]


async def test_a_report_that_is_being_settled_while_its_task_is_erased_says_nothing_more(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        task = await around.begun()
        await around.called(task)
        leased = await settle.lease(around.ports, 10)
        await erased(around, task)
        await settle.settle_reports(around.ports, leased)
        now = await around.now(task)
        assert husk(now)
        assert (now.status, now.results, now.callbacks) == (Status.CANCELLED, (), 0)
        assert await around.ports.store.reports(task.id) == []
        assert await settle.lease(around.ports, 10) == []


async def test_a_callback_for_an_erased_task_is_taken_and_not_kept(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        task = await with_audio(around)
        await erased(around, task)
        for padding in (0, around.ports.limits.spool_bytes):
            await around.called(task, number=5, padding=padding)
        await around.settled()
        assert await around.ports.store.reports(task.id) == []
        assert around.files() == []
        assert (await around.now(task)).callbacks == task.callbacks


async def test_what_was_stored_for_a_change_goes_when_the_task_is_erased_by_then(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        task = await with_audio(around)
        await erased(around, task)
        await around.ports.objects.keep_bytes(b"an answer", "reports/large")
        decision = Decision(task.key, lambda current: Change(replace(current, polls=9)), objects=("reports/large",))
        assert await around.ports.store.apply([decision]) == [None]
        await erase.sweep(around.ports)
        assert around.files() == []
        assert (await around.now(task)).polls == task.polls


async def test_a_large_report_goes_with_its_task(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        task = await around.begun()
        await around.called(task, padding=around.ports.limits.spool_bytes)
        assert len(around.files()) == 1
        await erased(around, task)
        assert around.files() == []


@dataclass
class Stubborn:
    """An artifact store that does not remove some objects for now."""

    objects: Objects
    keeps: Callable[[str], bool]
    tried: list[str] = field(default_factory=list)

    async def remove(self, key: str) -> None:
        self.tried.append(key)
        if self.keeps(key):
            raise UnavailableError("the bucket is away")
        await self.objects.remove(key)


@contextmanager
def stubborn(around: World, keeps: Callable[[str], bool] = lambda _: True) -> Iterator[list[str]]:
    """Let the artifact store keep objects for the length of the block; gives what was tried."""
    working = around.ports.objects
    stub = Stubborn(working, keeps)
    around.ports = replace(around.ports, objects=cast("Objects", stub))
    yield stub.tried
    around.ports = replace(around.ports, objects=working)


async def test_what_could_not_be_removed_is_removed_later(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        task = await with_audio(around)
        with stubborn(around):
            with pytest.raises(UnavailableError, match="away"):
                await erase.erase_task(around.ports, task.id)
            assert husk(await around.now(task))
            assert len(around.files()) == 1
            around.system.passed += erase.AGAIN.total_seconds()
            assert (await erase.sweep(around.ports)).fault is not None
            # Not again and again.
            assert await erase.sweep(around.ports) == erase.Swept(0)
        around.system.passed += erase.AGAIN.total_seconds()
        assert (await erase.sweep(around.ports)).fault is None
        assert around.files() == []


async def test_an_object_that_cannot_be_removed_keeps_no_other_from_being_removed(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        tasks = [await with_audio(around) for _ in range(3)]
        first = (await around.now(tasks[0])).results[0].artifact.object_key
        assert first is not None
        with stubborn(around):
            for task in tasks:
                with pytest.raises(UnavailableError):
                    await erase.erase_task(around.ports, task.id)
        assert len(around.files()) == 3
        around.system.passed += 2000
        with stubborn(around, lambda key: key == first) as tried:
            assert (await erase.sweep(around.ports)).fault is not None
            assert first in tried
            assert around.files() == [Path(first).name]
            # What went is forgotten.
            around.system.passed += erase.AGAIN.total_seconds()
            assert (await erase.sweep(around.ports)).count == 1


async def test_a_store_that_is_away_is_not_asked_for_every_object(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        tasks = [await with_audio(around) for _ in range(erase.MOST_FAULTS + 2)]
        with stubborn(around) as tried:
            with pytest.raises(UnavailableError):
                await erase.erase_matching(around.ports, {"user": "17"})
            assert len(tried) == erase.MOST_FAULTS
        assert all([husk(await around.now(task)) for task in tasks])
        around.system.passed += 2000
        await erase.sweep(around.ports)
        assert around.files() == []


async def test_files_that_stay_keep_no_task_from_being_erased(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        tasks = [await with_audio(around) for _ in range(erase.BATCH + 1)]
        with stubborn(around), pytest.raises(UnavailableError):
            await erase.erase_matching(around.ports, {"user": "17"})
        assert all([husk(await around.now(task)) for task in tasks])


async def test_many_tasks_are_erased_a_few_at_a_time_and_others_stay(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        tasks = [await around.begun() for _ in range(2 * erase.BATCH + 3)]
        assert await erase.erase_matching(around.ports, {"user": "18"}) == erase.Erased(0)
        assert await erase.erase_matching(around.ports, {"user": "17", "more": "x"}) == erase.Erased(0)
        assert await erase.erase_matching(around.ports, {"user": "17"}) == erase.Erased(len(tasks))
        assert all([husk(await around.now(task)) for task in tasks])
        assert await erase.erase_matching(around.ports, {"user": "17"}) == erase.Erased(0)
    opened = sqlite3.connect(tmp_path / "receiver.db")
    left = opened.execute("SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM task_metadata)").fetchone()
    opened.close()
    assert left == (len(tasks), 0)


class Overtaken:
    """A store in which, whenever tasks were found first, somebody else erases them."""

    def __init__(self, around: World) -> None:
        self._around, self._store = around, around.ports.store
        self.overtaken = False
        self.erase = self._store.erase
        self.condemn = self._store.condemn
        self.forget_objects = self._store.forget_objects

    async def tasks(self, wanted: TaskFilter) -> list[Task]:
        found = await self._store.tasks(wanted)
        if not self.overtaken:
            self.overtaken = True
            for task in found:
                await erase.erase_task(self._around.ports, task.id)
        return found


async def test_who_erases_beside_somebody_else_does_not_take_the_first_ones_for_the_last(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        tasks = [await around.begun() for _ in range(erase.BATCH + 3)]

        ports = replace(around.ports, store=cast("Store", Overtaken(around)))
        assert await erase.erase_matching(ports, {"user": "17"}) == erase.Erased(3, more=False)
        assert all([husk(await around.now(task)) for task in tasks])


async def test_without_metadata_there_is_nothing_to_match(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        task = await around.begun()
        with pytest.raises(ValueError, match="every task"):
            await erase.erase_matching(around.ports, {})
        assert not husk(await around.now(task))
