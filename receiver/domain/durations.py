"""How long a provider takes, learned from few tasks of which most are known only to have ended between two looks.

A task that was looked at ended after the last look that found it pending and not after the one that found it done.
Whoever takes the moment of the second for the end looks later and later: every look learned from makes the next one
later. So what is kept of a task is the pair of both, and a task that has not ended is a pair without an end.

The estimate is the self-consistent one for such pairs (Turnbull, 1976; for unfinished tasks alone it is that of
Kaplan and Meier), smoothed at each round (EMS: Silverman, Jones, Wilson and Nychka, 1990) over cells of equal ratio.
How much is smoothed is judged by how well each task is foretold by the others (leave-one-out likelihood).
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

#: Fewer ended tasks than this teach nothing.
LEAST = 20
#: So many of the latest tasks are learned from: what changed at the provider is followed as fast.
WINDOW = 50

#: Cells between the shortest and the longest that is thought possible.
_CELLS = 160
#: Beyond what was seen: so much shorter, so much longer.
_SHORTER, _LONGER = 0.7, 1.6
#: The first look alone leaves open when a task ended before it; not before this share of it, for the cells' sake.
_LEAST_SHARE = 1 / 8
_SHORTEST_SECONDS = 0.05
#: The smoothing that is tried, in units of the spread, widest first; of the good ones the widest is taken.
_WIDTHS = (1.2, 0.8, 0.5, 0.3)
#: A width whose log likelihood is less than this below the best is as good.
_AS_GOOD = 1.0
_ROUNDS = 10
_NARROWEST_CELLS = 0.4
#: Of how many tasks the wholly unknown counts for: spread over all cells, and beyond the last.
_ANYWHERE, _BEYOND = 0.5, 0.1


@dataclass(frozen=True, slots=True)
class Observed:
    """A task that ended ``after`` an age and not later than ``by``, in seconds; equal where the moment is known.

    Infinite ``by``: it had not ended.
    """

    after: float
    by: float = math.inf


@dataclass(frozen=True, slots=True)
class Durations:
    """How long tasks take: ``shares[i]`` of them end between ``edges[i]`` and ``edges[i + 1]`` seconds.

    ``beyond`` is the share that is thought to take longer than the last edge, ``least`` what no task seen ended
    before, ``tasks`` how many ended ones were learned from.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    beyond: float
    least: float
    tasks: int

    def percentile(self, share: float) -> float:
        """Return the age by which a share of those tasks has ended that end by the last edge."""
        wanted, before = share * sum(self.shares), 0.0
        for number, part in enumerate(self.shares):
            if part > 0 and before + part >= wanted:
                start, end = self.edges[number], self.edges[number + 1]
                return start + (end - start) * (wanted - before) / part
            before += part
        return self.edges[-1]


def learn(observed: Sequence[Observed]) -> Durations | None:
    """Return what the tasks teach, None where fewer than ``LEAST`` of them have ended."""
    ended = [one for one in observed if one.by < math.inf]
    if len(ended) < LEAST:
        return None
    edges = _cells(ended)
    cells = len(edges) - 1
    longest = edges[-1]
    spans = [_span(edges, one) for one in observed if one.after < longest]
    beyond = len(observed) - len(spans)
    # The unfinished ones have no place of their own to judge a width by.
    judged = [_span(edges, one) for one in ended]
    # By the later end: the first look leaves wide open when a task ended, and most end shortly before one.
    unit = _spread([last for _, last in judged])
    found = []
    for width in _WIDTHS:
        kernel = _kernel(max(width * unit, _NARROWEST_CELLS))
        shares = _consistent(spans, cells, kernel)
        found.append((_foretold(judged, shares, kernel), shares))
    best = max(score for score, _ in found)
    shares = next(shares for score, shares in found if score >= best - _AS_GOOD)
    whole = len(observed) + _BEYOND
    kept = 1 - (beyond + _BEYOND) / whole
    evenly, seen = _ANYWHERE / cells, len(spans)
    return Durations(
        edges=tuple(edges),
        shares=tuple(kept * (share * seen + evenly) / (seen + _ANYWHERE) for share in shares),
        beyond=1 - kept,
        least=min(one.after for one in observed),
        tasks=len(ended),
    )


def _cells(ended: Sequence[Observed]) -> list[float]:
    """Return the edges of the cells: from 0 to the shortest thought possible, and on in equal ratios."""
    shortest = min(one.after if one.after > 0 else one.by * _LEAST_SHARE for one in ended)
    start = max(shortest * _SHORTER, _SHORTEST_SECONDS)
    end = max(max(one.by for one in ended) * _LONGER, start * _LONGER)
    step = math.log(end / start) / _CELLS
    return [0.0, *(start * math.exp(step * number) for number in range(_CELLS + 1))]


def _span(edges: Sequence[float], one: Observed) -> tuple[int, int]:
    """Return the first cell a task may have ended in, and the one after the last."""
    cells = len(edges) - 1
    first = min(max(bisect_right(edges, one.after) - 1, 0), cells - 1)
    return first, min(max(bisect_left(edges, one.by), first + 1), cells)


def _spread(ends: Sequence[int]) -> float:
    """Return the unit of smoothing, in cells: Silverman's rule of thumb without its factor."""
    ordered, count = sorted(ends), len(ends)
    mean = sum(ordered) / count
    deviation = math.sqrt(sum((end - mean) ** 2 for end in ordered) / count)
    quartiles = (ordered[3 * count // 4] - ordered[count // 4]) / 1.34
    return max((min(deviation, quartiles) if quartiles > 0 else deviation) * math.pow(count, -0.2), 0.5)


def _kernel(width: float) -> list[float]:
    """Return a bell over an odd number of cells that sums to 1."""
    reach = math.ceil(2.5 * width)
    bell = [math.exp(-0.5 * (offset / width) ** 2) for offset in range(-reach, reach + 1)]
    whole = sum(bell)
    return [part / whole for part in bell]


def _consistent(spans: Sequence[tuple[int, int]], cells: int, kernel: Sequence[float]) -> list[float]:
    """Return the shares by which each task lies in its span as all of them together say, smoothed."""
    shares = [1 / cells] * cells
    # A task that lies in one cell is where it is, whatever the others say.
    rounds = _ROUNDS if any(last - first > 1 for first, last in spans) else 1
    for _ in range(rounds):
        below = [0.0, *accumulate(shares)]
        weights = [0.0] * (cells + 1)
        for first, last in spans:
            weight = 1 / max(below[last] - below[first], 1e-12)
            weights[first] += weight
            weights[last] -= weight
        scale = 1 / len(spans)
        shares = _smoothed(
            [s * max(w, 0.0) * scale for s, w in zip(shares, accumulate(weights), strict=False)], kernel
        )
    return shares


def _smoothed(shares: Sequence[float], kernel: Sequence[float]) -> list[float]:
    """Spread each share over its neighbours; what would leave the cells stays in the outermost."""
    reach, cells = len(kernel) // 2, len(shares)
    padded = [0.0] * (cells + 2 * reach)
    for number, share in enumerate(shares):
        if share > 1e-12:  # noqa: PLR2004 - what is too little to matter is most of the work
            for offset, part in enumerate(kernel, number):
                padded[offset] += share * part
    inside = padded[reach : reach + cells]
    inside[0] += sum(padded[:reach])
    inside[-1] += sum(padded[reach + cells :])
    return inside


def _foretold(spans: Sequence[tuple[int, int]], shares: Sequence[float], kernel: Sequence[float]) -> float:
    """Return the log likelihood of each task by what the others teach, as densities over the cells."""
    below = [0.0, *accumulate(shares)]
    count, cells, reach = len(spans), len(shares), len(kernel) // 2
    own: dict[int, float] = {}
    score = 0.0
    for first, last in spans:
        size = last - first
        if size not in own:
            # What a task adds to its own span when it is spread: a flat stretch, smoothed, as far as it stays inside.
            near = min(reach, size - 1)
            stays = sum(kernel[reach + offset] * (size - abs(offset)) for offset in range(-near, near + 1))
            own[size] = stays / size
        others = max((below[last] - below[first]) * count - own[size], 0.0)
        evenly = _ANYWHERE * size / cells
        score += math.log((others + evenly) / (count - 1 + _ANYWHERE) / size)
    return score
