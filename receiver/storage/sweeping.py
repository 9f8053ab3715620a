"""What the passing of time and the state of a provider make due, for many tasks at a time."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    Case,
    Column,
    CompoundSelect,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    delete,
    literal,
    literal_column,
    or_,
    select,
    union_all,
    update,
)

from receiver.domain.looking import MOST_FRUITLESS_LOOKS
from receiver.domain.task import Work
from receiver.lifecycle.ports import Pause
from receiver.storage.documents import error_document, error_from
from receiver.storage.object_tables import doomed_objects, object_claims
from receiver.storage.outbox_tables import deliveries, endpoints
from receiver.storage.running import run
from receiver.storage.statements import Insert
from receiver.storage.tables import artifacts, events, inbox, inputs, provider_pauses, tasks
from receiver.storage.types import Moment, Span

#: Tasks made due by one transaction: some 50 ms without other writes, were they a million.
DUE_AT_ONCE = 1000

# Spelt out as in the index of these tasks, which is otherwise not used.
_WAITING = tasks.columns.status.in_([literal_column("'submitted'"), literal_column("'unknown'")])

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
#: The moments that plan or measure work, each table with what narrows it to its few rows under way.
_PLANNED = (
    (
        tasks,
        tasks.columns.work.is_not(None),
        ("due_at", "deadline_at", "attempt_open_since", "unknown_since", "doubt_since", "quiet_since"),
    ),
    (artifacts, artifacts.columns.free_at.is_not(None), ("due_at", "first_refused_at")),
    (inbox, inbox.columns.lease_until.is_not(None), ("due_at",)),
    (provider_pauses, provider_pauses.columns.provider.is_not(None), ("until",)),
    (doomed_objects, doomed_objects.columns.until.is_not(None), ("until",)),
    (deliveries, deliveries.columns.free_at.is_not(None), ("due_at",)),
    (endpoints, endpoints.columns.rests_until.is_not(None), ("rests_until",)),
    (inputs, inputs.columns.unused_until.is_not(None), ("unused_until",)),
    (object_claims, object_claims.columns.until.is_not(None), ("until",)),
)
NEWEST_EVENT = select(events.columns.at).order_by(events.columns.id.desc()).limit(1)
_PAUSE = Insert(
    provider_pauses, ("provider", "until", "error"), lambda new: {"until": new["until"], "error": new["error"]}
)


def late(
    *, now: datetime, lost_before: datetime, limit: int, askable: Collection[str]
) -> CompoundSelect[UUID, datetime | None]:
    """Return the statement that finds tasks past their deadline and unmarked, then marked ones to be given up.

    Left out are marked ones that ``receiver.domain.looking.overdue`` would leave as they are: by the hundred they
    would keep it from all others. ``askable`` names the providers that can be asked.
    """
    asked = or_(tasks.columns.tries == 0, tasks.columns.tries >= MOST_FRUITLESS_LOOKS)
    given_up = or_(and_(asked, tasks.columns.due_at > now), tasks.columns.provider.not_in(sorted(askable)))
    found = select(tasks.columns.key, tasks.columns.deadline_at)
    return union_all(
        found.where(_WAITING, tasks.columns.overdue.is_(False), tasks.columns.deadline_at <= now),
        found.where(_WAITING, tasks.columns.overdue.is_(True), tasks.columns.deadline_at <= lost_before, given_up),
    ).limit(limit)


def left_open(*, before: datetime, limit: int, providers: Collection[str]) -> Select[UUID]:
    """Return the statement that finds attempts open since before a moment, oldest first."""
    return (
        select(tasks.columns.key)
        .where(
            tasks.columns.attempt_open_since < before,
            or_(tasks.columns.work.is_(None), tasks.columns.work != Work.SUBMIT.value),
            # Not the bare column: SQLite would rather walk all tasks of a provider by the index on that.
            tasks.columns.provider.concat("").in_(sorted(providers)),
        )
        .order_by(tasks.columns.attempt_open_since)
        .limit(limit)
    )


def overdue(
    connection: Connection, *, now: datetime, lost_before: datetime, limit: int, askable: Collection[str]
) -> list[UUID]:
    """Return tasks past their deadline and not marked, then those to be given up, due before ``lost_before``."""
    statement = late(now=now, lost_before=lost_before, limit=limit, askable=askable)
    return [key for key, _ in connection.execute(statement)]


def abandoned(connection: Connection, *, before: datetime, limit: int, providers: Collection[str]) -> list[UUID]:
    """Return tasks of ``providers`` with an attempt open since before a moment that no submit will close."""
    return [key for (key,) in connection.execute(left_open(before=before, limit=limit, providers=providers))]


def make_due(connection: Connection, *, provider: str, now: datetime) -> int:
    """Make up to ``DUE_AT_ONCE`` pushed tasks that wait for a look due now; return how many."""
    return connection.execute(MAKE_DUE, {"of_provider": provider, "now": now}).rowcount


def last_moment(connection: Connection) -> datetime | None:
    """Return when the newest event was recorded, by the clock of that time."""
    at: datetime | None = connection.scalar(NEWEST_EVENT)
    return at


def follow_clock(connection: Connection, *, by: timedelta, now: datetime, longest_lease: timedelta) -> None:
    """Let plans keep their distance from a clock that was set.

    Set back: what lies ahead is moved by as much, leases only where none can be so long. Set forward: what is planned
    falls due, which harms nothing; only deadlines that had not come are put off.

    What was told stays as it was told: ``created_at`` too, which callers have and lists go by. So a task that waits
    to be sent is given up ``queue_max`` after the moment it bears, by as much later as the clock was ahead then.
    """
    if by > timedelta():
        deadline = tasks.columns.deadline_at
        waiting = (_WAITING, tasks.columns.overdue.is_(False), deadline > now - by)
        connection.execute(update(tasks).where(*waiting).values(deadline_at=deadline + literal(by, Span)))
        return
    for table, under_way, names in _PLANNED:
        moved = {name: _earlier(table.columns[name], -by, after=now) for name in names}
        if "lease_until" in table.columns:
            moved["lease_until"] = _earlier(table.columns["lease_until"], -by, after=now + longest_lease)
        connection.execute(update(table).where(under_way).values(moved))


def _earlier(column: Column[datetime], by: timedelta, *, after: datetime) -> Case[datetime]:
    return case((column > literal(after, Moment), column - literal(by, Span)), else_=column)


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
