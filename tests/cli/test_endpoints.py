"""`receiver endpoints`, `deliveries` and `redrive`, against a service that says what a test wants."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Said
from tests.cli.fake_service import TASK_ID, Answer, FakeService, problem, task

Typed = Callable[..., Said]
ID = "0199a3c0-5a1e-4c3f-9d2b-1f6f0a7c2e11"
DELIVERY = "0199a3c0-5a1e-7c3f-9d2b-1f6f0a7c2e12"
URL = "https://app.example.org/hooks"
SECRET = "whsec_" + "A" * 42 + "=="
ENDPOINTS = "/v1/endpoints"


def endpoint(**changes: object) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": ID,
        "url": URL,
        "types": None,
        "configured": False,
        "status": "active",
        "reason": None,
        "since": None,
        "failures": 0,
        "next_attempt_at": None,
        "created_at": "2026-11-20T10:00:00.000000Z",
        "pending": 0,
        "dead": 0,
        "oldest_pending_at": None,
    }
    return {**document, **changes}


def delivery(**changes: object) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": DELIVERY,
        "endpoint_id": ID,
        "task_id": TASK_ID,
        "type": "task.succeeded",
        "seq": 9,
        "created_at": "2026-11-20T10:00:25.000000Z",
        "status": "dead",
        "attempts": 8,
        "next_attempt_at": None,
        "ended_at": "2026-11-21T10:00:25.000000Z",
        "error": "timeout",
        "outcomes": [],
    }
    return {**document, **changes}


@pytest.fixture
def known(here: FakeService) -> FakeService:
    """A service with one endpoint."""
    here.says("GET", ENDPOINTS, Answer(200, {"data": [endpoint()]}))
    return here


def test_a_new_secret_is_shown_once_alone_on_standard_output(receiver: Typed, here: FakeService) -> None:
    here.says("POST", ENDPOINTS, Answer(201, {**endpoint(), "secret": SECRET}))
    said = receiver("endpoints", "add", URL, "--type", "task.failed", "--type", "task.lost")
    assert (said.code, said.out) == (0, f"{SECRET}\n")
    assert "the only time" in said.err
    assert f"receiver endpoints test {ID[:8]}" in said.err
    assert json.loads(here.asked[0].body) == {"url": URL, "types": ["task.failed", "task.lost"]}


def test_a_secret_of_ones_own_comes_from_a_file_and_is_not_shown(
    receiver: Typed, known: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    known.says("POST", ENDPOINTS, Answer(201, {**endpoint(), "secret": SECRET}))
    said = receiver("endpoints", "add", URL, "--secret-file", str(tmp_path / "secret"))
    assert SECRET not in said.out + said.err
    known.says("POST", f"{ENDPOINTS}/{ID}/rotate", Answer(200, {**endpoint(), "secret": SECRET}))
    monkeypatch.setattr("sys.stdin", io.StringIO(SECRET))
    said = receiver("endpoints", "rotate", URL, "--secret-file", "-", "--overlap", "60")
    assert (said.code, SECRET in said.out + said.err) == (0, False)
    assert json.loads(known.asked[-1].body) == {"secret": SECRET, "overlap_seconds": 60}
    missing = receiver("endpoints", "add", URL, "--secret-file", "nowhere")
    assert (missing.code, "nowhere cannot be read (No such file or directory)" in missing.err) == (2, True)


def test_json_of_a_new_endpoint_holds_its_secret(receiver: Typed, here: FakeService) -> None:
    here.says("POST", ENDPOINTS, Answer(201, {**endpoint(), "secret": SECRET}))
    said = receiver("endpoints", "add", URL, "--json")
    assert json.loads(said.out) == {**endpoint(), "secret": SECRET}
    assert said.err == ""


def test_endpoints_are_listed_with_what_is_wrong_with_them(receiver: Typed, here: FakeService) -> None:
    assert "is told" not in receiver("endpoints", "list", "--json").out
    here.says("GET", ENDPOINTS, Answer(200, {"data": []}))
    assert "receiver endpoints add URL" in receiver("endpoints", "list").out
    ill = endpoint(status="paused", reason="by_hand", pending=3, dead=2, types=["task.lost"], configured=True)
    here.says("GET", ENDPOINTS, Answer(200, {"data": [ill]}))
    said = receiver("endpoints", "list")
    [head, row] = said.out.splitlines()
    assert head.split() == ["endpoint", "status", "waiting", "dead", "URL"]
    assert row.split() == [ID, "paused", "(by", "hand)", "3", "2", URL, "(task.lost;", "of", "the", "settings)"]
    assert "receiver redrive" in said.err
    many = {**ill, "pending": 9_999, "dead": 10_000}
    here.says("GET", ENDPOINTS, Answer(200, {"data": [many]}))
    assert " 9999  10000 or more  " in receiver("endpoints", "list").out, "no more than that are counted"
    here.says("GET", ENDPOINTS, Answer(200, {"data": [ill]}))
    assert json.loads(receiver("endpoints", "list", "--json").out) == {"data": [ill]}
    # Alone it is the list, with the same options; before another command nobody would heed them.
    assert receiver("endpoints") == said
    assert json.loads(receiver("endpoints", "--json").out) == {"data": [ill]}
    misplaced = receiver("endpoints", "--json", "list")
    assert misplaced.code == 2
    assert "endpoints list" in misplaced.out


@pytest.mark.parametrize("which", [ID, ID[:8], ID[:9].upper(), URL])
def test_an_endpoint_is_named_by_its_id_the_beginning_of_that_or_its_url(
    receiver: Typed, known: FakeService, which: str
) -> None:
    known.says("POST", f"{ENDPOINTS}/{ID}/pause", Answer(200, endpoint(status="paused", reason="by_hand")))
    said = receiver("endpoints", "pause", which)
    assert said == Said(
        0, f"Endpoint {ID} is paused (by hand).\n  what happens waits until `receiver endpoints resume`\n", ""
    )


@pytest.mark.parametrize(("pending", "said"), [(9_999, "9999"), (10_000, "10000 or more")])
def test_what_waits_for_an_endpoint_that_is_resumed_is_told(
    receiver: Typed, known: FakeService, pending: int, said: str
) -> None:
    known.says("POST", f"{ENDPOINTS}/{ID}/resume", Answer(200, endpoint(pending=pending)))
    assert f"  {said} deliveries wait for it\n" in receiver("endpoints", "resume", ID).out


@pytest.mark.parametrize("which", ["0199", "https://app.example.org", "x" * 8])
def test_an_endpoint_that_is_not_there_is_not_guessed(receiver: Typed, known: FakeService, which: str) -> None:
    said = receiver("endpoints", "resume", which)
    assert (said.code, len(known.asked)) == (1, 1)
    assert "receiver endpoints list" in said.err


def test_a_trial_says_what_came_of_it_and_what_to_do(receiver: Typed, known: FakeService) -> None:
    path = f"{ENDPOINTS}/{ID}/test"
    taken = {"delivered": True, "status_code": 204, "error": None, "seconds": 0.123}
    forbidden = {"delivered": False, "status_code": None, "error": "forbidden", "seconds": 0.0}
    broken = {"delivered": False, "status_code": 500, "error": "status", "seconds": 0.1}
    known.says("POST", path, Answer(200, taken), Answer(200, forbidden), Answer(200, broken), Answer(200, broken))
    assert receiver("endpoints", "test", URL) == Said(0, f"{URL} took it (HTTP 204, 0.12 s).\n", "")
    said = receiver("endpoints", "test", URL)
    assert (said.code, said.out) == (1, "")
    assert "RECEIVER_ALLOWED_PRIVATE_HOSTS=notify=" in said.err
    assert receiver("endpoints", "test", URL).err == f"receiver: {URL} did not take it: HTTP 500\n"
    said = receiver("endpoints", "test", URL, "--json")
    assert (said.code, json.loads(said.out)) == (1, broken)


@pytest.mark.parametrize("status", ["paused", "stopped"])
def test_a_trial_that_went_well_leaves_an_endpoint_closed_and_says_so(
    receiver: Typed, here: FakeService, status: str
) -> None:
    here.says("GET", ENDPOINTS, Answer(200, {"data": [endpoint(status=status, reason="connection")]}))
    taken = {"delivered": True, "status_code": 204, "error": None, "seconds": 0.123}
    here.says("POST", f"{ENDPOINTS}/{ID}/test", Answer(200, taken))
    said = receiver("endpoints", "test", URL)
    mend = f"  it is still {status}: `receiver endpoints resume {ID[:8]}`\n"
    assert said == Said(0, f"{URL} took it (HTTP 204, 0.12 s).\n{mend}", "")


def test_nothing_is_removed_that_nobody_confirmed(receiver: Typed, known: FakeService) -> None:
    known.says("DELETE", f"{ENDPOINTS}/{ID}", Answer(200, {"count": 1}))
    said = receiver("endpoints", "remove", ID)
    assert (said.code, [asked.method for asked in known.asked]) == (2, ["GET"])
    assert "--yes" in said.err
    assert "the whole history of its deliveries would be lost" in said.err
    said = receiver("endpoints", "remove", ID, "--yes")
    assert (said.code, known.asked[-1].method) == (0, "DELETE")
    assert said.out == f"Endpoint {ID} is removed: {URL}\n"


class _Typist(io.StringIO):
    """Somebody at a terminal."""

    def isatty(self) -> bool:
        return True


def test_whoever_is_asked_hears_that_the_history_goes_too(
    receiver: Typed, known: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", _Typist("no\n"))
    said = receiver("endpoints", "remove", ID)
    assert f"Remove {URL}, 0 that wait and the whole history of its deliveries? Type yes: " in said.err
    assert (said.code, [asked.method for asked in known.asked]) == (1, ["GET"])


def test_a_refusal_is_said_in_words(receiver: Typed, known: FakeService) -> None:
    known.says("POST", ENDPOINTS, problem(409, "There is an endpoint with this URL already"))
    said = receiver("endpoints", "add", URL)
    assert (said.code, said.out) == (1, "")
    assert "There is an endpoint with this URL already" in said.err


def test_deliveries_are_listed_and_asked_for_by_everything_that_can_be_said(
    receiver: Typed, known: FakeService
) -> None:
    known.says("GET", "/v1/tasks", Answer(200, {"data": [task()], "next_cursor": None}))
    known.says("GET", "/v1/deliveries", Answer(200, {"data": [delivery()], "next_cursor": "n"}))
    asked = ("--status", "dead", "--endpoint", URL, "--task", TASK_ID[:8], "--error", "timeout", "--limit", "1")
    said = receiver("deliveries", *asked, "--since", "2026-11-20T10:00:00Z", "--until", "2026-11-21T10:00:00Z")
    [head, row] = said.out.splitlines()
    assert head.split() == ["delivery", "age", "status", "tries", "what", "task"]
    assert row.split()[0] == DELIVERY
    assert row.split()[3:] == ["dead", "8", "task.succeeded", TASK_ID, "timeout"]
    assert said.err == "more with --cursor n\n"
    assert known.asked[-1].query == {
        "status": ["dead"],
        "endpoint_id": [ID],
        "task_id": [TASK_ID],
        "error": ["timeout"],
        "created_after": ["2026-11-20T10:00:00+00:00"],
        "created_before": ["2026-11-21T10:00:00+00:00"],
        "limit": ["1"],
    }


def test_what_is_tried_again_says_what_it_was_answered(receiver: Typed, here: FakeService) -> None:
    answered = {"at": "2026-11-20T10:00:25Z", "status_code": 500, "error": "status", "seconds": 0.1}
    waiting = delivery(
        status="pending", error="status", outcomes=[answered], next_attempt_at="2126-11-20T10:00:25Z", ended_at=None
    )
    here.says("GET", "/v1/deliveries", Answer(200, {"data": [waiting], "next_cursor": None}))
    row = receiver("deliveries").out.splitlines()[1]
    assert re.search(rf"{TASK_ID}  HTTP 500, next in [0-9]+ d$", row)


def test_what_is_sent_again_is_what_was_said(receiver: Typed, known: FakeService) -> None:
    path = "/v1/deliveries/redrive"
    known.says("POST", path, Answer(200, {"count": 2, "more": True}))
    said = receiver("redrive", "--endpoint", ID[:8], "--error", "timeout")
    assert (said.code, said.out) == (0, "2 deliveries are sent again.\n")
    assert said.err == "there may be more: the same once again\n"
    assert json.loads(known.asked[-1].body) == {"endpoint_id": ID, "error": "timeout"}
    known.says("POST", path, Answer(200, {"count": 1, "more": False}))
    assert json.loads(receiver("redrive", DELIVERY, ID, "--json").out) == {
        "count": 2,
        "more": False,
        "withheld": 0,
    }
    assert [json.loads(asked.body) for asked in known.asked[-2:]] == [{"id": DELIVERY}, {"id": ID}]
    known.says("POST", path, Answer(200, {"count": 0, "more": False}))
    said = receiver("redrive", DELIVERY)
    assert (said.code, DELIVERY in said.err) == (1, True)


def test_what_is_not_sent_again_because_its_endpoint_is_stopped_is_a_failure_with_its_mend(
    receiver: Typed, here: FakeService
) -> None:
    path = "/v1/deliveries/redrive"
    why = f"2 dead ones fit, but their endpoint is stopped (410): resume it first, `receiver endpoints resume {ID}`"
    here.says("POST", path, Answer(200, {"count": 0, "more": False, "withheld": 2, "detail": why}))
    assert receiver("redrive", "--since", "2h") == Said(1, "", f"receiver: {why}\n")
    here.says("POST", path, Answer(200, {"count": 1, "more": False, "withheld": 2, "detail": why}))
    assert receiver("redrive", "--since", "2h") == Said(0, "1 delivery is sent again.\n", f"{why}\n")
    here.says("POST", path, Answer(200, {"count": 0, "more": False, "withheld": 0, "detail": None}))
    assert receiver("redrive", "--since", "2h") == Said(0, "None fits; nothing is sent.\n", "")
    unknown = "no delivery has this id"
    here.says("POST", path, Answer(200, {"count": 0, "more": False, "withheld": 0, "detail": unknown}))
    assert receiver("redrive", DELIVERY) == Said(1, "", f"receiver: {DELIVERY}: {unknown}\n")


def test_a_delivery_is_named_by_its_whole_id(receiver: Typed, here: FakeService) -> None:
    said = receiver("redrive", DELIVERY[:8])
    assert (said.code, here.asked) == (2, [])
    assert "give the whole id, as `receiver deliveries` shows it" in said.err


@pytest.mark.parametrize("typed", [(), (DELIVERY, "--error", "timeout"), ("--since", "yesterday")])
def test_without_a_word_on_which_nothing_is_sent_again(
    receiver: Typed, here: FakeService, typed: tuple[str, ...]
) -> None:
    assert receiver("redrive", *typed).code == 2
    assert here.asked == []


def test_what_an_endpoint_is_called_cannot_act_on_a_terminal(receiver: Typed, here: FakeService) -> None:
    evil = "https://a.example/\x1b]0;owned\x07\u202e"
    here.says("GET", ENDPOINTS, Answer(200, {"data": [endpoint(url=evil, reason="\x1b[2J", status="\x9b1m")]}))
    said = receiver("endpoints", "list")
    assert said.out.replace("\n", "").isprintable()
