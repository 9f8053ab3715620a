"""What people and programs read: a task, a list of tasks, a timeline."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, func, select

from receiver.domain.task import Status, Task
from receiver.lifecycle.ports import RecordedEvent, TaskFilter
from receiver.storage.loading import load
from receiver.storage.statements import ForKeys
from receiver.storage.tables import events, report_counters, task_metadata, tasks

#: Of tasks made at the same time by several processes, the keys may be in another order: no more than these.
_NEAR = 1000
#: So many tasks of one state are looked through in a few milliseconds.
_FEW = 5000
_EXTRA = ForKeys(
    select(report_counters.columns.task_key, report_counters.columns.extra_duplicates),
    report_counters.columns.task_key,
)


def task(connection: Connection, task_id: UUID) -> Task | None:
    """Return the task with this public id."""
    key = connection.scalar(select(tasks.columns.key).where(tasks.columns.id == task_id))
    if key is None:
        return None
    [found] = _with_all_callbacks(connection, [load(connection, [key])[key].task])
    return found


def listed(connection: Connection, wanted: TaskFilter) -> list[Task]:
    """Return tasks by key, newest first."""
    bounds = None
    if _created(wanted):
        bounds = _key_bounds(connection, wanted)
        if bounds is None:
            return []
    rare = bool(wanted.metadata) and wanted.status is not None and _is_rare(connection, wanted.status)
    keys = [key for (key,) in connection.execute(listing(wanted, bounds, rare_status=rare))]
    held = load(connection, keys)
    return _with_all_callbacks(connection, [held[key].task for key in keys])


def listing(
    wanted: TaskFilter, bounds: tuple[UUID, UUID] | None = None, *, rare_status: bool = False
) -> Select[UUID]:
    """Return the statement that finds the keys of a listing; ``bounds`` are those of the time asked for."""
    metadata = list(wanted.metadata.items())
    if metadata and not rare_status:
        # Walks the index of one pair in the order of the list; the table of tasks would be walked whole.
        key = task_metadata.columns.task_key
        name, value = metadata.pop(0)
        statement = (
            select(key)
            .join_from(task_metadata, tasks, tasks.columns.key == key)
            .where(task_metadata.columns.name == name, task_metadata.columns.value == value)
        )
    else:
        key = tasks.columns.key
        statement = select(key)
    for name, value in metadata:
        also = task_metadata.alias()
        statement = statement.where(
            select(also.columns.task_key)
            .where(also.columns.task_key == key, also.columns.name == name, also.columns.value == value)
            .exists()
        )
    if wanted.status is not None:
        statement = statement.where(tasks.columns.status == wanted.status.value)
    if wanted.provider is not None:
        statement = statement.where(tasks.columns.provider == wanted.provider)
    if bounds is not None:
        statement = statement.where(key.between(*bounds), *_created(wanted))
    if wanted.before_key is not None:
        statement = statement.where(key < wanted.before_key)
    return statement.order_by(key.desc()).limit(wanted.limit)


def near(wanted: TaskFilter, *, newest: bool) -> Select[UUID]:
    """Return the statement that finds the keys next to one end of the time asked for, in the index of times."""
    created_at = tasks.columns.created_at
    return (
        select(tasks.columns.key)
        .where(*_created(wanted))
        .order_by(created_at.desc() if newest else created_at)
        .limit(_NEAR)
    )


def in_state(status: Status) -> Select[int]:
    """Return the statement that counts tasks of a state as far as that is not many."""
    few = select(tasks.columns.key).where(tasks.columns.status == status.value).limit(_FEW).subquery("few")
    return select(func.count()).select_from(few)


def _key_bounds(connection: Connection, wanted: TaskFilter) -> tuple[UUID, UUID] | None:
    """Return the least and the greatest key of the time asked for, None where nothing lies in it.

    Keys follow creation closely, so both lie next to its ends, and little else lies between the two.
    """
    first = connection.scalars(near(wanted, newest=False)).all()
    last = connection.scalars(near(wanted, newest=True)).all()
    return (min(first), max(last)) if first and last else None


def _is_rare(connection: Connection, status: Status) -> bool:
    """Tell whether so few tasks are in a state that to look at each of them is less than to look at all of a pair."""
    return (connection.scalar(in_state(status)) or 0) < _FEW


def _created(wanted: TaskFilter) -> list[ColumnElement[bool]]:
    conditions = []
    if wanted.created_after is not None:
        conditions.append(tasks.columns.created_at >= wanted.created_after)
    if wanted.created_before is not None:
        conditions.append(tasks.columns.created_at < wanted.created_before)
    return conditions


def timeline(
    connection: Connection, task_id: UUID | None, *, after: int, limit: int, upto: int | None = None
) -> list[RecordedEvent]:
    """Return events with an id above ``after`` and not above ``upto``, of one task or of all, oldest first."""
    return [
        RecordedEvent(id=event_id, task_id=of_task, seq=seq, type=kind, at=at, data=data)
        for event_id, of_task, seq, kind, at, data in connection.execute(timeline_of(task_id, after, limit, upto))
    ]


def timeline_of(
    task_id: UUID | None, after: int, limit: int, upto: int | None = None
) -> Select[int, UUID, int, str, datetime, Mapping[str, object]]:
    """Return the statement that finds a timeline."""
    statement = (
        select(
            events.columns.id,
            tasks.columns.id,
            events.columns.seq,
            events.columns.type,
            events.columns.at,
            events.columns.data,
        )
        .join_from(events, tasks, tasks.columns.key == events.columns.task_key)
        .where(events.columns.id > after)
        .limit(limit)
    )
    if upto is not None:
        statement = statement.where(events.columns.id <= upto)
    if task_id is None:
        return statement.order_by(events.columns.id)
    # By number within the task, which is the order of ids there: the index of the task's own events serves both.
    return statement.where(tasks.columns.id == task_id).order_by(events.columns.seq)


def last_event(connection: Connection, upto: int | None = None) -> int:
    """Return the id of the newest event, of those up to one if that is given; 0 when there is none."""
    statement = select(func.max(events.columns.id))
    if upto is not None:
        statement = statement.where(events.columns.id <= upto)
    return connection.scalar(statement) or 0


def _with_all_callbacks(connection: Connection, found: Sequence[Task]) -> list[Task]:
    """Add the repeats beyond the limit, of which only a number is kept, to the callbacks settling has counted."""
    counted = _EXTRA.rows(connection, [of_task.key for of_task in found])
    extra: dict[UUID, int] = {row[0]: row[1] for row in counted}
    return [
        replace(of_task, callbacks=of_task.callbacks + extra[of_task.key]) if of_task.key in extra else of_task
        for of_task in found
    ]
