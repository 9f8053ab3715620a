from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.domain.schedule import PollPlan, back_off, next_look, rest_of_unclear
from tests.domain.making import PLAN, START


def seconds_to(looks: int, *, overdue: bool = False) -> float:
    return (next_look(PLAN, looks=looks, now=START, overdue=overdue) - START).total_seconds()


def test_the_first_look_waits_for_the_callback() -> None:
    assert seconds_to(0) == 120


def test_the_gaps_between_looks_grow_up_to_the_longest() -> None:
    assert [seconds_to(looks) for looks in range(1, 7)] == [15, 22.5, 33.75, 50.625, 60, 60]


def test_a_task_past_its_deadline_is_looked_at_slowly_however_often_it_was() -> None:
    assert {seconds_to(looks, overdue=True) for looks in (0, 1, 10, 1000)} == {300}


def test_a_task_that_is_polled_for_days_overflows_nothing() -> None:
    eager = replace(PLAN, growth=10.0)
    assert next_look(eager, looks=10**9, now=START, overdue=False) == START + timedelta(seconds=60)


def test_an_interval_longer_than_the_longest_gap_is_kept() -> None:
    slow = replace(PLAN, interval=600.0, longest=60.0, overdue=300.0)
    assert next_look(slow, looks=5, now=START, overdue=False) == START + timedelta(seconds=600)
    assert next_look(slow, looks=5, now=START, overdue=True) == START + timedelta(seconds=600)


def test_a_constant_plan_looks_at_a_constant_pace() -> None:
    steady = replace(PLAN, growth=1.0)
    assert {next_look(steady, looks=looks, now=START, overdue=False) for looks in range(1, 50)} == {
        START + timedelta(seconds=15)
    }


LEARNED = replace(PLAN, ages=(50.0, 54.0, 60.0, 70.0, 95.0), learned_from=50)


def next_age(age: float, looks: int = 1, plan: PollPlan = LEARNED) -> float:
    now = START + timedelta(seconds=age)
    return (next_look(plan, looks=looks, now=now, overdue=False, since=START) - START).total_seconds()


def test_learned_looks_come_at_their_ages_and_not_a_pace_after_the_last() -> None:
    assert [next_age(age, looks) for looks, age in enumerate((0, 50, 54, 60))] == [50, 54, 60, 70]


def test_a_look_that_came_late_stands_for_all_that_were_due_meanwhile() -> None:
    assert next_age(62.0) == 70
    assert next_age(93.0) == 95 + 23, "95 is nearly due: the next but one, a gap later"


def test_a_look_that_came_a_moment_early_is_not_followed_by_one_at_once() -> None:
    assert next_age(49.999999) == 54
    assert next_age(49.999999, looks=0) == 50, "a task that was not looked at yet is"


def test_beyond_what_was_learned_the_gaps_grow_up_to_the_longest() -> None:
    ages = [95.0]
    while ages[-1] < 1000:
        ages.append(next_age(ages[-1]))
    gaps = [round(high - low, 6) for low, high in pairwise(ages)]
    assert gaps[0] == 25
    assert gaps == sorted(gaps)
    assert gaps[-1] == 60


def test_only_the_first_learned_look_may_wait_longer_than_the_longest_gap() -> None:
    slow = replace(LEARNED, ages=(600.0, 900.0, 905.0))
    assert next_age(0, looks=0, plan=slow) == 600
    assert next_age(600, plan=slow) == 660


def test_past_the_deadline_and_without_a_submission_nothing_learned_counts() -> None:
    now = START + timedelta(seconds=51)
    assert next_look(LEARNED, looks=1, now=now, overdue=True, since=START) == now + timedelta(seconds=300)
    assert next_look(LEARNED, looks=1, now=now, overdue=False) == now + timedelta(seconds=15)


@given(
    ages=st.lists(st.floats(0.01, 1e5), min_size=1, max_size=40, unique=True),
    age=st.floats(0, 1e6),
    looks=st.integers(0, 100),
)
def test_every_learned_look_lies_ahead_and_within_its_cap(ages: list[float], age: float, looks: int) -> None:
    plan = replace(PLAN, ages=tuple(sorted(ages)))
    following = next_age(age, looks, plan)
    assert following > age
    assert following <= max(age + 60.001, plan.ages[0] + 0.001)


@pytest.mark.parametrize(
    ("tries", "longest"), [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (40, 60), (10**6, 60)]
)
def test_the_wait_after_failures_doubles_up_to_its_cap(tries: int, longest: float) -> None:
    assert back_off(tries, 1.0) == timedelta(seconds=longest)


@given(tries=st.integers(0, 10**6), jitter=st.floats(0, 1, exclude_max=True), base=st.floats(0.5, 10))
def test_a_wait_is_never_a_busy_loop_and_never_beyond_its_cap(tries: int, jitter: float, base: float) -> None:
    wait = back_off(tries, jitter, base=base, cap=60.0).total_seconds()
    assert base / 10 - 1e-6 <= wait <= 60


def test_the_rests_of_a_provider_out_of_order_double_up_to_a_minute() -> None:
    assert [rest_of_unclear(rests).total_seconds() for rests in range(1, 8)] == [5, 10, 20, 40, 60, 60, 60]
    assert rest_of_unclear(10**6) == timedelta(seconds=60)
