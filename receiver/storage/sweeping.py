"""What the passing of time and the state of a provider make due, for many tasks at a time."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, literal_column, or_, select, union_all, update

from receiver.domain.task import Work
from receiver.lifecycle.ports import Pause
from receiver.storage.documents import error_document, error_from
from receiver.storage.statements import Insert, run
from receiver.storage.tables import provider_pauses, tasks

#: Tasks made due by one transaction: some 50 ms without other writes, were they a million.
DUE_AT_ONCE = 1000

# Spelt out as in the index of these tasks, which is otherwise not used.
_WAITING = tasks.columns.status.in_([literal_column("'submitted'"), literal_column("'unknown'")])

OVERDUE = union_all(
    select(tasks.columns.key, tasks.columns.deadline_at).where(
        _WAITING, tasks.columns.overdue.is_(False), tasks.columns.deadline_at <= bindparam("now")
    ),
    select(tasks.columns.key, tasks.columns.deadline_at).where(
        _WAITING, tasks.columns.overdue.is_(True), tasks.columns.deadline_at <= bindparam("lost_before")
    ),
).limit(bindparam("most"))
ABANDONED = (
    select(tasks.columns.key)
    .where(
        tasks.columns.attempt_open_since < bindparam("before"),
        or_(tasks.columns.work.is_(None), tasks.columns.work != Work.SUBMIT.value),
    )
    .order_by(tasks.columns.attempt_open_since)
    .limit(bindparam("most"))
)
_NOT_YET_DUE = (
    select(tasks.columns.key)
    .where(
        tasks.columns.work == Work.POLL.value,
        tasks.columns.provider == bindparam("of_provider"),
        tasks.columns.free_at > bindparam("now"),
        tasks.columns.due_at > bindparam("now"),
        tasks.columns.pushed,
    )
    .limit(DUE_AT_ONCE)
)
MAKE_DUE = update(tasks).where(tasks.columns.key.in_(_NOT_YET_DUE.scalar_subquery())).values(due_at=bindparam("now"))
_PAUSE = Insert(
    provider_pauses, ("provider", "until", "error"), lambda new: {"until": new["until"], "error": new["error"]}
)


def overdue(connection: Connection, *, now: datetime, lost_before: datetime, limit: int) -> list[UUID]:
    """Return tasks past their deadline and not marked, then marked ones due before ``lost_before``."""
    rows = connection.execute(OVERDUE, {"now": now, "lost_before": lost_before, "most": limit})
    return [key for key, _ in rows]


def abandoned(connection: Connection, *, before: datetime, limit: int) -> list[UUID]:
    """Return tasks with an attempt open since before a moment that no lease of a submit will close."""
    return [key for (key,) in connection.execute(ABANDONED, {"before": before, "most": limit})]


def make_due(connection: Connection, *, provider: str, now: datetime) -> int:
    """Make up to ``DUE_AT_ONCE`` pushed tasks that wait for a look due now; return how many."""
    return connection.execute(MAKE_DUE, {"of_provider": provider, "now": now}).rowcount


def pause(connection: Connection, pause: Pause) -> None:
    """Let a provider rest; a later end replaces an earlier one."""
    known = pauses(connection).get(pause.provider)
    if known is None or known.until < pause.until:
        row = (pause.provider, pause.until, error_document(pause.error))
        run(connection, _PAUSE.ready(connection.dialect, [row]))


def release_pause(connection: Connection, provider: str) -> None:
    connection.execute(delete(provider_pauses).where(provider_pauses.columns.provider == provider))


def pauses(connection: Connection) -> Mapping[str, Pause]:
    return {
        provider: Pause(provider, until, error_from(error))
        for provider, until, error in connection.execute(
            select(provider_pauses.columns.provider, provider_pauses.columns.until, provider_pauses.columns.error)
        )
    }
