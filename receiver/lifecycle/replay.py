"""Replay: have stored reports read again by today's adapters, to see what they would mean now, or to let them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from receiver.domain.errors import NotFoundError
from receiver.domain.replaying import Outcome, Replayed, outcome, replay, unreadable
from receiver.domain.report import Reading, StoredReport
from receiver.domain.task import Change, Task
from receiver.lifecycle.ports import Decision, Ports, Queue, RuledFilter, RuledReport
from receiver.lifecycle.reading import NEVER_FINISHED, read
from receiver.lifecycle.rules import settle_rules


@dataclass(frozen=True, slots=True)
class Line:
    """One report and what came of reading it again; ``applied`` says that its task was changed."""

    report_id: UUID
    task_id: UUID | None
    before: Outcome
    after: Outcome
    applied: bool = False


@dataclass(frozen=True, slots=True)
class _Again:
    """A report read again: the reading, or why there is none; without its body."""

    ruled: RuledReport
    report: StoredReport
    reading: Reading | str | None


async def replay_reports(ports: Ports, wanted: RuledFilter, *, apply: bool) -> tuple[list[Line], UUID | None]:
    """Read a page of judged reports again, oldest first, and return it with where the next begins, None at the end.

    Without ``apply`` nothing is written: each line shows what would be, those before it supposed. Raises
    NotFoundError when the task that is named is not there, UnavailableError.
    """
    if wanted.task_id is not None and await ports.store.task(wanted.task_id) is None:
        raise NotFoundError
    ruled, following = await ports.store.ruled(wanted)
    found = [again for each in ruled if (again := await _read(ports, each, wanted)) is not None]
    now = ports.system.now()
    lines = await _apply(ports, found, now) if apply else await _suppose(ports, found, now)
    if any(line.applied for line in lines):
        ports.metrics.count("reports_replayed", sum(line.applied for line in lines))
        ports.wake(Queue.COLLECT)
        ports.wake(Queue.POLL)
    return lines, following


async def _read(ports: Ports, ruled: RuledReport, wanted: RuledFilter) -> _Again | None:
    """Read one report; those that are not genuine, or killed who read them, only where their task is named."""
    report = await ports.store.report(ruled.id)
    if report is None:
        return None
    poisonous = ruled.reason == NEVER_FINISHED and wanted.task_id is None
    reading = None if report.doubt is not None or poisonous else await read(ports, report)
    return _Again(ruled, replace(report, body=b""), reading)


async def _suppose(ports: Ports, found: Sequence[_Again], now: datetime) -> list[Line]:
    tasks: dict[UUID, Task | None] = {}
    lines = []
    for again in found:
        key = again.report.task_key
        if key not in tasks:
            task_id = again.ruled.task_id
            tasks[key] = None if task_id is None else await ports.store.task(task_id)
        replayed = _replayed(ports, tasks[key], again, now)
        if replayed.change is not None:
            tasks[key] = replayed.change.task
        lines.append(Line(again.ruled.id, again.ruled.task_id, replayed.before, replayed.after))
    return lines


async def _apply(ports: Ports, found: Sequence[_Again], now: datetime) -> list[Line]:
    made: dict[UUID, Replayed] = {}

    def deciding(again: _Again) -> Decision:
        def decide(task: Task) -> Change | None:
            replayed = made[again.ruled.id] = _replayed(ports, task, again, now)
            return replayed.change

        return Decision(again.report.task_key, decide)

    # What is not to be settled, or speaks of no task of ours, is decided about without a transaction.
    open_ = [again for again in found if again.ruled.task_id is not None]
    changes = await ports.store.apply([deciding(again) for again in open_])
    applied = {again.ruled.id for again, change in zip(open_, changes, strict=True) if change is not None}
    lines = []
    for again in found:
        replayed = made.get(again.ruled.id) or _replayed(ports, None, again, now)
        line = Line(again.ruled.id, again.ruled.task_id, replayed.before, replayed.after, again.ruled.id in applied)
        lines.append(line)
    return lines


def _replayed(ports: Ports, task: Task | None, again: _Again, now: datetime) -> Replayed:
    before = outcome(task, again.ruled.verdict, again.ruled.reason)
    provider = ports.providers.get(again.report.provider)
    if task is None or again.reading is None or provider is None:
        return Replayed(before, before)
    if isinstance(again.reading, str):
        return unreadable(before, again.reading)
    return replay(task, before, again.report, again.reading, now, settle_rules(ports, provider))
