"""Usual looks: claimed with as much of a task as they take, and written in one statement without reading it again.

Nearly all looks at a task under way say that it still is. To load each whole, with its results and all that was told
of it, to load it again, and to find out what to write of it was most of what a look cost.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Integer,
    LargeBinary,
    String,
    bindparam,
    column,
    literal_column,
    null,
    select,
    update,
    values,
)
from sqlalchemy.sql import FromClause

from receiver.domain.task import Work
from receiver.domain.values import Word
from receiver.domain.watched import USUAL, Look, Watched
from receiver.storage.chosen import Chosen
from receiver.storage.claim import Claim
from receiver.storage.claiming import Claims
from receiver.storage.documents import request_from
from receiver.storage.engine import Engine
from receiver.storage.leases import DUE_TASKS
from receiver.storage.running import Ready, rows_of
from receiver.storage.statements import (
    column_wise,
    compiled_text,
    converted_rows,
    readers_of,
    takes_arrays,
    unnested,
    writers_of,
)
from receiver.storage.tables import requests, tasks
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
#: As rows have it. Compared here, as SQLite 3.40 says of any column in RETURNING that it is not NULL; of its value it
#: says the truth.
_USUAL = {name: value.value if isinstance(value, Word) else value for name, value in USUAL.items()}
_AS_USUAL = [*_USUAL.values()]
#: What is claimed, as ``Watched`` has it; the request lies in a table of its own.
_CLAIMED = (
    tasks.columns.key,
    tasks.columns.id,
    select(requests.columns.request).where(requests.columns.task_key == tasks.columns.key).scalar_subquery(),
    tasks.columns.model,
    tasks.columns.provider_task_id,
    tasks.columns.pushed,
    tasks.columns.submitted_at,
    tasks.columns.polls,
    tasks.columns.callbacks,
    tasks.columns.due_at,
    tasks.columns.answer_digest,
    *(tasks.columns[name] for name in _USUAL),
)
_REQUEST = 2
CLAIM_LOOKS = (
    update(tasks)
    .where(Chosen(tasks, DUE_TASKS))
    .values(lease_until=bindparam("until"), lease_owner=bindparam("owner"))
    .returning(*_CLAIMED)
)
#: What it is given, in the order of its text.
_BY = (
    column("until", Moment),
    column("owner", Key),
    column("of_work", String),
    column("of_provider", String),
    column("now", Moment),
    column("most", Integer),
)
#: Rows of one statement where a text takes so many and no more.
_SIZES = (64, 8, 1)


class Looks:
    """Claims what is due for a look, and writes what looks found that found nothing new."""

    def __init__(self, engine: Engine, claims: Claims) -> None:
        self._claims = claims
        self._owner = claims.owner
        self._texts: dict[tuple[str, int], str] = {}
        self._claim: _Claiming | None = None
        self._write = engine.gather(self._together, weigh=len)

    async def lease(self, provider: str, now: datetime, limit: int, lease: timedelta) -> list[Watched]:
        """Claim tasks that are due for a look, earliest due first."""

        def claimed(connection: Connection, claim: Claim) -> list[Watched]:
            rows = self._claim_on(connection.dialect).rows(connection, provider, claim)
            # One without its request cannot be asked about, and holds nobody up.
            return [_watched(provider, row) for row in rows if row[_REQUEST] is not None]

        found = await self._claims.make(tasks, now, limit, lease, claimed, kind=f"{Work.POLL.value} {provider}")
        found.sort(key=attrgetter("due_at"))
        return found

    async def write(self, looks: Sequence[Look]) -> list[bool]:
        """Write looks at tasks that are still as they were seen and give these back; tell which those are."""
        rows = [self._row(look) for look in looks]
        plain = [row for row in rows if row is not None]
        written = iter(await self._write(plain) if plain else ())
        return [row is not None and next(written) for row in rows]

    def _row(self, look: Look) -> _Row | None:
        task, digest, was_due_at = look.task, look.task.answer_digest, look.task.due_at
        if digest is None:
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

    def _claim_on(self, dialect: Dialect) -> "_Claiming":
        if self._claim is None:
            self._claim = _Claiming(dialect)
        return self._claim

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
            *(_is(tasks.columns[name], value) for name, value in _USUAL.items()),
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


def _is(of: ColumnElement[Any], value: object) -> ColumnElement[bool]:
    if value is None or isinstance(value, bool):
        return of.is_(value)
    # Of our own words and figures alone.
    return of == literal_column(repr(value), of.type)


def _watched(provider: str, row: Sequence[Any]) -> Watched:
    key, task_id, request, model, name, pushed, submitted_at, polls, callbacks, due_at, digest, *state = row
    asked_for, is_usual = request_from(provider, request), state == _AS_USUAL
    # In the order of the fields: by name it takes half as long again.
    return Watched(
        key, task_id, asked_for, model, name, pushed, submitted_at, polls, callbacks, due_at, digest, is_usual
    )  # fmt: skip


class _Claiming:
    """The statement that claims, for one engine."""

    def __init__(self, dialect: Dialect) -> None:
        self._text = compiled_text(CLAIM_LOOKS, dialect, [of.name for of in _BY])
        self._writers = writers_of(_BY, dialect)
        self._readers = readers_of(_CLAIMED, dialect)

    def rows(self, connection: Connection, provider: str, claim: Claim) -> Sequence[Sequence[Any]]:
        given = (claim.until, claim.owner, Work.POLL.value, provider, claim.now, claim.limit)
        [parameters] = converted_rows([given], self._writers)
        return converted_rows(rows_of(connection, Ready(self._text, tuple(parameters))), self._readers)


def _number(row: _Row) -> int:
    return row[0].int
