"""What rows and the artifact store owe each other: no object that nobody knows of, none taken away that is named."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from receiver.domain.task import Task

#: Names what lies in the artifact store for a task, each with the moment from which it may be removed.
NameObjects = Callable[[Task], Mapping[str, datetime]]


class Custody(Protocol):
    """Who makes an object, and who removes it. Several rows may name one."""

    async def claim_object(self, object_key: str, holder: UUID, *, now: datetime, lease: timedelta) -> bool:
        """Say that ``holder`` is about to make an object; False while somebody is removing it.

        The claim ends with a decision of that holder, and lasts a lease when it is not prolonged with that on its
        artifact. An object whose claim ran out is removed, unless something names it.
        """

    async def condemn(
        self, now: datetime, limit: int, *, lease: timedelta, only: Collection[str] | None = None
    ) -> list[str]:
        """Return objects that nothing names and nobody makes, for the caller to remove within ``lease``.

        Until then nobody else removes them, and until they are forgotten nobody makes them. ``only`` narrows it to
        some of those that are to be removed.
        """

    async def put_off_objects(self, object_keys: Sequence[str], until: datetime) -> None:
        """Leave condemned objects that could not be removed alone until then."""

    async def forget_objects(self, object_keys: Sequence[str]) -> None:
        """Forget the names of condemned objects that are removed."""

    async def links_dying(self, *, before: datetime, waits_since: datetime) -> int:
        """Count results without their audio whose link is dead by a moment: those tried before, or due since then."""

    async def with_audio(self, ended_before: datetime, limit: int) -> list[UUID]:
        """Return the eldest tasks with audio that ended before a moment and of which nothing is under way."""

    async def retire_carriers(self, task_keys: Collection[UUID], ended_before: datetime) -> None:
        """Delete the reports of those of such tasks that carry audio in their own bytes."""

    async def retire_reports(self, ended_before: datetime, limit: int) -> int:
        """Delete reports of such tasks, and those of tasks that are not known and as old; return how many."""

    async def retire_tasks(self, ended_before: datetime, limit: int, objects: NameObjects) -> int:
        """Delete such tasks with all that belongs to them, what they name in the artifact store too; say how many."""
