"""Looks that found a task as it was: written in one statement without reading the task again.

Nearly all looks at a task under way say that it still is. To load each again, with its request and its results, and
to find out what to write of it was most of what a look cost.
"""

from collections.abc import Iterator, Sequence
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

from receiver.domain.looking import Look, is_under_way
from receiver.domain.task import Status, Work
from receiver.storage.engine import Engine
from receiver.storage.running import Ready, rows_of
from receiver.storage.statements import column_wise, compiled_text, converted_rows, takes_arrays, unnested, writers_of
from receiver.storage.tables import tasks
from receiver.storage.types import Key, Moment

_Row = tuple[UUID, int, int, bytes, datetime, datetime, datetime, UUID]
_GIVEN = (
    column("key", Key),
    column("polls", Integer),
    column("callbacks", Integer),
    column("digest", LargeBinary(32)),
    column("was_due_at", Moment),
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

    async def write(self, looks: Sequence[Look]) -> list[bool]:
        """Write looks at tasks that are still as they were seen and give these back; tell which those are."""
        rows = [self._row(look) for look in looks]
        plain = [row for row in rows if row is not None]
        written = iter(await self._write(plain) if plain else ())
        return [row is not None and next(written) for row in rows]

    def _row(self, look: Look) -> _Row | None:
        task, digest, was_due_at = look.task, look.task.answer_digest, look.task.due_at
        if digest is None or was_due_at is None or not is_under_way(task):
            return None
        moments = was_due_at, look.due_at, look.looked_at
        return (task.key, task.polls + 1, task.callbacks, digest, *moments, self._owner)

    def _together(self, connection: Connection, asked: Sequence[Sequence[_Row]]) -> list[list[bool]]:
        # In one order, as others who share the database may be at some of them.
        rows = sorted(chain.from_iterable(asked), key=_number)
        statements = self._ready(connection.dialect, rows)
        written = list(chain.from_iterable(rows_of(connection, ready) for ready in statements))
        if len(written) == len(rows):
            return [[True] * len(of_caller) for of_caller in asked]
        read = tasks.columns.key.type.dialect_impl(connection.dialect).result_processor(connection.dialect, None)
        keys = {key if read is None else read(key) for (key,) in written}
        return [[row[0] in keys for row in of_caller] for of_caller in asked]

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


def _number(row: _Row) -> int:
    return row[0].int
