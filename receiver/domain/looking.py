"""What an answer to our own question, or its absence, does to a task besides what it says of results."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.event import Event, EventType
from receiver.domain.report import NewReport, Reading
from receiver.domain.schedule import PollPlan, back_off, next_look
from receiver.domain.settlement import QUIET, finish
from receiver.domain.submission import evidence, fail
from receiver.domain.task import Change, Recovery, Status, Task, Work

#: How long after its submit an unheard-of task may be sent again under the same id.
RESEND_WITHIN = timedelta(minutes=10)
#: A failure told by a callback alone is believed when the provider stays silent about the task for this long.
DOUBT = timedelta(seconds=60)
#: How soon to ask again while such a failure stands.
DOUBT_INTERVAL = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class LookRules:
    """What decides the time of the next look. ``jitter`` is a random number in [0, 1)."""

    plan: PollPlan
    recovery: Recovery
    lookups: tuple[timedelta, ...]
    jitter: float


def looked(task: Task, reading: Reading, report: NewReport, now: datetime, rules: LookRules) -> Change:
    """Apply one poll answer: count it, set the next look, and hand on what is news as a report.

    ``report`` is stored only when it says more than "pending" and differs from the last that did.
    """
    task = replace(task, polls=task.polls + 1, tries=0)
    if task.status.terminal and task.status is not Status.LOST:
        return Change(_rest(task))
    if reading.says_nothing:
        return _silence(task, now, rules)
    proceeded = evidence(task, now, rules.plan)
    task, events = proceeded.task, list(proceeded.events)
    same = task.answer_digest == report.sha256
    if not same:
        task = replace(task, answer_digest=report.sha256)
        events.append(Event(EventType.POLL_ANSWERED, now, _summary(reading)))
    if reading.pending:
        task = replace(task, doubt=None, doubt_since=None, quiet_since=None)
    if task.status is Status.SUBMITTED:
        due_at = next_look(rules.plan, looks=task.polls, now=now, overdue=task.overdue)
        task = replace(task, work=Work.POLL, due_at=due_at)
    else:
        task = _rest(task)
    news = not same and bool(reading.outputs or reading.failures or reading.oddities)
    if same and task.quiet_since is not None and now - task.quiet_since >= QUIET:
        ended = finish(task, now)
        return replace(ended, events=(*events, *ended.events))
    return Change(task, tuple(events), report=report if news else None)


def look_failed(task: Task, now: datetime, rules: LookRules, *, retry_after: timedelta | None = None) -> Change:
    """Plan the next look after one that brought no usable answer."""
    tries = task.tries + 1
    wait = max(back_off(tries, rules.jitter, base=2.0), retry_after or timedelta())
    return _believed(replace(task, tries=tries, due_at=now + wait), now)


def looked_up(task: Task, found: "Found | None", now: datetime, rules: LookRules) -> Change:
    """Apply one search of the provider's log for a submit whose answer was lost."""
    unknown_since = task.unknown_since
    if task.status is not Status.UNKNOWN or unknown_since is None:
        return Change(_rest(task) if task.work is Work.LOOKUP else task)
    task = replace(task, polls=task.polls + 1, tries=0)
    if found is not None:
        task = replace(task, provider_task_id=found.provider_task_id)
        proceeded = evidence(task, now, rules.plan)
        # Finished already: its answer is waiting.
        return replace(proceeded, task=replace(proceeded.task, due_at=now))
    later = [unknown_since + since for since in rules.lookups if unknown_since + since > now]
    if later:
        return Change(replace(task, due_at=later[0]))
    return lose(task, now, "the submit's answer was lost and the provider's log does not name it")


@dataclass(frozen=True, slots=True)
class Found:
    """A lost submit as the provider's log names it."""

    provider_task_id: str
    failed: bool = False


def overdue(task: Task, now: datetime, lost_after: timedelta) -> Change | None:
    """Mark a task past its deadline, and give it up a day later; None when neither is so."""
    if task.status not in {Status.SUBMITTED, Status.UNKNOWN} or task.deadline_at is None or now < task.deadline_at:
        return None
    if now >= task.deadline_at + lost_after:
        return finish(task, now) if task.results else lose(task, now, "no outcome long after the deadline")
    if task.overdue:
        return None
    event = Event(EventType.TASK_OVERDUE, now, {"deadline_at": task.deadline_at.isoformat()})
    return Change(replace(task, overdue=True), (event,))


def lose(task: Task, now: datetime, message: str) -> Change:
    """Stop waiting for a task; a result that comes later reopens it."""
    error = TaskError(ErrorCode.TIMEOUT if task.submitted_at else ErrorCode.UNKNOWN, message)
    ended = replace(
        task,
        status=Status.LOST,
        errors=(*task.errors, error),
        completed_at=now,
        work=None,
        due_at=None,
        doubt=None,
        doubt_since=None,
        quiet_since=None,
    )
    return Change(ended, (Event(EventType.TASK_LOST, now, {"message": message}),))


def _rest(task: Task) -> Task:
    return replace(task, work=None, due_at=None)


def _silence(task: Task, now: datetime, rules: LookRules) -> Change:
    """The provider does not know the task, or does not know it yet: absence proves nothing."""
    if task.status is Status.UNKNOWN and task.unknown_since is not None:
        if now - task.unknown_since <= RESEND_WITHIN and task.attempt_open_since is None:
            return Change(replace(task, work=Work.SUBMIT, due_at=now))
        return Change(replace(task, work=Work.POLL, due_at=next_look(rules.plan, looks=8, now=now, overdue=True)))
    if task.status is not Status.SUBMITTED:
        return Change(_rest(task))
    due_at = next_look(rules.plan, looks=task.polls, now=now, overdue=task.overdue)
    return _believed(replace(task, work=Work.POLL, due_at=due_at), now)


def _believed(task: Task, now: datetime) -> Change:
    """Believe a failure that only a callback told once the provider has been silent long enough."""
    if task.doubt is None or task.doubt_since is None or task.status is not Status.SUBMITTED:
        return Change(task)
    if task.expected == 1 and now - task.doubt_since >= DOUBT:
        return fail(task, task.doubt, now)
    return Change(replace(task, due_at=min(task.due_at or now, now + DOUBT_INTERVAL)))


def _summary(reading: Reading) -> dict[str, object]:
    return {
        "outputs": len(reading.outputs),
        "failures": len(reading.failures),
        "pending": reading.pending,
        **({"oddities": list(reading.oddities)} if reading.oddities else {}),
    }
