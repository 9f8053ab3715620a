import io
import json
import logging
from collections.abc import Iterator

import pytest

from receiver.telemetry import PrometheusMetrics, configure_logs

TOKEN = "AQ" + "x" * 68


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs("info", stream)
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
    ],
)
def test_whatever_looks_like_a_secret_is_cut_from_every_part_of_a_line(lines: io.StringIO, text: str) -> None:
    logging.getLogger("anything").warning("event %s", text, extra={"detail": {"inner": [text]}})
    assert TOKEN not in lines.getvalue()
    assert "[redacted]" in json.loads(lines.getvalue())["event"]


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


@pytest.mark.parametrize("name", ["httpx", "uvicorn.access", "sqlalchemy.engine"])
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
