"""The main job through real processes: a service and a sandbox, HTTP over sockets, audio on disk."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tinytag import TinyTag

from tests.harness import Stack, balance, basic, running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("main-job")) as both:
        yield both


def audio_of(stack: Stack, task: dict[str, Any]) -> list[Path]:
    """Return the files of a task's stored results, each checked against the task, the ledger and the route."""
    made = {result["sha256"] for entry in stack.ledger() for result in entry["results"]}
    files = []
    for result in task["results"]:
        artifact = result["artifact"]
        assert artifact["status"] == "stored"
        [path] = list((stack.folder / "data").rglob(f"{artifact['sha256']}.*"))
        content = path.read_bytes()
        assert hashlib.sha256(content).hexdigest() == artifact["sha256"]
        assert artifact["sha256"] in made
        assert len(content) == artifact["bytes"]
        served = stack.get(artifact["url"])
        assert served.status_code == 200
        assert served.content == content
        assert served.headers["content-type"] == artifact["media_type"]
        files.append(path)
    return files


def test_a_runware_cover_arrives_by_callback_and_its_audio_is_kept(stack: Stack) -> None:
    task = stack.wait_for(stack.submit("runware")["id"])
    assert task["status"] == "succeeded"
    assert [result["via"] for result in task["results"]] == ["callback"]
    assert task["callbacks"] == 1
    assert task["cost_usd"] > 0
    assert task["provider_task_id"] == task["id"]
    [path] = audio_of(stack, task)
    assert TinyTag.get(path).duration == pytest.approx(task["results"][0]["artifact"]["duration_seconds"], abs=0.2)


def test_an_aimlapi_cover_arrives_by_poll_and_its_audio_is_kept(stack: Stack) -> None:
    task = stack.wait_for(stack.submit("aimlapi")["id"])
    assert task["status"] == "succeeded"
    assert [result["via"] for result in task["results"]] == ["poll"]
    assert task["callbacks"] == 0
    assert task["polls"] >= 1
    audio_of(stack, task)


def test_four_results_of_one_task_are_four_different_files(stack: Stack) -> None:
    task = stack.wait_for(stack.submit("runware", count=4)["id"])
    assert task["status"] == "succeeded"
    assert [result["index"] for result in task["results"]] == [0, 1, 2, 3]
    assert task["callbacks"] == 4
    assert len({path.read_bytes() for path in audio_of(stack, task)}) == 4


@pytest.mark.parametrize("output_type", ["URL", "base64Data", "dataURI"])
def test_every_output_type_of_runware_ends_as_a_file(stack: Stack, output_type: str) -> None:
    task = stack.wait_for(stack.submit("runware", output_type=output_type, count=2)["id"])
    assert task["status"] == "succeeded"
    assert all((result["url"] is None) == (output_type != "URL") for result in task["results"])
    assert len(audio_of(stack, task)) == 2


@pytest.mark.parametrize(
    ("provider", "output_format", "media_type"),
    [
        ("runware", "MP3", "audio/mpeg"),
        ("runware", "WAV", "audio/wav"),
        ("runware", "flac", "audio/flac"),
        ("aimlapi", "mp3", "audio/mpeg"),
        ("aimlapi", "WAV", "audio/wav"),
        ("aimlapi", "pcm", "audio/L16"),
    ],
)
def test_every_format_is_recognised_by_its_content(
    stack: Stack, provider: str, output_format: str, media_type: str
) -> None:
    task = stack.wait_for(stack.submit(provider, output_format=output_format)["id"])
    assert task["status"] == "succeeded", task
    assert task["results"][0]["artifact"]["media_type"].startswith(media_type)
    duration = task["results"][0]["artifact"]["duration_seconds"]
    # Raw samples do not say how many channels they are of.
    assert duration is None if output_format == "pcm" else duration > 3
    audio_of(stack, task)


def test_inline_reference_audio_reaches_aimlapi_and_is_shown_by_its_hash(stack: Stack) -> None:
    audio = b"ID3" + bytes(range(256)) * 40
    task = stack.submit("aimlapi", reference_audio=base64.b64encode(audio).decode())
    assert task["request"]["reference_audio"] == {"sha256": hashlib.sha256(audio).hexdigest(), "bytes": len(audio)}
    assert stack.wait_for(task["id"])["status"] == "succeeded"


def test_the_timeline_tells_the_whole_story_in_order(stack: Stack) -> None:
    task = stack.wait_for(stack.submit("runware")["id"])
    events = stack.events(task["id"])
    types = [event["type"] for event in events]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    for expected in ("task.created", "attempt.made", "task.submitted", "callback.received", "result.received"):
        assert expected in types
    assert types[-1] == "task.succeeded"
    assert types.index("task.settled") < types.index("task.succeeded")


def test_a_field_the_provider_does_not_have_is_refused_by_name(stack: Stack) -> None:
    answer = stack.post("/v1/tasks", {**basic("aimlapi"), "seed": 4, "count": 2})
    assert answer.status_code == 422
    assert {problem["field"] for problem in answer.json()["errors"]} == {"seed", "count"}


def test_the_balance_is_exact(stack: Stack) -> None:
    stack.wait_for_all()
    balance(stack).assert_exact()
