"""What a user may do to a task that is under way: stop waiting for it, or have it looked at now."""

from datetime import datetime

from receiver.domain.asking import look_now
from receiver.domain.errors import AlreadyTerminalError
from receiver.domain.event import Event, EventType
from receiver.domain.task import Change, Status, Task, at_rest
from receiver.domain.values import replace


def cancel(task: Task, now: datetime) -> Change:
    """Stop waiting for a task; nothing changes when that was done before.

    The provider goes on: what it says later is still recorded, and audio already known is still collected. Raises
    AlreadyTerminalError for a task that has ended otherwise.
    """
    if task.status is Status.CANCELLED:
        return Change(task)
    _refuse_ended(task)
    ended = replace(at_rest(task), status=Status.CANCELLED, completed_at=now)
    return Change(ended, (Event(EventType.TASK_CANCELLED, now, {"was": task.status.value}),))


def refresh(task: Task, now: datetime) -> Change:
    """Make a look at the task due at once; one that is not sent yet stays as it is.

    A lost task is asked about once more. Raises AlreadyTerminalError for a task that has ended otherwise.
    """
    if task.status is not Status.LOST:
        _refuse_ended(task)
    return Change(look_now(task, now))


def _refuse_ended(task: Task) -> None:
    if task.status.terminal:
        raise AlreadyTerminalError(f"the task has already ended: {task.status}")
