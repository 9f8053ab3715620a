"""What we keep: the queues, the tasks and the reports, each write one durable transaction."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar
from uuid import UUID

from receiver.domain.errors import ReceiverError, TaskError
from receiver.domain.learning import Known
from receiver.domain.report import NewReport, StoredReport, Verdict, Via
from receiver.domain.standing import Standing
from receiver.domain.statistics import Statistics
from receiver.domain.task import Change, Status, Task, Work
from receiver.domain.usual import Done
from receiver.domain.values import Word, quick
from receiver.domain.watched import Look, Watched
from receiver.lifecycle.ports.custody import Custody
from receiver.lifecycle.ports.decision import Decide, Decision
from receiver.lifecycle.ports.inputs import Inputs
from receiver.lifecycle.ports.insight import Insight
from receiver.lifecycle.ports.outbox import Outbox
from receiver.lifecycle.ports.sessions import EndedSessions


class Queue(Word):
    """The kinds of work that fall due; a hint names one of them."""

    SUBMIT = "submit"
    POLL = "poll"
    LOOKUP = "lookup"
    SETTLE = "settle"
    COLLECT = "collect"
    NOTIFY = "notify"


Answer = TypeVar("Answer")
#: Changes how we stand with a provider; the second argument is now, in seconds by the clock that standings go by.
ChangeStanding = Callable[[Standing, float], tuple[Standing, Answer]]


class Appended(Word):
    """What became of a report that was handed to the store."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"


@quick
@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How much one task may make us keep: different bodies, bytes of all of them, duplicates noted singly."""

    bodies: int = 64
    size: int = 192 * 1024 * 1024
    duplicates: int = 64


@dataclass(frozen=True, slots=True)
class ArtifactWork:
    """A leased artifact: which result of which task to collect."""

    task: Task
    result_id: UUID


@dataclass(frozen=True, slots=True)
class Pause:
    """A provider that takes nothing from us: until when, and why."""

    provider: str
    until: datetime
    error: TaskError


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks to list, newest first. ``before_key`` continues a listing after that task."""

    status: Status | None = None
    provider: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    limit: int = 50
    before_key: UUID | None = None


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as stored: ``id`` orders all events, ``seq`` those of one task without a gap from 1."""

    id: int
    task_id: UUID
    seq: int
    type: str
    at: datetime
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """A report without its body, for listings."""

    id: UUID
    provider: str
    via: Via
    received_at: datetime
    size: int
    sha256: bytes
    sliced: bool
    duplicate_of: UUID | None
    verdict: Verdict | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Erasing:
    """What erasing does to one task: the change to its husk, and the objects that go, each with a moment.

    Until that moment the name is kept: the object may be made again by whoever works on the task now.
    """

    change: Change
    objects: Mapping[str, datetime]


#: Decides what erasing does to a task, inside the transaction; pure, as it may run more than once.
PlanErasing = Callable[[Task], Erasing]


@dataclass(frozen=True, slots=True)
class RuledFilter:
    """Judged reports to list, oldest first: of a task, of a provider, since a moment, or behind one (``after``)."""

    task_id: UUID | None = None
    provider: str | None = None
    since: datetime | None = None
    after: UUID | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class RuledReport:
    """A report and what settling made of it. ``task_id`` is None when its task is not known."""

    id: UUID
    task_id: UUID | None
    verdict: Verdict
    reason: str | None


@dataclass(frozen=True, slots=True)
class UnderWay:
    """How many tasks of a provider stand at a status that is not the end; those past their deadline apart."""

    provider: str
    status: Status
    overdue: bool
    tasks: int


class TakenError(ReceiverError):
    """Another task already stands for this generation of the provider; ``task_id`` is its public id."""

    def __init__(self, task_id: UUID) -> None:
        super().__init__(f"task {task_id} already stands for this generation")
        self.task_id = task_id


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, by the id of the API key, and the idempotency key under which asking again is no new task."""

    id: str
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Once:
    """A name under which one caller may ask for one task any number of times within a day.

    ``digest`` is the sha256 of what was asked, after validation and defaults.
    """

    caller: str
    name: str
    digest: bytes


class Store(Custody, Protocol):
    """What we keep. Every write is one transaction, durable (fsynced) when the call returns.

    All writes raise UnavailableError when the database cannot take them; then nothing was written.
    """

    async def create(self, change: Change, once: Once | None = None) -> UUID | None:
        """Insert a new task with its events, or return the id of the task that ``once`` already stands for.

        Raises TakenError when its provider task id is another task's, ReusedKeyError when ``once`` stands for a
        request with another digest, InvalidRequestError when it names an input that there is not.
        """

    async def apply(self, decisions: Sequence[Decision]) -> list[Change | None]:
        """Apply decisions in order, in one transaction, and return what each did.

        Decisions about one task see each other's changes. A decision that raises is undone alone: its reports are
        quarantined with the error's name and its place in the answer is None. A decision whose task does not exist
        quarantines its reports.
        """

    async def look(self, looks: Sequence[Look]) -> list[bool]:
        """Write looks at leased tasks and give these back; tell of each whether that was done.

        It was not where the task is no longer as it was seen: what was found has to be decided on it as it is now.
        """

    async def settle(self, decisions: Sequence[Decision]) -> list[Done | None]:
        """Apply decisions as ``apply`` does, those that are ``usual`` by what little of their tasks that needs."""

    def append(self, report: NewReport, limits: BodyLimits) -> "asyncio.Future[Appended]":
        """Store a callback and its inbox line without touching the task.

        Raises TooManyBodiesError beyond the limits. Concurrent calls share a transaction (group commit). It is
        stored whether or not anybody waits for the future.
        """

    async def lease_tasks(
        self,
        work: Work,
        provider: str,
        *,
        now: datetime,
        limit: int,
        lease: timedelta,
        decide: Decide | None = None,
    ) -> list[Task]:
        """Claim due tasks, earliest due first; with ``decide`` also change each in the same transaction.

        Returns the tasks as they are afterwards, those whose lease was kept: a task whose ``decide`` returned None
        or whose ``work`` changed is released at once and left out.
        """

    async def lease_looks(self, provider: str, *, now: datetime, limit: int, lease: timedelta) -> list[Watched]:
        """Claim tasks that are due for a look, earliest due first."""

    async def prolong_tasks(self, task_keys: Sequence[UUID], *, now: datetime, lease: timedelta) -> None:
        """Let claims on tasks last ``lease`` from now on, those that are this instance's still."""

    async def lease_inbox(
        self, *, now: datetime, limit: int, lease: timedelta, in_hand: bool = False
    ) -> list[StoredReport]:
        """Claim reports to settle, oldest first, counting the attempt before any body is read.

        Large bodies are few at a time, and at least one: those that are left are claimed by the next call. A report
        that was claimed before and never settled comes alone. ``in_hand``: only such as this instance claimed when it
        stored them, small ones that nobody has begun with. Raises UnavailableError, which counts no attempt.
        """

    async def defer_report(self, report_id: UUID, due_at: datetime) -> None:
        """Give a claimed report back until ``due_at``, the attempt uncounted."""

    async def lease_artifacts(self, *, now: datetime, limit: int, lease: timedelta) -> list[ArtifactWork]:
        """Claim results to collect, in the order in which the links of the due die; nobody waits for ever.

        One without such a link counts as one that dies a day after falling due, and so does one whose link is dead.
        """

    async def prolong_artifacts(self, result_ids: Sequence[UUID], *, now: datetime, lease: timedelta) -> set[UUID]:
        """Let claims on artifacts last ``lease`` from now on; return those that are this instance's still."""

    async def release_artifact(self, result_id: UUID) -> None:
        """Give an artifact back without a change."""

    async def next_due(self) -> Mapping[Queue, datetime]:
        """Return when the next unleased work of each queue falls due; a queue without work is absent."""

    async def void_leases(self) -> None:
        """Forget every lease; for a start of the only process that can hold one."""

    async def make_due(self, *, provider: str, now: datetime) -> int:
        """Make every pushed task in flight of a provider due for a look at once; return how many."""

    async def last_moment(self) -> datetime | None:
        """Return when the newest event was recorded, by the clock of that time; None when there is none."""

    async def follow_clock(self, *, by: timedelta, now: datetime, longest_lease: timedelta) -> None:
        """Let plans keep their distance from a clock that was set by so much, to ``now``.

        No lease ends later than ``longest_lease`` from now: one that does is from before.
        """

    async def look_at(self, task_key: UUID, now: datetime) -> None:
        """Make one task in flight due for a look: at once, or a little later when it has been looked at before."""

    async def overdue(
        self, now: datetime, lost_after: timedelta, limit: int, *, askable: Collection[str]
    ) -> list[UUID]:
        """Return keys of tasks past their deadline and not yet marked, or to be given up ``lost_after`` beyond it.

        ``askable`` names the providers that can be asked: of their tasks none is given up while a look is due.
        """

    async def abandoned(self, older_than: datetime, limit: int, *, providers: Collection[str]) -> list[UUID]:
        """Return keys of tasks no longer waiting to be sent whose attempt has been open since before that time.

        Only those of ``providers``: nobody can close an attempt of another one.
        """

    async def pause(self, pause: Pause) -> None:
        """Record that a provider rests; a later end replaces an earlier one."""

    async def release_pause(self, provider: str) -> None:
        """Let a provider go on."""

    async def pauses(self) -> Mapping[str, Pause]:
        """Return the pauses by provider, ended ones included."""

    async def change_standing(self, provider: str, change: ChangeStanding[Answer], *, now: datetime) -> Answer:
        """Change how we stand with a provider, one caller after the other, and return the answer of ``change``.

        The moment that ``change`` is told is ``now`` where no clock is shared, else that of the shared one.
        """

    async def standings(self) -> Mapping[str, Standing]:
        """Return what ``change_standing`` keeps, by provider."""

    async def due(self, work: Work, provider: str, *, now: datetime, limit: int) -> int:
        """Count the tasks that ``lease_tasks`` would claim now, up to ``limit``."""

    async def task(self, task_id: UUID) -> Task | None:
        """Return the task with this public id."""

    async def tasks(self, wanted: TaskFilter) -> list[Task]:
        """Return tasks, newest first."""

    async def erase(self, task_keys: Sequence[UUID], plan: PlanErasing) -> tuple[int, Sequence[str]]:
        """Erase tasks that are not erased yet, in one transaction: their husks stay, all else about them goes.

        Returns how many those were, and the names of all objects that are now to be removed. These names are kept
        in the same transaction, so that a crash leaves none that nobody knows. From then on no decision changes
        such a task, and reports that come for it are not kept.
        """

    async def events(self, task_id: UUID | None, *, after: int = 0, limit: int = 1000) -> list[RecordedEvent]:
        """Return events with an id above ``after``, of one task or of all, oldest first."""

    async def last_event(self) -> int:
        """Return the id of the newest event that ``events`` would return, 0 when there is none."""

    async def known_reports(self, report_ids: Sequence[UUID]) -> set[UUID]:
        """Return those of the reports that are stored."""

    async def reports(self, task_id: UUID) -> list[ReportSummary]:
        """Return the reports of a task, oldest first."""

    async def ruled(self, wanted: RuledFilter) -> tuple[list[RuledReport], UUID | None]:
        """Return judged reports, but not mere repeats; and the report to go on behind, None when there are no more.

        One call looks at so many reports and no more: a page may be short, even empty, before the last.
        """

    async def report(self, report_id: UUID) -> StoredReport | None:
        """Return one report with its body (that of the report it repeats, for a duplicate)."""

    async def statistics(self, since: datetime | None) -> list[Statistics]:
        """Return the figures of tasks under way and of those that ended since a moment, by provider and model."""

    async def known(self, providers: Collection[str]) -> list[Known]:
        """Return how long the latest tasks of every model of these providers were waited for."""

    async def under_way(self) -> list[UnderWay]:
        """Count the tasks that have not ended. The cost grows with these alone."""

    async def ping(self) -> None:
        """Prove that a write would be taken now; raise UnavailableError else."""

    @property
    def insight(self) -> Insight:
        """What somebody asks who looks over everything."""

    @property
    def outbox(self) -> Outbox:
        """Endpoints, and what is on its way to them."""

    @property
    def inputs(self) -> Inputs:
        """What callers uploaded."""

    @property
    def sessions(self) -> EndedSessions:
        """Who signed out."""

    @property
    def trouble(self) -> str | None:
        """Why the last change could not be written, in a few words; None once one was."""
