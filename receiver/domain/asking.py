"""When the provider's own answer is due, because of what callbacks told or somebody wants to know."""

from datetime import datetime, timedelta

from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.report import Via
from receiver.domain.task import Status, Task, Work, at_rest
from receiver.domain.values import replace

#: Looks that a stranger can make due again and again are at least this far apart.
LOOK_GAP = timedelta(seconds=10)
#: How long nothing is asked about a task after an answer was set aside because settling it ended the process.
AFTER_DEATH = timedelta(minutes=30)
#: The doubt that stands where callbacks contradict each other, and not one of them tells of a failure.
DISAGREEMENT = TaskError(ErrorCode.UNKNOWN, "callbacks do not agree")
#: The ends that what lies in our storage decides, and decides anew when a result is replaced.
SETTLED_ENDS = frozenset({Status.SUCCEEDED, Status.PARTIAL, Status.FAILED})


def look_now(task: Task, now: datetime) -> Task:
    """Make the provider's own answer due at once, where there is something to ask about.

    A lost task is asked about once more; one whose submit is to be sent again is not, as sending it is asking.
    """
    if task.status in {Status.SUBMITTED, Status.COLLECTING}:
        work = Work.POLL
    elif task.status is Status.LOST:
        work = Work.POLL if task.provider_task_id else Work.LOOKUP
    elif task.status is Status.UNKNOWN and task.work in {Work.POLL, Work.LOOKUP}:
        work = task.work
    else:
        return task
    return replace(task, work=work, due_at=min(task.due_at or now, now))


def look_again(task: Task, now: datetime) -> Task:
    """Like ``look_now`` for a callback that was not kept, which a stranger can repeat: at once only the first time.

    It may have been the genuine one, so a task that ended by callbacks is looked at too, until its deadline.
    """
    if task.status in SETTLED_ENDS and task.deadline_at is not None and now < task.deadline_at:
        return verify(task, now)
    return look_now(task, now if task.polls == 0 else now + LOOK_GAP)


def verify(task: Task, now: datetime) -> Task:
    """Make the provider's own answer due because callbacks do not agree, also where they have ended the task.

    The doubt stays until an answer tells of every outcome, at the latest until the deadline. After the end the look
    is at once only the first time; how often is bounded by the callbacks that are kept of one task.
    """
    if task.status is Status.SUBMITTED or (task.status is Status.COLLECTING and _told_by_callback(task)):
        return _doubted(look_now(task, now), now)
    if task.status not in SETTLED_ENDS:
        return look_now(task, now)
    if not _told_by_callback(task):
        return task
    due_at = now if task.polls == 0 else now + LOOK_GAP
    return _doubted(replace(task, work=Work.POLL, due_at=min(task.due_at or due_at, due_at)), now)


def ask_later(task: Task, now: datetime) -> Task:
    """Put the next look off, as settling the last answer ended the process: an equal one may do so again."""
    if task.work is not Work.POLL or task.due_at is None:
        return task
    return replace(task, due_at=max(task.due_at, now + AFTER_DEATH))


def asked_about(task: Task) -> Task:
    """Return the task at rest, but for the look at results that callbacks alone told and that are in doubt."""
    rested = at_rest(task)
    if task.doubt is None or task.work is not Work.POLL or not _told_by_callback(task):
        return rested
    return replace(rested, work=task.work, due_at=task.due_at, doubt=task.doubt, doubt_since=task.doubt_since)


def _doubted(task: Task, now: datetime) -> Task:
    # What the provider has said before may contradict what callbacks told since: its next answer is news, also an
    # equal one.
    doubt, since = task.doubt or DISAGREEMENT, task.doubt_since or now
    return replace(task, doubt=doubt, doubt_since=since, answer_digest=None)


def _told_by_callback(task: Task) -> bool:
    """Tell whether there is a result that the provider may yet contradict."""
    return task.provider_task_id is not None and any(result.via is Via.CALLBACK for result in task.results)
