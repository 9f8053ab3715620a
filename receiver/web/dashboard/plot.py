"""How tasks ended over time, as bars in a drawing: its places are in percent, so that text keeps its size."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver.domain.task import Status
from receiver.lifecycle.ports import Ended

#: What is drawn on top of what, from the line upwards.
_LAYERS = (
    ("good", "succeeded", frozenset({Status.SUCCEEDED})),
    ("partly", "partial or cancelled", frozenset({Status.PARTIAL, Status.CANCELLED})),
    ("bad", "failed or lost", frozenset({Status.FAILED, Status.LOST})),
)
#: The drawing is this high, in pixels; its bars leave room for a line of text on top.
HEIGHT = 132
_TOP = 18
#: A bar that is there is seen, however many its neighbours hold.
_LEAST_HEIGHT = 2.0
_GAP_PERCENT = 18
_TICKS = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a bar: ``x`` and ``width`` in percent of the drawing, ``y`` and ``height`` in pixels."""

    kind: str
    x: float
    width: float
    y: float
    height: float
    words: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment below the line; ``x`` in percent."""

    x: float
    anchor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Plot:
    """The drawing, and what it says in words and as a table for whoever does not see it."""

    pieces: Sequence[Piece]
    ticks: Sequence[Tick]
    most: int
    total: int
    summary: str
    layers: Sequence[tuple[str, str, int]]
    by_day: bool
    height: int = HEIGHT


def plot(ended: Sequence[Ended], *, since: datetime, slot: timedelta, slots: int, now: datetime, words: str) -> Plot:
    """Return the drawing of tasks that ended in slots of time."""
    counts: Counter[tuple[int, str]] = Counter()
    kind_of = {status: kind for kind, _, statuses in _LAYERS for status in statuses}
    for each in ended:
        counts[each.slot, kind_of[each.status]] += each.tasks
    totals = [sum(counts[at, kind] for kind, _, _ in _LAYERS) for at in range(slots)]
    most = max(totals, default=0)
    pieces = [
        piece for at in range(slots) for piece in _bar(counts, at, slots, most, since + slot * at, slot) if totals[at]
    ]
    by_kind = {kind: sum(counts[at, kind] for at in range(slots)) for kind, _, _ in _LAYERS}
    total = sum(totals)
    told = ", ".join(f"{by_kind[kind]} {name}" for kind, name, _ in _LAYERS)
    summary = f"{total} tasks ended in the {words}: {told}; at most {most} in {_length(slot)}."
    ticks = [_tick(number, since, slot * slots) for number in range(_TICKS + 1)]
    layers = [(kind, name, by_kind[kind]) for kind, name, _ in _LAYERS]
    return Plot(pieces, ticks, most, total, summary, layers, by_day=now - since > timedelta(days=2))


def _bar(
    counts: Counter[tuple[int, str]], at: int, slots: int, most: int, begins: datetime, slot: timedelta
) -> Sequence[Piece]:
    width = 100 / slots
    y = float(HEIGHT)
    pieces = []
    for kind, name, _ in _LAYERS:
        count = counts[at, kind]
        if not count:
            continue
        height = max(_LEAST_HEIGHT, count / most * (HEIGHT - _TOP))
        y = max(0.0, y - height)
        when = f"{begins:%H:%M}–{begins + slot:%H:%M} UTC"
        gap = width * _GAP_PERCENT / 100
        pieces.append(
            Piece(
                kind,
                round(at * width + gap / 2, 3),
                round(width - gap, 3),
                round(y, 1),
                round(height, 1),
                f"{count} {name}, {when}",
            )
        )
    return pieces


def _tick(number: int, since: datetime, length: timedelta) -> Tick:
    anchor = "start" if number == 0 else "end" if number == _TICKS else "middle"
    return Tick(100 * number / _TICKS, anchor, since + length * (number / _TICKS))


def _length(slot: timedelta) -> str:
    minutes = int(slot.total_seconds() // 60)
    hours = minutes // 60
    return f"{hours} h" if minutes % 60 == 0 and hours else f"{minutes} min"
