"""Usual callbacks: decided on what little of their tasks that needs.

Nearly every report is one. To read its task whole, with all that was asked for and its metadata, and to find out
what of it had changed was more than half of what it took to settle it.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection, Integer, case, exists, literal_column, or_, select

from receiver.domain.task import Status
from receiver.domain.usual import Arrival, Waiting
from receiver.lifecycle.ports import Decision
from receiver.storage.statements import ForKeys
from receiver.storage.tables import erasures, results, tasks

_NOT_USUAL = ("errors", "doubt", "doubt_since", "quiet_since", "settled_at", "told_cost_micros", "lease_owner")
#: Whether more is true of a task than that it waits for its first result: that is for the rules, which have it whole.
# Asked of each row: as conditions of the search these would lead to it by other ways than its key.
_MORE = or_(
    tasks.columns.status != literal_column(f"'{Status.SUBMITTED.value}'"),
    tasks.columns.tries != literal_column("0", Integer),
    *(tasks.columns[name].is_not(None) for name in _NOT_USUAL),
    # A task made by a version that did not write this down.
    tasks.columns.expected.is_(None),
    # Where a callback is due, this is known with the first result: a look at another table less.
    case(
        (tasks.columns.pushed, tasks.columns.missed.is_not(None)),
        else_=exists().where(results.columns.task_key == tasks.columns.key),
    ),
    exists().where(erasures.columns.task_key == tasks.columns.key),
)
WAITING = select(
    tasks.columns.key,
    tasks.columns.id,
    tasks.columns.provider,
    tasks.columns.pushed,
    tasks.columns.provider_task_id,
    tasks.columns.expected,
    tasks.columns.ttl_seconds,
    tasks.columns.last_seq,
    _MORE,
)
_OF_TASKS = ForKeys(WAITING, tasks.columns.key)


def arrived(
    connection: Connection, keys: Sequence[UUID], decisions: Mapping[UUID, Decision | None]
) -> dict[int, tuple[Arrival, int]]:
    """Return what happens to tasks that are as usual, each with the number of the task's last event, by decision.

    By the ``id`` of the decision: a UUID is hashed and compared by calls. ``decisions`` has one for each of ``keys``;
    the tasks are locked where the engine has such locks.
    """
    found: dict[int, tuple[Arrival, int]] = {}
    for row in _OF_TASKS.rows(connection, keys):
        key, task_id, provider, pushed, name, expected, ttl_seconds, last_seq, more = row
        decision = None if more else decisions[key]
        if decision is None:
            continue
        task = Waiting(key, task_id, provider, pushed, name, expected, ttl_seconds)
        arrival = _taken(decision, task)
        if arrival is not None:
            found[id(decision)] = arrival, last_seq
    return found


def _taken(decision: Decision, task: Waiting) -> Arrival | None:
    if decision.usual is None:
        return None
    try:
        return decision.usual(task)
    except Exception:  # noqa: BLE001 - it is taken again by what knows what to do then
        return None
