"""What was made of reports. Of nearly all nothing is written: one that waits no more, and about which nothing was
ruled, was settled. A row to say so for each would be a tenth of what settling it writes.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, case, exists, literal_column, null, select

from receiver.domain.report import Verdict
from receiver.storage.statements import ForKeys
from receiver.storage.tables import inbox, reports, rulings

#: The verdict on each report, and the reason if there is one.
Verdicts = Mapping[UUID, tuple[str, str | None]]

_WAITING = ForKeys(select(inbox.columns.report_id), inbox.columns.report_id)
_RULINGS = ForKeys(
    select(rulings.columns.report_id, rulings.columns.verdict, rulings.columns.reason), rulings.columns.report_id
)
_SETTLED = Verdict.SETTLED.value

#: The verdict on a report, where ``rulings`` are joined to it by an outer join; NULL while it waits.
VERDICT: ColumnElement[str | None] = case(
    (rulings.columns.verdict.is_not(None), rulings.columns.verdict),
    (exists().where(inbox.columns.report_id == reports.columns.id), null()),
    else_=literal_column(f"'{_SETTLED}'"),
)


def judged(connection: Connection, report_ids: Sequence[UUID]) -> Verdicts:
    """Return the verdicts on reports; those that wait are left out."""
    # First: what is settled between the two questions would else be neither waiting nor ruled.
    waiting = {row[0] for row in _WAITING.rows(connection, report_ids)}
    ruled = {row[0]: (row[1], row[2]) for row in _RULINGS.rows(connection, report_ids)}
    return {
        report_id: ruled.get(report_id, (_SETTLED, None))
        for report_id in report_ids
        if report_id in ruled or report_id not in waiting
    }
