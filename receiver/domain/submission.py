"""From intent to acknowledgement: what opening an attempt and each of its outcomes does to a task."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

from receiver.domain.attempt import (
    Accepted,
    Attempt,
    AttemptOutcome,
    NotSent,
    Paused,
    Refused,
    SubmitOutcome,
    Unclear,
)
from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.event import Event, EventType
from receiver.domain.schedule import PollPlan, back_off, next_look
from receiver.domain.task import Change, Recovery, Status, Task, Work, at_rest, fault_in
from receiver.domain.values import replace


@dataclass(frozen=True, slots=True)
class SubmitRules:
    """What decides the time after a submit. ``jitter`` is a random number in [0, 1) for this decision.

    ``lookups`` are the times to search the provider's log, counted from the submit.
    """

    recovery: Recovery
    plan: PollPlan
    queue_max: timedelta
    lookups: tuple[timedelta, ...]
    jitter: float


#: How soon a task may be sent again once its provider takes something from us again.
AFTER_PAUSE = timedelta(seconds=1)
_OURS_TO_MEND = frozenset({ErrorCode.AUTH, ErrorCode.BALANCE})
#: How soon after a lost answer the provider is asked whether it has the task.
FIRST_RECOVERY_LOOK = timedelta(seconds=2)
#: How long after its submit an unheard-of task may be sent again under the same id.
RESEND_WITHIN = timedelta(minutes=10)


def create(task: Task) -> Change:
    """Return the intent: a queued task that is due at once."""
    return Change(
        task=replace(task, status=Status.QUEUED, work=Work.SUBMIT, due_at=task.created_at),
        events=(
            Event(
                EventType.TASK_CREATED,
                task.created_at,
                {"provider": task.provider, "model": task.model, "count": task.expected},
            ),
        ),
    )


def begin(task: Task, now: datetime, rules: SubmitRules, *, pushed: bool) -> Change | None:
    """Open an attempt, to be committed before a byte is sent; or None when there is nothing to send.

    An attempt found open belongs to a worker that died: whether its request arrived is unknown, so the task
    goes to ``unknown`` and never back to ``queued``.
    """
    if task.work is not Work.SUBMIT or task.status not in {Status.QUEUED, Status.UNKNOWN}:
        return None
    if task.attempt_open_since is not None:
        return interrupt(task, now, rules)
    if task.status is Status.QUEUED and now - task.created_at > rules.queue_max:
        return _not_sent_in_time(task, now, ())
    if task.status is Status.UNKNOWN and not may_resend(task, now):
        # Whoever rested meanwhile may have forgotten the id: only asking is safe now.
        return Change(replace(task, work=Work.POLL, due_at=now))
    attempt = Attempt(ordinal=task.attempts + 1, started_at=now)
    return Change(
        task=replace(task, attempts=attempt.ordinal, attempt_open_since=now, pushed=task.pushed or pushed),
        attempt=attempt,
    )


def may_resend(task: Task, now: datetime) -> bool:
    """Tell whether a submit whose answer was lost is recent enough to be sent again under the same id."""
    return task.unknown_since is not None and now - task.unknown_since <= RESEND_WITHIN


def interrupt(task: Task, now: datetime, rules: SubmitRules) -> Change | None:
    """Close an attempt whose worker is gone."""
    if task.attempt_open_since is None:
        return None
    return conclude(
        task,
        Unclear("the process ended while the request was under way"),
        now,
        rules,
        attempt=Attempt(task.attempts, task.attempt_open_since, outcome=AttemptOutcome.INTERRUPTED),
    )


def conclude(task: Task, outcome: SubmitOutcome, now: datetime, rules: SubmitRules, *, attempt: Attempt) -> Change:
    """Apply the outcome of ``attempt``, whatever has happened to the task since it was opened.

    An answer that comes after the lease was lost, after an early callback or after the task ended is kept as
    an attempt and moves only what it can still prove.
    """
    closed, event = _close(outcome, now, attempt)
    latest = task.attempts == attempt.ordinal
    if latest:
        task = replace(task, attempt_open_since=None)
    if latest and isinstance(outcome, Paused | NotSent):
        task = _never_unknown(task, attempt)
    waiting = task.status in {Status.QUEUED, Status.UNKNOWN}
    # An early callback that told of a failure alone was only a hint; this is the provider's own word.
    confirmed = latest and task.status is Status.SUBMITTED and task.doubt is not None and not task.results
    match outcome:
        case Accepted():
            change = _accepted(task, outcome, now, rules, waiting=waiting)
        case Refused():
            change = fail(task, outcome.error, now) if waiting or confirmed else Change(task)
        case Paused() | NotSent():
            change = _again(task, outcome, now, rules) if waiting else Change(task)
        case Unclear():
            change = _unclear(task, outcome, now, rules, attempt) if waiting else Change(task)
        case _:
            assert_never(outcome)
    return replace(change, attempt=closed, events=(event, *change.events))


def evidence(task: Task, now: datetime, plan: PollPlan) -> Change:
    """Return the task as submitted because the provider spoke of it before its acknowledgement reached us."""
    if task.status not in {Status.QUEUED, Status.UNKNOWN}:
        return Change(task)
    submitted_at = task.attempt_open_since or task.unknown_since or now
    return _submitted(task, submitted_at, now, plan)


def fail(task: Task, error: TaskError, now: datetime) -> Change:
    """End a task of which nothing was obtained."""
    ended = replace(
        at_rest(task),
        status=Status.FAILED,
        errors=(*task.errors, error),
        completed_at=now,
        settled_at=task.settled_at or now,
    )
    return Change(ended, (Event(EventType.TASK_FAILED, now, {"code": error.code.value, "message": error.message}),))


def taken(task: Task, change: Change, holder: UUID, now: datetime) -> Change:
    """Return what becomes of a change that gives a task the provider's id of another one, ``holder``.

    One generation cannot be two tasks, and there is nothing to ask about this one by: it fails, its attempt and what
    was told of it kept.
    """
    task = replace(task, attempt_open_since=change.task.attempt_open_since)
    attempts = tuple(event for event in change.events if event.type is EventType.ATTEMPT_MADE)
    if task.status.terminal:
        return replace(change, task=task, events=attempts)
    error = TaskError(ErrorCode.PROVIDER, f"the provider gave it the id of another generation, that of task {holder}")
    failed = fail(task, error, now)
    return replace(change, task=failed.task, events=(*attempts, *failed.events))


def _close(outcome: SubmitOutcome, now: datetime, attempt: Attempt) -> tuple[Attempt, Event]:
    detail: str | None
    match outcome:
        case Accepted():
            word, detail = AttemptOutcome.ACCEPTED, None
        case Refused():
            word, detail = AttemptOutcome.REFUSED, outcome.error.message
        case Paused():
            word, detail = AttemptOutcome.PAUSED, outcome.error.message
        case NotSent():
            word, detail = AttemptOutcome.NOT_SENT, outcome.reason
        case Unclear():
            word, detail = attempt.outcome or AttemptOutcome.UNCLEAR, outcome.reason
        case _:
            assert_never(outcome)
    closed = replace(attempt, ended_at=now, outcome=word, detail=detail)
    data: dict[str, object] = {
        "attempt": closed.ordinal,
        "outcome": word.value,
        "http_status": closed.http_status,
        "seconds": round((now - closed.started_at).total_seconds(), 3),
    }
    if detail is not None:
        data["detail"] = detail
    return closed, Event(EventType.ATTEMPT_MADE, now, data)


def _accepted(task: Task, outcome: Accepted, now: datetime, rules: SubmitRules, *, waiting: bool) -> Change:
    task = replace(task, provider_task_id=task.provider_task_id or outcome.provider_task_id)
    if waiting:
        change = _submitted(task, now, now, rules.plan)
        # Called back before we knew the provider's id of it, so that nothing could be made of that: ask at once.
        return change if not task.callbacks else replace(change, task=replace(change.task, due_at=now))
    if task.status is Status.LOST:
        # Given up although it arrived: one look may still find its results.
        task = replace(task, work=Work.POLL, due_at=now)
    return Change(task)


def _submitted(task: Task, submitted_at: datetime, now: datetime, plan: PollPlan) -> Change:
    deadline_at = submitted_at + timedelta(seconds=task.deadline_seconds)
    overdue = task.overdue and now >= deadline_at
    task = replace(
        task,
        status=Status.SUBMITTED,
        submitted_at=submitted_at,
        deadline_at=deadline_at,
        overdue=overdue,
        unknown_since=None,
        tries=0,
        fault=None,
        work=Work.POLL,
        due_at=next_look(plan, looks=0, now=now, overdue=overdue, since=submitted_at),
    )
    return Change(task, (Event(EventType.TASK_SUBMITTED, now, {"provider_task_id": task.provider_task_id}),))


def _again(task: Task, outcome: Paused | NotSent, now: datetime, rules: SubmitRules) -> Change:
    if task.status is Status.QUEUED and now - task.created_at > rules.queue_max:
        errors = (outcome.error,) if isinstance(outcome, Paused) else ()
        return _not_sent_in_time(task, now, errors)
    if task.work is not Work.SUBMIT:
        return Change(task)
    tries = task.tries + 1
    wait = back_off(tries, rules.jitter)
    if isinstance(outcome, NotSent):
        fault = outcome.reason
    else:
        fault = outcome.error.message
        # The provider as a whole rests until its pause ends; what waits for a new key must then go on at once.
        wait = outcome.retry_after or (AFTER_PAUSE if outcome.error.code in _OURS_TO_MEND else wait)
    return Change(replace(task, tries=tries, fault=fault_in(fault), due_at=now + wait))


def _never_unknown(task: Task, attempt: Attempt) -> Task:
    """Return a task as queued again where its only unclear attempt turns out not to have reached anybody.

    The attempt was taken for interrupted as its lease ended before its outcome was written down.
    """
    if task.status is not Status.UNKNOWN or task.unknown_since != attempt.started_at:
        return task
    return replace(
        task,
        status=Status.QUEUED,
        overdue=False,
        unknown_since=None,
        deadline_at=None,
        tries=0,
        fault=None,
        work=Work.SUBMIT,
    )


def _not_sent_in_time(task: Task, now: datetime, errors: tuple[TaskError, ...]) -> Change:
    waited = round((now - task.created_at).total_seconds())
    error = TaskError(
        ErrorCode.NOT_SENT,
        f"not sent: the provider could not be reached or took nothing for {waited} seconds",
        retryable=True,
    )
    return fail(replace(task, errors=(*task.errors, *errors)), error, now)


def _unclear(task: Task, outcome: Unclear, now: datetime, rules: SubmitRules, attempt: Attempt) -> Change:
    since = task.unknown_since or attempt.started_at
    tries = 0
    if rules.recovery is Recovery.RESEND:
        tries = task.tries + 1 if task.status is Status.UNKNOWN else 0
        work, due_at = Work.POLL, now + FIRST_RECOVERY_LOOK + back_off(tries, rules.jitter)
    else:
        work, due_at = Work.LOOKUP, max([now, *(since + wait for wait in rules.lookups[:1])])
    event = Event(EventType.TASK_UNKNOWN, now, {"reason": outcome.reason})
    return Change(
        replace(
            task,
            status=Status.UNKNOWN,
            unknown_since=since,
            deadline_at=since + timedelta(seconds=task.deadline_seconds),
            tries=tries,
            fault=fault_in(outcome.reason) if tries else None,
            work=work,
            due_at=due_at,
        ),
        () if task.status is Status.UNKNOWN else (event,),
    )
