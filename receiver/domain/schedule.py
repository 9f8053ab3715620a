"""When to look or to try again: pure arithmetic over durations, no clock and no randomness of its own."""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver.domain.values import quick

#: Where the learned ages end, each gap is so much longer than the one before.
_GROWTH_BEYOND = 1.3
#: No two learned looks are nearer than this, in seconds.
_SHORTEST_GAP = 0.1


@quick
@dataclass(frozen=True, slots=True)
class PollPlan:
    """How often a provider is asked about a task. All figures are seconds.

    ``first`` counts from the submission to the first look; later looks are ``interval`` apart, each gap
    ``growth`` times the one before, never over ``longest``; past the deadline every ``overdue``. ``ages`` are learned
    and take the place of all but the last two: the ages of a task at which to look, rising. ``learned_from`` tells
    from how many tasks, 0 where the plan is as the provider documents it.
    """

    first: float
    interval: float
    growth: float = 1.0
    longest: float = 60.0
    overdue: float = 300.0
    ages: tuple[float, ...] = ()
    learned_from: int = 0


def next_look(plan: PollPlan, *, looks: int, now: datetime, overdue: bool, since: datetime | None = None) -> datetime:
    """Return when to look next after ``looks`` looks have been answered at a task that was submitted at ``since``."""
    if overdue:
        return now + timedelta(seconds=max(plan.overdue, plan.interval))
    if plan.ages and since is not None:
        age = (now - since).total_seconds()
        return now + timedelta(seconds=_next_age(plan, age, looks) - age)
    if looks == 0:
        return now + timedelta(seconds=plan.first)
    # The exponent is bounded so that a task polled for days cannot overflow a float.
    gap = plan.interval * plan.growth ** min(looks - 1, 64)
    return now + timedelta(seconds=min(gap, max(plan.longest, plan.interval)))


def _next_age(plan: PollPlan, age: float, looks: int) -> float:
    """Return the age of the next look at a task of an age that was looked at just now, or was just submitted.

    A look that came late stands for all that were due meanwhile, and for the next one where that is nearly due: under
    pressure a task is looked at seldomer instead of twice in a row.
    """
    at, ages = bisect_right(plan.ages, age), plan.ages
    longest = max(plan.longest, plan.interval)
    if looks == 0 and at == 0:
        # Later than any gap perhaps: nothing has ended sooner.
        return ages[0]
    if at < len(ages) and ages[at] - age < _gap(ages, at) / 2:
        at += 1
    if at < len(ages):
        gap = ages[at] - age
    else:
        gap = max(_gap(ages, len(ages) - 1), (age - ages[-1]) * (_GROWTH_BEYOND - 1))
    return age + min(max(gap, _SHORTEST_GAP), longest)


def _gap(ages: tuple[float, ...], at: int) -> float:
    """Return how far the learned ages lie apart there."""
    if len(ages) == 1:
        return 2 * _SHORTEST_GAP
    return ages[max(at, 1)] - ages[max(at, 1) - 1]


def back_off(tries: int, jitter: float, *, base: float = 1.0, cap: float = 60.0) -> timedelta:
    """Return how long to wait after ``tries`` failures in a row: exponential with full jitter.

    ``jitter`` is a random number in [0, 1) given by the caller. Full jitter spreads a crowd best, see "Exponential
    Backoff And Jitter", AWS Architecture Blog, 2015. Never below a tenth of ``base``: a draw near zero must not
    become a busy loop.
    """
    ceiling = min(cap, base * 2.0 ** min(max(tries - 1, 0), 32))
    return timedelta(seconds=max(base / 10, ceiling * jitter))


#: So many submits in a row without a clear answer, and the provider is taken to be out of order.
UNCLEAR_IN_A_ROW = 5


def rest_of_unclear(rests: int) -> timedelta:
    """Return how long a provider is sent nothing more, at its ``rests``-th rest in a row (from 1).

    Submits without a clear answer may each have been billed, and where nothing may be sent twice each may be lost:
    better that the others wait. After a rest one submit finds out. The rests double up to a minute and no further, as
    it may be the requests that the provider breaks on, and whoever stands behind them waits.
    """
    return timedelta(seconds=min(60.0, 5.0 * 2.0 ** min(max(rests - 1, 0), 16)))
