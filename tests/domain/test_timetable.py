import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.domain.durations import Durations, Observed, learn
from receiver.domain.timetable import Cost, best_ages


def learned(seed: int = 1, spread: float = 0.3, middle: float = 4.0) -> Durations:
    chance = random.Random(seed)
    seconds = [chance.lognormvariate(middle, spread) for _ in range(50)]
    durations = learn([Observed(each, each) for each in seconds])
    assert durations is not None
    return durations


@given(
    seed=st.integers(0, 1000),
    spread=st.floats(0.01, 1.2),
    middle=st.floats(-2, 8),
    cost=st.floats(0.01, 100),
    unheard=st.floats(0.01, 1),
)
@settings(max_examples=40, deadline=None)
def test_the_ages_rise_from_what_no_task_ended_before_to_beyond_all_seen(
    seed: int, spread: float, middle: float, cost: float, unheard: float
) -> None:
    durations = learned(seed, spread, middle)
    ages = best_ages(durations, Cost(cost, unheard))
    assert all(low < high for low, high in pairwise(ages))
    assert ages[0] >= durations.least
    assert ages[-1] > durations.edges[-1]


def test_no_look_comes_before_the_shortest_that_was_ever_seen() -> None:
    durations = learn([Observed(each, each) for each in (50.0, *[50.5 + number / 10 for number in range(49)])])
    assert durations is not None
    for cost in (0.01, 0.1, 1.0):
        assert best_ages(durations, Cost(cost))[0] >= 50


def test_dearer_looks_are_fewer() -> None:
    counts = [len(best_ages(learned(), Cost(cost))) for cost in (0.05, 0.2, 1.0, 5.0, 20.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 4 * counts[-1]


def test_looks_are_nearest_where_tasks_end_most() -> None:
    # Within the bulk the gaps follow the root of twice the cost over the hazard rate (Barlow, Hunter and Proschan).
    durations = learned(spread=0.2)
    ages = best_ages(durations, Cost(0.02))
    middle = durations.percentile(0.6)
    at = next(number for number, age in enumerate(ages) if age > middle)
    cell = next(number for number, edge in enumerate(durations.edges) if edge > middle) - 1
    density = durations.shares[cell] / (durations.edges[cell + 1] - durations.edges[cell])
    hazard = density / (durations.beyond + sum(durations.shares[cell:]))
    assert ages[at] - ages[at - 1] == pytest.approx((2 * 0.02 / hazard) ** 0.5, rel=0.4)
    assert ages[-1] - ages[-2] > 3 * (ages[at] - ages[at - 1])


def test_the_fewer_callbacks_come_the_sooner_is_looked() -> None:
    durations = learned()
    firsts = [best_ages(durations, Cost(1.0, unheard))[0] for unheard in (0.02, 0.1, 0.3, 1.0)]
    assert firsts == sorted(firsts, reverse=True)
    assert firsts[0] > durations.percentile(0.75) > firsts[-1]
