"""Erasing: a task becomes its husk, and every row that says more than that goes, in one transaction."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, null, select, update

from receiver.domain.task import Task
from receiver.lifecycle.ports import PlanErasing
from receiver.storage import inputs
from receiver.storage.documents import request_document
from receiver.storage.loading import load
from receiver.storage.outbox_tables import deliveries
from receiver.storage.rows import Columns
from receiver.storage.running import run
from receiver.storage.saving import Batch, Doomed
from receiver.storage.statements import ForKeys, Insert
from receiver.storage.tables import (
    attempts,
    erasures,
    events,
    reports,
    requests,
    task_metadata,
)
from receiver.storage.types import Document

_ERASURES = Insert(erasures, ("task_key", "erased_at"))
_OBJECTS = (reports.columns.id, reports.columns.object_key, reports.columns.received_at)
_OF_TASKS = ForKeys(select(*_OBJECTS), reports.columns.task_key)
_OF_REPORTS = ForKeys(select(*_OBJECTS), reports.columns.id)
_DELIVERIES = ForKeys(delete(deliveries), deliveries.columns.task_key)
_METADATA = ForKeys(delete(task_metadata), task_metadata.columns.task_key)
_HUSK = (
    update(requests)
    .where(requests.columns.task_key == bindparam("of_task"))
    .values(request=bindparam("husk", type_=Document()), warnings=null())
)


def erase(connection: Connection, task_keys: Sequence[UUID], plan: PlanErasing) -> tuple[int, list[str]]:
    """Erase tasks that are not erased yet; return how many those were, and the objects that are to be removed.

    Timelines keep their lines and lose what these say.
    """
    held = load(connection, task_keys, to_change=True)
    batch = Batch()
    husks: list[Task] = []
    doomed: list[Doomed] = []
    for of_task in held.values():
        if of_task.task.erased_at is not None:
            continue
        erasing = plan(of_task.task)
        doomed.extend(erasing.objects.items())
        batch.change(of_task, erasing.change)
        husks.append(of_task.task)
    keys = [husk.key for husk in husks]
    if not keys:
        return 0, []
    dialect = connection.dialect
    run(connection, _ERASURES.ready(dialect, [(husk.key, husk.erased_at) for husk in husks]))
    dropped = objects_of_tasks(connection, keys)
    batch.doom(doomed)
    batch.drop(dropped)
    given_up = inputs.released(connection, keys, husks[0].erased_at or husks[0].created_at)
    run(connection, _METADATA.ready(dialect, keys))
    # What is on its way is shown as the task is then; where nothing is to be shown, nothing is sent.
    run(connection, _DELIVERIES.ready(dialect, keys))
    for husk in husks:
        connection.execute(_HUSK, {"of_task": husk.key, "husk": request_document(husk.request)})
    connection.execute(update(events).where(events.columns.task_key.in_(keys)).values(data={}))
    wordless = {"detail": null(), "sent": null(), "answered": null()}
    connection.execute(update(attempts).where(attempts.columns.task_key.in_(keys)).values(wordless))
    run(connection, batch.ready(dialect))
    return len(keys), [name for name, _ in (*doomed, *given_up, *filter(None, dropped.values()))]


def objects_of(connection: Connection, report_ids: Sequence[UUID]) -> dict[UUID, Doomed | None]:
    """Return reports that are not to be kept, each with the object that holds its body, if one does."""
    return _objects(_OF_REPORTS.rows(connection, report_ids))


def objects_of_tasks(connection: Connection, task_keys: Sequence[UUID]) -> dict[UUID, Doomed | None]:
    """Return all reports of tasks, as ``objects_of`` does."""
    return _objects(_OF_TASKS.rows(connection, task_keys))


def _objects(rows: Iterable[Columns]) -> dict[UUID, Doomed | None]:
    """Large bodies lie complete before their row does, so their names need not be kept for longer."""
    return {row[0]: None if row[1] is None else (row[1], row[2]) for row in rows}
