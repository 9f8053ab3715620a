"""Collecting against a real store and a real folder; only the network is scripted."""

import asyncio
import hashlib
import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest

from receiver.domain.errors import MediaError, MediaInterruptedError, MediaRefusedError
from receiver.domain.report import Via
from receiver.domain.request import TaskRequest
from receiver.domain.result import Artifact, ArtifactStatus, Result
from receiver.domain.task import Change, Status, Task
from receiver.domain.token import SigningKey, TokenSigner
from receiver.lifecycle import collect, erase
from receiver.lifecycle.ports import Decision, Fetched, Limits, Outbound, Ports, Probed
from receiver.providers import PROVIDERS
from receiver.storage.objects import open_objects
from receiver.storage.probe import probe
from receiver.storage.store import open_store
from receiver.system import RealSystem
from receiver.telemetry import PrometheusMetrics


def song(frames: int = 16000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(2 * frames))
    return buffer.getvalue()


@dataclass
class Source:
    """What the link gives: bytes, or an error."""

    answer: bytes | MediaError

    async def fetch(self, link: str, into: Path, *, max_bytes: int, timeout_seconds: float) -> Fetched:
        if isinstance(self.answer, MediaError):
            raise self.answer
        into.write_bytes(self.answer)
        return Fetched(into, len(self.answer), hashlib.sha256(self.answer).hexdigest())


@asynccontextmanager
async def world(folder: Path, source: Source) -> AsyncIterator[tuple[Ports, Task]]:
    system = RealSystem()
    async with open_store(folder / "receiver.db") as store, open_objects(str(folder / "artifacts")) as objects:
        runware = PROVIDERS["runware"]
        options = {option.name: option.default for option in runware.options}
        ports = Ports(
            store=store,
            objects=objects,
            outbound=cast("Outbound", source),
            providers={"runware": runware.build(options, "key")},
            system=system,
            tokens=TokenSigner((SigningKey("k", bytes(32)),), bytes(16)),
            probe=probe,
            metrics=PrometheusMetrics(),
            limits=Limits(refusal_gap=timedelta(seconds=1)),
            wake=lambda _: None,
        )
        now = system.now()
        result = Result(
            id=uuid4(),
            index=0,
            identity="one",
            via=Via.CALLBACK,
            received_at=now,
            report_id=system.new_key(),
            link="https://am.runware.ai/audio/one.wav",
            artifact=Artifact(due_at=now),
        )
        task = Task(
            key=system.new_key(),
            id=uuid4(),
            request=TaskRequest("runware", "a prompt long enough", "https://files.example.org/a.mp3", count=1),
            model="minimax:music@cover",
            created_at=now,
            deadline_seconds=600,
            status=Status.COLLECTING,
            submitted_at=now,
            settled_at=now,
            results=(result,),
        )
        await store.create(Change(task))
        yield ports, task


async def collected(ports: Ports, task: Task) -> Artifact:
    [work] = await collect.lease(ports, 5)
    await collect.collect(ports, work)
    found = await ports.store.task(task.id)
    assert found is not None
    return found.results[0].artifact


async def test_audio_is_kept_whole_and_named_by_its_content(tmp_path: Path) -> None:
    async with world(tmp_path, Source(song())) as (ports, task):
        artifact = await collected(ports, task)
        assert artifact.status is ArtifactStatus.STORED
        assert artifact.media_type == "audio/wav"
        assert artifact.sha256 == hashlib.sha256(song()).hexdigest()
        assert artifact.object_key is not None
        assert await ports.objects.read(artifact.object_key) == song()
        ended = await ports.store.task(task.id)
        assert ended is not None
        assert ended.status is Status.SUCCEEDED


async def test_what_is_damaged_in_the_store_is_replaced_by_what_it_should_be(tmp_path: Path) -> None:
    async with world(tmp_path, Source(song())) as (ports, task):
        name = hashlib.sha256(song()).hexdigest()
        await ports.objects.keep_bytes(song()[:-1], f"audio/{name[:2]}/{name}.wav")
        artifact = await collected(ports, task)
        assert artifact.status is ArtifactStatus.STORED
        assert artifact.object_key is not None
        assert await ports.objects.read(artifact.object_key) == song()


@pytest.mark.parametrize(
    ("answer", "refusals"),
    [
        (MediaRefusedError("HTTP 403"), 1),
        (MediaInterruptedError("connection reset"), 0),
        (b"<html>not found</html>", 1),
        (song()[:-100], 1),
        (b"", 1),
    ],
)
async def test_what_is_not_whole_audio_is_tried_again_later_with_the_reason(
    tmp_path: Path, answer: bytes | MediaError, refusals: int
) -> None:
    async with world(tmp_path, Source(answer)) as (ports, task):
        artifact = await collected(ports, task)
        assert artifact.status is ArtifactStatus.PENDING
        assert artifact.due_at is not None
        assert artifact.error
        assert artifact.refusals == refusals
        assert [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()] == []


async def test_a_probe_that_breaks_counts_as_a_refusal_and_not_for_ever(tmp_path: Path) -> None:
    def breaks(path: Path, wanted: tuple[str, int] | None) -> Probed:
        raise ZeroDivisionError

    async with world(tmp_path, Source(song())) as (ports, task):
        broken = replace(ports, probe=breaks)
        artifact = await collected(broken, task)
        assert artifact.refusals == 1
        assert "ZeroDivisionError" in (artifact.error or "")


async def test_audio_whose_result_was_replaced_meanwhile_is_not_left_in_the_store(tmp_path: Path) -> None:
    async with world(tmp_path, Source(song())) as (ports, task):

        def replaced(current: Task) -> Change:
            right = replace(current.results[0], id=uuid4(), identity="two")
            return Change(replace(current, results=(right,)))

        [work] = await collect.lease(ports, 5)
        await ports.store.apply([Decision(task.key, replaced)])
        await collect.collect(ports, work)
        await erase.sweep(ports)
        found = await ports.store.task(task.id)
        assert found is not None
        assert found.results[0].artifact.status is ArtifactStatus.PENDING
        assert [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("status", [ArtifactStatus.FAILED, ArtifactStatus.EXPIRED])
async def test_audio_whose_result_was_given_up_while_it_was_fetched_is_not_left_in_the_store(
    tmp_path: Path, status: ArtifactStatus
) -> None:
    async with world(tmp_path, Source(song())) as (ports, task):

        def given_up(current: Task) -> Change:
            artifact = replace(current.results[0].artifact, status=status, due_at=None)
            return Change(replace(current, results=(replace(current.results[0], artifact=artifact),)))

        [work] = await collect.lease(ports, 5)
        await ports.store.apply([Decision(task.key, given_up)])
        await collect.collect(ports, work)
        await erase.sweep(ports)
        assert [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()] == []


async def test_audio_that_somebody_else_has_stored_meanwhile_stays(tmp_path: Path) -> None:
    async with world(tmp_path, Source(song())) as (ports, task):
        [late] = await collect.lease(ports, 5)
        [second] = await ports.store.lease_artifacts(
            now=ports.system.now() + timedelta(hours=1), limit=5, lease=timedelta(seconds=9)
        )
        await collect.collect(ports, second)
        await collect.collect(ports, late)
        found = await ports.store.task(task.id)
        assert found is not None
        object_key = found.results[0].artifact.object_key
        assert object_key is not None
        assert await ports.objects.read(object_key) == song()


async def test_whose_claim_is_over_keeps_and_records_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, Source(song())) as (ports, task):
        [work] = await collect.lease(ports, 5)
        claim = collect.hold(ports, work)
        await ports.store.release_artifact(work.result_id)
        await collect.prolong(ports, [claim])
        await collect.collect(ports, work, claim)
        assert await ports.store.task(task.id) == task
        assert [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()] == []
        # Whoever has it next brings it home.
        assert (await collected(ports, task)).status is ArtifactStatus.STORED


async def test_audio_that_was_under_way_while_the_machine_slept_is_kept_where_nobody_else_took_it(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, Source(song())) as (ports, task):
        [work] = await collect.lease(ports, 5)
        claim = collect.hold(ports, work)
        claim.until = ports.system.monotonic() - 3600
        await collect.collect(ports, work, claim)
        found = await ports.store.task(task.id)
        assert found is not None
        assert found.results[0].artifact.status is ArtifactStatus.STORED


async def test_a_claim_ends_with_what_came_of_it(tmp_path: Path) -> None:
    async with world(tmp_path, Source(MediaInterruptedError("connection reset"))) as (ports, task):
        artifact = await collected(ports, task)
        assert artifact.due_at is not None
        later = artifact.due_at + timedelta(seconds=1)
        assert len(await ports.store.lease_artifacts(now=later, limit=5, lease=timedelta(seconds=9))) == 1


async def test_inline_audio_is_decoded_by_one_step_at_a_time(tmp_path: Path) -> None:
    async with world(tmp_path, Source(song())) as (ports, task):

        def inline(current: Task) -> Change:
            return Change(replace(current, results=(replace(current.results[0], inline=True, link=None),)))

        await ports.store.apply([Decision(task.key, inline)])
        [work] = await collect.lease(ports, 5)
        decoding = asyncio.Lock()
        await decoding.acquire()
        step = asyncio.create_task(collect.collect(ports, work, decoding=decoding))
        await ports.store.ping()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not step.done(), "somebody else is decoding"
        decoding.release()
        await step
        found = await ports.store.task(task.id)
        assert found is not None
        assert "is gone" in (found.results[0].artifact.error or "")
