"""How a task ends: once the outcome of all its results is known, and once the audio of each is stored or given up."""

from datetime import datetime

from receiver.domain.asking import SETTLED_ENDS, asked_about
from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.event import Event, EventType
from receiver.domain.result import ArtifactStatus
from receiver.domain.submission import fail
from receiver.domain.task import Change, Status, Task
from receiver.domain.values import replace


def finish(task: Task, now: datetime) -> Change:
    """Say that the outcome of every result is known: collect what there is, or fail.

    Where callbacks told of a result and are in doubt, the provider is asked all the same.
    """
    if not task.results:
        error = task.errors[-1] if task.errors else TaskError(ErrorCode.UNKNOWN, "the provider gave no result")
        return fail(replace(task, errors=task.errors[:-1]), error, now)
    task = replace(asked_about(task), status=Status.COLLECTING, settled_at=task.settled_at or now)
    settled = Event(
        EventType.TASK_SETTLED,
        now,
        {"results": len(task.results), "failed": max(0, task.expected - len(task.results))},
    )
    ended = complete(task, now)
    return replace(ended, events=(settled, *ended.events))


def complete(task: Task, now: datetime) -> Change:
    """End a collecting task once no artifact is pending.

    One that has ended, and of which a result was replaced since, gets the status that is now true, and no event.
    """
    statuses = [result.artifact.status for result in task.results if not result.late]
    if not statuses or ArtifactStatus.PENDING in statuses:
        return Change(task)
    stored = statuses.count(ArtifactStatus.STORED)
    if stored >= task.expected:
        status, event = Status.SUCCEEDED, EventType.TASK_SUCCEEDED
    elif stored:
        status, event = Status.PARTIAL, EventType.TASK_PARTIAL
    else:
        status, event = Status.FAILED, EventType.TASK_FAILED
    if task.status in SETTLED_ENDS:
        return Change(task if task.status is status else replace(task, status=status))
    if task.status is not Status.COLLECTING:
        return Change(task)
    data: dict[str, object] = {"stored": stored, "expected": task.expected}
    if status is Status.FAILED:
        data["code"] = ErrorCode.ARTIFACT_UNAVAILABLE.value
    ended = replace(asked_about(task), status=status, completed_at=now)
    return Change(ended, (Event(event, now, data),))


def failures_told(task: Task) -> int:
    """Count the failures the provider told of; our own in fetching audio stand beside them."""
    return 0 if not task.errors else sum(error.code is not ErrorCode.ARTIFACT_UNAVAILABLE for error in task.errors)
