"""What was kept for long enough: found by the age that lies in its key, deleted a few rows at a time."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    null,
    or_,
    select,
    update,
)

from receiver.lifecycle.ports.custody import NameObjects
from receiver.storage import erasing, inputs
from receiver.storage.loading import load
from receiver.storage.outbox_tables import deliveries
from receiver.storage.running import run
from receiver.storage.saving import Batch
from receiver.storage.tables import artifacts, attempts, erasures, inbox, report_counters, reports, results, tasks
from receiver.storage.types import Key, Moment

_BEFORE = bindparam("before", type_=Moment())
#: The least key of that moment: what has a lesser one is older.
_FLOOR = bindparam("floor", type_=Key())
_MOST: BindParameter[int] = bindparam("most")


def _no(found: Select[UUID]) -> ColumnElement[bool]:
    """Whether there is no such row, asked anew for each one looked at.

    PostgreSQL turns EXISTS into a join, and reads a whole table to answer it for the few rows that a batch takes.
    """
    return found.limit(1).scalar_subquery().is_(None)


def _over(task_key: ColumnElement[UUID], *, unknown: bool) -> ColumnElement[bool]:
    """Whether a task has ended before the moment, and no audio of it is still to be fetched.

    :param unknown: the same of a task that is not there
    """
    ended = select(tasks.columns.completed_at).where(tasks.columns.key == task_key).scalar_subquery() < _BEFORE
    if unknown:
        ended = or_(ended, _no(select(tasks.columns.key).where(tasks.columns.key == task_key)))
    return and_(ended, _none_to_fetch(task_key))


def _none_to_fetch(task_key: ColumnElement[UUID]) -> ColumnElement[bool]:
    of_task = artifacts.columns.task_key == task_key
    return _no(select(artifacts.columns.task_key).where(of_task, artifacts.columns.free_at.is_not(None)))


_kept = artifacts.alias("kept")
WITH_AUDIO = (
    select(_kept.columns.task_key)
    .where(
        _kept.columns.object_key.is_not(None),
        _kept.columns.task_key < _FLOOR,
        _over(_kept.columns.task_key, unknown=False),
    )
    .distinct()
    .order_by(_kept.columns.task_key)
    .limit(_MOST)
)
_SETTLED = _no(select(inbox.columns.report_id).where(inbox.columns.report_id == reports.columns.id))
OLD_REPORTS = (
    select(reports.columns.id)
    .where(
        reports.columns.id < _FLOOR,
        _over(reports.columns.task_key, unknown=True),
        _SETTLED,
    )
    .order_by(reports.columns.id)
    .limit(_MOST)
)
OLD_TASKS = (
    select(tasks.columns.key)
    .where(
        tasks.columns.key < _FLOOR,
        tasks.columns.completed_at < _BEFORE,
        _none_to_fetch(tasks.columns.key),
        _no(
            select(reports.columns.id)
            .join(inbox, inbox.columns.report_id == reports.columns.id)
            .where(reports.columns.task_key == tasks.columns.key)
        ),
        # Somebody is still to be told of it.
        _no(
            select(deliveries.columns.task_key).where(
                deliveries.columns.task_key == tasks.columns.key, deliveries.columns.free_at.is_not(None)
            )
        ),
    )
    .order_by(tasks.columns.key)
    .limit(_MOST)
)


#: What a provider says without audio is far shorter, in bytes. Audio may also lie in reports that did not settle.
_LONG = 16 * 1024
CARRIERS = select(reports.columns.id).where(
    reports.columns.task_key.in_(bindparam("of_tasks", expanding=True, type_=Key())),
    or_(
        reports.columns.size >= _LONG,
        select(results.columns.id)
        .where(results.columns.task_key == reports.columns.task_key, results.columns.inline)
        .exists(),
    ),
    _over(reports.columns.task_key, unknown=False),
    _SETTLED,
)


def with_audio(connection: Connection, before: datetime, limit: int) -> list[UUID]:
    return _found(connection, WITH_AUDIO, before, limit)


def retire_carriers(connection: Connection, task_keys: Collection[UUID], before: datetime) -> None:
    """Delete what reports hold of the audio of tasks: with it goes the report, as what is left says nothing."""
    given = {"of_tasks": list(task_keys), "before": before}
    batch = Batch()
    batch.drop(erasing.objects_of(connection, connection.scalars(CARRIERS, given).all()))
    run(connection, batch.ready(connection.dialect))


def retire_reports(connection: Connection, before: datetime, limit: int) -> int:
    """Delete reports; their bodies in the artifact store are doomed."""
    report_ids = _found(connection, OLD_REPORTS, before, limit)
    batch = Batch()
    batch.drop(erasing.objects_of(connection, report_ids))
    # What was said in answer to a submit is no report, and is kept for as long.
    of_tasks = select(reports.columns.task_key).where(reports.columns.id.in_(report_ids))
    task_keys = connection.scalars(of_tasks.distinct()).all()
    of_these = attempts.columns.task_key.in_(task_keys)
    connection.execute(update(attempts).where(of_these).values(sent=null(), answered=null()))
    run(connection, batch.ready(connection.dialect))
    return len(report_ids)


def retire_tasks(connection: Connection, before: datetime, limit: int, objects: NameObjects) -> int:
    """Delete tasks with everything that belongs to them."""
    keys = _found(connection, OLD_TASKS, before, limit)
    if not keys:
        return 0
    held = load(connection, keys, to_change=True)
    batch = Batch()
    batch.doom([pair for of_task in held.values() for pair in objects(of_task.task).items()])
    batch.drop(erasing.objects_of_tasks(connection, keys))
    batch.doom(inputs.released(connection, keys, before))
    run(connection, batch.ready(connection.dialect))
    for column in (erasures.columns.task_key, report_counters.columns.task_key, tasks.columns.key):
        # The other tables follow their task.
        connection.execute(delete(column.table).where(column.in_(keys)))
    return len(keys)


def _found(connection: Connection, statement: Select[UUID], before: datetime, limit: int) -> list[UUID]:
    # A key begins with its moment, in milliseconds since 1970 (RFC 9562, UUID version 7).
    floor = UUID(int=int(before.timestamp() * 1000) << 80)
    return list(connection.scalars(statement, {"before": before, "floor": floor, "most": limit}))
