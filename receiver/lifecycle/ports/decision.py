"""A change to one task, as a step hands it to the store: decided there, on what is then true."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from receiver.domain.task import Change, Task
from receiver.domain.usual import Arrival, Waiting
from receiver.domain.values import quick

Decide = Callable[[Task], Change | None]
#: Returns None for what has to be decided on the whole task.
Take = Callable[[Waiting], Arrival | None]


@quick
@dataclass(frozen=True, slots=True)
class Decision:
    """A change to one task, decided inside the transaction on what is then true.

    ``decide`` is pure: it may run more than once, and None means nothing changes. ``reports`` are the inbox lines
    this decision closes, applied or not. ``release`` gives the task's lease back. ``objects`` were put into the
    artifact store for this change: should the task be erased by now, they are removed. With a ``holder`` they were
    claimed by it (see ``Custody``): the decision is taken only while these claims stand and ends them; what the task
    does not name then is removed unless others do.
    ``usual`` comes to the same as ``decide`` on less than the whole task: ``Store.settle`` asks it about a task that
    waits for its first result, is in no doubt and is held by nobody. Its ``reports`` are then that of the arrival.
    """

    task_key: UUID
    decide: Decide
    reports: tuple[UUID, ...] = ()
    release: bool = False
    objects: tuple[str, ...] = ()
    holder: UUID | None = None
    usual: Take | None = None
