"""How long the tasks of a model take, as a drawing: bars where tasks end, lines where they are looked at."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from receiver.domain.durations import Durations
from receiver.web.dashboard import words

#: The drawing is this high, in pixels; its bars leave room for the names of the marks on top.
HEIGHT = 120
_TOP = 36
_BARS = 48
#: Where nothing ends for longer than this share of the drawing, it begins later.
_EMPTY = 0.35
_BEFORE = 0.85
_FIRST = 0.005
#: Beyond the age by which nearly all have ended, so much more is drawn; further if a look lies close behind.
_BEYOND = 1.12
_FARTHEST = 2.0
_HALF, _NEARLY_ALL = 0.5, 0.99
_MOST_LOOKS = 40
_MOST_TICKS = 6
#: Steps between ticks, in seconds.
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 604800)


@dataclass(frozen=True, slots=True)
class Bar:
    """The share that ends in one stretch: ``x`` and ``width`` in percent, ``y`` and ``height`` in pixels."""

    x: float
    width: float
    y: float
    height: float
    words: str


@dataclass(frozen=True, slots=True)
class Mark:
    """An age that means something; ``x`` in percent of the drawing, ``anchor`` for its words."""

    x: float
    words: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Drawing:
    """The drawing, and what it says in words for whoever does not see it. Ages in seconds."""

    bars: Sequence[Bar]
    looks: Sequence[Mark]
    marks: Sequence[Mark]
    ticks: Sequence[Mark]
    tasks: int
    half: float
    nearly_all: float
    summary: str
    height: int = HEIGHT


def draw(durations: Durations, looks: Sequence[float]) -> Drawing:
    """Return the drawing of what was learned; ``looks`` are the ages at which a task is looked at."""
    half, nearly_all = durations.percentile(_HALF), durations.percentile(_NEARLY_ALL)
    end = nearly_all * _BEYOND
    if looks and end < looks[0] * 1.04 <= nearly_all * _FARTHEST:
        end = looks[0] * 1.04
    span = _span(durations.percentile(_FIRST) * _BEFORE, end)
    shares = [_share(durations, *span.stretch(number)) for number in range(_BARS)]
    most = max(shares)
    bars = [_bar(number, share, most, span) for number, share in enumerate(shares) if share > 0]
    seen = [age for age in looks if span.begin <= age <= end][:_MOST_LOOKS]
    told = f"Half of the tasks have ended after {words.span(half)}, nearly all after {words.span(nearly_all)}"
    first = f"; the first look comes after {words.span(looks[0])}" if looks else ""
    return Drawing(
        bars=bars,
        looks=[Mark(span.at(age), f"look after {words.span(age)}") for age in seen],
        marks=[
            Mark(span.at(half), f"half {words.span(half)}", "end"),
            Mark(span.at(nearly_all), f"nearly all {words.span(nearly_all)}", "end"),
        ],
        ticks=span.ticks(),
        tasks=durations.tasks,
        half=half,
        nearly_all=nearly_all,
        summary=f"{told}, learned from the latest {durations.tasks}{first}.",
    )


@dataclass(frozen=True, slots=True)
class _Span:
    """The ages that are drawn, and the step between two ticks."""

    begin: float
    end: float
    step: float

    def at(self, age: float) -> float:
        """Return where an age is, in percent."""
        return round(100 * (age - self.begin) / (self.end - self.begin), 3)

    def stretch(self, number: int) -> tuple[float, float]:
        """Return the ages of a bar."""
        width = (self.end - self.begin) / _BARS
        return self.begin + width * number, self.begin + width * (number + 1)

    def ticks(self) -> list[Mark]:
        """Return the ages that are named below."""
        count = int((self.end - self.begin) / self.step + 1e-9)
        ages = [self.begin + self.step * number for number in range(count + 1)]
        return [Mark(self.at(age), _label(age, self.step), self._anchor(age)) for age in ages]

    def _anchor(self, age: float) -> str:
        return "start" if age == self.begin else "end" if self.at(age) > 96 else "middle"  # noqa: PLR2004 - too near the edge


def _span(first: float, end: float) -> _Span:
    """Return what to draw: from 0, or where the first tasks end late, from a round age before them."""
    begin = 0.0
    if first > end * _EMPTY:
        coarse = _step(end - first)
        begin = first // coarse * coarse
    return _Span(begin, end, _step(end - begin))


def _step(length: float) -> float:
    return next((step for step in _STEPS if length / step <= _MOST_TICKS), _STEPS[-1])


def _label(age: float, step: float) -> str:
    return words.span(age) if step < 1 or age >= 60 else words.short(age)  # noqa: PLR2004 - a minute and some seconds


def _share(durations: Durations, start: float, end: float) -> float:
    """Return the share of tasks that end between two ages."""
    whole = 0.0
    first = max(0, bisect_left(durations.edges, start) - 1)
    cells = list(pairwise(durations.edges))
    for number in range(first, len(cells)):
        low, high = cells[number]
        if low >= end:
            break
        covered = min(high, end) - max(low, start)
        if covered > 0:
            whole += durations.shares[number] * covered / (high - low)
    return whole


def _bar(number: int, share: float, most: float, span: _Span) -> Bar:
    width = 100 / _BARS
    height = share / most * (HEIGHT - _TOP)
    start, end = span.stretch(number)
    return Bar(
        x=round(number * width + width * 0.08, 3),
        width=round(width * 0.84, 3),
        y=round(HEIGHT - height, 1),
        height=round(height, 1),
        words=f"{words.share(share)} end after {words.span(start)} to {words.span(end)}",
    )
