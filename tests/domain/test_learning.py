import math
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from receiver.domain.durations import WINDOW, Observed
from receiver.domain.learning import Known, Learned, Waited, learned, observations, planned, unheard
from receiver.domain.schedule import PollPlan, next_look
from tests.domain.making import PLAN, START

NOW = START + timedelta(hours=1)


def waited(
    begun: float, ended: float | None = None, *, looked: float | None = None, heard: bool | None = None
) -> Waited:
    """A task submitted so many seconds after the start; ``heard``: a callback was due, and whether it came."""
    at = START + timedelta(seconds=begun)
    return Waited(
        pushed=heard is not None,
        submitted_at=at,
        looked_at=None if looked is None else at + timedelta(seconds=looked),
        settled_at=None if ended is None else at + timedelta(seconds=ended),
        missed=None if heard is None else not heard,
        callbacks=1 if heard else 0,
    )


def known(*tasks: Waited, all_since: float | None = None, too_many: bool = False) -> Known:
    since = None if all_since is None else START + timedelta(seconds=all_since)
    ended = tuple(one for one in tasks if one.settled_at is not None)
    under_way = tuple(one for one in tasks if one.settled_at is None)
    return Known("runware", "a model", ended, since, under_way, too_many)


def seen(*tasks: Waited, heard: bool = True) -> tuple[Observed, ...]:
    return observations(known(*tasks), NOW, heard=heard)


def test_a_callback_tells_when_a_task_ended_and_a_look_only_since_when_it_may_have() -> None:
    assert seen(waited(0, 60, heard=True, looked=10)) == (Observed(60, 60),)
    assert seen(waited(0, 60, heard=False, looked=45)) == (Observed(45, 60),)
    assert seen(waited(0, 60, heard=False)) == (Observed(0, 60),)
    assert seen(waited(0, 60, looked=45)) == (Observed(45, 60),)


def test_a_clock_that_was_set_meanwhile_makes_no_observation() -> None:
    assert seen(waited(0, -5, looked=-7), waited(0, 60, looked=90)) == (Observed(60, 60),)


def test_a_task_under_way_had_not_ended_when_it_was_looked_at_or_while_callbacks_can_be_trusted() -> None:
    ended, pushed = waited(0, 60, looked=45), Waited(pushed=True, submitted_at=NOW - timedelta(seconds=50))
    assert seen(ended, waited(10, looked=30), waited(20))[1:] == (Observed(30, math.inf),)
    assert seen(ended, pushed)[1:] == (Observed(50, math.inf),)
    assert seen(ended, pushed, heard=False)[1:] == ()


def test_the_latest_are_those_submitted_last_with_all_that_are_under_way_since() -> None:
    tasks = [waited(number, 60, heard=True) for number in range(WINDOW + 10)]
    before, since = waited(5, looked=700), waited(15, looked=700)
    assert seen(*tasks, before, since) == (*[Observed(60, 60)] * WINDOW, Observed(700, math.inf))


def test_where_not_all_that_ended_are_in_hand_the_last_to_end_speak_alone() -> None:
    slow_and_old = [waited(number, 100, heard=True) for number in range(WINDOW)]
    quick = [waited(10 + number / 100, 1, heard=True) for number in range(WINDOW)]
    open_one = waited(48, looked=30)
    for partly in (
        known(*slow_and_old, *quick, open_one, all_since=90),
        known(*slow_and_old, *quick, open_one, too_many=True),
    ):
        assert {one.by for one in observations(partly, NOW, heard=True)} == {100}
    whole = observations(known(*slow_and_old, *quick, open_one), NOW, heard=True)
    assert math.inf in {one.by for one in whole}


def test_callbacks_are_missing_where_too_many_of_the_last_twenty_were_found_by_a_look() -> None:
    heard = [waited(number, 60, heard=True) for number in range(40)]
    missed = [waited(100 + number, 60, heard=False) for number in range(5)]
    assert unheard([known(*heard)], NOW) == 0
    assert unheard([known(*heard, *missed)], NOW) == 0.25
    again = [waited(200 + number, 60, heard=True) for number in range(16)]
    assert unheard([known(*heard, *missed), known(*again)], NOW) == 0.2


def test_a_few_tasks_and_such_as_nobody_calls_back_for_say_nothing_about_callbacks() -> None:
    assert unheard([known(*[waited(number, 60, heard=False) for number in range(9)])], NOW) == 0
    assert unheard([known(*[waited(number, 60) for number in range(50)])], NOW) == 0


def test_a_callback_may_come_a_moment_after_the_look_that_found_the_result() -> None:
    found = [waited(number, 60, heard=False) for number in range(10)]
    last = max(one.settled_at for one in found if one.settled_at is not None)
    assert unheard([known(*found)], last + timedelta(seconds=5)) == 0, "half of them are not decided yet"
    assert unheard([known(*found)], last + timedelta(seconds=10)) == 1


@given(age=st.floats(0, 1e4), looks=st.integers(1, 20), first=st.floats(10, 1000))
def test_a_safety_look_follows_the_safety_age_however_early_somebody_looked(
    age: float, looks: int, first: float
) -> None:
    plan = planned(PLAN, Learned(tasks=50, ages=(5.0,), nearly_all=first - 10), pushed=True)
    now = START + timedelta(seconds=age)
    following = (next_look(plan, looks=looks, now=now, overdue=False, since=START) - now).total_seconds()
    assert 0 < following <= plan.longest
    assert following >= min(plan.longest, first - age - 0.001) or first - age < plan.interval


def test_a_plan_for_each_case_is_learned_from_the_same_tasks() -> None:
    observed = [Observed(50 + number, 50 + number) for number in range(30)]
    trusted, doubted = learned(observed, 1.0, 0.1), learned(observed, 1.0, 0.5)
    assert trusted is not None
    assert doubted is not None
    assert trusted.unheard_ages is None
    assert 79 <= trusted.nearly_all <= 95
    safety = trusted.nearly_all + 10
    assert doubted.unheard_ages is not None
    assert trusted.ages[0] <= doubted.unheard_ages[0] < safety
    assert planned(PLAN, trusted, pushed=False).ages == trusted.ages
    assert planned(PLAN, trusted, pushed=True).ages[:3] == (safety, safety + 15, safety + 37.5)
    assert planned(replace(PLAN, first=2.0), trusted, pushed=True).ages[0] == trusted.nearly_all + 2
    assert planned(PLAN, doubted, pushed=True).ages == doubted.unheard_ages
    assert planned(PollPlan(2, 2), doubted, pushed=True).learned_from == 30
    assert learned(observed[:19], 1.0, 0.0) is None
