"""Operate: what a user does to a task that exists: stop waiting for it, have it looked at now."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from receiver.domain.errors import AlreadyTerminalError, NotFoundError
from receiver.domain.operation import cancel as cancelled
from receiver.domain.operation import refresh as refreshed
from receiver.domain.task import Change, Task
from receiver.lifecycle.ports import Decision, Ports, Queue


async def cancel(ports: Ports, task_id: UUID) -> Task:
    """Stop waiting for a task and return it; again for one that was cancelled before.

    Raises NotFoundError, AlreadyTerminalError, UnavailableError.
    """
    return await _operate(ports, task_id, cancelled)


async def refresh(ports: Ports, task_id: UUID) -> Task:
    """Have a task looked at now and return it. Raises NotFoundError, AlreadyTerminalError, UnavailableError."""
    task = await _operate(ports, task_id, refreshed)
    ports.wake(Queue.POLL)
    ports.wake(Queue.LOOKUP)
    return task


async def _operate(ports: Ports, task_id: UUID, act: Callable[[Task, datetime], Change]) -> Task:
    found = await ports.store.task(task_id)
    if found is None:
        raise NotFoundError
    now = ports.system.now()
    refusals: list[AlreadyTerminalError] = []

    def decide(task: Task) -> Change | None:
        refusals.clear()
        try:
            return act(task, now)
        except AlreadyTerminalError as error:
            refusals.append(error)
            return None

    [change] = await ports.store.apply([Decision(found.key, decide)])
    if change is None:
        raise refusals[0] if refusals else NotFoundError
    return change.task
