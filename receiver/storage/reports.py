"""What providers said: appended without a look at the task, claimed oldest first, read back whole."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, case, literal_column, null, or_, select, update

from receiver.domain.errors import TooManyBodiesError
from receiver.domain.report import NewReport, StoredReport, Verdict, Via
from receiver.domain.values import quick
from receiver.lifecycle.ports import Appended, BodyLimits, ReportSummary
from receiver.storage.chosen import Chosen
from receiver.storage.claim import Claim, Hold
from receiver.storage.firsts import store_firsts
from receiver.storage.judged import VERDICT
from receiver.storage.kept import NOTHING, kept_of
from receiver.storage.rows import Columns, NewRow, inbox_row, report_row
from receiver.storage.running import Ready, rows_of, run
from receiver.storage.saving import INBOX, REPORTS
from receiver.storage.statements import ForKeys, Insert
from receiver.storage.tables import erasures, inbox, report_counters, reports, rulings, tasks

# Each by itself: to ask an enumeration for a member takes longer than to compare it.
_ACCEPTED, _DUPLICATE = Appended.ACCEPTED, Appended.DUPLICATE
_ANY_ERASED = Ready("SELECT 1 FROM erasures LIMIT 1", ())
_ERASED = ForKeys(select(erasures.columns.task_key), erasures.columns.task_key)
_COUNT = Insert(
    report_counters,
    ("task_key", "extra_duplicates"),
    lambda new: {"extra_duplicates": report_counters.columns.extra_duplicates + new["extra_duplicates"]},
)

_original = reports.alias("original")
_WHOLE = select(
    reports.columns.id,
    reports.columns.task_key,
    reports.columns.provider,
    reports.columns.via,
    reports.columns.received_at,
    reports.columns.size,
    reports.columns.object_key,
    reports.columns.duplicate_of,
    reports.columns.doubt,
    reports.columns.body,
)
#: Bodies up to this many bytes are read for a whole batch at once.
SMALL = 8 * 1024
#: The larger ones of a batch are read up to so many bytes together, and one at least; the rest waits for the next.
ROOM = 4 * 1024 * 1024
_SMALL_BODIES = ForKeys(
    select(
        *_WHOLE.selected_columns[:-1],
        # Spelt out, as the keys are the only parameters of such a statement.
        case((reports.columns.size <= literal_column(str(SMALL)), reports.columns.body), else_=null()).label("body"),
    ),
    reports.columns.id,
)
_LINES = ForKeys(
    select(inbox.columns.report_id, inbox.columns.lease_owner).with_for_update(), inbox.columns.report_id
)
_GONE = UUID(int=0)
_IDS = ForKeys(select(reports.columns.id), reports.columns.id)
_BODY = select(reports.columns.body).where(reports.columns.id == bindparam("of_report"))

_NEXT = (
    select(inbox.columns.report_id)
    .where(or_(inbox.columns.lease_until.is_(None), inbox.columns.lease_until <= bindparam("now")))
    .order_by(inbox.columns.report_id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
CLAIM = (
    update(inbox)
    .where(Chosen(inbox, _NEXT))
    .values(
        lease_until=bindparam("until"),
        lease_owner=bindparam("owner"),
        attempts=inbox.columns.attempts + 1,
    )
    .returning(inbox.columns.report_id, inbox.columns.attempts)
)
SUMMARIES = (
    select(
        reports.columns.id,
        reports.columns.provider,
        reports.columns.via,
        reports.columns.received_at,
        reports.columns.size,
        reports.columns.sha256,
        reports.columns.sliced,
        reports.columns.duplicate_of,
        VERDICT,
        rulings.columns.reason,
    )
    .join_from(tasks, reports, reports.columns.task_key == tasks.columns.key)
    .outerjoin(rulings, rulings.columns.report_id == reports.columns.id)
    .where(tasks.columns.id == bindparam("task_id"))
    .order_by(reports.columns.received_at, reports.columns.id)
)


@quick
@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a report. ``free``: it has a line that anybody may claim; ``claimed``: one that is claimed
    until that moment, and the report as it waits to be settled.
    """

    outcome: Appended
    free: bool = False
    claimed: tuple[datetime, StoredReport] | None = None


_FREE = Stored(Appended.ACCEPTED, free=True)


def append(
    connection: Connection,
    asked: Sequence[tuple[NewReport, BodyLimits]],
    claim: Claim | None = None,
    hold: Hold | None = None,
) -> list[Stored | Exception]:
    """Store callbacks with their inbox lines; TooManyBodiesError for each that goes beyond its task's limits.

    With a ``claim`` the small ones are claimed at once, which counts as their first attempt; with a ``hold`` those of
    them that are the first of their task, where an engine stores these by a statement of their own.
    """
    # With a claim, whoever stores is the only one who writes.
    firsts: set[UUID] = set() if claim is not None else _stored_firsts(connection, asked, hold)
    if len(firsts) == len(asked):
        return [_first(report, hold) for report, _ in asked]
    # Each look for a UUID calls into Python, also where there is nothing to find.
    others = [report for report, _ in asked if report.id not in firsts] if firsts else [each for each, _ in asked]
    task_keys = {report.task_key for report in others}
    several = len(task_keys) < len(others)
    kept = kept_of(connection, task_keys, each=several)
    erased = _erased(connection, task_keys)
    outcomes: list[Stored | Exception] = []
    new_reports: list[NewRow] = []
    new_lines: list[NewRow] = []
    uncounted: dict[UUID, int] = {}
    for report, limits in asked:
        if firsts and report.id in firsts:
            outcomes.append(_first(report, hold))
            continue
        if erased and report.task_key in erased:
            # Whatever is still said of it is not to be kept; to whoever says it, it is nothing new.
            outcomes.append(Stored(_DUPLICATE))
            continue
        of_task = kept.get(report.task_key, NOTHING) if kept else NOTHING
        if of_task.ids and report.id in of_task.ids:
            # Stored by a statement whose answer was lost.
            outcomes.append(_first(report, hold))
            continue
        first = of_task.by_digest.get(report.sha256)
        if first is None and (of_task.bodies >= limits.bodies or of_task.size + report.size > limits.size):
            outcomes.append(TooManyBodiesError())
            continue
        outcome = _ACCEPTED if first is None else _DUPLICATE
        if first is not None and of_task.duplicates >= limits.duplicates:
            uncounted[report.task_key] = uncounted.get(report.task_key, 0) + 1
            outcomes.append(Stored(outcome))
            continue
        if several:
            of_task.add(report.id, report.via, report.size, report.sha256, repeats=first is not None)
        new_reports.append(report_row(report, first))
        if claim is None or not _is_small(report):
            new_lines.append(inbox_row(report))
            outcomes.append(Stored(outcome, free=True))
        else:
            new_lines.append(inbox_row(report, claim.until, claim.owner))
            outcomes.append(Stored(outcome, claimed=(claim.until, _as_stored(report, first))))
    dialect = connection.dialect
    run(connection, REPORTS.ready(dialect, new_reports))
    run(connection, INBOX.ready(dialect, new_lines))
    run(connection, _COUNT.ready(dialect, list(uncounted.items())))
    return outcomes


def _stored_firsts(
    connection: Connection, asked: Sequence[tuple[NewReport, BodyLimits]], hold: Hold | None
) -> set[UUID]:
    fitting = [report for report, limits in asked if report.size <= limits.size]
    if hold is None:
        return store_firsts(connection, fitting)
    large = store_firsts(connection, [report for report in fitting if not _is_small(report)])
    return large | store_firsts(connection, [report for report in fitting if _is_small(report)], hold)


def _first(report: NewReport, hold: Hold | None) -> Stored:
    if hold is None or not _is_small(report):
        return _FREE
    # By our own clock, and from before the database began to count.
    return Stored(_ACCEPTED, claimed=(report.received_at + hold.lease, _as_stored(report, None)))


def _is_small(report: NewReport) -> bool:
    return report.object_key is None and report.size <= SMALL


def _as_stored(report: NewReport, duplicate_of: UUID | None) -> StoredReport:
    # In the order of the fields: by name it takes half as long again.
    return StoredReport(
        report.id,
        report.task_key,
        report.provider,
        report.via,
        report.received_at,
        b"" if duplicate_of is not None else report.body,
        report.size,
        None,
        duplicate_of,
        1,
        report.doubt,
    )


def _erased(connection: Connection, task_keys: set[UUID]) -> set[UUID]:
    """Return which of these tasks are erased; where nothing ever was, that costs next to nothing."""
    if not rows_of(connection, _ANY_ERASED):
        return set()
    return {task_key for (task_key,) in _ERASED.rows(connection, list(task_keys))}


def lease(connection: Connection, claim: Claim, unread: Sequence[UUID] = ()) -> dict[UUID, int]:
    """Claim the oldest inbox lines nobody holds; return how often each has been claimed, by report.

    A line that was claimed before and never settled is claimed alone: should it end the process once more, the others
    had no part in it. ``unread`` are lines claimed earlier whose bodies could not be read: they are given back first.
    """
    if unread:
        give_back(connection, unread, claim.owner)
    rows = connection.execute(
        CLAIM, {"now": claim.now, "until": claim.until, "owner": claim.owner, "most": claim.limit}
    )
    claimed: dict[UUID, int] = dict(rows.all())
    if len(claimed) <= 1 or max(claimed.values()) == 1:
        return claimed
    oldest = sorted(claimed)
    suspect = next(place for place, report_id in enumerate(oldest) if claimed[report_id] > 1)
    kept = oldest[: max(suspect, 1)]
    give_back(connection, oldest[len(kept) :], claim.owner)
    return {report_id: claimed[report_id] for report_id in kept}


def defer(connection: Connection, report_id: UUID, due_at: datetime, owner: UUID) -> None:
    """Put a line of ours off, if it still is: nobody holds it then, and nobody may before ``due_at``."""
    connection.execute(
        update(inbox)
        .where(inbox.columns.report_id == report_id, inbox.columns.lease_owner == owner)
        .values(lease_until=due_at, lease_owner=None, attempts=inbox.columns.attempts - 1)
    )


def bodies(connection: Connection, claimed: dict[UUID, int]) -> tuple[list[StoredReport], list[UUID]]:
    """Return claimed reports with their bodies, oldest first, and those for whose bodies there is no room now.

    A duplicate has no body here, nor has one that lies in the artifact store.
    """
    found = [_stored(row, claimed[row[0]]) for row in _SMALL_BODIES.rows(connection, list(claimed))]
    taken: list[StoredReport] = []
    left: list[UUID] = []
    room = ROOM
    for report in sorted(found, key=lambda report: report.received_at):
        whole = report.size <= SMALL or report.object_key is not None or report.duplicate_of is not None
        if whole:
            taken.append(report)
        elif report.size <= room or room == ROOM:
            body: bytes | None = connection.scalar(_BODY, {"of_report": report.id})
            taken.append(replace(report, body=body or b""))
            room -= report.size
        else:
            left.append(report.id)
    return taken, left


def give_back(connection: Connection, report_ids: Sequence[UUID], owner: UUID) -> None:
    """Let claimed lines be claimed again at once, the attempt uncounted, unless somebody else has them by now."""
    connection.execute(
        update(inbox)
        .where(inbox.columns.report_id.in_(report_ids), inbox.columns.lease_owner == owner)
        .values(lease_until=None, lease_owner=None, attempts=inbox.columns.attempts - 1)
    )


def taken_over(connection: Connection, report_ids: Sequence[UUID], owner: UUID) -> set[UUID]:
    """Return those of the reports that another instance has claimed or settled by now; lock the lines of the rest."""
    lines = {row[0]: row[1] for row in _LINES.rows(connection, sorted(report_ids))}
    return {report_id for report_id in report_ids if lines.get(report_id, _GONE) not in {None, owner}}


def one(connection: Connection, report_id: UUID) -> StoredReport | None:
    """Return a report with its body; a duplicate with the body of the report it repeats."""
    row = connection.execute(whole(report_id)).one_or_none()
    if row is None:
        return None
    *_, original_key, original_body, attempts = row
    report = _stored(row, attempts or 0)
    if report.duplicate_of is None or original_body is None:
        return report
    return replace(report, body=original_body, object_key=original_key)


def known(connection: Connection, report_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the reports that are stored."""
    return {report_id for (report_id,) in _IDS.rows(connection, report_ids)}


def whole(report_id: UUID) -> Select[*tuple[Any, ...]]:
    """Return the statement that finds one report, the body of the one it repeats, and its line in the inbox."""
    return (
        _WHOLE.add_columns(_original.columns.object_key, _original.columns.body, inbox.columns.attempts)
        .outerjoin(_original, _original.columns.id == reports.columns.duplicate_of)
        .outerjoin(inbox, inbox.columns.report_id == reports.columns.id)
        .where(reports.columns.id == report_id)
    )


def summaries(connection: Connection, task_id: UUID) -> list[ReportSummary]:
    """Return the reports of a task, oldest first, without their bodies."""
    return [
        ReportSummary(
            id=report_id,
            provider=provider,
            via=Via(via),
            received_at=received_at,
            size=size,
            sha256=sha256,
            sliced=sliced,
            duplicate_of=duplicate_of,
            verdict=None if verdict is None else Verdict(verdict),
            reason=reason,
        )
        for report_id, provider, via, received_at, size, sha256, sliced, duplicate_of, verdict, reason in (
            connection.execute(SUMMARIES, {"task_id": task_id})
        )
    ]


def _stored(row: Columns, attempts: int) -> StoredReport:
    report_id, task_key, provider, via, received_at, size, object_key, duplicate_of, doubt, body, *_ = row
    return StoredReport(
        id=report_id,
        task_key=task_key,
        provider=provider,
        via=Via(via),
        received_at=received_at,
        body=body or b"",
        size=size,
        object_key=object_key,
        duplicate_of=duplicate_of,
        attempts=attempts,
        doubt=doubt,
    )
