"""The client against the real service, as a user's program would use it: one cover from its reference to its file."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from receiver import sdk
from receiver.sdk import Client
from tests.audio import song
from tests.harness import API_KEY, PROMPT, REFERENCE, Stack, running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("sdk")) as started:
        yield started


async def test_a_cover_of_ones_own_file_is_waited_for_saved_and_told_to_the_end(stack: Stack, tmp_path: Path) -> None:
    own = tmp_path / "song.wav"
    own.write_bytes(song())
    async with Client(stack.service.url, api_key=API_KEY) as client:
        reference = await client.upload(own)
        assert reference.sha256 == hashlib.sha256(own.read_bytes()).hexdigest()
        assert reference.size == own.stat().st_size
        asked = {"provider": "runware", "prompt": PROMPT, "reference_audio": reference.reference}
        task = await client.submit({**asked, "metadata": {"of": "the sdk"}})
        task = await client.wait(task.id)
        assert task.status == "succeeded"
        [path] = [await client.save(task, result, tmp_path) for result in task.results]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == task.results[0].artifact.sha256
        assert [each.id async for each in client.every_task(metadata={"of": "the sdk"})] == [task.id]
        reports = await client.reports(task.id)
        await client.raw_report(reports[0].id, said := io.BytesIO())
        assert task.id.encode() in said.getvalue()
        assert await client.erase(task.id) == 1
        assert (await client.task(task.id)).results[0].artifact.status == "erased"


async def test_waiting_and_listening_go_on_over_a_restart_without_loss_or_repeats(stack: Stack) -> None:
    stack.faults(seconds=[2, 3])
    async with Client(stack.service.url, api_key=API_KEY) as client:
        asked = {"provider": "runware", "prompt": PROMPT, "reference_audio": REFERENCE}
        task = await client.submit(asked)
        troubles: list[sdk.ClientError] = []
        seen = []
        async with aclosing(client.watch(task.id, on_trouble=troubles.append)) as events:
            async for event in events:
                seen.append(event.seq)
                if len(seen) == 1:
                    stack.service.stop()
                    stack.service.start()
        ended = await client.wait(task.id)
        assert ended.status == "succeeded"
        assert seen == [event.seq for event in await client.events(task.id)]
        assert seen == list(range(1, len(seen) + 1))
