"""Looks that found a task as it was: written in one statement without reading the task again.

Nearly all looks at a task under way say that it still is. To load each again, with its request and its results, and
to find out what to write of it was most of what a look cost.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from uuid import UUID

from sqlalchemy import (
    Connection,
    Dialect,
    Integer,
    LargeBinary,
    bindparam,
    column,
    literal_column,
    null,
    update,
    values,
)
from sqlalchemy.sql import FromClause

from receiver.domain.task import Change, Status, Task, Work
from receiver.domain.values import replace
from receiver.lifecycle.ports import Decision
from receiver.storage.engine import Engine
from receiver.storage.running import Ready, rows_of
from receiver.storage.statements import column_wise, compiled_text, converted_rows, takes_arrays, unnested, writers_of
from receiver.storage.tables import tasks
from receiver.storage.types import Key, Moment

_Row = tuple[UUID, datetime, int, int, bytes, datetime, datetime, UUID]
_GIVEN = (
    column("key", Key),
    column("was_due_at", Moment),
    column("polls", Integer),
    column("callbacks", Integer),
    column("digest", LargeBinary(32)),
    column("due_at", Moment),
    column("looked_at", Moment),
    column("owner", Key),
)
#: Rows of one statement where a text takes so many and no more.
_SIZES = (64, 8, 1)


class Looks:
    """Writes what looks by ``owner`` found, of those that found nothing new."""

    def __init__(self, engine: Engine, owner: UUID) -> None:
        self._owner = owner
        self._texts: dict[tuple[str, int], str] = {}
        self._write = engine.gather(self._together, weigh=len)

    async def write(self, decisions: Sequence[Decision]) -> Mapping[int, Change]:
        """Write decisions that are mere looks at tasks which are still as they were seen.

        Return their changes, each by the place of its decision; the others are still to be taken.
        """
        found: dict[UUID, tuple[int, Change]] = {}
        rows: list[_Row] = []
        for place, decision in enumerate(decisions):
            row = None if decision.seen is None else self._row(decision.seen, change := _taken(decision))
            if row is not None and change is not None:
                rows.append(row)
                found[row[0]] = place, change
        if not rows:
            return {}
        return dict(found[key] for key in await self._write(rows))

    def _row(self, seen: Task, change: Change | None) -> _Row | None:
        """Return what is to be written of a look, None when it is more than a look."""
        if change is None or seen.answer_digest is None or seen.due_at is None:
            return None
        after = change.task
        if after.due_at is None or after.looked_at is None or not _is_under_way(seen):
            return None
        expected = replace(seen, polls=seen.polls + 1, due_at=after.due_at, looked_at=after.looked_at)
        if change != Change(expected):
            return None
        return (
            seen.key, seen.due_at, after.polls, seen.callbacks, seen.answer_digest, after.due_at, after.looked_at,
            self._owner,
        )  # fmt: skip

    def _together(self, connection: Connection, asked: Sequence[Sequence[_Row]]) -> list[list[UUID]]:
        # In one order, as others who share the database may be at some of them.
        rows = sorted(row for of_caller in asked for row in of_caller)
        written: set[UUID | None] = set()
        read = tasks.columns.key.type.dialect_impl(connection.dialect).result_processor(connection.dialect, None)
        for ready in self._ready(connection.dialect, rows):
            found = rows_of(connection, ready)
            written.update(key if read is None else read(key) for (key,) in found)
        return [[row[0] for row in of_caller if row[0] in written] for of_caller in asked]

    def _ready(self, dialect: Dialect, rows: Sequence[_Row]) -> Iterator[Ready]:
        converters = writers_of(_GIVEN, dialect)
        if takes_arrays(dialect):
            yield from column_wise(rows, self._text(dialect, 0), converters)
            return
        converted = converted_rows(rows, converters)
        start = 0
        for size in _SIZES:
            while len(rows) - start >= size:
                yield Ready(self._text(dialect, size), tuple(chain.from_iterable(converted[start : start + size])))
                start += size

    def _text(self, dialect: Dialect, size: int) -> str:
        known = self._texts.get((dialect.name, size))
        if known is None:
            known = self._texts[dialect.name, size] = _statement(dialect, size)
        return known


def _statement(dialect: Dialect, size: int) -> str:
    new: FromClause
    if takes_arrays(dialect):
        new, names = unnested(_GIVEN), [of.name for of in _GIVEN]
    else:
        rows = [tuple(bindparam(f"{of.name}_{row}", type_=of.type) for of in _GIVEN) for row in range(size)]
        new = values(*_GIVEN, name="new").data(rows).cte("new")
        names = [f"{of.name}_{row}" for row in range(size) for of in _GIVEN]
    as_seen = (
        (tasks.columns.key, "key"),
        (tasks.columns.due_at, "was_due_at"),
        (tasks.columns.callbacks, "callbacks"),
        (tasks.columns.answer_digest, "digest"),
        (tasks.columns.lease_owner, "owner"),
    )
    statement = (
        update(tasks)
        .where(
            *(of == new.columns[name] for of, name in as_seen),
            tasks.columns.polls + literal_column("1", Integer) == new.columns["polls"],
            tasks.columns.status == literal_column(f"'{Status.SUBMITTED.value}'"),
            tasks.columns.work == literal_column(f"'{Work.POLL.value}'"),
            tasks.columns.tries == literal_column("0", Integer),
            tasks.columns.overdue.is_(False),
            tasks.columns.doubt_since.is_(None),
            tasks.columns.quiet_since.is_(None),
        )
        .values(
            polls=new.columns["polls"],
            due_at=new.columns["due_at"],
            looked_at=new.columns["looked_at"],
            lease_until=null(),
            lease_owner=null(),
        )
        .returning(tasks.columns.key)
    )
    return compiled_text(statement, dialect, names)


def _is_under_way(task: Task) -> bool:
    """Tell whether a task is as the statement asks for."""
    usual = task.status is Status.SUBMITTED and task.work is Work.POLL and task.tries == 0 and not task.overdue
    return usual and task.doubt_since is None and task.quiet_since is None


def _taken(decision: Decision) -> Change | None:
    if decision.seen is None or not decision.release or decision.reports or decision.objects or decision.holder:
        return None
    try:
        return decision.decide(decision.seen)
    except Exception:  # noqa: BLE001 - it is taken again by what knows what to do then
        return None
