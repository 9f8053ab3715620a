import pytest

from receiver.cli.words import age, amount, money, span


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
