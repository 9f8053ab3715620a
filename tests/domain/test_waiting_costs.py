"""What the learned looks cost, beside the best there could be, on durations that nothing was tuned on."""

from collections.abc import Callable
from random import Random

import pytest

from tests.bench.waiting import (
    DOCUMENTED,
    TRUTHS,
    Truth,
    after_looking,
    after_observing,
    found_by_looking,
    known,
    learned,
    mean,
    optimum,
    price,
)

FLOOR = 1.10


@pytest.mark.parametrize("name", TRUTHS)
def test_what_50_tasks_teach_costs_little_more_than_the_best_there_could_be(name: str) -> None:
    truth, least = known(name)
    cost = mean(after_observing(name, 6)).cost
    assert 1 <= cost / least <= FLOOR
    assert cost < price(DOCUMENTED, truth).cost


@pytest.mark.parametrize("name", ["lognormal, narrow", "gamma", "shifted exponential"])
def test_a_provider_that_never_calls_is_learned_from_the_looks_themselves(name: str) -> None:
    _, least = known(name)
    early, later = (mean(after_looking(name, 2, tasks=tasks)).cost / least for tasks in (60, 160))
    # Were the look that finds a task taken for its end, each look would be later than the one before: 1.4, then 1.7.
    assert early <= 1.25
    assert later <= 1.25


@pytest.mark.parametrize(("before", "since"), [(90, 30), (60, 180)])
def test_a_provider_that_becomes_faster_or_slower_is_followed_within_50_tasks(before: int, since: int) -> None:
    def around(middle: int) -> Callable[[Random], float]:
        return lambda chance: middle * chance.lognormvariate(0, 0.15)

    truth = Truth.drawn(around(since))
    known_before = found_by_looking(around(before), 60, seed="before")
    assert price(learned(known_before), truth).cost > 2 * optimum(truth)
    known_since = found_by_looking(around(since), 50, seed="since", before=known_before)
    assert price(learned(known_since), truth).cost <= 1.2 * optimum(truth)


def test_too_few_tasks_leave_the_documented_pace_as_it_is() -> None:
    assert learned([]) == learned(found_by_looking(TRUTHS["gamma"], 19, seed="few")) == DOCUMENTED
