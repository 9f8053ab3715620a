"""Usual callbacks: decided on what little of their tasks that needs, and written without comparing what was.

Nearly every report is one. To read its task whole, with all that was asked for and its metadata, and to find out
what of it had changed was more than half of what it took to settle it.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, Integer, exists, literal_column, or_, select

from receiver.domain.report import Via
from receiver.domain.result import ArtifactStatus
from receiver.domain.task import Status
from receiver.domain.usual import FIRST_TOLD, LAST_TOLD, Arrival, Waiting
from receiver.lifecycle.ports import Decision
from receiver.storage.rows import NewRow
from receiver.storage.statements import ForKeys, Update
from receiver.storage.tables import erasures, requests, results, tasks

_LAST_COLUMNS = ("callbacks", "cost_micros", "missed", "last_seq", "status", "settled_at", "work", "due_at")
#: What changes of a task with its first result, where others are to follow and where none is.
FIRST = Update(tasks, _LAST_COLUMNS[:4])
LAST = Update(tasks, _LAST_COLUMNS)
_COLLECTING, _CALLBACK, _PENDING = Status.COLLECTING.value, Via.CALLBACK.value, ArtifactStatus.PENDING.value
_FIRST_TOLD, _LAST_TOLD = [kind.value for kind in FIRST_TOLD], LAST_TOLD[-1].value
#: Of an artifact, what is not known before it was fetched.
_NOTHING_FETCHED = (None,) * 7

_NOT_USUAL = ("errors", "doubt", "doubt_since", "quiet_since", "settled_at", "told_cost_micros", "lease_owner")
#: Whether more is true of a task than that it waits for its first result: that is for the rules, which have it whole.
# Asked of each row: as conditions of the search these would lead to it by other ways than its key.
_MORE = or_(
    tasks.columns.status != literal_column(f"'{Status.SUBMITTED.value}'"),
    tasks.columns.tries != literal_column("0", Integer),
    *(tasks.columns[name].is_not(None) for name in _NOT_USUAL),
    exists().where(results.columns.task_key == tasks.columns.key),
    exists().where(erasures.columns.task_key == tasks.columns.key),
)
WAITING = select(
    tasks.columns.key,
    tasks.columns.id,
    tasks.columns.provider,
    tasks.columns.pushed,
    tasks.columns.provider_task_id,
    tasks.columns.callbacks,
    tasks.columns.last_seq,
    requests.columns.request,
    _MORE,
).join_from(tasks, requests, requests.columns.task_key == tasks.columns.key)
_OF_TASKS = ForKeys(WAITING, tasks.columns.key)


def arrived(connection: Connection, decisions: Sequence[Decision]) -> dict[UUID, tuple[Arrival, int]]:
    """Return what happens to tasks that are as usual, by key, each with the number of the task's last event.

    Each decision is about another task, and these are locked where the engine has such locks.
    """
    usual = {decision.task_key: decision for decision in decisions}
    found: dict[UUID, tuple[Arrival, int]] = {}
    for row in _OF_TASKS.rows(connection, list(usual)):
        key, task_id, provider, pushed, name, callbacks, last_seq, request, more = row
        if more:
            continue
        task = Waiting(
            key, task_id, provider, pushed, name, request.get("count") or 1, request.get("ttl_seconds"), callbacks
        )
        arrival = _taken(usual[key], task)
        if arrival is not None:
            found[key] = arrival, last_seq
    return found


def moved_row(arrival: Arrival, last_seq: int) -> NewRow:
    """Return the key of the task and what changes of it, in the order of ``FIRST`` or ``LAST``."""
    task, cost_micros = arrival.task, arrival.output.cost_micros
    missed = False if task.pushed else None
    if arrival.is_last:
        return (
            task.key, task.callbacks + 1, cost_micros, missed, last_seq,
            _COLLECTING, arrival.at, None, None,
        )  # fmt: skip
    return task.key, task.callbacks + 1, cost_micros, missed, last_seq


def result_row(arrival: Arrival) -> NewRow:
    """Return the row of the new result, as ``rows.result_row`` makes it of the result itself."""
    report, output = arrival.report, arrival.output
    return (
        arrival.task.key, arrival.index, arrival.result_id, output.identity, _CALLBACK, report.received_at, report.id,
        False, False, output.provider_result_id, output.seed, output.cost_micros, output.link,
    )  # fmt: skip


def artifact_row(arrival: Arrival) -> NewRow:
    """Return the row of its audio, as ``rows.artifact_row`` makes it: to be fetched, and nothing tried."""
    return (
        arrival.task.key, arrival.index, arrival.result_id, arrival.link_expires_at, _PENDING, arrival.at, 0, 0,
        *_NOTHING_FETCHED,
    )  # fmt: skip


def event_rows(arrival: Arrival, last_seq: int) -> list[NewRow]:
    """Return the rows of its events, as ``rows.event_row`` makes them; ids become text where all becomes text."""
    key, at, report = arrival.task.key, arrival.at, arrival.report
    received = {"report_id": report.id, "bytes": report.size}
    told = {"result_id": arrival.result_id, "index": arrival.index, "via": _CALLBACK}
    rows: list[NewRow] = [
        (key, last_seq + 1, _FIRST_TOLD[0], report.received_at, received),
        (key, last_seq + 2, _FIRST_TOLD[1], at, told),
    ]
    if arrival.is_last:
        rows.append((key, last_seq + 3, _LAST_TOLD, at, {"results": arrival.task.expected, "failed": 0}))
    return rows


def _taken(decision: Decision, task: Waiting) -> Arrival | None:
    if decision.usual is None:
        return None
    try:
        return decision.usual(task)
    except Exception:  # noqa: BLE001 - it is taken again by what knows what to do then
        return None
