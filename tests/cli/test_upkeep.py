"""`stats`, `replay`, `erase` and `adopt`: what they ask the service for, what they show, and one life of them all."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.conftest import Said
from tests.cli.fake_service import TASK_ID, Answer, FakeService, problem, task
from tests.harness import API_KEY, PROMPT, REFERENCE, running

Typed = Callable[..., Said]


def figures(**changes: object) -> dict[str, Any]:
    return {
        "provider": "runware",
        "model": "minimax:music@cover",
        "tasks": 12,
        "statuses": {"queued": 0, "submitted": 2, "succeeded": 9, "failed": 1},
        "seconds": {"p50": 71.5, "p99": 184.0},
        "callback_miss_rate": 0.125,
        "polls_per_task": 1.25,
        "cost_usd": 1.35,
        **changes,
    }


def test_stats_are_a_table_by_provider_and_model(receiver: Typed, here: FakeService) -> None:
    unknown = figures(
        provider="a\x1b[31m",
        model=None,
        statuses={"invented": 1},
        seconds={"p50": None, "p99": None},
        callback_miss_rate=None,
        polls_per_task=None,
        cost_usd=None,
    )
    here.says("GET", "/v1/stats", Answer(200, {"data": [figures(), unknown], "since": None}))
    said = receiver("stats")
    assert (said.code, said.err) == (0, "")
    assert [line.split("  ")[0] for line in said.out.splitlines()[1:3]] == ["runware", "a\\x1b[31m"]
    first, second = said.out.splitlines()[1:3]
    told = "runware minimax:music@cover 12 1 min 12 s 3 min 04 s 12.5% 1.2 $1.35 2 submitted, 9 succeeded, 1 failed"
    assert " ".join(first.split()) == told
    assert " ".join(second.split()[1:]) == "adopted 12 – – – – – 1 invented"
    assert json.loads(receiver("stats", "--json").out)["data"] == [figures(), unknown]


def test_stats_on_a_narrow_terminal_have_the_model_below_their_figures(
    receiver: Typed, here: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.says("GET", "/v1/stats", Answer(200, {"data": [figures()]}))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", receiver("stats").out).splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[0].split()[:2] == ["provider", "tasks"]
    assert lines[2].startswith(f"  {figures()['model']}: ")


@pytest.mark.parametrize(("text", "ago"), [("90s", 90), ("10 min", 600), ("2h", 7200), ("7d", 604800)])
def test_since_is_how_long_ago(receiver: Typed, here: FakeService, text: str, ago: float) -> None:
    here.says("GET", "/v1/stats", Answer(200, {"data": []}))
    assert receiver("stats", "--since", text).out == "No tasks.\n"
    [since] = here.asked[0].query["since"]
    assert abs(datetime.now(UTC) - timedelta(seconds=ago) - datetime.fromisoformat(since)) < timedelta(seconds=30)


def outcome(**changes: object) -> dict[str, Any]:
    return {"verdict": "settled", "reason": None, "status": "submitted", "results": 0, "cost_usd": None, **changes}


def replayed(after: dict[str, Any], *, applied: bool = False, report: str = "0199-11112222") -> dict[str, Any]:
    before = outcome(verdict="quarantined")
    return {"report_id": report, "task_id": TASK_ID, "before": before, "after": after, "applied": applied}


def test_a_replay_shows_what_would_be_page_by_page_and_changes_nothing(receiver: Typed, here: FakeService) -> None:
    same = replayed(outcome(verdict="quarantined"), report="0199-33334444")
    found = replayed(outcome(status="collecting", results=2, cost_usd=0.3))
    here.says(
        "POST",
        "/v1/replay",
        Answer(200, {"data": [same], "next_cursor": "next"}),
        Answer(200, {"data": [found], "next_cursor": None}),
    )
    said = receiver("replay", "--provider", "runware")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[1].split()[:4] == [TASK_ID, "11112222", "submitted", "collecting"]
    assert lines[1].endswith("quarantined → settled, results 0 → 2, cost – → $0.30")
    assert lines[2] == "2 reports read again, 1 with another meaning. Nothing was changed: --apply lets it count."
    asked = [json.loads(one.body) for one in here.asked]
    assert [(one["apply"], one.get("cursor")) for one in asked] == [(False, None), (False, "next")]


def test_a_replay_that_is_applied_says_how_many(receiver: Typed, here: FakeService) -> None:
    found = replayed(outcome(status="collecting", results=1), applied=True)
    here.says("POST", "/v1/replay", Answer(200, {"data": [found], "next_cursor": None}))
    said = receiver("replay", TASK_ID, "--apply")
    assert said.out.splitlines()[-1] == "1 report read again, 1 with another meaning, 1 applied."
    assert json.loads(here.asked[0].body) == {"apply": True, "task_id": TASK_ID, "limit": 500}
    document = json.loads(receiver("replay", TASK_ID, "--apply", "--json").out)
    assert document == {"applied": True, "data": [found]}


@pytest.mark.parametrize("arguments", [[], [TASK_ID, "--provider", "runware"], [TASK_ID, "--since", "1h"]])
def test_a_replay_of_nothing_or_of_two_things_is_a_usage_error(
    receiver: Typed, here: FakeService, arguments: list[str]
) -> None:
    assert receiver("replay", *arguments).code == 2
    assert here.asked == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--yes"],
        [TASK_ID, "--metadata", "user=42", "--yes"],
        [TASK_ID[:8], "--yes"],
        [TASK_ID],
        ["--metadata", "user=42", "--json"],
        ["--metadata", "user"],
    ],
)
def test_nothing_is_erased_that_was_not_named_whole_and_confirmed(
    receiver: Typed, here: FakeService, arguments: list[str]
) -> None:
    said = receiver("erase", *arguments)
    assert (said.code, here.asked) == (2, [])
    assert bool(said.out) is ("--json" in arguments)


def test_what_is_erased_is_counted(receiver: Typed, here: FakeService) -> None:
    here.says("DELETE", f"/v1/tasks/{TASK_ID}", Answer(200, {"count": 1, "more": False}))
    assert receiver("erase", TASK_ID, "--yes").out == "1 task erased; their numbers and times stay.\n"
    here.says(
        "DELETE", "/v1/tasks", Answer(200, {"count": 2, "more": True}), Answer(200, {"count": 1, "more": False})
    )
    assert json.loads(receiver("erase", "--metadata", "user=42", "--yes", "--json").out) == {"count": 3}
    assert here.asked[-1].query == {"metadata.user": ["42"]}
    assert receiver("erase", "00000000-0000-4000-8000-000000000000", "--yes").code == 1


def test_that_nothing_fitted_is_not_told_as_if_something_had(receiver: Typed, here: FakeService) -> None:
    here.says("DELETE", "/v1/tasks", Answer(200, {"count": 0, "more": False}))
    said = receiver("erase", "--metadata", "usr=42", "--yes")
    assert (said.code, said.out) == (0, "No task fits; nothing was erased.\n")


@pytest.mark.parametrize(("word", "code"), [("yes", 0), ("no", 1), ("", 1)])
def test_whoever_types_is_asked_before_anything_is_erased(here: FakeService, word: str, code: int) -> None:
    here.says("DELETE", f"/v1/tasks/{TASK_ID}", Answer(200, {"count": 1, "more": False}))
    ours, theirs = pty.openpty()
    os.write(ours, f"{word}\n".encode())
    outcome = subprocess.run(
        [sys.executable, "-m", "receiver", "erase", TASK_ID],
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert outcome.returncode == code, outcome.stderr
    assert f"Erase for good {TASK_ID}?" in outcome.stderr
    assert len(here.asked) == (1 if code == 0 else 0)


def test_adopting_asks_for_what_is_ours_alone(receiver: Typed, here: FakeService) -> None:
    here.says("POST", "/v1/tasks", Answer(202, task("submitted")))
    said = receiver("adopt", "runware", TASK_ID, "--count", "2", "--metadata", "user=42", "--deadline", "90")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Task {TASK_ID} is submitted.\n")
    assert json.loads(here.asked[0].body) == {
        "provider": "runware",
        "provider_task_id": TASK_ID,
        "count": 2,
        "metadata": {"user": "42"},
        "deadline_seconds": 90.0,
    }


def test_a_generation_that_has_a_task_already_names_it(receiver: Typed, here: FakeService) -> None:
    remark = {"field": "provider_task_id", "message": f"is that of task {TASK_ID}"}
    here.says("POST", "/v1/tasks", problem(409, "Taken", errors=[remark]))
    said = receiver("adopt", "aimlapi", "gen-1")
    assert said.code == 1
    assert said.err == f"receiver: a task stands for gen-1 already\n  it is that of task {TASK_ID}\n"


def test_a_generation_from_elsewhere_is_adopted_followed_replayed_counted_and_erased(
    receiver: Typed, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(folder / "stack") as stack:
        monkeypatch.setenv("RECEIVER_URL", stack.service.url)
        monkeypatch.setenv("RECEIVER_API_KEY", API_KEY)
        body = {"model": "minimax/music-cover", "prompt": PROMPT, "reference_audio_url": REFERENCE}
        made = httpx.post(
            f"{stack.sandbox.url}/aimlapi/v2/generate/audio", json=body, headers={"Authorization": "Bearer sandbox"}
        ).json()
        adopted = receiver("adopt", "aimlapi", made["id"], "--wait", "--out", "covers", "--json")
        assert adopted.code == 0, adopted.err
        task_id = json.loads(adopted.out)["id"]
        assert len(list((folder / "covers").iterdir())) == 1
        shown = receiver("task", task_id)
        assert "task.created" in shown.out
        assert "adopted" in shown.out
        assert receiver("replay", task_id).out.endswith("read again: all mean what they meant.\n")
        assert "adopted" in receiver("stats").out
        assert receiver("erase", task_id, "--yes").code == 0
        husk = receiver("task", task_id).out
        assert "task.erased" in husk
        assert "  erased " in husk
        assert REFERENCE not in husk
