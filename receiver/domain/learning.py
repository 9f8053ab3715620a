"""What the latest tasks of a provider's model teach about looking at the next, and whether its callbacks come."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from receiver.domain.durations import WINDOW, Durations, Observed, learn
from receiver.domain.schedule import PollPlan
from receiver.domain.timetable import Cost, best_ages
from receiver.domain.values import replace

#: A safety look comes so long after the age by which nearly all tasks have ended: callbacks take their time.
GRACE = timedelta(seconds=10)
_NEARLY_ALL = 0.99
#: So many of the latest tasks tell whether callbacks come, and at least so many have to.
HEARD_WINDOW, LEAST_HEARD = 20, 10
#: From this share without a callback on, nobody trusts in them.
TOO_MANY_UNHEARD = 0.25
#: How many safety looks are planned; beyond them the gaps stay as they are by then.
_SAFETY_LOOKS = 8


@dataclass(frozen=True, slots=True)
class Waited:
    """How long a task was waited for, as far as known.

    ``looked_at`` is when it was last seen to be pending. ``settled_at`` is None while it is under way. ``missed``:
    what its provider was to call back with became known by a look; None where there is nothing to tell that by.
    """

    pushed: bool
    submitted_at: datetime
    looked_at: datetime | None = None
    settled_at: datetime | None = None
    missed: bool | None = None
    callbacks: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """The tasks of one model: the latest that ended, and those ``under_way`` unless they are ``too_many``.

    Every task that ended later than ``all_since`` is among the ended ones; None: all that ever did are.
    """

    provider: str
    model: str
    ended: tuple[Waited, ...]
    all_since: datetime | None = None
    under_way: tuple[Waited, ...] = ()
    too_many: bool = False


@dataclass(frozen=True, slots=True)
class Learned:
    """When to look at the tasks of one model, from ``tasks`` of them.

    ``ages`` are for a task nobody calls back for, ``unheard_ages`` for one whose callbacks fail to come too often,
    None where they do come; ``nearly_all`` is the age in seconds by which 99 % of tasks have ended. ``durations`` are
    what the rest follows from, for whoever draws them.
    """

    tasks: int
    ages: tuple[float, ...]
    nearly_all: float
    unheard_ages: tuple[float, ...] | None = None
    # No part of what a plan is remembered by: it is long, and two lessons with the same ages are the same plan.
    durations: Durations | None = field(default=None, repr=False, compare=False)


def observations(known: Known, now: datetime, *, heard: bool) -> tuple[Observed, ...]:
    """Return what the latest tasks tell of durations; ``heard``: callbacks come as they should.

    The latest are those that were submitted last, and with them all that were submitted since the first of them and
    are under way: of tasks submitted together the short ones end first, and would else speak for all. Where tasks end
    in such numbers that those are not in hand, the last to end speak for all.
    """
    latest = sorted(known.ended, key=lambda one: one.submitted_at, reverse=True)[:WINDOW]
    if not latest:
        return ()
    since = latest[-1].submitted_at
    if known.too_many or (known.all_since is not None and known.all_since > since):
        latest = sorted(known.ended, key=lambda one: one.settled_at or now, reverse=True)[:WINDOW]
        under_way: list[Waited] = []
    else:
        under_way = [one for one in known.under_way if one.submitted_at >= since]
    told = (_observed(one, now, heard=heard) for one in (*latest, *under_way))
    return tuple(one for one in told if one is not None)


def unheard(known: Iterable[Known], now: datetime) -> float:
    """Return the share of a provider's latest tasks of which no callback told; 0 while too few are known.

    One that a look found first and a callback told of soon after was heard; whether it will be is open for a while.
    """
    decided = sorted(
        (
            one
            for model in known
            for one in model.ended
            if one.pushed and one.settled_at is not None and (one.callbacks or now - one.settled_at >= GRACE)
        ),
        key=lambda one: one.settled_at or now,
        reverse=True,
    )[:HEARD_WINDOW]
    if len(decided) < LEAST_HEARD:
        return 0.0
    return sum(one.callbacks == 0 for one in decided) / len(decided)


def learned(observed: Sequence[Observed], look_seconds: float, unheard_share: float) -> Learned | None:
    """Return when to look from what was observed, None while that is too little; a look is worth ``look_seconds``."""
    durations = learn(observed)
    if durations is None:
        return None
    trusted = unheard_share < TOO_MANY_UNHEARD
    return Learned(
        tasks=durations.tasks,
        ages=best_ages(durations, Cost(look_seconds)),
        nearly_all=durations.percentile(_NEARLY_ALL),
        unheard_ages=None if trusted else best_ages(durations, Cost(look_seconds, unheard_share)),
        durations=durations,
    )


@lru_cache(256)
def planned(plan: PollPlan, known: Learned, *, pushed: bool) -> PollPlan:
    """Return a provider's documented plan with what was learned in it."""
    if not pushed:
        ages: tuple[float, ...] = known.ages
    elif known.unheard_ages is not None:
        ages = known.unheard_ages
    else:
        # Whoever has the first look come sooner than that while nothing is known wants no longer grace later on.
        ages = (known.nearly_all + min(GRACE.total_seconds(), plan.first),)
        for number in range(_SAFETY_LOOKS):
            ages = (*ages, ages[-1] + min(plan.interval * plan.growth**number, max(plan.longest, plan.interval)))
    return replace(plan, ages=ages, learned_from=known.tasks)


def _observed(one: Waited, now: datetime, *, heard: bool) -> Observed | None:
    looked = 0.0 if one.looked_at is None else _age(one, one.looked_at)
    if one.settled_at is not None:
        ended = _age(one, one.settled_at)
        if ended <= 0:
            # The clock was set meanwhile.
            return None
        told = one.pushed and not one.missed and one.callbacks > 0
        return Observed(ended if told else min(max(looked, 0.0), ended), ended)
    if one.pushed and heard:
        looked = _age(one, now)
    return Observed(looked, math.inf) if looked > 0 else None


def _age(one: Waited, moment: datetime) -> float:
    return (moment - one.submitted_at).total_seconds()
