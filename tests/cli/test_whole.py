"""The commands of every day as processes, against the real service and the real sandbox."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Said
from tests.harness import API_KEY, PROMPT, REFERENCE, Stack, running

SUBMIT = ("--prompt", PROMPT, "--audio", REFERENCE)


class Typed:
    """Types commands that speak with one service."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def __call__(self, *arguments: str) -> Said:
        outcome = subprocess.run(
            [sys.executable, "-m", "receiver", *arguments, "--url", self.stack.service.url, "--api-key", API_KEY],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Said(outcome.returncode, outcome.stdout, outcome.stderr)


@pytest.fixture
def typed(folder: Path) -> Iterator[Typed]:
    with running(folder / "stack") as stack:
        yield Typed(stack)


def test_what_is_typed_every_day_works(typed: Typed, folder: Path) -> None:
    made = typed("submit", "runware", *SUBMIT, "--count", "2", "--wait", "--out", "covers", "--json")
    assert made.code == 0, made.err
    task = json.loads(made.out)
    assert task["status"] == "succeeded"
    assert re.search(r"  succeeded  2/2 stored$", made.err, flags=re.MULTILINE)
    kept = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "covers").iterdir()}
    assert kept == {result["artifact"]["sha256"] for result in task["results"]}

    begun = typed("submit", "aimlapi", *SUBMIT)
    assert begun.code == 0, begun.err
    [other] = re.findall(r"receiver task (\S+) --wait", begun.out)
    ended = typed("task", other[:8], "--wait", "--out", "covers")
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"{other}  succeeded\n")
    assert "task.succeeded" in ended.out
    [path] = re.findall(r"/v1/tasks/\S+/audio", ended.out)
    audio = typed.stack.http.get(f"{typed.stack.service.url}{path}", headers=typed.stack.headers())
    assert audio.content == next((folder / "covers").glob(f"{other}-0.*")).read_bytes()
    again = typed("task", other, "--out", "covers")
    assert again.code == 0, again.err

    listed = typed("tasks")
    assert listed.code == 0, listed.err
    assert [line.split()[:3] for line in listed.out.splitlines()[1:]] == [
        [other, "aimlapi", "succeeded"],
        [task["id"], "runware", "succeeded"],
    ]

    late = typed("cancel", other)
    assert late.code == 1
    assert f"task {other} has already ended, as succeeded; nothing was changed" in late.err


def test_a_task_is_refreshed_and_cancelled(typed: Typed) -> None:
    typed.stack.faults(seconds=[60, 60])
    begun = typed("submit", "runware", *SUBMIT, "--timeout", "2", "--wait")
    assert begun.code == 1
    assert begun.out == ""
    [task_id] = re.findall(r"follow it with `receiver task (\S+) --wait`", begun.err)
    typed.stack.wait_for(task_id, "submitted")
    looked = typed("refresh", task_id)
    assert looked.code == 0, looked.err
    assert looked.out.startswith(f"Task {task_id} is submitted.\n  it is looked at now; ")
    stopped = typed("cancel", task_id[:8], "--json")
    assert stopped.code == 0, stopped.err
    assert json.loads(stopped.out)["status"] == "cancelled"
    assert typed("cancel", task_id).code == 0
    assert "was submitted" in typed("task", task_id).out
    unknown = typed("cancel", "00000000-0000-4000-8000-000000000000")
    assert (unknown.code, unknown.out) == (1, "")
    assert "no task 00000000-0000-4000-8000-000000000000" in unknown.err
