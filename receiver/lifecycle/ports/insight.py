"""What somebody asks who looks over everything: what providers said lately, and how their latest tasks went."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from receiver.domain.attempt import Attempt
from receiver.domain.report import Verdict, Via
from receiver.domain.task import Status


@dataclass(frozen=True, slots=True)
class SaidFilter:
    """Which reports to list, newest first: callbacks, or with ``set_aside`` whatever was not simply believed.

    ``verdict`` and ``provider`` narrow it down. ``before`` continues a listing behind that report.
    """

    set_aside: bool = False
    verdict: Verdict | None = None
    provider: str | None = None
    before: UUID | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Said:
    """A report without its body, and what was made of it: nothing yet while ``verdict`` is None.

    ``task_id`` and ``status`` are None when its task is not known.
    """

    id: UUID
    task_id: UUID | None
    status: Status | None
    provider: str
    via: Via
    received_at: datetime
    size: int
    content_type: str | None
    duplicate_of: UUID | None
    verdict: Verdict | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Lately:
    """Figures of the tasks of one model that ended last, so many of each end as are counted and no more.

    ``capped``: there were more; all that ended since ``since`` are counted. ``model`` is empty where it is not known.
    ``awaited``, ``missed`` and ``cost_micros`` are as in Statistics.
    """

    provider: str
    model: str
    counts: Mapping[Status, int]
    polls: int
    awaited: int
    missed: int
    cost_micros: int | None
    since: datetime | None
    capped: bool

    @property
    def tasks(self) -> int:
        """How many tasks these are."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Ended:
    """How many tasks of a provider ended so in one slot of time, counted from 0.

    ``awaited`` counts those with results for which a callback was due, ``missed`` those of them of which a result
    became known by our own looking.
    """

    slot: int
    provider: str
    status: Status
    tasks: int
    awaited: int
    missed: int


class Insight(Protocol):
    """Reads that no step needs, and whose cost does not grow with what is kept."""

    async def said(self, wanted: SaidFilter) -> tuple[list[Said], UUID | None]:
        """Return reports, newest first, and the one to go on behind, None when there are no more.

        One call looks at so many reports and no more: a page may be short, even empty, before the last.
        """

    async def said_once(self, report_id: UUID) -> Said | None:
        """Return one report without its body."""

    async def lately(self, providers: Collection[str]) -> list[Lately]:
        """Return the figures of every model of these providers whose tasks have ended."""

    async def ended(self, *, since: datetime, slot: timedelta, slots: int, providers: Collection[str]) -> list[Ended]:
        """Count the tasks that ended in each of ``slots`` slots of equal length, from ``since`` on.

        The cost grows with the tasks that ended in that time.
        """

    async def named(self, text: str, providers: Collection[str]) -> list[UUID]:
        """Return the public ids of the tasks that an id belongs to, at most ten, the newest first.

        It may be ours, the provider's, or that of a result (ours or the provider's), of a report or of a delivery.
        """

    async def attempt(self, task_id: UUID, ordinal: int) -> Attempt | None:
        """Return one attempt of a task with what went over the wire."""

    async def on_the_wire(self, task_id: UUID) -> set[int]:
        """Return which attempts of a task have something of what went over the wire, the first thousand at most."""
