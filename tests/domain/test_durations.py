import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.domain.durations import LEAST, WINDOW, Observed, learn
from receiver.domain.timetable import Cost, best_ages

_seconds = st.floats(0.0, 1e5, allow_nan=False)


@st.composite
def observations(draw: st.DrawFn) -> list[Observed]:
    """Any tasks: told, found between two looks, not ended."""
    pairs = draw(st.lists(st.tuples(_seconds, _seconds), min_size=LEAST - 2, max_size=3 * WINDOW))
    kinds = draw(st.lists(st.sampled_from(("told", "found", "open")), min_size=len(pairs), max_size=len(pairs)))
    made = {
        "told": lambda low, high: Observed(high, high),
        "found": lambda low, high: Observed(min(low, high), max(low, high) + 0.001),
        "open": lambda low, high: Observed(low),
    }
    return [made[kind](low, high) for kind, (low, high) in zip(kinds, pairs, strict=True)]


def told(*seconds: float) -> list[Observed]:
    return [Observed(each, each) for each in seconds]


@given(observed=observations())
@settings(max_examples=50, deadline=None)
def test_whatever_was_seen_the_shares_are_a_whole_and_the_edges_rise(observed: list[Observed]) -> None:
    durations = learn(observed)
    if sum(one.by < math.inf for one in observed) < LEAST:
        assert durations is None
        return
    assert durations is not None
    assert len(durations.edges) == len(durations.shares) + 1
    assert all(low < high for low, high in zip(durations.edges, durations.edges[1:], strict=False))
    assert min(durations.shares) >= 0
    assert sum(durations.shares) + durations.beyond == pytest.approx(1)
    assert durations.least == min(one.after for one in observed)
    ages = best_ages(durations, Cost())
    assert ages == tuple(sorted(set(ages)))
    assert 0 <= durations.percentile(0.5) <= durations.percentile(0.99) <= durations.edges[-1]


def test_too_few_ended_tasks_teach_nothing_however_many_are_under_way() -> None:
    few = told(*range(30, 30 + LEAST - 1))
    assert learn([*few, *[Observed(60.0)] * 100]) is None
    assert learn([*few, Observed(60.0, 60.0)]) is not None


def test_the_percentiles_of_what_callbacks_told_are_found_again() -> None:
    chance = random.Random(1)
    durations = learn(told(*(chance.lognormvariate(4, 0.3) for _ in range(WINDOW))))
    assert durations is not None
    assert durations.percentile(0.5) == pytest.approx(math.exp(4), rel=0.1)
    assert durations.percentile(0.99) == pytest.approx(math.exp(4 + 2.33 * 0.3), rel=0.2)


def test_a_task_found_by_a_look_is_not_taken_to_have_ended_at_that_look() -> None:
    # Looks every 40 seconds at tasks that take 50 to 70, the start of the pace drawn: the looks alone say up to 100.
    chance = random.Random(2)
    found = []
    for _ in range(WINDOW):
        ends, look = chance.uniform(50, 70), chance.uniform(0, 40)
        while look < ends:
            look += 40
        found.append(Observed(look - 40, look))
    durations = learn(found)
    assert durations is not None
    assert durations.percentile(0.5) == pytest.approx(60, abs=6)
    naive = learn(told(*(one.by for one in found)))
    assert naive is not None
    assert naive.percentile(0.5) > 70


def test_unfinished_tasks_make_the_tail_longer() -> None:
    ended = told(*range(30, 55))
    without, with_open = learn(ended), learn([*ended, *[Observed(50.0)] * 25])
    assert without is not None
    assert with_open is not None
    assert with_open.percentile(0.5) > 50 > without.percentile(0.75)
    far_beyond = learn([*ended, *[Observed(1e4)] * 25])
    assert far_beyond is not None
    assert far_beyond.beyond == pytest.approx(0.5, abs=0.01)
    assert far_beyond.percentile(0.5) == pytest.approx(without.percentile(0.5), rel=0.01)


def test_two_kinds_of_tasks_are_not_smoothed_into_one() -> None:
    chance = random.Random(3)
    durations = learn(told(*(chance.gauss(35 if chance.random() < 0.5 else 120, 4) for _ in range(WINDOW))))
    assert durations is not None
    between = sum(share for share, edge in zip(durations.shares, durations.edges, strict=False) if 60 < edge < 90)
    assert between < 0.03
