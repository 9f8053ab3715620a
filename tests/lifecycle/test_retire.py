"""What is kept for a time: a real store and a real folder, and a clock that a test moves."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from receiver.domain.result import ArtifactStatus
from receiver.domain.task import Status
from receiver.lifecycle import accept, erase, retire
from receiver.lifecycle.ports import Retention
from tests.lifecycle.upkeep import World, song, world

DAYS = timedelta(days=3)


def keeping_audio(around: World) -> World:
    """The same world where audio is let go after some days, and nothing else."""
    ports = around.ports
    limits = replace(ports.limits, retention=Retention(audio=DAYS))
    return World(around.folder, replace(ports, limits=limits), around.source, around.system)


async def test_audio_that_came_in_a_callback_itself_is_nowhere_once_it_was_kept_long_enough(tmp_path: Path) -> None:
    async with world(tmp_path) as opened:
        around = keeping_audio(opened)
        task = await around.begun(output_type="base64Data")
        linked = await around.begun()
        item = {
            "taskType": "audioInference",
            "taskUUID": str(task.id),
            "audioUUID": "00000000-0000-4000-8000-000000000000",
            "audioBase64Data": base64.b64encode(song()).decode(),
        }
        body = json.dumps({"data": [item]}).encode()
        assert len(body) > around.ports.limits.spool_bytes
        # The second is known for a copy of the first, and has no body of its own.
        for _ in range(2):
            await accept.accept(around.ports, provider="runware", task_key=task.key, body=body, headers={})
        await around.called(linked)
        await around.settled()
        await around.collected()
        assert (await around.now(task)).status is Status.SUCCEEDED
        # The audio, the report that carried it, and the other audio.
        assert len(around.files()) == 3
        around.system.passed += (DAYS - timedelta(hours=1)).total_seconds()
        assert await retire.retire(around.ports) == 0
        around.system.passed += timedelta(hours=2).total_seconds()
        assert await retire.retire(around.ports) == 2
        assert await retire.retire(around.ports) == 0
        await erase.sweep(around.ports)
        assert around.files() == []
        assert [result.artifact.status for result in (await around.now(task)).results] == [ArtifactStatus.ERASED]
        assert list(await around.ports.store.reports(task.id)) == []
        # Of the other there is still what the provider said of it.
        assert len(await around.ports.store.reports(linked.id)) == 1
