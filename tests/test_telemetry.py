import io
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.utils import floatToGoString

from receiver.domain.attempt import Attempt, AttemptOutcome
from receiver.domain.event import Event, EventType
from receiver.domain.report import Output, StoredReport, Via
from receiver.domain.request import TaskRequest
from receiver.domain.result import Result
from receiver.domain.task import Change, Task
from receiver.domain.token import Purpose, SigningKey, TokenSigner
from receiver.domain.usual import Arrival, Waiting
from receiver.telemetry import PrometheusMetrics, Witness, configure_logs, witness
from receiver.telemetry.catalogue import CATALOGUE
from receiver.telemetry.tallies import MOST_KEPT

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

TOKEN = "AQ" + "x" * 68
SECRET = 'kEy/with+signs="and quotes"'


@contextmanager
def logging_to(stream: io.StringIO, level: str) -> Iterator[None]:
    root = logging.getLogger()
    before, level_before = root.handlers[:], root.level
    configure_logs(level, stream, secrets=(SECRET, "short"))
    yield
    root.handlers[:] = before
    root.setLevel(level_before)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    with logging_to(stream, "info"):
        yield stream


@pytest.mark.parametrize(
    "text",
    [
        f"GET /callbacks/runware/{TOKEN} 200",
        f"fetching https://cdn.example/a%2Fb.mp3?Expires=1&Signature={TOKEN}",
        f"Authorization: Bearer {TOKEN}",
        f"/inputs/{TOKEN}",
        f"postgresql://receiver:{TOKEN}@db.internal/x",
    ],
)
def test_whatever_looks_like_a_secret_is_cut_from_every_part_of_a_line(lines: io.StringIO, text: str) -> None:
    logging.getLogger("anything").warning("event %s", text, extra={"detail": {"inner": [text]}})
    assert TOKEN not in lines.getvalue()
    assert "[redacted]" in json.loads(lines.getvalue())["event"]


@pytest.mark.parametrize("word", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_key_that_nobody_told_us_of_is_cut_from_a_line_without_other_marks(
    lines: io.StringIO, word: str
) -> None:
    logging.getLogger("anything").warning("said", extra={"header": f"{word} hunter2-hunter2"})
    assert json.loads(lines.getvalue())["header"] == f"{word} [redacted]"


@pytest.mark.parametrize("purpose", Purpose)
def test_a_token_of_ours_is_cut_out_wherever_it_stands(lines: io.StringIO, purpose: Purpose) -> None:
    signer = TokenSigner((SigningKey("k", bytes(32)),), bytes(16))
    token = signer.issue(purpose, "runware", uuid4(), datetime(2027, 1, 1, tzinfo=UTC))
    logging.getLogger("receiver").warning("seen", extra={"reason": f"x{token}x", "place": Path("/a") / token})
    assert json.loads(lines.getvalue())["reason"] == "x[redacted]x"
    assert token not in lines.getvalue()


@pytest.mark.parametrize("spelling", [SECRET, json.dumps(SECRET)[1:-1], "kEy%2Fwith%2Bsigns%3D%22and%20quotes%22"])
def test_a_secret_is_cut_out_of_whatever_a_line_is_made_of(lines: io.StringIO, spelling: str) -> None:
    class Thing:
        def __repr__(self) -> str:
            return spelling

    things = {"path": Path(spelling), "error": ValueError(spelling), "set": {spelling}, "in": {spelling: Thing()}}
    logging.getLogger("receiver").warning("said %s short", spelling, extra={"things": things, "n": 1, "no": None})
    line = json.loads(lines.getvalue())
    assert "kEy" not in lines.getvalue()
    assert (line["event"], line["n"], line["no"]) == ("said [redacted] short", 1, None)
    assert line["things"]["in"] == {"[redacted]": "[redacted]"}


def test_a_secret_in_the_words_of_an_exception_is_cut_out(lines: io.StringIO) -> None:
    try:
        int(SECRET)
    except ValueError:
        logging.getLogger("receiver").exception("failed")
    [told] = json.loads(lines.getvalue())["exception"]
    assert told["exc_value"] == "invalid literal for int() with base 10: '[redacted]'"
    assert "kEy" not in lines.getvalue()


def test_a_line_that_cannot_be_written_is_lost_without_a_word_of_what_it_held(
    lines: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def __str__(self) -> str:
            raise ValueError(SECRET)

    logging.getLogger("receiver").warning("fine so far", extra={"x": Broken(), "y": SECRET})
    logging.getLogger("receiver").warning("half a pair \ud800", extra={"x": "\udfff"})
    lost, written = lines.getvalue().splitlines()
    assert json.loads(lost) == {"event": "log_line_lost", "logger": "receiver"}
    assert json.loads(written)["event"].startswith("half a pair")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("unit", ["http://", "http://a?", "a://b@", "/callbacks/a/", "AQE", "bearer ", "bearer"])
def test_a_long_line_costs_no_more_than_its_length(lines: io.StringIO, unit: str) -> None:
    started = time.process_time()
    logging.getLogger("receiver").warning(unit * (200_000 // len(unit)))
    assert time.process_time() - started < 20


def test_an_exception_is_logged_without_the_values_of_its_locals(lines: io.StringIO) -> None:
    def fails() -> None:
        key = "a-very-secret-value"
        raise ValueError(len(key))

    try:
        fails()
    except ValueError:
        logging.getLogger("receiver").exception("failed")
    assert "a-very-secret-value" not in lines.getvalue()
    assert json.loads(lines.getvalue())["exception"][0]["exc_type"] == "ValueError"


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "uvicorn.access", "sqlalchemy.engine", "alembic.x"])
def test_lines_that_would_show_paths_or_values_are_silenced(lines: io.StringIO, name: str) -> None:
    logging.getLogger(name).error("something")
    assert lines.getvalue() == ""


def test_a_line_without_any_mark_of_a_secret_still_loses_the_secrets_we_know(lines: io.StringIO) -> None:
    logging.getLogger("receiver").warning("plain", extra={"said": SECRET.replace("/", "%2F"), SECRET: "a name"})
    assert "kEy" not in lines.getvalue().replace("kEy%2Fwith+", "")
    assert json.loads(lines.getvalue())["[redacted]"] == "a name"


def test_counters_and_durations_appear_under_our_prefix() -> None:
    metrics = PrometheusMetrics()
    metrics.count("callbacks_accepted", provider="runware")
    metrics.count("callbacks_accepted", 2, provider="runware")
    metrics.observe("settle_lag_seconds", 0.2, via="poll")
    assert metrics.registry.get_sample_value("receiver_callbacks_accepted_total", {"provider": "runware"}) == 3
    assert metrics.registry.get_sample_value("receiver_settle_lag_seconds_count", {"via": "poll"}) == 1


@pytest.mark.parametrize("labels", [{}, {"queue": "poll"}, {"provider": "runware", "queue": "poll"}], ids=str)
def test_other_labels_than_a_measure_has_are_refused_where_they_are_given(labels: dict[str, str]) -> None:
    metrics = PrometheusMetrics(("runware",))
    with pytest.raises(ValueError, match="has the labels"):
        metrics.count("polls_answered", 1, **labels)
    with pytest.raises(ValueError, match="has the labels"):
        metrics.observe("collect_seconds", 1.0, **labels)
    assert sample(metrics, "polls_answered_total", provider="runware") == 0
    assert sample(metrics, "collect_seconds_count", provider="runware") == 0


FOREIGN_WORDS = ["", "x" * 65, "two words", "смерть", "\x1b[31m", 'a"b', "a\nb", "a\u202eb", "\ud800"]


@pytest.mark.parametrize("word", FOREIGN_WORDS, ids=ascii)
def test_a_label_that_is_no_word_of_ours_is_other(word: str) -> None:
    metrics = PrometheusMetrics()
    metrics.count("seen", status=word)
    metrics.observe("seen_seconds", 1, status=word)
    assert metrics.registry.get_sample_value("receiver_seen_total", {"status": "other"}) == 1
    assert metrics.registry.get_sample_value("receiver_seen_seconds_count", {"status": "other"}) == 1
    metrics.page().decode()


def test_a_label_whose_words_never_end_is_other_from_some_word_on() -> None:
    metrics = PrometheusMetrics()
    for number in range(1000):
        metrics.count("seen", status=f"word{number}", provider="runware")
    page = metrics.page().decode()
    assert page.count("receiver_seen_total{") == 65
    assert metrics.registry.get_sample_value("receiver_seen_total", {"status": "other", "provider": "runware"}) == 936


def sample(metrics: PrometheusMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"receiver_{name}", labels)


def test_what_is_rare_stands_at_0_from_the_start_for_every_word_it_may_hold() -> None:
    metrics = PrometheusMetrics(("runware", "aimlapi"))
    assert sample(metrics, "reports_quarantined_total", provider="aimlapi") == 0
    assert sample(metrics, "events_total", provider="runware", type="task.lost") == 0
    assert sample(metrics, "callbacks_total", provider="runware", outcome="fault") == 0
    assert sample(metrics, "results_total", provider="runware", pushed="true", via="poll") == 0
    assert sample(metrics, "callbacks_bad_token_total") == 0
    assert sample(metrics, "due_lateness_seconds_count", queue="poll") == 0


def test_a_gauge_says_nothing_until_somebody_has_looked_and_nothing_again_when_forgotten() -> None:
    metrics = PrometheusMetrics(("runware",))
    assert sample(metrics, "tasks_open", provider="runware", status="unknown") is None
    metrics.gauge("tasks_open", 3, provider="runware", status="unknown")
    metrics.gauge("tasks_open", 2, provider="runware", status="unknown")
    assert sample(metrics, "tasks_open", provider="runware", status="unknown") == 2
    metrics.forget("tasks_open")
    metrics.forget("never_heard_of")
    assert sample(metrics, "tasks_open", provider="runware", status="unknown") is None


def test_a_followed_gauge_is_asked_whenever_the_page_is_made() -> None:
    metrics, values = PrometheusMetrics(), iter((1, 2))
    metrics.follow("connections_open", lambda: next(values))
    assert b"receiver_connections_open 1.0" in metrics.page()
    assert b"receiver_connections_open 2.0" in metrics.page()


def test_lateness_of_hours_is_told_from_lateness_of_a_day() -> None:
    metrics = PrometheusMetrics()
    metrics.observe("due_lateness_seconds", 7200, queue="poll")
    assert sample(metrics, "due_lateness_seconds_bucket", queue="poll", le="3600.0") == 0
    assert sample(metrics, "due_lateness_seconds_bucket", queue="poll", le="14400.0") == 1


@pytest.mark.parametrize("amount", [1, MOST_KEPT - 1, MOST_KEPT, 3 * MOST_KEPT + 1])
def test_durations_are_told_as_the_library_tells_its_own(amount: int) -> None:
    bounds = CATALOGUE["settle_lag_seconds"].buckets
    # Some lie on a bound, some between two, some beyond the last.
    spans = [bounds[number % len(bounds)] * (1, 0.999, 1000)[number % 3] for number in range(amount)]
    theirs = CollectorRegistry()
    histogram = Histogram("receiver_settle_lag_seconds", "", ["via"], buckets=bounds, registry=theirs)
    metrics = PrometheusMetrics()
    for start in range(0, amount, 100):
        metrics.observe("settle_lag_seconds", *spans[start : start + 100], via="poll")
    for span in spans:
        histogram.labels(via="poll").observe(span)
    for name in ("bucket", "count", "sum"):
        for bound in [*map(floatToGoString, bounds), "+Inf"] if name == "bucket" else [None]:
            labels = {"via": "poll"} if bound is None else {"via": "poll", "le": bound}
            told = sample(metrics, f"settle_lag_seconds_{name}", **labels)
            assert told == pytest.approx(theirs.get_sample_value(f"receiver_settle_lag_seconds_{name}", labels), 1e-9)


def test_what_was_told_once_is_told_again_with_what_came_since() -> None:
    metrics = PrometheusMetrics(("runware",))
    for told in (1, 2, 3):
        metrics.count("polls_answered", provider="runware")
        metrics.observe("collect_seconds", 0.3, provider="runware")
        page = metrics.page().decode()
        assert f'receiver_polls_answered_total{{provider="runware"}} {told}.0' in page
        assert f'receiver_collect_seconds_bucket{{le="0.5",provider="runware"}} {told}.0' in page
        assert f'receiver_collect_seconds_count{{provider="runware"}} {told}.0' in page


def a_task(**fields: Any) -> Task:  # noqa: ANN401 - fields of a Task
    """A task that was created at noon."""
    return replace(
        Task(
            key=uuid4(),
            id=uuid4(),
            request=TaskRequest("runware", "a quiet cover", "https://files.example.org/a.mp3"),
            model="minimax:music@cover",
            created_at=NOON,
            deadline_seconds=1800,
        ),
        **fields,
    )


def a_result(via: Via) -> Result:
    return Result(
        id=uuid4(), index=0, identity="a", via=via, received_at=NOON, report_id=uuid4(), inline=False, link=None
    )


def test_every_event_is_counted_by_its_type_and_a_result_by_the_channel_that_told_of_it_first() -> None:
    metrics = PrometheusMetrics(("runware",))
    lost = Change(a_task(), (Event(EventType.TASK_LOST, NOON),))
    told = Event(EventType.RESULT_RECEIVED, NOON, {"via": "poll"})
    pushed, unpushed = Change(a_task(pushed=True), (told, told)), Change(a_task(), (told,))
    Witness(metrics)([lost, pushed, unpushed, Change(a_task())])
    assert sample(metrics, "events_total", provider="runware", type="task.lost") == 1
    assert sample(metrics, "events_total", provider="runware", type="result.received") == 3
    assert sample(metrics, "results_total", provider="runware", pushed="true", via="poll") == 2
    assert sample(metrics, "results_total", provider="runware", pushed="false", via="poll") == 1


@pytest.mark.parametrize("expected", [1, 2], ids=["the last", "one of two"])
def test_a_usual_callback_is_counted_and_told_as_its_events_are(expected: int) -> None:
    waiting = Waiting(uuid4(), uuid4(), "runware", True, "theirs", expected, None)
    report = StoredReport(uuid4(), waiting.key, "runware", Via.CALLBACK, NOON, b"{}", 2, None, None, 1)
    arrival = Arrival(waiting, report, Output("audio", link="https://a.example/1.mp3"), uuid4(), 0, NOON)
    alike = Change(a_task(id=waiting.id, pushed=True), arrival.events)
    assert not [event for event in arrival.events if event.type in witness.SAID], (
        "it would have to be said by default"
    )
    counted, told = [], []
    for change in (arrival, alike):
        metrics, stream = PrometheusMetrics(), io.StringIO()
        with logging_to(stream, "debug"):
            Witness(metrics)([change])
        counted.append([
            sample(metrics, "events_total", provider="runware", type=event.type.value) for event in arrival.events
        ] + [sample(metrics, "results_total", provider="runware", pushed="true", via="callback")])  # fmt: skip
        lines = [json.loads(text) for text in stream.getvalue().splitlines()]
        told.append([{name: value for name, value in line.items() if name != "at"} for line in lines])
    assert counted[0] == counted[1] == [1] * (len(arrival.events) + 1)
    assert told[0] == told[1]
    assert len(told[0]) == expected % 2 + 2


def test_the_end_of_a_task_is_one_line_that_names_it_and_says_how_it_went(lines: io.StringIO) -> None:
    task = a_task(results=(a_result(Via.CALLBACK), a_result(Via.POLL)), attempts=1, polls=2, callbacks=1)
    ended = Event(EventType.TASK_SUCCEEDED, NOON + timedelta(seconds=23.4567), {"stored": 2, "expected": 2})
    stored = Event(EventType.RESULT_STORED, NOON, {"result_id": "r", "path": "/somewhere"})
    Witness(PrometheusMetrics())([Change(task, (stored, ended))])
    [line] = [json.loads(text) for text in lines.getvalue().splitlines()]
    assert {name: line[name] for name in ("event", "level", "task_id", "provider", "status", "seconds", "via")} == {
        "event": "task_ended",
        "level": "info",
        "task_id": str(task.id),
        "provider": "runware",
        "status": "succeeded",
        "seconds": 23.457,
        "via": "callback+poll",
    }


def test_on_a_closer_look_every_event_is_a_line_with_the_id_of_its_task_and_nobodys_words() -> None:
    stream = io.StringIO()
    task, attempt = a_task(), Attempt(2, NOON, outcome=AttemptOutcome.ACCEPTED, http_status=200, detail="their words")
    words = {"report_id": "r", "reason": "their words", "message": "their words"}
    events = [Event(kind, NOON, words) for kind in EventType]
    with logging_to(stream, "debug"):
        Witness(PrometheusMetrics())([Change(task, tuple(events), attempt=attempt)])
    told = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert [line["task_id"] for line in told] == [str(task.id)] * len(EventType)
    assert {line["report_id"] for line in told} == {"r"}
    assert [(line["attempt"], line["http_status"]) for line in told if line["event"] == "attempt_made"] == [(2, 200)]
    assert sum(line["event"] == "task_ended" for line in told) == 5
    assert {line["level"] for line in told if line.get("status") == "lost"} == {"warning"}
    assert "their words" not in stream.getvalue()


def test_a_witness_that_fails_does_not_fail_what_is_durable(lines: io.StringIO) -> None:
    class Broken(PrometheusMetrics):
        def count(self, name: str, amount: int = 1, **labels: str) -> None:
            raise RuntimeError("no room")

    Witness(Broken())([Change(a_task(), (Event(EventType.TASK_LOST, NOON),))])
    assert json.loads(lines.getvalue())["event"] == "witness_failed"
