"""What pages for people ask over many tasks: how they ended, over time."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, func, select

from receiver.domain.task import Status
from receiver.lifecycle.ports.insight import Ended
from receiver.storage.statistics import ENDED
from receiver.storage.tables import tasks
from receiver.storage.types import Moment, Slot, Span
from receiver.storage.waits import models

_SLOT = Slot(tasks.columns.completed_at, bindparam("since", type_=Moment), bindparam("slot", type_=Span))
#: The ended tasks of one model and status in a stretch of time, by slot: a stretch of the index that holds all of it.
ENDED_IN = (
    select(
        _SLOT.label("slot"),
        func.count(),
        func.count(tasks.columns.missed),
        func.count().filter(tasks.columns.missed),
    )
    .where(
        ENDED,
        tasks.columns.provider == bindparam("of_provider"),
        tasks.columns.model == bindparam("of_model"),
        tasks.columns.status == bindparam("of_status"),
        tasks.columns.completed_at >= bindparam("since", type_=Moment),
        tasks.columns.completed_at < bindparam("until", type_=Moment),
    )
    .group_by(_SLOT)
)
_ENDS = tuple(status for status in Status if status.terminal)


def ended(
    connection: Connection, *, since: datetime, slot: timedelta, slots: int, providers: Collection[str]
) -> Iterable[Ended]:
    """Yield how many tasks ended in each slot, those of one provider and status together."""
    for provider in sorted(providers):
        for status in _ENDS:
            counts: dict[int, tuple[int, int, int]] = {}
            for model in ("", *models(connection, provider)):
                named = {
                    "of_provider": provider,
                    "of_model": model,
                    "of_status": status.value,
                    "since": since,
                    "until": since + slot * slots,
                    "slot": slot,
                }
                for at, *figures in connection.execute(ENDED_IN, named):
                    before = counts.get(at, (0, 0, 0))
                    counts[at] = (before[0] + figures[0], before[1] + figures[1], before[2] + figures[2])
            yield from (Ended(at, provider, status, *figures) for at, figures in sorted(counts.items()))
