"""Reading a stored report again: what it would mean today, held against what was made of it when it came."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from receiver.domain.event import EventType
from receiver.domain.report import Reading, StoredReport, Verdict
from receiver.domain.settlement import SettleRules, settle
from receiver.domain.task import Change, Status, Task

#: What became of a reading is told by these; that a report came was told when it did.
_OF_ARRIVAL = frozenset({EventType.CALLBACK_RECEIVED, EventType.CALLBACK_DUPLICATE})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was, or would be, made of a report, and how its task stands with it.

    ``status`` None: the task is not known. ``results`` counts those known, ``cost_micros`` is what they cost.
    """

    verdict: Verdict
    reason: str | None
    status: Status | None = None
    results: int = 0
    cost_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """One report read again. ``change`` is None when nothing is different."""

    before: Outcome
    after: Outcome
    change: Change | None = field(default=None, repr=False)


def outcome(task: Task | None, verdict: Verdict, reason: str | None) -> Outcome:
    """Return how a report was judged and how its task stands."""
    if task is None:
        return Outcome(verdict, reason)
    return Outcome(verdict, reason, task.status, len(task.results), task.cost_micros)


def unreadable(before: Outcome, reason: str) -> Replayed:
    """Return what a report that cannot be read changes: nothing. What was read once stays as it was understood."""
    return Replayed(before, replace(before, verdict=Verdict.QUARANTINED, reason=reason))


def replay(
    task: Task, before: Outcome, report: StoredReport, reading: Reading, now: datetime, rules: SettleRules
) -> Replayed:
    """Settle a report once more by today's reading of it; the same outcome, or a worse one, changes nothing.

    Of a report that was settled already only results can be new: what it said of failures and progress was true when
    it came, and may have been overtaken.
    """
    if before.verdict is Verdict.SETTLED:
        reading = replace(reading, failures=(), pending=False)
        if reading.says_nothing:
            return Replayed(before, before)
    change = settle(task, report, reading, now, rules)
    events = tuple(event for event in change.events if event.type not in _OF_ARRIVAL)
    # It was counted when it came.
    change = replace(change, task=replace(change.task, callbacks=task.callbacks), events=events)
    [ruling] = change.rulings
    after = outcome(change.task, ruling.verdict, ruling.reason)
    worse = before.verdict is Verdict.SETTLED and after.verdict is not Verdict.SETTLED
    return Replayed(before, after, None if after == before or worse else change)
