"""A look that came to nothing: the task itself says why, to whichever process is asked."""

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from receiver.domain.exchange import HttpAnswer
from receiver.domain.task import Task
from receiver.domain.waiting import waiting
from receiver.lifecycle import poll
from receiver.lifecycle.ports import Outbound
from tests.lifecycle.studio import Lingering, Studio, studio


async def look(studied: Studio, answer: HttpAnswer) -> None:
    """Ask Runware in one request about all that is under way, whenever it is due."""
    studied.ports = replace(studied.ports, outbound=cast("Outbound", Lingering(studied, lambda: answer)))
    studied.system.passed += 86_400.0
    [batch] = await poll.lease(studied.ports, studied.ports.providers["runware"], 10)
    await poll.poll(studied.ports, studied.ports.providers["runware"], batch)


def shown(studied: Studio, task: Task) -> str:
    found = waiting(task, studied.system.now(), resting=None, has_key=True)
    assert found is not None
    return found.message


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (HttpAnswer(500, {}, b"<html>"), "Runware answered with HTTP 500"),
        (HttpAnswer(404, {}, b"nothing here"), "Runware answered with HTTP 404"),
    ],
    ids=["500", "404"],
)
async def test_an_answer_of_no_use_is_told_with_its_status(tmp_path: Path, answer: HttpAnswer, why: str) -> None:
    async with studio(tmp_path, lambda: 1e9) as studied:
        task = await studied.begun("runware")
        await look(studied, answer)
        assert f"asking runware about it did not work ({why})" in shown(studied, await studied.now(task))


async def test_what_was_said_of_one_song_is_not_kept_with_the_others_of_the_question(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1e9) as studied:
        tasks = [await studied.begun("runware") for _ in range(2)]
        said = {"errors": [{"code": "contentPolicyViolation", "message": "Prompt 'words of one song' violates"}]}
        await look(studied, HttpAnswer(400, {}, json.dumps(said).encode()))
        for task in tasks:
            assert (await studied.now(task)).fault == (
                "Runware complained of a question about 2 tasks: contentPolicyViolation"
            )


async def test_an_answer_that_speaks_of_others_alone_is_told_as_that(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1e9) as studied:
        named, unnamed = [await studied.begun("runware") for _ in range(2)]
        said = {
            "data": [{"taskType": "audioInference", "taskUUID": str(named.id), "status": "processing"}],
            "errors": [{"code": "odd", "message": "of nobody"}],
        }
        await look(studied, HttpAnswer(200, {}, json.dumps(said).encode()))
        assert (await studied.now(named)).fault is None
        assert "(runware's answer does not speak of it)" in shown(studied, await studied.now(unnamed))
        # Now it says nothing of either, which is an answer: what went wrong before is past.
        await look(studied, HttpAnswer(200, {}, json.dumps({"data": []}).encode()))
        assert "did not work" not in shown(studied, await studied.now(unnamed))
