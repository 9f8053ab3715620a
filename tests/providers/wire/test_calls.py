"""What every provider reads its options by."""

from datetime import timedelta

import pytest

from receiver.providers.wire import calls


@pytest.mark.parametrize(
    ("value", "expected"), [("", None), (" ", None), ("2", 2.0), ("0.5", 0.5), ("10000", 10_000.0)]
)
def test_a_pace_is_a_number_of_calls_a_second_and_nothing_means_no_limit(value: str, expected: float | None) -> None:
    assert calls.per_second("requests_per_second", value) == expected


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "0.01", "fast"])
def test_a_pace_that_is_none_is_refused_by_the_name_of_its_option(value: str) -> None:
    with pytest.raises(ValueError, match="requests_per_second"):
        calls.per_second("requests_per_second", value)


def test_times_that_rise_are_read_in_seconds() -> None:
    expected = (timedelta(seconds=15), timedelta(seconds=60), timedelta(hours=1))
    assert calls.rising_seconds("lookup_seconds", "15, 60,3600") == expected


@pytest.mark.parametrize("value", ["60,15", "15,15", "15,,60", ""])
def test_times_that_do_not_rise_are_refused_by_the_name_of_their_option(value: str) -> None:
    with pytest.raises(ValueError, match="lookup_seconds"):
        calls.rising_seconds("lookup_seconds", value)
