"""The usual look: it finds a task under way, as the one before did. Decided in one step.

It is what nearly every look is, and little of a task has to be known to make it and to decide on it. ``looking``
comes to the same change by its rules, on the whole task; a test holds the two against each other. Whatever is not
quite usual is left to the rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from receiver.domain.looking import LookRules
from receiver.domain.report import Reading
from receiver.domain.request import TaskRequest
from receiver.domain.schedule import next_look
from receiver.domain.task import Status, Work
from receiver.domain.values import quick

#: What a task is, field by field, that is looked at as usual: not overdue, in no doubt, not quiet, and the last look
#: had an answer.
USUAL: Mapping[str, object] = MappingProxyType(
    {
        "status": Status.SUBMITTED,
        "work": Work.POLL,
        "overdue": False,
        "tries": 0,
        "fault": None,
        "doubt": None,
        "doubt_since": None,
        "quiet_since": None,
    }
)


@quick
@dataclass(frozen=True, slots=True)
class Watched:
    """As much of a task that is due for a look as it takes to look; the fields are the task's.

    It ``is_usual`` where the task is as ``USUAL`` says.
    """

    key: UUID
    id: UUID
    request: TaskRequest
    model: str
    provider_task_id: str | None
    pushed: bool
    submitted_at: datetime | None
    polls: int
    callbacks: int
    due_at: datetime
    answer_digest: bytes | None
    is_usual: bool

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.request.provider


@quick
@dataclass(frozen=True, slots=True)
class Look:
    """A usual look at a ``task``: it is counted, and moves when the task was and is to be looked at; nothing else."""

    task: Watched
    due_at: datetime
    looked_at: datetime


def usual_look(
    task: Watched, reading: Reading, digest: bytes, now: datetime, rules: LookRules, asked_at: datetime
) -> Look | None:
    """Return the usual look, where an answer says as before that a task is under way and no more; else None."""
    if not (task.is_usual and reading.pending) or task.answer_digest != digest:
        return None
    if reading.outputs or reading.failures:
        return None
    due_at = next_look(rules.plan, looks=task.polls + 1, now=now, overdue=False, since=task.submitted_at)
    return Look(task, due_at, asked_at)
