"""When to look or to try again: pure arithmetic over durations, no clock and no randomness of its own."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class PollPlan:
    """How often a provider is asked about a task. All figures are seconds.

    ``first`` counts from the submission to the first look; later looks are ``interval`` apart, each gap
    ``growth`` times the one before, never over ``longest``; past the deadline every ``overdue``.
    """

    first: float
    interval: float
    growth: float = 1.0
    longest: float = 60.0
    overdue: float = 300.0


def next_look(plan: PollPlan, *, looks: int, now: datetime, overdue: bool) -> datetime:
    """Return when to look next after ``looks`` looks have been answered."""
    if overdue:
        return now + timedelta(seconds=max(plan.overdue, plan.interval))
    if looks == 0:
        return now + timedelta(seconds=plan.first)
    # The exponent is bounded so that a task polled for days cannot overflow a float.
    gap = plan.interval * plan.growth ** min(looks - 1, 64)
    return now + timedelta(seconds=min(gap, max(plan.longest, plan.interval)))


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
