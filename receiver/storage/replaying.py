"""Judged reports in the order they came, a bounded piece at a time."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Select, select

from receiver.domain.report import Verdict
from receiver.lifecycle.ports import RuledFilter, RuledReport
from receiver.storage.judged import judged
from receiver.storage.statements import ForKeys
from receiver.storage.tables import reports, tasks

#: Reports that one call looks at: some 10 ms.
SCANNED = 2000
#: A report's key is made before its moment is taken.
_BEFORE_MILLISECONDS = 60_000

_TASKS = ForKeys(select(tasks.columns.key, tasks.columns.id), tasks.columns.key)


def ruled(connection: Connection, wanted: RuledFilter) -> tuple[list[RuledReport], UUID | None]:
    """Return judged reports, and the one to go on behind, None when there are no more."""
    rows = connection.execute(scan(wanted)).all()
    verdicts = judged(connection, [row[0] for row in rows])
    fitting = [
        (report_id, task_key)
        for report_id, task_key, provider, received_at, duplicate_of in rows
        if report_id in verdicts
        and duplicate_of is None
        and wanted.provider in {None, provider}
        and (wanted.since is None or received_at >= wanted.since)
    ]
    page = fitting[: wanted.limit]
    known = {row[0]: row[1] for row in _TASKS.rows(connection, list({task_key for _, task_key in page}))}
    found = [
        RuledReport(report_id, known.get(task_key), Verdict(verdicts[report_id][0]), verdicts[report_id][1])
        for report_id, task_key in page
    ]
    if len(fitting) > wanted.limit:
        return found, page[-1][0]
    return found, rows[-1][0] if len(rows) == SCANNED else None


def scan(wanted: RuledFilter) -> Select[UUID, UUID, str, datetime, UUID | None]:
    """Return the statement that finds the reports to look at, in the order of their keys and so of their coming."""
    statement = select(
        reports.columns.id,
        reports.columns.task_key,
        reports.columns.provider,
        reports.columns.received_at,
        reports.columns.duplicate_of,
    )
    if wanted.task_id is not None:
        own = select(tasks.columns.key).where(tasks.columns.id == wanted.task_id).scalar_subquery()
        statement = statement.where(reports.columns.task_key == own)
    elif wanted.since is not None:
        statement = statement.where(reports.columns.id >= _first_key(wanted.since))
    if wanted.after is not None:
        statement = statement.where(reports.columns.id > wanted.after)
    return statement.order_by(reports.columns.id).limit(SCANNED)


def _first_key(moment: datetime) -> UUID:
    """Return a UUID below every v7 from a moment on: RFC 9562, section 5.7, milliseconds in the first 48 bits."""
    return UUID(int=max(0, int(moment.timestamp() * 1000) - _BEFORE_MILLISECONDS) << 80)
