"""Statistics: one walk over an index that holds what is asked for, and a look at the latest durations."""

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, func, literal_column, select

from receiver.domain.statistics import Statistics, percentile
from receiver.domain.task import Status
from receiver.lifecycle.ports import UnderWay
from receiver.storage.tables import tasks
from receiver.storage.types import total

#: How many of the latest tasks, of each status with audio, tell how long a model takes.
LATEST = 10_000
_WITH_AUDIO = (Status.SUCCEEDED, Status.PARTIAL)
_FIGURES = (
    tasks.columns.provider,
    tasks.columns.model,
    tasks.columns.status,
    func.count(),
    total(tasks.columns.polls),
    func.count(tasks.columns.missed),
    func.count().filter(tasks.columns.missed),
    total(tasks.columns.cost_micros),
)
_GROUP = (tasks.columns.provider, tasks.columns.model, tasks.columns.status)
#: Spelt out as in the index of ended tasks, which is otherwise not used.
ENDED: ColumnElement[bool] = literal_column("completed_at IS NOT NULL")
# Spelt out too: a plan for any states would be one for most of the table.
_OPEN = tasks.columns.status.in_([literal_column(f"'{status.value}'") for status in Status if not status.terminal])
UNDER_WAY = select(*_FIGURES).where(_OPEN).group_by(*_GROUP)
#: Fewer figures of the same: how many there are, also for whoever asks every few seconds.
COUNTED = (
    select(tasks.columns.provider, tasks.columns.status, tasks.columns.overdue, func.count())
    .where(_OPEN)
    .group_by(tasks.columns.provider, tasks.columns.status, tasks.columns.overdue)
)
DURATIONS = (
    select(tasks.columns.submitted_at, tasks.columns.completed_at)
    .where(
        ENDED,
        tasks.columns.provider == bindparam("of_provider"),
        tasks.columns.model == bindparam("of_model"),
        tasks.columns.status == bindparam("of_status"),
    )
    .order_by(tasks.columns.completed_at.desc())
    .limit(LATEST)
)

_Figures = Row[str, str, str, int, int, int, int, int | None]


def statistics(connection: Connection, since: datetime | None) -> list[Statistics]:
    """Return the figures by provider and model: of tasks under way, and of those that ended since a moment."""
    rows = [*connection.execute(ended(since)), *connection.execute(UNDER_WAY)]
    rows.sort(key=lambda row: (row[0], row[1]))
    return [
        _of_model(connection, provider, model, list(group), since)
        for (provider, model), group in groupby(rows, key=lambda row: (row[0], row[1]))
    ]


def under_way(connection: Connection) -> list[UnderWay]:
    """Count the tasks that have not ended: a microsecond for each of them."""
    return [
        UnderWay(provider, Status(status), overdue, count)
        for provider, status, overdue, count in connection.execute(COUNTED)
    ]


def ended(since: datetime | None) -> Select[str, str, str, int, int, int, int, int | None]:
    """Return the statement that counts ended tasks; it reads nothing but their index."""
    statement = select(*_FIGURES).where(ENDED)
    if since is not None:
        statement = statement.where(tasks.columns.completed_at >= since)
    return statement.group_by(*_GROUP)


def _of_model(
    connection: Connection, provider: str, model: str, rows: Iterable[_Figures], since: datetime | None
) -> Statistics:
    counts = dict.fromkeys(Status, 0)
    polls = awaited = missed = 0
    costs: list[int] = []
    for _, _, status, count, asked, due, late, cost in rows:
        counts[Status(status)] += count
        polls, awaited, missed = polls + asked, awaited + due, missed + late
        if cost is not None:
            costs.append(cost)
    # When an adopted generation was submitted is not known, nor is its model.
    seconds = _durations(connection, provider, model, since) if model else []
    return Statistics(
        provider=provider,
        model=model,
        counts=counts,
        polls=polls,
        awaited=awaited,
        missed=missed,
        cost_micros=sum(costs) if costs else None,
        seconds_p50=percentile(seconds, 0.5),
        seconds_p99=percentile(seconds, 0.99),
    )


def _durations(connection: Connection, provider: str, model: str, since: datetime | None) -> list[float]:
    """Return how long the latest tasks took, in seconds, the shortest first."""
    seconds = []
    for status in _WITH_AUDIO:
        named = {"of_provider": provider, "of_model": model, "of_status": status.value}
        for submitted_at, completed_at in connection.execute(DURATIONS, named):
            if since is not None and completed_at < since:
                break
            if submitted_at is not None:
                seconds.append((completed_at - submitted_at).total_seconds())
    return sorted(seconds)
