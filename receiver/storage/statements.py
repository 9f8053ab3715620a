"""Statements for many rows: compiled once for each engine, then fed with plain tuples.

PostgreSQL takes an array for each column, so one text serves any number of rows, and one way there and back. SQLite
knows no arrays and needs no way: it takes the values of some rows at a time.

SQLAlchemy would build a dictionary for every row and look up a converter for every value, every time; on the paths
that take thousands of rows a second that is most of the work. The statements stay SQLAlchemy's, and so do the types.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Delete,
    Dialect,
    Select,
    Table,
    any_,
    bindparam,
    column,
    func,
    select,
    update,
    values,
)
from sqlalchemy import Update as UpdateStatement
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import ClauseElement, FromClause, TableValuedAlias
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.elements import KeyedColumnElement

from receiver.storage.running import Ready, rows_of
from receiver.storage.types import Converter, reader, together, writer

Key = TypeVar("Key", UUID, str)
#: What converts all values of a column, each by the place of its column.
Converters = tuple[tuple[int, Callable[[Sequence[Any]], Sequence[Any]]], ...]
Row = Sequence[object]
Excluded = ReadOnlyColumnCollection[str, KeyedColumnElement[Any]]
_Asking = Select[*tuple[Any, ...]] | UpdateStatement | Delete

#: Rows of one INSERT. Few sizes, so that their texts stay prepared; many rows at once, because between two rows of an
#: executemany another thread may take the interpreter, and the writer waits to get it back.
_SIZES = (64, 32, 16, 8, 4, 2, 1)
#: Rows of one UPDATE: fewer sizes, for each set of columns has texts of its own.
_UPDATE_SIZES = (64, 8, 1)
#: Rows of one statement where a text takes any number: what it needs of memory is to have a bound.
_MOST = 1000
#: Texts for more rows than this are put together from those for fewer.
_COMPILED = 2
#: Where a parameter stands in such a text.
_PLACE = "?"
#: Keys of one IN list; a shorter list is filled up with its last key, for the same reason.
_LISTS = (1, 8, 64, 128, 256)


class Insert:
    """An INSERT of many rows into some columns of a table.

    ``overwrite`` makes it an upsert on the primary key: it is given the columns of the row that could not be inserted
    and returns what to set, by column name. ``rare`` are columns that seldom have a value: where none of the rows has
    one in any of these, SQLite is not given them, as it takes each value by itself, NULL too.
    """

    def __init__(
        self,
        table: Table,
        columns: Sequence[str],
        overwrite: Callable[[Excluded], Mapping[str, object]] | None = None,
        *,
        rare: Sequence[str] = (),
    ) -> None:
        self._table = table
        self._columns = [table.columns[name] for name in columns]
        self._overwrite = overwrite
        self._texts: dict[tuple[str, int], tuple[str, Converters]] = {}
        self._rare = [place for place, name in enumerate(columns) if name in rare]
        self._usual = Insert(table, [name for name in columns if name not in rare], overwrite) if rare else None

    def ready(self, dialect: Dialect, rows: Sequence[Row]) -> Iterator[Ready]:
        """Yield what inserts ``rows``, each a value for each column."""
        if not rows:
            return
        if takes_arrays(dialect):
            yield from column_wise(rows, *self._text(dialect, 0))
            return
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        if self._usual is not None and all(columns[place].count(None) == len(rows) for place in self._rare):
            yield from self._usual.row_wise(
                dialect, [column for place, column in enumerate(columns) if place not in self._rare]
            )
        else:
            yield from self.row_wise(dialect, columns)

    def row_wise(self, dialect: Dialect, columns: list[Sequence[Any]]) -> Iterator[Ready]:
        """Yield what inserts rows that are given by their columns, where values are taken one by one."""
        rows = list(zip(*_converted(columns, self._text(dialect, 1)[1]), strict=True))
        start = 0
        for size in _SIZES:
            while len(rows) - start >= size:
                text = self._text(dialect, size)[0]
                yield Ready(text, tuple(chain.from_iterable(rows[start : start + size])))
                start += size

    def _text(self, dialect: Dialect, size: int) -> tuple[str, Converters]:
        known = self._texts.get((dialect.name, size))
        if known is None:
            if size > _COMPILED:
                few = [self._text(dialect, rows)[0] for rows in range(1, _COMPILED + 1)]
                text = _repeated(few, _row(len(self._columns)), size) or self._compile(dialect, size)[0]
                known = text, self._text(dialect, 1)[1]
            else:
                known = self._compile(dialect, size)
            self._texts[dialect.name, size] = known
        return known

    def _compile(self, dialect: Dialect, size: int) -> tuple[str, Converters]:
        names = [column.name for column in self._columns]
        statement: postgresql.Insert | sqlite.Insert
        if takes_arrays(dialect):
            statement = postgresql.insert(self._table).from_select(names, select(unnested(self._columns)))
        else:
            rows = [
                {column.name: bindparam(f"{column.name}_{row}", type_=column.type) for column in self._columns}
                for row in range(size)
            ]
            statement = sqlite.insert(self._table).values(rows)
            names = [f"{column.name}_{row}" for row in range(size) for column in self._columns]
        if self._overwrite is not None:
            statement = statement.on_conflict_do_update(
                index_elements=list(self._table.primary_key.columns),
                set_=self._overwrite(statement.excluded),
            )
        return compiled_text(statement, dialect, names), writers_of(self._columns, dialect)


class Update:
    """An UPDATE of rows found by their primary key, or other ``keys``, each of the columns that changed and no other.

    A column that is set, even to what it was, costs the renewal of every index it is part of.
    """

    def __init__(self, table: Table, columns: Sequence[str], keys: Sequence[str] = ()) -> None:
        self._table = table
        self._columns = [table.columns[name] for name in columns]
        self._keys = [table.columns[name] for name in keys] or list(table.primary_key.columns)
        self._texts: dict[tuple[str, tuple[int, ...], int], tuple[str, Converters]] = {}

    def ready(self, dialect: Dialect, rows: Iterable[tuple[Row, Row, Row]]) -> Iterator[Ready]:
        """Yield what changes rows, each given by its key, what its columns were and what they are to be."""
        alike: dict[tuple[int, ...], list[tuple[object, ...]]] = {}
        for key, was, is_now in rows:
            changed = tuple([place for place, old in enumerate(was) if old != is_now[place]])
            if changed:
                alike.setdefault(changed, []).append((*key, *(is_now[place] for place in changed)))
        for changed, changes in alike.items():
            yield from self._alike(dialect, changed, changes)

    def all_of(self, dialect: Dialect, rows: Sequence[Row]) -> Iterator[Ready]:
        """Yield what sets every column of rows, each given by its key and what its columns are to be."""
        if rows:
            yield from self._alike(dialect, tuple(range(len(self._columns))), rows)

    def _alike(self, dialect: Dialect, changed: tuple[int, ...], rows: Sequence[Row]) -> Iterator[Ready]:
        if takes_arrays(dialect):
            yield from column_wise(rows, *self._text(dialect, changed, 0))
            return
        converted = converted_rows(rows, self._text(dialect, changed, 1)[1])
        start = 0
        for size in _UPDATE_SIZES:
            while len(converted) - start >= size:
                text = self._text(dialect, changed, size)[0]
                yield Ready(text, tuple(chain.from_iterable(converted[start : start + size])))
                start += size

    def _text(self, dialect: Dialect, changed: tuple[int, ...], size: int) -> tuple[str, Converters]:
        known = self._texts.get((dialect.name, changed, size))
        if known is None:
            if size > _COMPILED:
                columns = [*self._keys, *(self._columns[place] for place in changed)]
                few = [self._text(dialect, changed, rows)[0] for rows in range(1, _COMPILED + 1)]
                text = _repeated(few, _row(len(columns)), size) or self._compile(dialect, changed, size)[0]
                known = text, self._text(dialect, changed, 1)[1]
            else:
                known = self._compile(dialect, changed, size)
            self._texts[dialect.name, changed, size] = known
        return known

    def _compile(self, dialect: Dialect, changed: tuple[int, ...], size: int) -> tuple[str, Converters]:
        columns = [*self._keys, *(self._columns[place] for place in changed)]
        new: FromClause
        if takes_arrays(dialect):
            new, names = unnested(columns), [column.name for column in columns]
        else:
            rows = [
                tuple(bindparam(f"{column.name}_{row}", type_=column.type) for column in columns)
                for row in range(size)
            ]
            new = values(*(column(of.name, of.type) for of in columns), name="new").data(rows).cte("new")
            names = [f"{column.name}_{row}" for row in range(size) for column in columns]
        statement = (
            update(self._table)
            .where(*(key == new.columns[key.name] for key in self._keys))
            .values({self._columns[place].name: new.columns[self._columns[place].name] for place in changed})
        )
        return compiled_text(statement, dialect, names), writers_of(columns, dialect)


class ForKeys:
    """A SELECT, UPDATE or DELETE of the rows of many keys, given without that condition or as what makes it."""

    def __init__(
        self, statement: _Asking | Callable[[ColumnElement[bool]], _Asking], by: ColumnElement[UUID]
    ) -> None:
        self._statement = statement
        self._by = by
        self._texts: dict[tuple[str, int], tuple[str, Converters, Converters]] = {}

    def ready(self, dialect: Dialect, keys: Sequence[UUID]) -> Iterator[Ready]:
        """Yield the statement for every few hundred of ``keys``."""
        for part in _parts(dialect, keys):
            text, writers, _ = self._text(dialect, len(part))
            yield Ready(text, _given(dialect, part, writers))

    def rows(self, connection: Connection, keys: Sequence[UUID]) -> Iterator[Sequence[Any]]:
        """Yield the rows that belong to ``keys``; the order of the statement holds within each 256 of them."""
        for part in _parts(connection.dialect, keys):
            text, writers, readers = self._text(connection.dialect, len(part))
            found = rows_of(connection, Ready(text, _given(connection.dialect, part, writers)))
            yield from converted_rows(found, readers)

    def _text(self, dialect: Dialect, size: int) -> tuple[str, Converters, Converters]:
        size = 1 if takes_arrays(dialect) else size
        known = self._texts.get((dialect.name, size))
        if known is None:
            if size > _COMPILED:
                few = [self._text(dialect, keys)[0] for keys in range(1, _COMPILED + 1)]
                text = _repeated(few, _PLACE, size) or self._compile(dialect, size)[0]
                _, writers, readers = self._text(dialect, 1)
                known = text, writers, readers
            else:
                known = self._compile(dialect, size)
            self._texts[dialect.name, size] = known
        return known

    def _compile(self, dialect: Dialect, size: int) -> tuple[str, Converters, Converters]:
        if takes_arrays(dialect):
            names = ["keys"]
            is_one: ColumnElement[bool] = self._by == any_(bindparam("keys", type_=ARRAY(self._by.type)))
        else:
            names = [f"key_{number}" for number in range(size)]
            is_one = self._by.in_([bindparam(name, type_=self._by.type) for name in names])
        statement = self._statement(is_one) if callable(self._statement) else self._statement.where(is_one)
        read = [*self._statement.selected_columns] if isinstance(self._statement, Select) else []
        return compiled_text(statement, dialect, names), writers_of([self._by], dialect), readers_of(read, dialect)


def takes_arrays(dialect: Dialect) -> bool:
    """Tell whether an engine takes all values of a column at once."""
    return dialect.name == "postgresql"


def unnested(columns: Sequence[ColumnElement[Any]]) -> TableValuedAlias:
    """Return rows whose values are given by an array for each column."""
    given = [bindparam(of.key, type_=ARRAY(of.type)) for of in columns]
    rows = func.unnest(*given).table_valued(*(column(of.key or "", of.type) for of in columns))
    return rows.render_derived(name="new")


def column_wise(rows: Sequence[Row], text: str, converters: Converters) -> Iterator[Ready]:
    for start in range(0, len(rows), _MOST):
        columns = _columns(rows[start : start + _MOST], converters)
        # A column that ends before others is filled up with NULL, and the driver looks twice at every value it sends.
        yield Ready(text, tuple([[] if values.count(None) == len(values) else [*values] for values in columns]))


def _parts(dialect: Dialect, keys: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    if not takes_arrays(dialect):
        yield from lists(keys)
        return
    once = list(dict.fromkeys(keys))
    for start in range(0, len(once), _MOST):
        yield once[start : start + _MOST]


def _given(dialect: Dialect, part: Sequence[UUID], writers: Converters) -> tuple[object, ...]:
    """Return the parameters that stand for keys."""
    [keys] = _columns([(key,) for key in part], writers)
    return ([*keys],) if takes_arrays(dialect) else tuple(keys)


def lists(keys: Sequence[Key]) -> Iterator[list[Key]]:
    """Cut keys into lists for ``column IN (…)``, of few lengths; a key may come twice in one."""
    longest = _LISTS[-1]
    for start in range(0, len(keys), longest):
        part = list(keys[start : start + longest])
        length = next(length for length in _LISTS if length >= len(part))
        yield part + part[-1:] * (length - len(part))


def _columns(rows: Sequence[Row], converters: Converters) -> list[Sequence[Any]]:
    """Return the columns of rows, converted."""
    return _converted(list(zip(*rows, strict=True)), converters)


def _converted(columns: list[Sequence[Any]], converters: Converters) -> list[Sequence[Any]]:
    """Convert columns in their places: all values of one at once, a value costs a third."""
    for place, convert in converters:
        columns[place] = convert(columns[place])
    return columns


def converted_rows(rows: Sequence[Row], converters: Converters) -> Sequence[Sequence[Any]]:
    """Return the rows with their values converted."""
    return list(zip(*_columns(rows, converters), strict=True)) if converters and rows else rows


def writers_of(columns: Sequence[ColumnElement[Any]], dialect: Dialect) -> Converters:
    return _placed([writer(column.type, dialect) for column in columns])


def readers_of(columns: Sequence[ColumnElement[Any]], dialect: Dialect) -> Converters:
    return _placed([reader(column.type, dialect) for column in columns])


def _placed(converters: Sequence[Converter | None]) -> Converters:
    return tuple((place, together(convert)) for place, convert in enumerate(converters) if convert is not None)


def _row(columns: int) -> str:
    """Return the text of a row of values."""
    return f"({', '.join([_PLACE] * columns)})"


def _repeated(few: Sequence[str], one: str, size: int) -> str | None:
    """Return the text for ``size`` rows, given those for one and for two, in which ``one`` is the text of a row.

    To compile 64 rows of 28 columns takes a twentieth of a second, and the first callbacks waited for a dozen of such
    texts. None where rows do not simply follow each other.
    """
    first, second = few
    before, found, after = first.partition(one)
    if not found or f"{before}{one}, {one}{after}" != second:
        return None
    return before + ", ".join([one] * size) + after


def compiled_text(statement: ClauseElement, dialect: Dialect, names: Sequence[str]) -> str:
    """Return the text of a statement whose parameters are ``names``, in that order."""
    compiled = statement.compile(dialect=dialect)
    if list(getattr(compiled, "positiontup", None) or ()) != list(names):
        raise AssertionError("the parameters of a statement for many rows are not those of its rows")
    return str(compiled)
