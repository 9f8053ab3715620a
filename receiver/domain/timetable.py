"""At which ages to look at a task, from how long tasks take and what a look is worth.

Looking too late costs the time that a finished task waits, looking too often costs requests. The best ages for known
durations are Barlow, Hunter and Proschan's optimum inspection policy (1963): far from both ends their density is the
root of half the hazard rate over the cost of a look. Here they are computed exactly over the cells of the estimate,
by dynamic programming: few looks lie where a task lasts, where the density of a root alone goes wrong by 10 to 30 %.
"""

from dataclasses import dataclass
from itertools import accumulate, pairwise

from receiver.domain.durations import Durations

#: Beyond all that was seen: so many cells, each so much longer than the one before.
_TAIL_CELLS, _TAIL_GROWTH = 12, 1.15


@dataclass(frozen=True, slots=True)
class Cost:
    """What looking is to be paid with: a request is worth ``look_seconds`` of waiting.

    ``unheard`` is the share of tasks of which no callback tells; the others are known without a look.
    """

    look_seconds: float = 1.0
    unheard: float = 1.0


def best_ages(durations: Durations, cost: Cost) -> tuple[float, ...]:
    """Return the ages in seconds, rising, at which to look so that waiting and looking together cost least.

    The last one lies beyond all that was seen; none lies before what no task ever ended before.
    """
    ends, shares = _with_tail(durations)
    cells = len(shares)
    ended = [0.0, *accumulate(shares)]
    # What tasks ended so far have lasted, summed: with it the wait from their ends to a look is a difference.
    lasted = [0.0, *accumulate(s * (a + b) / 2 for s, (a, b) in zip(shares, pairwise(ends), strict=True))]
    look, unheard = cost.look_seconds, cost.unheard
    heard = look * (1 - unheard)
    rest, following = [0.0] * (cells + 1), [cells] * (cells + 1)
    for last in range(cells - 1, -1, -1):
        # Who is looked at next: all but those found by the last look, and those of whom a callback has told since.
        asked = look * (ended[cells] - unheard * ended[last])
        best, chosen = float("inf"), cells
        # The next look but one never comes earlier for a later one (the waits obey the quadrangle inequality).
        for at in range(last + 1, following[last + 1] + 1):
            if ends[at] < durations.least and at < cells:
                continue
            waits = ends[at] * (ended[at] - ended[last]) - (lasted[at] - lasted[last])
            price = asked - heard * ended[at] + unheard * waits + rest[at]
            if price < best:
                best, chosen = price, at
        rest[last], following[last] = best, chosen
    ages, at = [], 0
    while at < cells:
        at = following[at]
        ages.append(ends[at])
    return tuple(ages)


def _with_tail(durations: Durations) -> tuple[list[float], list[float]]:
    ends, shares = list(durations.edges), list(durations.shares)
    for _ in range(_TAIL_CELLS):
        ends.append(ends[-1] * _TAIL_GROWTH)
        shares.append(durations.beyond / _TAIL_CELLS)
    return ends, shares
