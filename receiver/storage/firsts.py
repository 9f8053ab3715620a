"""The first report of a task: stored together with its line in the inbox, by one statement that commits by itself.

That is nearly every callback there is. Looked for, stored and committed one after the other, a batch of them is six
ways to a database that is not in this process, and nobody is answered meanwhile.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Dialect, Interval, bindparam, exists, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from receiver.domain.report import NewReport
from receiver.storage.claim import Hold
from receiver.storage.faults import fault
from receiver.storage.rows import REPORT_COLUMNS, report_row
from receiver.storage.running import Ready, rows_alone
from receiver.storage.statements import Converters, column_wise, compiled_text, takes_arrays, unnested, writers_of
from receiver.storage.tables import erasures, inbox, reports
from receiver.storage.types import Key, Moment

_COLUMNS = tuple(reports.columns[name] for name in REPORT_COLUMNS)
_LINE = ("report_id", "due_at", "attempts", "lease_until", "lease_owner")
_UNTIL = bindparam("until", type_=Moment)
_LEASE = bindparam("lease", type_=Interval)
_OWNER = bindparam("owner", type_=Key)
_texts: dict[tuple[str, bool], tuple[str, Converters]] = {}


def store_firsts(connection: Connection, asked: Sequence[NewReport], hold: Hold | None = None) -> set[UUID]:
    """Store reports whose tasks have none yet and are not erased; return the ids of those that were stored.

    With a ``hold`` their lines are claimed at once, which counts as their first attempt.

    They are durable then, whatever becomes of the transaction that may follow: whoever tries again finds them under
    their ids. None is where the engine has no way for it, where a transaction has begun, or where one of the reports
    cannot be stored. Raises only what is a fault of the database.
    """
    if not asked or not takes_arrays(connection.dialect):
        return set()
    first = {report.task_key: report for report in reversed(asked)}
    text, converters = _text(connection.dialect, holds=hold is not None)
    claimed = () if hold is None else (hold.until, hold.lease, hold.owner)
    stored: set[UUID] = set()
    for ready in column_wise([report_row(report) for report in first.values()], text, converters):
        try:
            found = rows_alone(connection, Ready(ready.text, (*claimed, *ready.parameters)))
        except Exception as error:
            if fault(error) is not None:
                raise
            # Which of them it is, is found out where each can be undone by itself.
            return stored
        if found is None:
            return stored
        stored.update(report_id for (report_id,) in found)
    return stored


def _text(dialect: Dialect, *, holds: bool) -> tuple[str, Converters]:
    known = _texts.get((dialect.name, holds))
    if known is None:
        new = unnested(_COLUMNS)
        unheard_of = (
            ~exists().where(of.columns.task_key == new.columns.task_key).correlate(new)
            for of in (reports.alias("earlier"), erasures)
        )
        rows = select(new).where(*unheard_of)
        stored = insert(reports).from_select([*REPORT_COLUMNS], rows)
        made = stored.returning(reports.columns.id, reports.columns.received_at).cte("stored")
        line: list[ColumnElement[Any]] = [
            made.columns.id,
            made.columns.received_at,
            literal_column("1" if holds else "0"),
        ]
        if holds:
            line += [func.coalesce(_UNTIL, func.clock_timestamp() + _LEASE), _OWNER]
        lines = insert(inbox).from_select(_LINE[: len(line)], select(*line))
        # What stands within WITH is numbered last.
        names = [*(given.key for given in (_UNTIL, _LEASE, _OWNER) if holds), *REPORT_COLUMNS]
        text = compiled_text(lines.returning(inbox.columns.report_id), dialect, names)
        known = _texts[dialect.name, holds] = text, writers_of(_COLUMNS, dialect)
    return known
