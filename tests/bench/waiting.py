"""What waiting for a provider costs: the learned looks beside a fixed pace, a back-off and the best there could be.

The cost of waiting is the mean seconds that a finished task waits to be seen, plus the looks at it, each worth one
second. All is exact: 20,000 durations of a seeded draw are the truth, no clock and no network take part.
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate, chain

from receiver.domain.durations import WINDOW, Observed, learn
from receiver.domain.schedule import PollPlan, next_look
from receiver.domain.timetable import Cost, best_ages
from tests.readme import README

Draw = Callable[[random.Random], float]

#: Seconds that a task takes. The constants of the estimate were chosen on others: a lognormal, a gamma, a uniform and
#: a bimodal one with other parameters.
TRUTHS: Mapping[str, Draw] = {
    "lognormal, narrow": lambda chance: chance.lognormvariate(4.5, 0.15),
    "lognormal, wide": lambda chance: chance.lognormvariate(4.3, 0.5),
    "gamma": lambda chance: chance.gammavariate(4, 15),
    "Weibull, rising": lambda chance: chance.weibullvariate(60, 5),
    "Weibull, wide": lambda chance: chance.weibullvariate(80, 2),
    "bimodal": lambda chance: max(5.0, chance.gauss(35, 5) if chance.random() < 0.6 else chance.gauss(120, 12)),
    "shifted exponential": lambda chance: 50 + chance.expovariate(1 / 12),
    "nearly constant": lambda chance: max(1.0, chance.gauss(62, 2)),
}
#: What AIMLAPI documents: a look every 15 seconds.
DOCUMENTED = PollPlan(15.0, 15.0)
#: One second, then each gap twice the one before, up to a minute.
BACK_OFF = PollPlan(1.0, 2.0, growth=2.0)
#: How often it is learned for the table in README.
_TIMES = 5
_SUBMITTED_AT = datetime(2026, 1, 1, tzinfo=UTC)
_TRUE_TASKS = 20_000
#: Candidates for the best looks: so many at equal shares of the tasks, and the rarest one by one.
_CANDIDATES, _RARE = 800, 0.99


@dataclass(frozen=True, slots=True)
class Truth:
    """Durations in rising order, and their sums up to each."""

    seconds: tuple[float, ...]
    sums: tuple[float, ...]

    @classmethod
    def drawn(cls, draw: Draw) -> "Truth":
        """Return what is taken for the whole truth about a distribution."""
        chance = random.Random(2026)
        seconds = tuple(sorted(draw(chance) for _ in range(_TRUE_TASKS)))
        return cls(seconds, tuple(chain([0.0], accumulate(seconds))))

    def ended(self, age: float) -> int:
        """Return how many have ended by an age."""
        return bisect_right(self.seconds, age)


@dataclass(frozen=True, slots=True)
class Price:
    """What waiting costs a task on average: seconds that it lay finished, and looks."""

    lag_seconds: float
    looks: float

    @property
    def cost(self) -> float:
        """The two together, a look worth one second."""
        return self.lag_seconds + self.looks


def ages(plan: PollPlan) -> Iterator[float]:
    """Return at which ages a plan looks, one after the other and for ever, each look on time."""
    now, looks = _SUBMITTED_AT, 0
    while True:
        now = next_look(plan, looks=looks, now=now, overdue=False, since=_SUBMITTED_AT)
        looks += 1
        yield (now - _SUBMITTED_AT) / timedelta(seconds=1)


def price(plan: PollPlan, truth: Truth) -> Price:
    """Return what a plan costs where the truth is so."""
    lag, looks, before, all_ = 0.0, 0, 0, len(truth.seconds)
    for age in ages(plan):
        looks += all_ - before
        now = truth.ended(age)
        lag += age * (now - before) - (truth.sums[now] - truth.sums[before])
        before = now
        if now == all_:
            break
    return Price(lag / all_, looks / all_)


@cache
def known(name: str) -> tuple[Truth, float]:
    """Return a distribution by its name, and the least that waiting for it can cost."""
    truth = Truth.drawn(TRUTHS[name])
    return truth, optimum(truth)


def optimum(truth: Truth) -> float:
    """Return the least cost of any looks, by dynamic programming over the durations themselves."""
    all_ = len(truth.seconds)
    places = {round(number * all_ / _CANDIDATES) for number in range(1, _CANDIDATES)}
    ends = [0, *sorted(places | set(range(int(_RARE * all_), all_ + 1, 4)) | {all_})]
    rest, following = [0.0] * len(ends), [len(ends) - 1] * len(ends)
    for last in range(len(ends) - 2, -1, -1):
        best = float("inf")
        for at in range(last + 1, following[last + 1] + 1):
            found = ends[at] - ends[last]
            waits = truth.seconds[ends[at] - 1] * found - (truth.sums[ends[at]] - truth.sums[ends[last]])
            together = all_ - ends[last] + waits + rest[at]
            if together < best:
                best, rest[last], following[last] = together, together, at
    return rest[0] / all_


def learned(observed: Sequence[Observed], plan: PollPlan = DOCUMENTED) -> PollPlan:
    """Return the plan as it is learned: the documented one while too little is known."""
    durations = learn(observed[-WINDOW:])
    if durations is None:
        return plan
    return PollPlan(plan.first, plan.interval, ages=best_ages(durations, Cost()), learned_from=durations.tasks)


def after_observing(name: str, times: int, *, tasks: int = WINDOW) -> list[Price]:
    """Return what is paid after the ends of ``tasks`` tasks were told, as callbacks tell them; learned so often."""
    chance, (truth, _) = random.Random(f"told {name}"), known(name)
    return [
        price(learned([Observed(one, one) for one in (TRUTHS[name](chance) for _ in range(tasks))]), truth)
        for _ in range(times)
    ]


def found_by_looking(draw: Draw, tasks: int, *, seed: str, before: Sequence[Observed] = ()) -> list[Observed]:
    """Return what is known of tasks that are only looked at, each as all before it have taught.

    ``before`` are tasks that went before these.
    """
    chance, found, plan = random.Random(seed), list(before), learned(before)
    for number in range(tasks):
        if number % 5 == 0:
            plan = learned(found)
        ends, pending = draw(chance), 0.0
        for age in ages(plan):
            if age >= ends:
                found.append(Observed(pending, age))
                break
            pending = age
    return found


def after_looking(name: str, times: int, *, tasks: int = 100) -> list[Price]:
    """Return what is paid by a provider that never calls: all that is known was found by looking."""
    truth, _ = known(name)
    return [
        price(learned(found_by_looking(TRUTHS[name], tasks, seed=f"{name} {number}")), truth)
        for number in range(times)
    ]


def mean(prices: Sequence[Price]) -> Price:
    """Return the mean of several prices."""
    return Price(
        sum(each.lag_seconds for each in prices) / len(prices), sum(each.looks for each in prices) / len(prices)
    )


def table() -> str:
    """Return the comparison for README: what each way of looking costs, as a multiple of the least."""
    lines = [
        "| seconds that a task takes | least | learned | looks alone | every 15 s | back-off |",
        "|---|---|---|---|---|---|",
    ]
    for name in TRUTHS:
        truth, least = known(name)
        compared = (
            mean(after_observing(name, _TIMES)),
            mean(after_looking(name, _TIMES)),
            price(DOCUMENTED, truth),
            price(BACK_OFF, truth),
        )
        lines.append(f"| {name} | {least:.1f} s | {' | '.join(f'{each.cost / least:.2f}' for each in compared)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    # Written into README between two marks; half a minute.
    begin, end = "<!-- waiting -->\n", "<!-- /waiting -->"
    head, _, rest = README.read_text("utf-8").partition(begin)
    README.write_text(f"{head}{begin}{table()}{end}{rest.partition(end)[2]}", "utf-8")
