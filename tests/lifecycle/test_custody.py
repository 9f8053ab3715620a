"""Audio that several tasks share, and audio that nobody came to name: a real store and a real folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from receiver.domain.result import ArtifactStatus
from receiver.domain.task import Task
from receiver.lifecycle import collect, erase
from tests.lifecycle.upkeep import World, world


async def begun(around: World) -> Task:
    """A task whose audio is to be fetched."""
    task = await around.begun()
    await around.called(task)
    await around.settled()
    return task


async def audio_of(around: World, task: Task) -> str:
    [result] = (await around.now(task)).results
    assert result.artifact.status is ArtifactStatus.STORED
    assert result.artifact.object_key is not None
    return result.artifact.object_key


async def test_two_results_with_the_same_bytes_share_an_object_until_the_last_is_erased(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        around.source.alike = True
        first, second = [await begun(around) for _ in range(2)]
        await around.collected()
        key = await audio_of(around, first)
        assert key == await audio_of(around, second)
        assert len(around.files()) == 1
        await erase.erase_task(around.ports, first.id)
        await erase.sweep(around.ports)
        assert await around.ports.objects.read(key)
        await erase.erase_task(around.ports, second.id)
        assert around.files() == []


async def test_both_halves_of_a_pair_may_be_erased_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        around.source.alike = True
        for _ in range(2):
            await begun(around)
        await around.collected()
        assert await erase.erase_matching(around.ports, {"user": "17"}) == erase.Erased(2)
        assert around.files() == []


class Killed(BaseException):
    """This process ends here."""


def _killed_at(checkpoint: str) -> Callable[[str], None]:
    def passed(name: str) -> None:
        if name == checkpoint:
            raise Killed

    return passed


@pytest.mark.parametrize("at", ["collect.after_claim", "collect.after_keep", "collect.after_record"])
async def test_audio_of_whoever_was_killed_stays_only_if_it_is_named(tmp_path: Path, at: str) -> None:
    """And of whose task nobody wants to know any more: nobody fetches it again."""
    async with world(tmp_path) as around:
        task = await begun(around)
        [work] = await collect.lease(around.ports, 5)

        around.system.at_checkpoint = _killed_at(at)
        with pytest.raises(Killed):
            await collect.collect(around.ports, work)
        around.system.at_checkpoint = lambda _: None
        is_named = at == "collect.after_record"
        if not is_named:
            await erase.erase_task(around.ports, task.id)
        await erase.sweep(around.ports)
        assert len(around.files()) == (0 if at == "collect.after_claim" else 1)
        around.system.passed += around.ports.limits.lease.total_seconds() + 1
        await erase.sweep(around.ports)
        assert len(around.files()) == is_named


async def test_what_somebody_is_making_is_not_removed_with_the_one_that_is_erased(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        around.source.alike = True
        first, second = [await begun(around) for _ in range(2)]
        [work, other] = await collect.lease(around.ports, 5)
        await collect.collect(around.ports, work)
        key = await audio_of(around, first)
        now, lease = around.system.now(), around.ports.limits.lease
        assert await around.ports.store.claim_object(key, other.result_id, now=now, lease=lease)
        await erase.erase_task(around.ports, first.id)
        assert await around.ports.objects.read(key)
        await collect.collect(around.ports, other)
        assert await audio_of(around, second) == key
        around.system.passed += 2 * lease.total_seconds()
        await erase.sweep(around.ports)
        assert await around.ports.objects.read(key)


async def test_what_is_being_removed_is_made_anew_only_afterwards(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        around.source.alike = True
        first, second = [await begun(around) for _ in range(2)]
        [work, other] = await collect.lease(around.ports, 5)
        await collect.collect(around.ports, work)
        around.system.at_checkpoint = _killed_at("erase.after_condemn")
        with pytest.raises(Killed):
            await erase.erase_task(around.ports, first.id)
        around.system.at_checkpoint = lambda _: None
        await collect.collect(around.ports, other)
        [result] = (await around.now(second)).results
        assert result.artifact.status is ArtifactStatus.PENDING
        assert "being removed" in (result.artifact.error or "")
        around.system.passed += erase.REMOVING.total_seconds() + 1
        await erase.sweep(around.ports)
        assert around.files() == []
        await around.collected()
        assert await around.ports.objects.read(await audio_of(around, second))
