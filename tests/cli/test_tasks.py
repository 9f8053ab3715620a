import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tests.cli.conftest import Said
from tests.cli.fake_service import RESULT_ID, TASK_ID, Answer, FakeService, problem, result, succeeded, task
from tests.cli.test_screen import ACTED_UPON

Typed = Callable[..., Said]
TASK = f"/v1/tasks/{TASK_ID}"
HOSTILE = "".join(ACTED_UPON.values()) + "[bold red]markup[/] :smile:"
#: What rich itself writes for colour; anything else that begins with ESC came from outside.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat().replace("+00:00", "Z")


def page(*tasks: object, cursor: str | None = None) -> Answer:
    return Answer(200, {"data": tasks, "next_cursor": cursor})


def event(seq: int, kind: str, second: float, **data: object) -> dict[str, object]:
    at = datetime(2026, 11, 20, 10, 0, tzinfo=UTC) + timedelta(seconds=second)
    return {"id": seq, "task_id": TASK_ID, "seq": seq, "type": kind, "at": at.isoformat(), "data": data}


def harmless(text: str) -> bool:
    return all(line.isprintable() for line in _COLOUR.sub("", text).split("\n"))


def test_the_filters_are_asked_for(receiver: Typed, here: FakeService) -> None:
    here.says("GET", "/v1/tasks", page())
    said = receiver(
        "tasks", "--status", "failed", "--provider", "aimlapi", "--metadata", "a=b", "--metadata", "c=d", "--limit",
        "7", "--cursor", "x/y",
    )  # fmt: skip
    assert said == Said(0, "No task fits.\n", "")
    assert here.asked[0].query == {
        "status": ["failed"],
        "provider": ["aimlapi"],
        "metadata.a": ["b"],
        "metadata.c": ["d"],
        "limit": ["7"],
        "cursor": ["x/y"],
    }


def test_a_list_on_a_pipe_has_a_line_for_each_task_with_its_whole_error(receiver: Typed, here: FakeService) -> None:
    error = {"code": "moderation", "message": "no " * 80 + "end", "retryable": False, "provider_code": None}
    ids = [str(UUID(int=number, version=4)) for number in range(3)]
    here.says(
        "GET",
        "/v1/tasks",
        page(
            task("submitted", id=ids[0], overdue=True, created_at=ago(minutes=12, seconds=5)),
            succeeded(id=ids[1], created_at=ago(hours=3)),
            task("failed", id=ids[2], created_at=ago(days=2), errors=[error]),
            cursor="next",
        ),
    )
    said = receiver("tasks")
    assert said.code == 0
    assert said.err == "! overdue: past its deadline, and still looked for\nmore with --cursor next\n"
    assert [" ".join(line.split()) for line in said.out.splitlines()] == [
        "task provider status age stored cost note",
        f"{ids[0]} runware submitted! 12 min 0/1 –",
        f"{ids[1]} runware succeeded 3 h 1/1 $0.15",
        f"{ids[2]} runware failed 2 d 0/1 – moderation: {'no ' * 80}end",
    ]


def test_a_list_fits_80_columns_and_keeps_the_ids_whole(
    receiver: Typed, here: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = {"code": "moderation", "message": "no " * 80, "retryable": False, "provider_code": None}
    here.says("GET", "/v1/tasks", page(task("collecting", cost_usd=0.0123), task("failed", errors=[error])))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    said = receiver("tasks")
    lines = _COLOUR.sub("", said.out).splitlines()
    assert max(len(line) for line in lines) <= 80
    assert [line.split()[0] for line in lines] == ["task", TASK_ID, TASK_ID, "moderation:"]
    assert "\x1b[31mfailed" in said.out


def test_a_list_on_a_narrow_terminal_shows_beginnings_that_every_command_takes(
    receiver: Typed, here: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.says("GET", "/v1/tasks", page(task("collecting", cost_usd=0.0123, created_at=ago(minutes=12))))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    lines = _COLOUR.sub("", receiver("tasks").out).splitlines()
    assert max(len(line) for line in lines) <= 60
    assert lines[1].split()[:2] == [TASK_ID[:8], "runware"]


def test_that_a_task_was_erased_stands_in_the_list(receiver: Typed, here: FakeService) -> None:
    here.says("GET", "/v1/tasks", page(succeeded(erased_at="2026-11-20T11:00:00Z", results=[])))
    assert receiver("tasks").out.splitlines()[1].endswith("–  $0.15  erased")


def test_that_there_are_no_tasks_at_all_is_said(receiver: Typed, here: FakeService) -> None:
    here.says("GET", "/v1/tasks", page())
    assert receiver("tasks").out == "No tasks.\n"


def test_a_list_as_json_is_the_page_as_the_service_said_it(receiver: Typed, here: FakeService) -> None:
    here.says("GET", "/v1/tasks", page(task(), cursor="next"))
    said = receiver("tasks", "--json")
    assert said.err == ""
    assert json.loads(said.out) == {"data": [task()], "next_cursor": "next"}


def test_one_task_is_shown_with_its_request_its_results_and_its_timeline(receiver: Typed, here: FakeService) -> None:
    request = {
        "provider": "runware",
        "prompt": "bossa",
        "lyrics": "[Verse]\none\ntwo",
        "ttl_seconds": 60,
        "sample_rate": 44100,
        "include_cost": True,
        "output_type": "URL",
        "seed": None,
    }
    error = {"code": "moderation", "message": "no", "retryable": True, "provider_code": "contentPolicy"}
    warning = {"field": "prompt", "message": "long"}
    shown = succeeded(request=request, errors=[error], warnings=[warning], metadata={"album": "x"}, polls=1)
    here.says("GET", TASK, Answer(200, shown))
    events = [
        event(1, "task.created", 0, provider="runware", model="m", count=2),
        event(2, "attempt.made", 0.3, attempt=1, outcome="accepted", http_status=200, seconds=0.12, detail=None),
        event(3, "task.submitted", 0.3, provider_task_id=TASK_ID),
        event(
            4,
            "callback.quarantined",
            24.1,
            report_id="0199a1b2-0000-7000-8000-0000a1b2c3d4",
            reason="names another task",
        ),
        event(5, "result.received", 24.1, result_id=RESULT_ID, index=0, via="callback", late=False),
        event(6, "result.stored", 25, result_id=RESULT_ID, bytes=197000, sha256="x", duration_seconds=12.3),
        event(7, "task.settled", 3724, results=1, failed=0),
        event(8, "task.succeeded", 3725, stored=1, expected=1),
        event(9, "attempt.made", 3725, attempt=2, outcome="refused", detail="no"),
        event(10, "task.failed", 3725, code="moderation", message="no"),
        event(11, "result.failed", 3725, message="other"),
        event(12, "result.failed", 3725, message="other"),
        event(13, "task.cancelled", 3725, was="submitted"),
        event(14, "task.invented", 3725, new={"x": 1}),
    ]
    here.says("GET", f"{TASK}/events", Answer(200, {"data": events}))
    said = receiver("task", TASK_ID)
    assert said.code == 0
    head, *sections = said.out.split("\n\n")
    assert head.splitlines()[0] == f"{TASK_ID}  succeeded"
    assert "  told by    1 callback, 1 poll\n" in head
    assert "  cost       $0.15\n" in head
    assert "  completed  +25.0 s, its audio was stored\n" in head
    assert sections == [
        (
            "Request\n  prompt       bossa\n  lyrics       [Verse]\n               one\n               two\n"
            "  link lives   60 s\n  sample rate  44100 Hz\n  report cost  yes\n  output type  URL"
        ),
        "Warnings\n  prompt     long",
        "Errors\n  moderation  no (the same request may succeed another time; the provider's word: contentPolicy)",
        (
            "Results\n"
            "  0  stored  by callback +24.1 s, 12.3 s, 25 kB, audio/mpeg, $0.15, seed 41\n"
            f"     {TASK}/results/{RESULT_ID}/audio\n"
            f"     sha256 {result()['artifact']['sha256']}"
        ),
        (
            "Timeline\n"
            "       +0.0 s  task.created          runware, m, 2 results\n"
            "       +0.3 s  attempt.made          attempt 1, accepted, HTTP 200, 0.1 s\n"
            "       +0.3 s  task.submitted\n"
            "      +24.1 s  callback.quarantined  report a1b2c3d4, names another task\n"
            "      +24.1 s  result.received       result 0, by callback\n"
            "      +25.0 s  result.stored         result 0, 197 kB, 12.3 s\n"
            "  +1 h 02 min  task.settled          1 result, none failed\n"
            "  +1 h 02 min  task.succeeded        1 of 1 stored\n"
            "  +1 h 02 min  attempt.made          attempt 2, refused\n"
            "  +1 h 02 min  task.failed           moderation\n"
            "  +1 h 02 min  result.failed         other\n"
            "  +1 h 02 min  result.failed\n"
            "  +1 h 02 min  task.cancelled        was submitted\n"
            '  +1 h 02 min  task.invented         new={"x": 1}\n'
        ),
    ]


def test_one_task_fits_80_columns_and_tells_how_its_audio_is_had(
    receiver: Typed, here: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "slow bossa nova and brushed drums " * 20
    error = {"code": "artifact_unavailable", "message": words, "retryable": False, "provider_code": "x"}
    here.says(
        "GET", TASK, Answer(200, succeeded(request={"prompt": words, "reference_audio": "x" * 300}, errors=[error]))
    )
    here.says("GET", f"{TASK}/events", Answer(200, {"data": [event(1, "callback.quarantined", 9, reason=words)]}))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    said = receiver("task", TASK_ID)
    assert said.code == 0
    lines = _COLOUR.sub("", said.out).splitlines()
    assert max(len(line) for line in lines) <= 80
    assert f"     id {RESULT_ID}" in lines
    assert f"  audio      receiver task {TASK_ID[:8]} --out DIR" in lines
    monkeypatch.setenv("COLUMNS", "120")
    wide = _COLOUR.sub("", receiver("task", TASK_ID).out).splitlines()
    assert f"     {TASK}/results/{RESULT_ID}/audio" in wide
    assert not any("--out DIR" in line for line in wide)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("succeeded", "  completed  +25.0 s, its audio was stored"),
        ("partial", "  completed  +25.0 s, the audio there is was stored"),
        ("lost", "  ended      +25.0 s"),
    ],
)
def test_the_end_of_a_task_is_told_as_what_it_was(receiver: Typed, here: FakeService, status: str, told: str) -> None:
    here.says("GET", TASK, Answer(200, succeeded(status=status)))
    here.says("GET", f"{TASK}/events", Answer(200, {"data": []}))
    lines = receiver("task", TASK_ID).out.splitlines()
    assert told in lines
    assert any(line.startswith("  settled") and line.endswith(", its outcome was known") for line in lines)


def test_one_task_as_json_is_the_document_and_its_events(receiver: Typed, here: FakeService) -> None:
    here.says("GET", TASK, Answer(200, succeeded()))
    here.says("GET", f"{TASK}/events", Answer(200, {"data": [event(1, "task.created", 0)]}))
    said = receiver("task", TASK_ID, "--json")
    assert json.loads(said.out) == {**succeeded(), "events": [event(1, "task.created", 0)]}
    assert said.out.count("\n") == 1


@pytest.mark.parametrize(
    ("what", "message", "words"),
    [
        ("callback", "the callback of runware", "for the callback; our own look now"),
        ("provider", "runware refuses our key (HTTP 401)", "runware refuses our key (HTTP 401), next try now"),
    ],
)
def test_what_a_task_waits_for_is_said_at_its_head_and_in_the_list(
    receiver: Typed, here: FakeService, what: str, message: str, words: str
) -> None:
    waiting = {"for": what, "message": message, "until": ago(seconds=1)}
    here.says("GET", "/v1/tasks", page(task("submitted", waiting=waiting)))
    here.says("GET", TASK, Answer(200, task("submitted", waiting=waiting)))
    here.says("GET", f"{TASK}/events", Answer(200, {"data": []}))
    assert receiver("task", TASK_ID).out.startswith(f"{TASK_ID}  submitted\n  waiting    {words}\n")
    assert receiver("tasks").out.endswith(f"  {words.removeprefix('for ')}\n")


def test_a_beginning_is_enough_where_it_is_of_one_task_alone(receiver: Typed, here: FakeService) -> None:
    other = TASK_ID[:8] + "-0000-4000-8000-000000000000"
    here.says("GET", "/v1/tasks", page(task(id=other), cursor="more"), page(task()), page(task(id=other), task()))
    here.says("GET", TASK, Answer(200, task()))
    here.says("GET", f"{TASK}/events", Answer(200, {"data": []}))
    assert receiver("task", TASK_ID[:9].upper() + "7").out.startswith(f"{TASK_ID}  queued\n")
    said = receiver("task", TASK_ID[:8])
    assert said.code == 1
    assert said.err == f"receiver: 2 tasks begin with {TASK_ID[:8]}\n  {other}\n  {TASK_ID}\n"
    assert receiver("task", "ffffffff").err == "receiver: no task ffffffff\n"


def test_what_is_older_than_what_is_looked_through_is_said(receiver: Typed, here: FakeService) -> None:
    here.says("GET", "/v1/tasks", page(*[task()] * 100, cursor="more"))
    said = receiver("task", "ffffffff")
    assert said.code == 1
    assert "looked through the newest 200; for an older one give the whole id" in said.err
    assert len(here.asked) == 2


@pytest.mark.parametrize("command", ["cancel", "refresh"])
def test_a_task_is_operated_on_by_its_route(receiver: Typed, here: FakeService, command: str) -> None:
    here.says("POST", f"{TASK}/{command}", Answer(200, task("submitted")))
    said = receiver(command, TASK_ID)
    assert said.code == 0
    assert said.out.startswith(f"Task {TASK_ID} is submitted.\n")
    assert json.loads(receiver(command, TASK_ID, "--json").out) == task("submitted")


@pytest.mark.parametrize("command", ["cancel", "refresh"])
def test_a_task_that_has_ended_is_left_alone_in_clear_words(receiver: Typed, here: FakeService, command: str) -> None:
    here.says("POST", f"{TASK}/{command}", problem(409, "The task has already ended"))
    here.says("GET", TASK, Answer(200, succeeded()))
    said = receiver(command, TASK_ID)
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        f"receiver: task {TASK_ID} has already ended, as succeeded; nothing was changed\n"
        f"  see `receiver task {TASK_ID}`\n"
    )


@pytest.mark.parametrize("colour", ["pipe", "terminal"])
@pytest.mark.parametrize("command", [("tasks",), ("task", TASK_ID), ("task", TASK_ID, "--json"), ("tasks", "--json")])
def test_nothing_that_a_stranger_wrote_acts_on_the_terminal(
    receiver: Typed, here: FakeService, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], colour: str
) -> None:
    if colour == "terminal":
        monkeypatch.setenv("FORCE_COLOR", "1")
    stored = result(via=HOSTILE)
    stored["artifact"].update(status=HOSTILE, url=HOSTILE, sha256=HOSTILE, media_type=HOSTILE)
    hostile = succeeded(
        provider=HOSTILE,
        model=HOSTILE,
        status=HOSTILE,
        overdue=True,
        provider_task_id=HOSTILE,
        metadata={HOSTILE: HOSTILE},
        request={HOSTILE: HOSTILE, "prompt": HOSTILE, "provider_options": {HOSTILE: [HOSTILE]}},
        warnings=[{"field": HOSTILE, "message": HOSTILE}],
        errors=[{"code": HOSTILE, "message": HOSTILE, "retryable": False, "provider_code": HOSTILE}],
        results=[stored],
        waiting={"for": HOSTILE, "message": HOSTILE, "until": None},
    )
    events = [event(1, HOSTILE, 1, **{HOSTILE: HOSTILE}), event(2, "task.failed", 1, message=HOSTILE, via=HOSTILE)]
    here.says("GET", "/v1/tasks", page(hostile, cursor=HOSTILE))
    here.says("GET", TASK, Answer(200, hostile))
    here.says("GET", f"{TASK}/events", Answer(200, {"data": events}))
    said = receiver(*command)
    assert said.code == 0
    assert harmless(said.out)
    assert harmless(said.err)
    if "--json" not in command:
        assert "[bold red]markup[/] :smile:" in said.out.replace("\n             ", "")


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 429, 500])
def test_nothing_in_a_refusal_acts_on_the_terminal(receiver: Typed, here: FakeService, status: int) -> None:
    errors = [{"field": HOSTILE, "message": HOSTILE}]
    body = {"title": HOSTILE, "status": status, "detail": HOSTILE * 2, "errors": errors}
    here.says("GET", "/v1/tasks", Answer(status, body))
    said = receiver("tasks")
    assert said.code == 1
    assert harmless(said.err)


def test_nothing_in_a_redirect_acts_on_the_terminal(receiver: Typed, here: FakeService) -> None:
    here.says("GET", "/v1/tasks", Answer(302, None, {"location": "http://x\x1b]0;x\x07"}))
    said = receiver("tasks")
    assert said.code == 1
    assert harmless(said.err)


@pytest.mark.parametrize("text", ACTED_UPON.values(), ids=ACTED_UPON)
def test_nothing_that_was_typed_acts_on_the_terminal_when_it_is_quoted(receiver: Typed, text: str) -> None:
    for arguments in (["tasks", "--limit", text], [text], ["tasks", f"--{text}"], ["submit", "x", "--option", text]):
        said = receiver(*arguments)
        assert said.code == 2
        assert harmless(said.err)
