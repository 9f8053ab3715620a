"""Looking over everything at a bounded cost: the newest reports, and the latest tasks of every model."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Row, Select, bindparam, func, literal_column, select

from receiver.domain.attempt import Attempt, AttemptOutcome
from receiver.domain.report import Verdict, Via
from receiver.domain.task import Status
from receiver.lifecycle.ports.insight import Ended, Lately, Said, SaidFilter
from receiver.storage import finding, overlooking
from receiver.storage.engine import Engine
from receiver.storage.judged import Verdicts, judged
from receiver.storage.statements import ForKeys
from receiver.storage.statistics import ENDED
from receiver.storage.tables import SET_ASIDE, attempts, reports, rulings, tasks
from receiver.storage.types import total
from receiver.storage.waits import models

#: Reports that one call looks at: some 10 ms.
SCANNED = 1000
#: Tasks of each end that are counted: a millisecond or two of a walk over an index that holds all of it.
COUNTED = 3_000

_REPORTS = (
    reports.columns.id,
    reports.columns.task_key,
    reports.columns.provider,
    reports.columns.via,
    reports.columns.received_at,
    reports.columns.size,
    reports.columns.content_type,
    reports.columns.duplicate_of,
)
_Report = Row[UUID, UUID, str, str, datetime, int, str | None, UUID | None]
_TASKS = ForKeys(select(tasks.columns.key, tasks.columns.id, tasks.columns.status), tasks.columns.key)
_OF_TASK = select(tasks.columns.key).where(tasks.columns.id == bindparam("of_id")).scalar_subquery()
ATTEMPT = select(
    attempts.columns.ordinal,
    attempts.columns.started_at,
    attempts.columns.ended_at,
    attempts.columns.outcome,
    attempts.columns.http_status,
    attempts.columns.detail,
    attempts.columns.sent,
    attempts.columns.answered,
).where(attempts.columns.task_key == _OF_TASK, attempts.columns.ordinal == bindparam("of_ordinal"))
ON_THE_WIRE = (
    select(attempts.columns.ordinal)
    .where(attempts.columns.task_key == _OF_TASK, attempts.columns.sent.is_not(None))
    .limit(SCANNED)
)
ONE = select(*_REPORTS).where(reports.columns.id == bindparam("of_report"))

_LATEST = (
    select(tasks.columns.completed_at, tasks.columns.polls, tasks.columns.missed, tasks.columns.cost_micros)
    .where(
        ENDED,
        tasks.columns.provider == bindparam("of_provider"),
        tasks.columns.model == bindparam("of_model"),
        tasks.columns.status == bindparam("of_status"),
    )
    .order_by(tasks.columns.completed_at.desc())
    .limit(COUNTED)
    .subquery("latest")
)
LATELY = select(
    func.count(),
    func.min(_LATEST.columns.completed_at),
    total(_LATEST.columns.polls),
    func.count(_LATEST.columns.missed),
    func.count().filter(_LATEST.columns.missed),
    total(_LATEST.columns.cost_micros),
)


class SqlInsight:
    """``receiver.lifecycle.ports.Insight`` in a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def said(self, wanted: SaidFilter) -> tuple[list[Said], UUID | None]:
        return await self._engine.read(lambda connection: said(connection, wanted))

    async def said_once(self, report_id: UUID) -> Said | None:
        return await self._engine.read(lambda connection: said_once(connection, report_id))

    async def ended(self, *, since: datetime, slot: timedelta, slots: int, providers: Collection[str]) -> list[Ended]:
        return await self._engine.read(
            lambda connection: list(
                overlooking.ended(connection, since=since, slot=slot, slots=slots, providers=providers)
            )
        )

    async def named(self, text: str, providers: Collection[str]) -> list[UUID]:
        return await self._engine.read(lambda connection: finding.named(connection, text, providers))

    async def lately(self, providers: Collection[str]) -> list[Lately]:
        return await self._engine.read(lambda connection: lately(connection, providers))

    async def attempt(self, task_id: UUID, ordinal: int) -> Attempt | None:
        return await self._engine.read(lambda connection: attempt(connection, task_id, ordinal))

    async def on_the_wire(self, task_id: UUID) -> set[int]:
        return await self._engine.read(lambda connection: set(connection.scalars(ON_THE_WIRE, {"of_id": task_id})))


def attempt(connection: Connection, task_id: UUID, ordinal: int) -> Attempt | None:
    """Return one attempt."""
    row = connection.execute(ATTEMPT, {"of_id": task_id, "of_ordinal": ordinal}).one_or_none()
    if row is None:
        return None
    number, started_at, ended_at, outcome, *rest = row
    return Attempt(number, started_at, ended_at, None if outcome is None else AttemptOutcome(outcome), *rest)


def said(connection: Connection, wanted: SaidFilter) -> tuple[list[Said], UUID | None]:
    """Return reports, newest first, and the one to go on behind, None when there are no more."""
    rows = connection.execute(scan(wanted)).all()
    verdicts = _judged(connection, rows)
    fitting = [
        row
        for row in rows
        if (wanted.set_aside or row[3] == Via.CALLBACK.value)
        and wanted.provider in {None, row[2]}
        and (wanted.verdict is None or verdicts.get(row[0], ("", None))[0] == wanted.verdict.value)
    ]
    page = fitting[: wanted.limit]
    found = _told(connection, page, verdicts)
    if len(fitting) > wanted.limit:
        return found, page[-1][0]
    return found, rows[-1][0] if len(rows) == SCANNED else None


def said_once(connection: Connection, report_id: UUID) -> Said | None:
    """Return one report without its body."""
    rows = connection.execute(ONE, {"of_report": report_id}).all()
    return next(iter(_told(connection, rows, _judged(connection, rows))), None)


def scan(wanted: SaidFilter) -> Select[UUID, UUID, str, str, datetime, int, str | None, UUID | None]:
    """Return the statement that finds the reports to look at, the last to come first."""
    if wanted.set_aside:
        # From the index of those alone: they are few among many.
        of_report = rulings.columns.report_id
        statement = (
            select(*_REPORTS)
            .join_from(rulings, reports, reports.columns.id == of_report)
            .where(literal_column(SET_ASIDE))
        )
    else:
        of_report = reports.columns.id
        statement = select(*_REPORTS)
    if wanted.before is not None:
        statement = statement.where(of_report < wanted.before)
    return statement.order_by(of_report.desc()).limit(SCANNED)


def lately(connection: Connection, providers: Collection[str]) -> list[Lately]:
    """Return the figures of the latest tasks of every model of these providers."""
    return [
        figures
        for provider in sorted(providers)
        # The nameless ones, which were adopted, first.
        for model in ("", *models(connection, provider))
        if (figures := _lately(connection, provider, model)) is not None
    ]


def _lately(connection: Connection, provider: str, model: str) -> Lately | None:
    counts: dict[Status, int] = {}
    polls = awaited = missed = 0
    costs: list[int] = []
    since: datetime | None = None
    capped = False
    for status in Status:
        if not status.terminal:
            continue
        named = {"of_provider": provider, "of_model": model, "of_status": status.value}
        count, oldest, asked, due, late, cost = connection.execute(LATELY, named).one()
        counts[status] = count
        polls, awaited, missed = polls + (asked or 0), awaited + due, missed + late
        if cost is not None:
            costs.append(cost)
        if oldest is not None and count == COUNTED:
            capped = True
            since = oldest if since is None else max(since, oldest)
    if not any(counts.values()):
        return None
    return Lately(provider, model, counts, polls, awaited, missed, sum(costs) if costs else None, since, capped)


def _judged(connection: Connection, rows: Sequence[_Report]) -> Verdicts:
    return judged(connection, [row[0] for row in rows])


def _told(connection: Connection, rows: Sequence[_Report], verdicts: Verdicts) -> list[Said]:
    of = {row[0]: (row[1], row[2]) for row in _TASKS.rows(connection, list({row[1] for row in rows}))}
    lines = []
    for report_id, task_key, provider, via, received_at, size, content_type, duplicate_of in rows:
        task_id, status = of.get(task_key, (None, None))
        verdict, reason = verdicts.get(report_id, (None, None))
        lines.append(
            Said(
                id=report_id,
                task_id=task_id,
                status=None if status is None else Status(status),
                provider=provider,
                via=Via(via),
                received_at=received_at,
                size=size,
                content_type=content_type,
                duplicate_of=duplicate_of,
                verdict=None if verdict is None else Verdict(verdict),
                reason=reason,
            )
        )
    return lines
