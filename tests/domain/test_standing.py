"""The turns at calls: whoever asks when, no span of time has more than the pace allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.domain.standing import MOST_WAITING, RESERVED_SECONDS, Standing, give_back, probe, take

RATES = st.sampled_from([0.1, 0.5, 1.0, 3.0, 7.0, 50.0])
#: How long after the one before somebody asks, how many turns they want, and how many of them they give back at once.
ASKED = st.lists(st.tuples(st.floats(0, 3), st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=40)


@given(RATES, ASKED)
def test_no_span_of_time_has_more_calls_than_a_full_bucket_and_what_flows_in_meanwhile(
    per_second: float, asked: list[tuple[float, int, int]]
) -> None:
    standing, now = Standing(), 1_000_000.0
    made: list[tuple[float, int]] = []
    for gap, most, unused in asked[: MOST_WAITING // 2]:
        now += gap
        standing, (count, wait) = take(standing, now, per_second, most)
        assert 1 <= count <= most
        back = min(unused, count)
        standing = give_back(standing, now, per_second, back)
        made.append((now + wait, count - back))
    size = max(1.0, per_second)
    for first, (begins, _) in enumerate(made):
        for ends, _ in made[first:]:
            calls = sum(count for at, count in made if begins <= at <= ends)
            # Turns that were waited for may be given back by whoever then finds nothing to do.
            reserved = max(1, int(RESERVED_SECONDS * per_second))
            assert calls <= size + per_second * (ends - begins) + reserved + 1e-6


def test_what_was_reserved_before_the_clock_was_set_back_keeps_nobody_waiting_for_that_long() -> None:
    standing, _ = take(Standing(), 10_000.0, 2.0, 2)
    _, (count, wait) = take(standing, 0.0, 2.0, 1)
    assert count == 1
    assert wait <= (MOST_WAITING + 1) / 2.0


@pytest.mark.parametrize("set_back", [0.0, 3600.0])
def test_whoever_finds_out_keeps_others_from_it_no_longer_than_that_may_take(set_back: float) -> None:
    standing, found = probe(Standing(), 100.0, 30.0)
    assert found
    if not set_back:
        assert not probe(standing, 120.0, 30.0)[1]
    assert probe(standing, 130.0 - set_back, 30.0)[1]
