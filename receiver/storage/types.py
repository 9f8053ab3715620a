"""How our values lie in a column, on either engine: the only place that knows the engines differ in this."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import repeat
from operator import is_
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    Dialect,
    Float,
    Integer,
    Interval,
    LargeBinary,
    Text,
    Uuid,
    cast,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from receiver.domain.identity import uuid_of

#: What converts a value; it is never given None, which is NULL on both sides.
Converter = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Key(TypeDecorator[UUID]):
    """A UUID: 16 bytes on SQLite, which sort like the UUID itself; the native type on PostgreSQL."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if _native(dialect):
            return dialect.type_descriptor(Uuid())
        return dialect.type_descriptor(LargeBinary(16))

    # The two processors are replaced whole: on the paths that count, a call saved for each value is a tenth of all.
    def bind_processor(self, dialect: Dialect) -> Callable[[UUID | None], object] | None:
        return super().bind_processor(dialect) if _native(dialect) else _bytes_of_key

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], UUID | None] | None:
        return super().result_processor(dialect, coltype) if _native(dialect) else _key_of_bytes


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime. Raises TypeError for a naive one.

    On SQLite whole microseconds since 1970 as an integer: exact, eight bytes, compared and indexed as a number, and
    four times as fast to read as ISO text. ``timestamptz`` on PostgreSQL.
    """

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if _native(dialect):
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], object] | None:
        return super().bind_processor(dialect) if _native(dialect) else microseconds

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None] | None:
        return super().result_processor(dialect, coltype) if _native(dialect) else moment_of


class Span(TypeDecorator[timedelta]):
    """A length of time, to be added to a ``Moment`` or taken from one."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Interval() if _native(dialect) else BigInteger())

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> object:
        return value if value is None or _native(dialect) else value // _MICROSECOND


class Document(TypeDecorator[object]):
    """JSON: compact text on SQLite, ``jsonb`` on PostgreSQL; None is NULL. Raises ValueError for NaN and infinity."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if _native(dialect):
            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(Text())

    def bind_processor(self, dialect: Dialect) -> Callable[[object], object] | None:
        return super().bind_processor(dialect) if _native(dialect) else _text

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], object] | None:
        return super().result_processor(dialect, coltype) if _native(dialect) else _document


class Members(FunctionElement[object]):
    """Names and their values as one document, in the order of the names; NULL or without any where there are none."""

    inherit_cache = True
    name = "members"

    def __init__(self, name: ColumnElement[str], value: ColumnElement[str]) -> None:
        self.type = Document()
        super().__init__(name, value)


@compiles(Members)
def _members(element: Members, compiler: SQLCompiler, **named: Any) -> str:  # noqa: ANN401 - SQLAlchemy's own
    name, value = (compiler.process(clause, **named) for clause in element.clauses)
    if _native(compiler.dialect):
        return f"json_object_agg({name}, {value} ORDER BY {name})"
    # SQLite walks over the primary key, which names are the end of.
    return f"json_group_object({name}, {value})"


class Slot(FunctionElement[int]):
    """In which slot of time a moment lies: how many whole spans after another moment, counted from 0."""

    inherit_cache = True
    name = "slot"
    type = Integer()

    def __init__(
        self, at: ColumnElement[datetime], since: ColumnElement[datetime], span: ColumnElement[object]
    ) -> None:
        super().__init__(at, since, span)


@compiles(Slot)
def _slot(element: Slot, compiler: SQLCompiler, **named: Any) -> str:  # noqa: ANN401 - SQLAlchemy's own
    at, since, span = (compiler.process(clause, **named) for clause in element.clauses)
    if _native(compiler.dialect):
        return f"CAST(FLOOR(EXTRACT(EPOCH FROM ({at} - {since})) / EXTRACT(EPOCH FROM {span})) AS INTEGER)"
    return f"(({at} - {since}) / {span})"


def total(column: ColumnElement[int]) -> ColumnElement[int]:
    """Return the sum of a column as a whole number: a sum of large ones has a type of its own in PostgreSQL."""
    return cast(func.sum(column), BigInteger)


def _dictionary(value: object) -> object:
    """Let JSON take the read-only mappings our values are made of."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is no JSON value")


#: Refuses what the quick one writes as words that are no JSON.
_strict = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_dictionary).encode


def encode(value: object) -> str:
    """Return the text of a JSON value; raises ValueError for NaN and infinity, TypeError for what is none."""
    # A fifth of the time of the standard library's; three events are written for each result.
    try:
        text = to_json(value, fallback=_dictionary).decode()
    except ValueError:
        return _strict(value)
    # Words that are no JSON, unless they stand in a text.
    return _strict(value) if "NaN" in text or "Infinity" in text else text


def _native(dialect: Dialect) -> bool:
    return dialect.name == "postgresql"


def _bytes_of_key(value: UUID | None) -> bytes | None:
    return None if value is None else value.int.to_bytes(16)


def _key_of_bytes(value: bytes | None) -> UUID | None:
    return None if value is None else uuid_of(int.from_bytes(value))


def microseconds(value: datetime | None) -> int | None:
    """Return a moment as whole microseconds since 1970, exact."""
    return None if value is None else _since_epoch(value)


def _since_epoch(value: datetime) -> int:
    since = value - _EPOCH
    # Four times as fast as to divide by a microsecond.
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def moment_of(value: int | None) -> datetime | None:
    """Return the moment that ``microseconds`` made of it."""
    return None if value is None else _EPOCH + timedelta(0, 0, value)


def writer(kind: TypeEngine[Any], dialect: Dialect) -> Converter | None:
    """Return what makes our values those that the driver takes."""
    if isinstance(kind, LargeBinary) and not _native(dialect):
        return _octets
    if isinstance(kind, Boolean) and not _native(dialect):
        return _digit
    return kind.dialect_impl(dialect).bind_processor(dialect)


def reader(kind: TypeEngine[Any], dialect: Dialect) -> Converter | None:
    """Return what makes ours of the driver's values."""
    # A float is one on either engine; its processor would ask what the driver calls the column's type.
    return None if isinstance(kind, Float) else kind.dialect_impl(dialect).result_processor(dialect, None)


def _octets(value: bytes | None) -> bytearray | None:
    """Return bytes as the driver of SQLite binds them at once.

    For bytes and views of them it first looks for what might adapt them: of a key that takes longer than to copy it.
    """
    return None if value is None else bytearray(value)


def _digit(value: bool | None) -> int | None:  # noqa: FBT001 - a value, no switch
    """Return a yes or no as the driver of SQLite binds it at once; for ``bool`` it looks for what might adapt it."""
    return None if value is None else int(value)


@cache
def together(convert: Callable[[Any], Any]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Return what converts many values; what comes most often is written out, as a call for each is half its cost."""
    each = _TOGETHER.get(convert) or (lambda values: [None if value is None else convert(value) for value in values])

    def converted(values: Sequence[Any]) -> Sequence[Any]:
        # Rows that are written together have half their columns in common. By what they are, not by what they say:
        # to compare two UUIDs or moments costs what it does to convert one, and 1 is not true in a document.
        if len(values) > 1 and values[0] is values[-1] and all(map(is_, values, repeat(values[0]))):
            return each(values[:1]) * len(values)
        return each(values)

    return converted


def _text(value: object) -> str | None:
    return None if value is None else encode(value)


_TOGETHER: Mapping[Callable[[Any], Any], Callable[[Sequence[Any]], list[Any]]] = {
    _bytes_of_key: lambda values: [None if value is None else bytearray(value.int.to_bytes(16)) for value in values],
    _octets: lambda values: [None if value is None else bytearray(value) for value in values],
    _digit: lambda values: [None if value is None else +value for value in values],
    microseconds: lambda values: [
        None
        if value is None
        # As ``microseconds`` does.
        else ((since := value - _EPOCH).days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        for value in values
    ],
    moment_of: lambda values: [None if value is None else _EPOCH + timedelta(0, 0, value) for value in values],
    _text: lambda values: [None if value is None else encode(value) for value in values],
}


def _document(value: str | None) -> object:
    return None if value is None else from_json(value)
