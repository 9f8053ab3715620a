"""`receiver watch`: as a process beside a service that comes and goes, and what it prints."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Said
from tests.cli.fake_service import RESULT_ID, TASK_ID, Answer, FakeService, problem, succeeded, task
from tests.harness import API_KEY, Stack, running

Typed = Callable[..., Said]
EVENTS = f"/v1/tasks/{TASK_ID}/events"
TASK = f"/v1/tasks/{TASK_ID}"


@contextmanager
def watching(stack: Stack, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    place = ["--url", stack.service.url, "--api-key", API_KEY]
    with subprocess.Popen(
        [sys.executable, "-m", "receiver", "watch", *arguments, *place],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until(process: subprocess.Popen[str], kind: str, task_id: str) -> list[dict[str, Any]]:
    """Read events until one of this type of this task; the end of the stream is an error."""
    assert process.stdout is not None
    seen: list[dict[str, Any]] = []
    for line in process.stdout:
        seen.append(json.loads(line))
        if (seen[-1]["type"], seen[-1]["task_id"]) == (kind, task_id):
            return seen
    raise AssertionError(process.stderr.read() if process.stderr else "")


def test_every_event_is_told_once_through_a_restart_and_ctrl_c_is_a_clean_end(folder: Path) -> None:
    with running(folder / "stack") as stack:
        first = stack.submit("runware")["id"]
        with watching(stack, "--all", "--json") as process:
            seen = until(process, "task.succeeded", first)
            stack.service.stop()
            assert process.stderr is not None
            away = process.stderr.readline()
            stack.service.start()
            second = stack.submit("aimlapi")["id"]
            seen += until(process, "task.succeeded", second)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
        assert "; trying again" in away
        assert (process.returncode, out, err) == (0, "", "")
        assert seen == stack.all_events()


def test_of_one_task_it_tells_all_and_ends_with_it(folder: Path) -> None:
    with running(folder / "stack") as stack:
        stack.faults(fail=1.0, fail_code="contentPolicyViolation")
        task_id = stack.submit("runware")["id"]
        with watching(stack, task_id[:8]) as process:
            out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    kinds = [line.split()[1] for line in out.splitlines()]
    assert (kinds[0], kinds[-1]) == ("task.created", "task.failed")
    assert err.startswith("receiver: the task has ended as failed\n")
    assert "Traceback" not in err


def event(number: int, kind: str, **data: object) -> bytes:
    at = "2026-11-20T10:00:00.000000Z"
    told = {"id": number, "task_id": TASK_ID, "seq": number, "type": kind, "at": at, "data": data}
    return f"id: {number}\ndata: {json.dumps(told)}\n\n".encode()


def story(*events: bytes) -> Answer:
    return Answer(200, b"".join(events), {"content-type": "text/event-stream"})


def test_a_line_has_the_time_the_type_and_words(
    receiver: Typed, here: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    events = (
        event(1, "task.submitted", provider_task_id=TASK_ID),
        event(2, "result.received", result_id=RESULT_ID, index=0, via="callback"),
        event(3, "result.stored", result_id=RESULT_ID, bytes=197000),
        event(4, "callback.quarantined", reason="not\x1b[31m ours\u202e"),
        event(5, "task.invented", what={"a": 1}),
    )
    here.says("GET", EVENTS, story(*events), Answer(204, b""))
    here.says("GET", TASK, Answer(200, succeeded()))
    said = receiver("watch", TASK_ID)
    assert (said.code, said.err) == (0, "")
    lines = [line.partition("  ")[2] for line in said.out.splitlines()]
    assert lines == [
        "task.submitted",
        "result.received       result 0, by callback",
        "result.stored         result 0, 197 kB",
        "callback.quarantined  not\\x1b[31m ours\\u202e",
        'task.invented         what={"a": 1}',
    ]


def test_all_of_them_have_their_task_and_since_leaves_out_what_is_older(receiver: Typed, here: FakeService) -> None:
    here.says("GET", "/v1/events", story(event(1, "task.created")), problem(404, "gone"))
    said = receiver("watch", "--all")
    assert said.code == 1
    assert said.out.split()[1:] == [TASK_ID, "task.created"]
    here.says("GET", "/v1/events", story(event(1, "task.created")), problem(404, "gone"))
    assert receiver("watch", "--since", "2026-11-20T10:00:01Z").out == ""


def test_how_the_task_ended_is_the_exit_code(receiver: Typed, here: FakeService) -> None:
    here.says("GET", EVENTS, Answer(204, b""))
    for status, code in (("succeeded", 0), ("partial", 1), ("lost", 1), ("cancelled", 1)):
        here.says("GET", TASK, Answer(200, task(status)))
        assert receiver("watch", TASK_ID).code == code


@pytest.mark.parametrize(
    "arguments",
    [["--all", "--after", "3"], ["--since", "yesterday"], ["--since", "2026-11-20T10:00:01"], ["--after", "-1"]],
)
def test_what_makes_no_sense_is_a_usage_error(receiver: Typed, here: FakeService, arguments: list[str]) -> None:
    said = receiver("watch", *arguments)
    assert (said.code, said.out, here.asked) == (2, "", [])


def test_a_reader_that_leaves_is_no_traceback(folder: Path) -> None:
    with running(folder / "stack") as stack:
        task_id = stack.submit("runware")["id"]
        stack.wait_for(task_id)
        reading, writing = os.pipe()
        os.close(reading)
        outcome = subprocess.run(
            [sys.executable, "-m", "receiver", "watch", task_id, "--url", stack.service.url, "--api-key", API_KEY],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
        os.close(writing)
        # Here it has read something, and nothing more happens that could be written.
        command = [
            sys.executable,
            "-m",
            "receiver",
            "watch",
            "--all",
            "--url",
            stack.service.url,
            "--api-key",
            API_KEY,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
            try:
                assert waiting.stdout is not None
                assert any("task.succeeded" in line for line in waiting.stdout)
                waiting.stdout.close()
                assert waiting.wait(120) == 141
            finally:
                waiting.kill()
    assert outcome.returncode == 141
    assert "Traceback" not in outcome.stderr
