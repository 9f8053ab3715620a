import io
import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from receiver.domain.token import Purpose, SigningKey, TokenSigner
from receiver.telemetry import PrometheusMetrics, configure_logs

TOKEN = "AQ" + "x" * 68
SECRET = 'kEy/with+signs="and quotes"'


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs("info", stream, secrets=(SECRET, "short"))
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


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
    assert time.process_time() - started < 4


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


def test_counters_and_durations_appear_under_our_prefix() -> None:
    metrics = PrometheusMetrics()
    metrics.count("callbacks_accepted", provider="runware")
    metrics.count("callbacks_accepted", 2, provider="runware")
    metrics.observe("settle_lag_seconds", 0.2, via="poll")
    assert metrics.registry.get_sample_value("receiver_callbacks_accepted_total", {"provider": "runware"}) == 3
    assert metrics.registry.get_sample_value("receiver_settle_lag_seconds_count", {"via": "poll"}) == 1


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
