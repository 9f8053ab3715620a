"""Tasks out of their tables, whole and many at a time."""

from collections.abc import Sequence
from operator import attrgetter
from uuid import UUID

from sqlalchemy import Connection, exists, select

from receiver.domain.result import Result
from receiver.storage.rows import (
    ARTIFACT_COLUMNS,
    RESULT_COLUMNS,
    TASK_FIXED,
    TASK_MOVING,
    Held,
    held_from,
    result_from,
)
from receiver.storage.statements import ForKeys
from receiver.storage.tables import artifacts, erasures, requests, results, task_metadata, tasks
from receiver.storage.types import Members

_tasks = select(
    *(tasks.columns[name] for name in (*TASK_FIXED, *TASK_MOVING)),
    requests.columns.request,
    requests.columns.warnings,
    erasures.columns.erased_at,
    # One question for all: another for what most tasks have none or little of costs more.
    exists().where(results.columns.task_key == tasks.columns.key),
    select(Members(task_metadata.columns.name, task_metadata.columns.value))
    .where(task_metadata.columns.task_key == tasks.columns.key)
    .scalar_subquery(),
)
_tasks = _tasks.join_from(tasks, requests, requests.columns.task_key == tasks.columns.key)
_tasks = _tasks.outerjoin(erasures, erasures.columns.task_key == tasks.columns.key)
_HAS_RESULTS, _METADATA = -2, -1
_TASKS = ForKeys(_tasks, tasks.columns.key)
#: In one order, so that no two of us wait for each other.
_LOCKS = ForKeys(select(tasks.columns.key).order_by(tasks.columns.key).with_for_update(), tasks.columns.key)
_RESULTS = ForKeys(
    select(
        *(results.columns[name] for name in RESULT_COLUMNS),
        *(artifacts.columns[name] for name in ARTIFACT_COLUMNS[3:]),
    )
    .join_from(
        results,
        artifacts,
        (artifacts.columns.task_key == results.columns.task_key)
        & (artifacts.columns.position == results.columns.position),
    )
    .order_by(results.columns.task_key, results.columns.position),
    results.columns.task_key,
)


def load(connection: Connection, keys: Sequence[UUID], *, to_change: bool = False) -> dict[UUID, Held]:
    """Return the tasks with these keys, by key; ``to_change`` locks their rows where the engine has such locks.

    They are locked first and read afterwards: whoever waits for another's commit sees all that was committed, its
    results and its erasure too. A statement that locks and reads would show what belongs to a row as it was before.
    """
    if to_change:
        lock(connection, keys)
    rows = list(_TASKS.rows(connection, keys))
    found: dict[UUID, list[Result]] = {}
    for row in _RESULTS.rows(connection, [row[0] for row in rows if row[_HAS_RESULTS]]):
        found.setdefault(row[0], []).append(result_from(row))
    return {row[0]: held_from(row, tuple(found.get(row[0], ())), row[_METADATA] or {}) for row in rows}


def lock(connection: Connection, keys: Sequence[UUID]) -> None:
    """Keep others from changing tasks, and what goes by their locks, until the transaction ends."""
    if connection.dialect.name != "sqlite":  # where there is one writer, nobody is to be kept away
        for _ in _LOCKS.rows(connection, sorted(keys, key=attrgetter("int"))):
            pass
