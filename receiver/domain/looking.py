"""What an answer to our own question, or its absence, does to a task besides what it says of results."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver.domain.adoption import never_heard_of
from receiver.domain.asking import DISAGREEMENT, SETTLED_ENDS, asked_about, look_now
from receiver.domain.ending import failures_told, finish
from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.event import Event, EventType
from receiver.domain.report import NewReport, Reading
from receiver.domain.schedule import PollPlan, back_off, next_look
from receiver.domain.settlement import QUIET, is_own_name
from receiver.domain.submission import evidence, fail, may_resend
from receiver.domain.task import Change, Recovery, Status, Task, Work, at_rest, fault_in
from receiver.domain.values import quick, replace

#: A failure told by a callback alone is believed when the provider stays silent about the task for this long.
DOUBT = timedelta(seconds=60)
#: How soon to ask again while such a failure stands.
DOUBT_INTERVAL = timedelta(seconds=5)
#: A lost task that was to be looked at once more is left alone after this many looks without an answer.
LAST_TRIES = 5
#: Where not one look gets an answer a task is given up after so many in a row. They come to lie half a minute apart,
#: so these take a day: a machine that starts before its network does must not take that for the provider's silence.
MOST_FRUITLESS_LOOKS = 2880


@quick
@dataclass(frozen=True, slots=True)
class LookRules:
    """What decides the time of the next look. ``jitter`` is a random number in [0, 1)."""

    plan: PollPlan
    recovery: Recovery
    lookups: tuple[timedelta, ...]
    jitter: float


def looked(
    task: Task,
    reading: Reading,
    report: NewReport,
    now: datetime,
    rules: LookRules,
    *,
    asked_at: datetime | None = None,
) -> Change:
    """Apply one poll answer: count it, set the next look, and hand on what is news as a report.

    ``report`` is stored only when it is news. ``asked_at``, by default now, is when the question was sent: what a
    callback told since then it does not answer.
    """
    task = replace(task, polls=task.polls + 1, tries=0, fault=None)
    if task.status.terminal and task.status is not Status.LOST and task.work is not Work.POLL:
        return _after_the_end(task, reading, report, now)
    if reading.says_nothing:
        return _silence(task, now, rules)
    proceeded = evidence(task, now, rules.plan)
    task, events = proceeded.task, list(proceeded.events)
    news = is_news(task, reading, report.sha256)
    same = task.answer_digest == report.sha256
    if not same:
        task = replace(task, answer_digest=report.sha256)
        events.append(Event(EventType.POLL_ANSWERED, now, _summary(reading)))
    unanswered = task.doubt_since is not None and asked_at is not None and asked_at < task.doubt_since
    if not unanswered and _settles_doubt(task, reading):
        task = replace(task, doubt=None, doubt_since=None)
    if reading.pending or not reading.failures:
        task = replace(task, quiet_since=None)
    if reading.pending:
        task = replace(task, looked_at=asked_at or now)
    if task.status is Status.SUBMITTED:
        due_at = next_look(rules.plan, looks=task.polls, now=now, overdue=task.overdue, since=task.submitted_at)
        task = replace(task, work=Work.POLL, due_at=now if unanswered else due_at)
    elif task.doubt is not None:
        task = _not_yet_told(task, now, rules, at_once=unanswered)
    else:
        task = at_rest(task)
    if same and not news and task.quiet_since is not None and now - task.quiet_since >= QUIET:
        ended = finish(task, now)
        return replace(ended, events=(*events, *ended.events))
    return Change(task, tuple(events), report=report if news else None)


def is_news(task: Task, reading: Reading, digest: bytes) -> bool:
    """Tell whether an answer is to be stored and settled: it differs from the last one, or that was never settled.

    The report of an answer may be set aside although there is nothing wrong with it, as when a fault of ours ended
    its settling: the next equal answer then still tells of more than is known, unless it names another task.
    """
    if task.answer_digest != digest:
        return bool(reading.outputs or reading.failures or reading.oddities)
    of_it_alone = all(is_own_name(task, name) for name in reading.named)
    if task.status not in {Status.SUBMITTED, Status.LOST} or not of_it_alone:
        return False
    known = {result.identity for result in task.results}
    if len(known) < task.expected and any(output.identity not in known for output in reading.outputs):
        return True
    return task.status is Status.SUBMITTED and len(reading.failures) > failures_told(task)


def look_failed(
    task: Task, now: datetime, rules: LookRules, fault: str, *, retry_after: timedelta | None = None
) -> Change:
    """Plan the next look after one that brought no usable answer; ``fault`` says why."""
    if task.work not in {Work.POLL, Work.LOOKUP}:
        return Change(task)
    tries = task.tries + 1
    if task.status is Status.LOST and tries >= LAST_TRIES:
        return Change(at_rest(task))
    if task.status in SETTLED_ENDS and (task.deadline_at is None or now >= task.deadline_at):
        return Change(at_rest(task))
    wait = max(back_off(tries, rules.jitter, base=2.0), retry_after or timedelta())
    return _believed(replace(task, tries=tries, fault=fault_in(fault), due_at=now + wait), now)


def looked_up(task: Task, found: "Found | None", now: datetime, rules: LookRules) -> Change:
    """Apply one search of the provider's log for a submit whose answer was lost."""
    if task.work is not Work.LOOKUP:
        return Change(task)
    task = replace(task, polls=task.polls + 1, tries=0, fault=None)
    if found is not None:
        task = replace(task, provider_task_id=found.provider_task_id)
        proceeded = evidence(task, now, rules.plan)
        # Finished already: its answer is waiting. Should there be none, the log's word will do for a failure.
        task = look_now(proceeded.task, now)
        if found.failed and task.status is Status.SUBMITTED:
            failed = TaskError(ErrorCode.PROVIDER, "the provider's log says that it failed")
            task = replace(task, doubt=failed, doubt_since=now)
        return replace(proceeded, task=task)
    if task.status is not Status.UNKNOWN:
        return Change(at_rest(task))
    due_at = _next_search(task, now, rules.lookups)
    if due_at is not None:
        return Change(replace(task, due_at=due_at))
    return lose(task, now, "the submit's answer was lost and the provider's log does not name it")


def _next_search(task: Task, now: datetime, lookups: tuple[timedelta, ...]) -> datetime | None:
    """Return when the log is searched again, None after the last of as many searches as there are moments for them.

    Where moments went by unused, as we were not there, the searches come at the same distances from one another: a
    log may name what is finished alone, and what was sent just before a stop need not be when the first one looks.
    """
    unknown_since = task.unknown_since or task.created_at
    for wait in lookups:
        if unknown_since + wait > now:
            return unknown_since + wait
    done = task.polls
    return now + lookups[done] - lookups[done - 1] if done < len(lookups) else None


@dataclass(frozen=True, slots=True)
class Found:
    """A lost submit as the provider's log names it."""

    provider_task_id: str
    failed: bool = False


def overdue(task: Task, now: datetime, lost_after: timedelta, *, askable: bool = True) -> Change | None:
    """Mark a task past its deadline, and give it up a day later; None when neither is so.

    Nothing is given up while a look at it is due, nor before one was answered, unless for a whole day none is: after
    a long stop of ours the provider is asked first. Not so when it is not ``askable``, as there is no adapter or no
    key for it any more.
    """
    if task.status not in {Status.SUBMITTED, Status.UNKNOWN} or task.deadline_at is None or now < task.deadline_at:
        return None
    marked = Event(EventType.TASK_OVERDUE, now, {"deadline_at": task.deadline_at.isoformat()})
    events = () if task.overdue else (marked,)
    too_late = now >= task.deadline_at + lost_after
    task = replace(task, overdue=True)
    asked = task.tries == 0 or task.tries >= MOST_FRUITLESS_LOOKS
    if too_late and (not askable or (asked and task.due_at is not None and task.due_at > now)):
        ended = _incomplete(task, now) if task.results else lose(task, now, "no outcome long after the deadline")
        return replace(ended, events=(*events, *ended.events))
    return Change(task, events) if events else None


def _incomplete(task: Task, now: datetime) -> Change:
    """Make do with the results there are, and say why the others are missing."""
    message = f"not all of {task.expected} results had an outcome long after the deadline"
    error = TaskError(ErrorCode.TIMEOUT, message)
    return finish(replace(at_rest(task), errors=(*task.errors, error)), now)


def lose(task: Task, now: datetime, message: str, code: ErrorCode | None = None) -> Change:
    """Stop waiting for a task; a result that comes later reopens it."""
    error = TaskError(code or (ErrorCode.TIMEOUT if task.submitted_at else ErrorCode.UNKNOWN), message)
    ended = replace(at_rest(task), status=Status.LOST, errors=(*task.errors, error), completed_at=now)
    return Change(ended, (Event(EventType.TASK_LOST, now, {"message": message}),))


def _after_the_end(task: Task, reading: Reading, report: NewReport, now: datetime) -> Change:
    """Count an answer to a question asked before the task ended; what a cancelled task cost and gave is recorded."""
    tells = bool(reading.outputs or reading.failures) and task.answer_digest != report.sha256
    if task.status is not Status.CANCELLED or not tells:
        return Change(at_rest(task))
    told = Event(EventType.POLL_ANSWERED, now, _summary(reading))
    return Change(at_rest(replace(task, answer_digest=report.sha256)), (told,), report=report)


def _silence(task: Task, now: datetime, rules: LookRules) -> Change:
    """The provider does not know the task, or does not know it yet: absence proves nothing."""
    if task.status is Status.SUBMITTED:
        if never_heard_of(task, now):
            return lose(task, now, "the provider knows no generation by this id", ErrorCode.NOT_FOUND)
        due_at = next_look(rules.plan, looks=task.polls, now=now, overdue=task.overdue, since=task.submitted_at)
        if task.doubt_since is not None and now - task.doubt_since < DOUBT:
            due_at = min(due_at, now + DOUBT_INTERVAL)
        return _believed(replace(task, work=Work.POLL, due_at=due_at), now)
    if task.status not in {Status.QUEUED, Status.UNKNOWN}:
        return Change(_not_yet_told(task, now, rules))
    if task.work is not Work.POLL:
        return Change(task)
    if rules.recovery is Recovery.RESEND and task.attempt_open_since is None and may_resend(task, now):
        return Change(replace(task, work=Work.SUBMIT, due_at=now))
    return Change(replace(task, due_at=next_look(rules.plan, looks=task.polls, now=now, overdue=True)))


def _settles_doubt(task: Task, reading: Reading) -> bool:
    """Tell whether an answer leaves nothing of a doubt: it refutes a failure, or tells of every outcome."""
    if reading.pending:
        return task.doubt != DISAGREEMENT and task.status is Status.SUBMITTED
    return len(reading.outputs) + len(reading.failures) >= task.expected


def _not_yet_told(task: Task, now: datetime, rules: LookRules, *, at_once: bool = False) -> Task:
    """Go on asking about results that only callbacks told and that are in doubt, until the deadline."""
    rested = asked_about(task)
    if rested.work is None or task.deadline_at is None or now >= task.deadline_at:
        return at_rest(task)
    planned = next_look(rules.plan, looks=task.polls, now=now, overdue=False, since=task.submitted_at)
    due_at = now if at_once else planned
    return replace(rested, due_at=due_at)


def _believed(task: Task, now: datetime) -> Change:
    """Believe a failure that only a callback told once the provider has been silent long enough."""
    told = task.doubt if task.status is Status.SUBMITTED and task.expected == 1 else None
    if told is None or told == DISAGREEMENT or task.doubt_since is None or now - task.doubt_since < DOUBT:
        return Change(task)
    return fail(task, told, now)


def _summary(reading: Reading) -> dict[str, object]:
    return {
        "outputs": len(reading.outputs),
        "failures": len(reading.failures),
        "pending": reading.pending,
        **({"oddities": list(reading.oddities)} if reading.oddities else {}),
    }
