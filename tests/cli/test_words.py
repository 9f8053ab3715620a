from datetime import datetime, timedelta, timezone

import pytest

from receiver.cli.phrases import phrase
from receiver.cli.words import age, amount, moment, money, span

NAN, INFINITE, HUGE = float("nan"), float("inf"), 10**400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (172800, "2 d")],
)
def test_an_age_has_one_unit(seconds: float, words: str) -> None:
    assert age(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0.0 s"),
        (1.44, "1.4 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (184, "3 min 04 s"),
        (3600, "1 h 00 min"),
        (90061, "1 d 01 h"),
    ],
)
def test_a_span_has_two_units_at_most(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("dollars", "words"),
    [(None, "–"), (0.0, "$0.00"), (0.15, "$0.15"), (12.5, "$12.50"), (0.0004, "$0.0004"), (0.123456, "$0.123456")],
)
def test_money_has_cents_and_what_is_smaller_where_there_is_some(dollars: float | None, words: str) -> None:
    assert money(dollars) == words


@pytest.mark.parametrize(("size", "words"), [(0, "0 B"), (999, "999 B"), (197_000, "197 kB"), (3_400_000, "3.4 MB")])
def test_an_amount_has_a_unit_of_its_size(size: int, words: str) -> None:
    assert amount(size) == words


@pytest.mark.parametrize(
    ("figure", "timed", "dollars"),
    [
        (NAN, "–", "–"),
        (INFINITE, "∞ d", "$∞"),
        (HUGE, "∞ d", "$∞"),
        (1e308, "∞ d", "$∞"),
        (-INFINITE, "0 s", "-$∞"),
        (-HUGE, "0 s", "-$∞"),
        (10**14, "1157407407 d", "$100000000000000.00"),
    ],
    ids=["nan", "inf", "huge", "1e308", "-inf", "-huge", "large"],
)
def test_no_figure_is_too_large_to_be_said(figure: float, timed: str, dollars: str) -> None:
    assert age(figure) == timed
    assert span(figure).startswith(timed.removesuffix(" s"))
    assert money(figure) == dollars
    assert phrase({"seconds": figure, "duration_seconds": figure}, {}).count(", ") == 1


@pytest.mark.parametrize(
    ("size", "words"),
    [(HUGE, "∞ MB"), (10**14, "100000000.0 MB"), (-HUGE, f"{-HUGE} B")],
    ids=["huge", "large", "-huge"],
)
def test_no_amount_is_too_large_to_be_said(size: int, words: str) -> None:
    assert amount(size) == words
    assert phrase({"bytes": size}, {}) == words


def test_what_became_of_a_notification_is_said_in_words() -> None:
    ids = {
        "delivery_id": "01a1fde7-325a-7858-8e51-a7412c27c63e",
        "endpoint_id": "309f493e-6c1e-434d-ba94-c89f8cafea3d",
    }
    away = {"attempts": 2, "status_code": None, "error": "connection", "next_attempt_at": "2026-11-21T11:44:43Z"}
    said = "delivery 2c27c63e, to endpoint 309f493e, of result.stored, attempt 2, connection"
    assert phrase({**ids, "of": "result.stored", **away}, {}) == f"{said}, next at 2026-11-21T11:44:43Z"
    repeat = {"report_id": ids["delivery_id"], "of": ids["endpoint_id"]}
    assert phrase(repeat, {}) == "report 2c27c63e, repeats 8cafea3d"


@pytest.mark.parametrize("hours", [-23, 0, 23])
@pytest.mark.parametrize("year", [1, 9999])
def test_a_moment_at_either_end_of_the_calendar_can_be_said(year: int, hours: int) -> None:
    end = datetime(year, 1, 1) if year == 1 else datetime(year, 12, 31, 23, 59)  # noqa: DTZ001 - its zone follows
    assert str(year) in moment(end.replace(tzinfo=timezone(timedelta(hours=hours))))
