"""The store: every port of the lifecycle on one engine. What a method does lies in the module of its concern."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

from sqlalchemy import Connection

from receiver.domain.asking import look_again
from receiver.domain.learning import Known
from receiver.domain.report import NewReport, StoredReport
from receiver.domain.standing import Standing
from receiver.domain.statistics import Statistics
from receiver.domain.task import Change, Task, Work
from receiver.domain.usual import Done
from receiver.domain.values import replace
from receiver.domain.watched import Look, Watched
from receiver.lifecycle.ports import (
    Answer,
    Appended,
    ArtifactWork,
    BodyLimits,
    ChangeStanding,
    Decide,
    Decision,
    Erasing,
    Once,
    Pause,
    PlanErasing,
    Queue,
    RecordedEvent,
    ReportSummary,
    RuledFilter,
    RuledReport,
    TaskFilter,
    UnderWay,
)
from receiver.storage import deciding, erasing, leases, replaying, reports, sharing, statistics, sweeping, views
from receiver.storage.claim import Claim
from receiver.storage.claiming import Claims, Moment
from receiver.storage.custodian import Custodian
from receiver.storage.engine import Engine, open_sqlite
from receiver.storage.hints import Hints, in_touch
from receiver.storage.inbox import Inbox
from receiver.storage.inputs import SqlInputs
from receiver.storage.insight import SqlInsight
from receiver.storage.installing import made_ready, probe
from receiver.storage.looks import Looks
from receiver.storage.migrations import NEWEST, upgrade
from receiver.storage.naming import Asked
from receiver.storage.outbox import SqlOutbox
from receiver.storage.places import file_of, is_shared, named
from receiver.storage.serving import Finish
from receiver.storage.sessions import SqlEndedSessions
from receiver.storage.sqlite import held, make_private, refuse_lost, written
from receiver.storage.standings import all_standings, change_standing
from receiver.storage.tables import artifacts, tasks
from receiver.storage.waits import known

#: The hint that events were written.
EVENTS = "events"


class SqlStore(Custodian):
    """``receiver.lifecycle.ports.Store`` in a database. ``owner`` is the name under which this instance leases.

    ``on_change`` is told every change to a task once it is durable, unless its caller was cancelled meanwhile.
    ``moment`` says what time it is to leases, where that is not to be the engine's own word.
    """

    def __init__(
        self,
        engine: Engine,
        installation_id: bytes,
        owner: UUID,
        on_change: Callable[[Sequence[Done]], None],
        moment: Moment | None = None,
        hints: Hints | None = None,
        *,
        settles: bool = False,
    ) -> None:
        super().__init__(engine, Claims(engine, owner, moment))
        self._hints = hints
        self._on_change = on_change
        self.installation_id = installation_id
        self.insight, self.outbox = SqlInsight(engine), SqlOutbox(engine, self._claims)
        self.inputs, self.sessions = SqlInputs(engine), SqlEndedSessions(engine)
        # A new task is a dozen rows, a report is two.
        self._create = engine.gather(self._created, weigh=lambda _: 4)
        self._inbox = Inbox(engine, self._claims, settles=settles)
        self._looks = Looks(engine, self._claims)
        self._decide = engine.gather_prepared(self._prepare, weigh=len)

    async def create(self, change: Change, once: Once | None = None) -> UUID | None:
        earlier = await self._create((change, once))
        if earlier is None:
            self._on_change((change,))
        return earlier

    async def apply(self, decisions: Sequence[Decision]) -> list[Change | None]:
        # Whoever asks here is answered with changes alone.
        whole = [decision if decision.usual is None else replace(decision, usual=None) for decision in decisions]
        changes = cast("list[Change | None]", await self._decide(whole)) if whole else []
        self._on_change([change for change in changes if change is not None])
        return changes

    async def look(self, looks: Sequence[Look]) -> list[bool]:
        return await self._looks.write(looks)

    async def settle(self, decisions: Sequence[Decision]) -> list[Done | None]:
        done = await self._decide(decisions) if decisions else []
        self._on_change([each for each in done if each is not None])
        return done

    def append(self, report: NewReport, limits: BodyLimits) -> "asyncio.Future[Appended]":
        return self._inbox.append(report, limits)

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
        def claimed(connection: Connection, claim: Claim) -> tuple[list[Task], dict[UUID, Change]]:
            made: dict[UUID, Change] = {}

            def noted(task: Task) -> Change | None:
                change = decide(task) if decide else None
                if change is not None:
                    made[task.key] = change
                return change

            return leases.lease_tasks(connection, work, provider, claim, noted if decide else None), made

        leased, made = await self._claims.make(tasks, now, limit, lease, claimed, kind=f"{work.value} {provider}")
        self._on_change(list(made.values()))
        return leased

    async def lease_looks(self, provider: str, *, now: datetime, limit: int, lease: timedelta) -> list[Watched]:
        return await self._looks.lease(provider, now, limit, lease)

    async def prolong_tasks(self, task_keys: Sequence[UUID], *, now: datetime, lease: timedelta) -> None:
        def prolonged(connection: Connection) -> None:
            leases.prolong_tasks(connection, task_keys, self._claims.claim(connection, now, len(task_keys), lease))

        await self._engine.write(prolonged)

    async def lease_inbox(
        self, *, now: datetime, limit: int, lease: timedelta, in_hand: bool = False
    ) -> list[StoredReport]:
        return await self._inbox.lease(now=now, limit=limit, lease=lease, in_hand=in_hand)

    async def defer_report(self, report_id: UUID, due_at: datetime) -> None:
        await self._inbox.defer(report_id, due_at)

    async def lease_artifacts(self, *, now: datetime, limit: int, lease: timedelta) -> list[ArtifactWork]:
        return await self._claims.make(artifacts, now, limit, lease, leases.lease_artifacts)

    async def prolong_artifacts(self, result_ids: Sequence[UUID], *, now: datetime, lease: timedelta) -> set[UUID]:
        return await self._engine.write(
            lambda connection: leases.prolong_artifacts(
                connection, result_ids, self._claims.claim(connection, now, len(result_ids), lease)
            )
        )

    async def release_artifact(self, result_id: UUID) -> None:
        await self._engine.write(lambda connection: leases.release_artifact(connection, result_id, self._owner))

    async def next_due(self) -> Mapping[Queue, datetime]:
        return await self._engine.read(leases.next_due)

    async def void_leases(self) -> None:
        # Those who share the database hold leases too; an instance that ended leaves its own to run out.
        whose = self._owner if self._engine.shared else None
        await self._engine.write(lambda connection: leases.void(connection, whose))

    async def make_due(self, *, provider: str, now: datetime) -> int:
        made = 0
        while batch := await self._engine.write(
            lambda connection: sweeping.make_due(connection, provider=provider, now=now)
        ):
            made += batch
        return made

    async def last_moment(self) -> datetime | None:
        return await self._engine.read(sweeping.last_moment)

    async def follow_clock(self, *, by: timedelta, now: datetime, longest_lease: timedelta) -> None:
        await self._engine.write(
            lambda connection: sweeping.follow_clock(connection, by=by, now=now, longest_lease=longest_lease)
        )

    async def look_at(self, task_key: UUID, now: datetime) -> None:
        await self._decide([Decision(task_key, lambda task: Change(look_again(task, now)))])

    async def overdue(
        self, now: datetime, lost_after: timedelta, limit: int, *, askable: Collection[str]
    ) -> list[UUID]:
        lost_before = now - lost_after
        return await self._engine.read(
            lambda connection: sweeping.overdue(
                connection, now=now, lost_before=lost_before, limit=limit, askable=askable
            )
        )

    async def abandoned(self, older_than: datetime, limit: int, *, providers: Collection[str]) -> list[UUID]:
        return await self._engine.read(
            lambda connection: sweeping.abandoned(connection, before=older_than, limit=limit, providers=providers)
        )

    async def pause(self, pause: Pause) -> None:
        await self._engine.write(lambda connection: sweeping.pause(connection, pause))

    async def release_pause(self, provider: str) -> None:
        await self._engine.write(lambda connection: sweeping.release_pause(connection, provider))

    async def pauses(self) -> Mapping[str, Pause]:
        return await self._engine.read(sweeping.pauses)

    async def change_standing(self, provider: str, change: ChangeStanding[Answer], *, now: datetime) -> Answer:
        def changed(connection: Connection) -> Answer:
            return change_standing(connection, provider, change, self._claims.moment(connection, now).timestamp())

        return await self._engine.write(changed)

    async def standings(self) -> Mapping[str, Standing]:
        return await self._engine.read(all_standings)

    async def due(self, work: Work, provider: str, *, now: datetime, limit: int) -> int:
        return await self._engine.read(
            lambda connection: leases.due(
                connection, work, provider, self._claims.claim(connection, now, limit, timedelta())
            )
        )

    async def task(self, task_id: UUID) -> Task | None:
        return await self._engine.read(lambda connection: views.task(connection, task_id))

    async def tasks(self, wanted: TaskFilter) -> list[Task]:
        return await self._engine.read(lambda connection: views.listed(connection, wanted))

    async def erase(self, task_keys: Sequence[UUID], plan: PlanErasing) -> tuple[int, Sequence[str]]:
        def work(connection: Connection) -> tuple[tuple[int, Sequence[str]], dict[UUID, Change]]:
            made: dict[UUID, Change] = {}

            def noted(task: Task) -> Erasing:
                planned = plan(task)
                made[task.key] = planned.change
                return planned

            return erasing.erase(connection, task_keys, noted), made

        erased, made = await self._engine.write(work)
        self._on_change(list(made.values()))
        return erased

    async def events(self, task_id: UUID | None, *, after: int = 0, limit: int = 1000) -> list[RecordedEvent]:
        upto = await self._whole() if task_id is None else None
        return await self._engine.read(
            lambda connection: views.timeline(connection, task_id, after=after, limit=limit, upto=upto)
        )

    async def last_event(self) -> int:
        upto = await self._whole()
        return await self._engine.read(lambda connection: views.last_event(connection, upto))

    async def known_reports(self, report_ids: Sequence[UUID]) -> set[UUID]:
        return await self._engine.read(lambda connection: reports.known(connection, report_ids))

    async def reports(self, task_id: UUID) -> list[ReportSummary]:
        return await self._engine.read(lambda connection: reports.summaries(connection, task_id))

    async def ruled(self, wanted: RuledFilter) -> tuple[list[RuledReport], UUID | None]:
        return await self._engine.read(lambda connection: replaying.ruled(connection, wanted))

    async def report(self, report_id: UUID) -> StoredReport | None:
        return await self._engine.read(lambda connection: reports.one(connection, report_id))

    async def statistics(self, since: datetime | None) -> list[Statistics]:
        return await self._engine.read(lambda connection: statistics.statistics(connection, since))

    async def known(self, providers: Collection[str]) -> list[Known]:
        return await self._engine.read(lambda connection: known(connection, providers))

    async def under_way(self) -> list[UnderWay]:
        return await self._engine.read(statistics.under_way)

    async def ping(self) -> None:
        await self._engine.write(probe)

    @property
    def trouble(self) -> str | None:
        return self._engine.trouble

    async def let_go(self) -> None:
        """Give back what this instance holds and has not begun with."""
        await self._inbox.close()

    def hint(self, queue: Queue) -> None:
        """Let others who share the database know that there may be work of a kind."""
        if self._hints is not None:
            self._hints.say(queue)

    @property
    def shared(self) -> bool:
        """Whether other processes work on this store too."""
        return self._engine.shared

    async def _whole(self) -> int | None:
        """Return the id up to which no event can appear any more, None where that is so of all there are.

        Asked before the look at the events themselves begins: a view of the database is as old as its beginning.
        """
        return await self._engine.read(sharing.whole) if self._engine.shared else None

    def _created(self, connection: Connection, asked: Sequence[Asked]) -> list[UUID | Exception | None]:
        if self._engine.shared:
            sharing.one_at_a_time(connection, [once for _, once in asked if once is not None])
        return deciding.create(connection, asked)

    def _prepare(
        self, connection: Connection, asked: Sequence[Sequence[Decision]], breathe: Callable[[], None]
    ) -> Finish[list[Done | None]]:
        if self._engine.shared:
            asked = sharing.without_taken_over(connection, asked, self._owner)
        return deciding.prepare(connection, asked, self._owner, breathe)


@asynccontextmanager
async def open_store(
    database: str | Path,
    *,
    on_commit: Callable[[int], None] | None = None,
    on_change: Callable[[Sequence[Done]], None] = lambda _: None,
    on_hint: Callable[[str], None] | None = None,
    moment: Moment | None = None,
    settles: bool = False,
) -> AsyncIterator[SqlStore]:
    """Open the store at a path or a URL (``sqlite:///…``, ``postgresql://…``), its schema brought to the newest form.

    ``on_commit`` is told after each commit how many calls it made durable, perhaps in another thread; ``on_change``
    is told the changes to tasks, by the event loop, and must not raise. ``on_hint`` is told that others who share the
    database have written something: the name of a queue, or ``EVENTS``. ``settles``: what is appended here is leased
    here too, and may go from hand to hand. Raises DatabaseInUseError, NewerSchemaError, UnavailableError, and
    ValueError for a URL that is none or names an engine that is not supported.
    """
    hints: Hints | None = None

    def committed(calls: int) -> None:
        if on_commit is not None:
            on_commit(calls)
        if hints is not None:
            hints.say(EVENTS)

    async with AsyncExitStack() as stack:
        if is_shared(database):
            from receiver.storage.postgres import open_postgres  # noqa: PLC0415 - as its driver, only where it is used

            engine: Engine = await stack.enter_async_context(open_postgres(str(database), on_commit=committed))
            saying: AbstractContextManager[None] = nullcontext()
        else:
            path = file_of(database)
            engine, saying = await stack.enter_async_context(open_sqlite(path, on_commit=on_commit)), named(path)
        with saying:
            installation_id = await engine.write(lambda connection: made_ready(connection, engine))
            owner = await engine.read(engine.draw)
        if engine.shared and on_hint is not None:
            words = (EVENTS, *Queue)
            hints = await stack.enter_async_context(in_touch(str(database), owner.hex(), words, on_hint))
        store = SqlStore(engine, installation_id, UUID(bytes=owner), on_change, moment, hints, settles=settles)
        try:
            yield store
        finally:
            await store.let_go()


def migrate(database: str | Path) -> str:
    """Bring the schema to its newest form and return its revision. Raises what ``open_store`` raises."""
    if is_shared(database):
        # A command of its own, which has no event loop.
        asyncio.run(_opened_once(str(database)))
        return NEWEST
    path = file_of(database)
    refuse_lost(path)
    make_private(path)
    with named(path), held(path), written(path) as connection:
        return upgrade(connection)


async def _opened_once(database: str) -> None:
    async with open_store(database):
        pass
