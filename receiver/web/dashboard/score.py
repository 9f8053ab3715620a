"""A task's time as a score: five lines for who speaks, a measure for each stretch of its life, a note for each event.

A note stands where its moment lies within its measure. A measure is as wide as the logarithm of its length, so that
milliseconds of ours are seen beside minutes of a provider's; its true length stands below. Places are in percent, so
that the drawing fits any width while its text and its notes keep their size.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver.domain.event import EventType
from receiver.domain.task import Status, Task
from receiver.lifecycle.ports import RecordedEvent

#: Who speaks on which line, from the top.
LINES = ("you", "we ask", "they say", "results", "audio")
SPACING = 22
TOP = 30
HEIGHT = TOP + SPACING * (len(LINES) - 1) + 22
#: More notes than this are a smear, and a page too large.
MOST_NOTES = 300
#: No measure is narrower than this share of the whole.
_LEAST_SHARE = 0.07
#: A shorter stretch is no measure.
_LEAST = timedelta(milliseconds=1)
#: Room at both ends of the lines, in percent, so that a note on a bar line is whole.
_MARGIN = 1.5

_YOU, _ASK, _SAY, _RESULTS, _AUDIO = range(len(LINES))
#: On which line an event is a note, and the form of its head: told is full, asked is hollow, trouble is a cross.
_NOTES: Mapping[str, tuple[int, str]] = {
    EventType.TASK_CREATED: (_YOU, "full"),
    EventType.ATTEMPT_MADE: (_ASK, "full"),
    EventType.POLL_ANSWERED: (_ASK, "hollow"),
    EventType.CALLBACK_RECEIVED: (_SAY, "full"),
    EventType.CALLBACK_DUPLICATE: (_SAY, "ghost"),
    EventType.CALLBACK_QUARANTINED: (_SAY, "cross"),
    EventType.CALLBACK_CONFLICT: (_SAY, "cross"),
    EventType.RESULT_RECEIVED: (_RESULTS, "full"),
    EventType.RESULT_STORED: (_AUDIO, "full"),
    EventType.RESULT_FAILED: (_AUDIO, "cross"),
    EventType.TASK_UNKNOWN: (_ASK, "cross"),
    EventType.TASK_OVERDUE: (_SAY, "cross"),
    EventType.TASK_FOUND: (_SAY, "full"),
    EventType.TASK_CANCELLED: (_YOU, "cross"),
    EventType.DELIVERY_SENT: (_YOU, "full"),
    EventType.DELIVERY_FAILED: (_YOU, "cross"),
    EventType.DELIVERY_DEAD: (_YOU, "cross"),
}


@dataclass(frozen=True, slots=True)
class Note:
    """One event: ``x`` in percent, ``y`` in pixels, ``seq`` its number in the timeline."""

    x: float
    y: float
    head: str
    seq: int
    words: str


@dataclass(frozen=True, slots=True)
class Measure:
    """One stretch of a task's life, from ``x`` on, ``width`` wide, in percent. ``is_open``: it goes on."""

    number: int
    name: str
    seconds: float
    x: float
    width: float
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Score:
    """The drawing. ``closed``: the task has ended, so a double bar stands at its end."""

    measures: Sequence[Measure]
    notes: Sequence[Note]
    lines: Sequence[float]
    closed: bool
    summary: str
    height: int = HEIGHT
    top: int = TOP


def score(task: Task, events: Sequence[RecordedEvent], now: datetime) -> Score:
    """Return the drawing of a task."""
    stretches = _stretches(task, events, now)
    weights = [math.log1p(max(0.0, (end - begin).total_seconds()) * 20) for _, begin, end, _ in stretches]
    shares = _shares(weights)
    measures, x = [], _MARGIN
    for number, ((name, begin, end, is_open), part) in enumerate(zip(stretches, shares, strict=True), start=1):
        width = part * (100 - 2 * _MARGIN)
        measures.append(Measure(number, name, (end - begin).total_seconds(), round(x, 3), round(width, 3), is_open))
        x += width
    notes = [
        Note(_place(event.at, stretches, measures), TOP + SPACING * line, head, event.seq, event.type)
        for event in events[-MOST_NOTES:]
        if event.type in _NOTES
        for line, head in [_headed(event)]
    ]
    told = ", ".join(f"{each.name} {each.seconds:.1f} s" for each in measures)
    lines = [float(TOP + SPACING * number) for number in range(len(LINES))]
    return Score(measures, notes, lines, task.status.terminal, f"{len(events)} events: {told}")


def _stretches(
    task: Task, events: Sequence[RecordedEvent], now: datetime
) -> list[tuple[str, datetime, datetime, bool]]:
    """Return the stretches of a task's life: the name, the begin, the end, and whether it goes on."""
    sent = [event.at for event in events if event.type == EventType.DELIVERY_SENT]
    sending = _sending_began(task, events)
    ended = "storing" if task.settled_at else "until it ended"
    steps: list[tuple[str, datetime | None]] = [
        ("queueing", sending),
        ("sending", task.submitted_at),
        ("generating", task.settled_at),
        (ended, task.completed_at),
        ("telling you", sent[-1] if sent and task.completed_at else None),
    ]
    found: list[tuple[str, datetime, datetime, bool]] = []
    begin = task.created_at
    for name, end in steps:
        if end is not None and end - begin >= _LEAST:
            found.append((name, begin, end, False))
            begin = end
    if not task.status.terminal:
        found.append((_under_way(task), begin, max(now, begin), True))
    else:
        last = max((event.at for event in events), default=begin)
        if last - begin >= _LEAST:
            found.append(("afterwards", begin, last, False))
    return found or [("afterwards", begin, begin, False)]


def _sending_began(task: Task, events: Sequence[RecordedEvent]) -> datetime | None:
    """Return when the first call of ours for a task began, as far as the timeline tells."""
    first = next((event for event in events if event.type == EventType.ATTEMPT_MADE), None)
    if first is None:
        return task.attempt_open_since
    seconds = first.data.get("seconds")
    return max(task.created_at, first.at - timedelta(seconds=seconds if isinstance(seconds, int | float) else 0))


def _under_way(task: Task) -> str:
    words = {Status.QUEUED: "queueing", Status.SUBMITTED: "generating", Status.COLLECTING: "storing"}
    if task.attempt_open_since is not None and task.status is Status.QUEUED:
        return "sending"
    return words.get(task.status, "finding out")


def _shares(weights: Sequence[float]) -> list[float]:
    """Return how much of the width each measure gets, none too little to be seen."""
    whole = sum(weights) or 1.0
    raised = [max(weight / whole, _LEAST_SHARE) for weight in weights]
    return [part / sum(raised) for part in raised]


def _place(
    at: datetime, stretches: Sequence[tuple[str, datetime, datetime, bool]], measures: Sequence[Measure]
) -> float:
    """Return where a moment lies, in percent."""
    for (_, begin, end, _), measure in zip(stretches, measures, strict=True):
        if at <= end or measure is measures[-1]:
            length = (end - begin).total_seconds()
            part = (at - begin).total_seconds() / length if length > 0 else 1.0
            return round(measure.x + measure.width * min(1.0, max(0.0, part)), 3)
    return measures[-1].x


def _headed(event: RecordedEvent) -> tuple[int, str]:
    line, head = _NOTES[event.type]
    # The lines of an erased task say nothing of how it went.
    if event.type == EventType.ATTEMPT_MADE and event.data.get("outcome", "accepted") != "accepted":
        return line, "cross"
    return line, head
