"""The first report of a task: stored together with its line in the inbox, by one statement that commits by itself.

That is nearly every callback there is. Looked for, stored and committed one after the other, a batch of them is six
ways to a database that is not in this process, and nobody is answered meanwhile.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, Dialect, exists, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from receiver.domain.report import NewReport
from receiver.storage.faults import fault
from receiver.storage.rows import REPORT_COLUMNS, report_row
from receiver.storage.running import rows_alone
from receiver.storage.statements import Converters, column_wise, compiled_text, takes_arrays, unnested, writers_of
from receiver.storage.tables import erasures, inbox, reports

_COLUMNS = tuple(reports.columns[name] for name in REPORT_COLUMNS)
_texts: dict[str, tuple[str, Converters]] = {}


def store_firsts(connection: Connection, asked: Sequence[NewReport]) -> set[UUID]:
    """Store reports whose tasks have none yet and are not erased; return the ids of those that were stored.

    They are durable then, whatever becomes of the transaction that may follow: whoever tries again finds them under
    their ids. None is where the engine has no way for it, where a transaction has begun, or where one of the reports
    cannot be stored. Raises only what is a fault of the database.
    """
    if not takes_arrays(connection.dialect):
        return set()
    first = {report.task_key: report for report in reversed(asked)}
    text, converters = _text(connection.dialect)
    stored: set[UUID] = set()
    for ready in column_wise([report_row(report) for report in first.values()], text, converters):
        try:
            found = rows_alone(connection, ready)
        except Exception as error:
            if fault(error) is not None:
                raise
            # Which of them it is, is found out where each can be undone by itself.
            return stored
        if found is None:
            return stored
        stored.update(report_id for (report_id,) in found)
    return stored


def _text(dialect: Dialect) -> tuple[str, Converters]:
    known = _texts.get(dialect.name)
    if known is None:
        new = unnested(_COLUMNS)
        unheard_of = (
            ~exists().where(of.columns.task_key == new.columns.task_key).correlate(new)
            for of in (reports.alias("earlier"), erasures)
        )
        rows = select(new).where(*unheard_of)
        stored = insert(reports).from_select([*REPORT_COLUMNS], rows)
        made = stored.returning(reports.columns.id, reports.columns.received_at).cte("stored")
        line = select(made.columns.id, made.columns.received_at, literal_column("0"))
        lines = insert(inbox).from_select(["report_id", "due_at", "attempts"], line)
        text = compiled_text(lines.returning(inbox.columns.report_id), dialect, list(REPORT_COLUMNS))
        known = _texts[dialect.name] = text, writers_of(_COLUMNS, dialect)
    return known
