"""Statements that are ready to be run, given to the driver itself: SQLAlchemy's context and result for each would
cost as much once more.

What makes a connection, what begins a transaction and what ends it stays SQLAlchemy's, and so does the judgement that
a connection to PostgreSQL is dead.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from receiver.storage.faults import is_lost, quieted
from receiver.storage.sqlite import driver

#: What a connection is marked with on which a statement committed something by itself.
WROTE_ALONE = "wrote alone"


@dataclass(frozen=True, slots=True)
class Ready:
    """A statement with everything the driver needs."""

    text: str
    parameters: tuple[object, ...]


def run(connection: Connection, statements: Iterable[Ready]) -> None:
    """Execute statements in order."""
    if connection.dialect.name == "sqlite":
        execute = driver(connection).execute
        for statement in statements:
            execute(statement.text, statement.parameters)
        return
    for statement in statements:
        _asked(connection, statement)


def rows_of(connection: Connection, statement: Ready) -> Sequence[Sequence[Any]]:
    """Return what a statement finds, as the driver gives it: all at once, for each row by itself would cost a call
    through every layer.
    """
    if connection.dialect.name == "sqlite":
        return driver(connection).execute(statement.text, statement.parameters).fetchall()
    return _asked(connection, statement)


def rows_alone(connection: Connection, statement: Ready) -> Sequence[Sequence[Any]] | None:
    """Execute a statement as a transaction of its own, on PostgreSQL, and return what it finds.

    None where a transaction has begun, in which that cannot be. Raises the errors of asyncpg.
    """
    below: Any = connection.connection.driver_connection
    if below.is_in_transaction():
        return None
    try:
        rows: Sequence[Sequence[Any]] = await_only(below.fetch(statement.text, *statement.parameters))
        if rows:
            connection.info[WROTE_ALONE] = True
    except Exception as error:
        quieted(error)
        if is_lost(error):
            _lose(connection)
        raise
    return rows


def _asked(connection: Connection, statement: Ready) -> Sequence[Sequence[Any]]:
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement.text, statement.parameters)
    except Exception as error:
        quieted(error)
        if is_lost(error):
            _lose(connection)
        dialect = connection.dialect
        raise DBAPIError.instance(
            None, None, error, dialect.loaded_dbapi.Error, hide_parameters=True, dialect=dialect
        ) from error
    return cursor.fetchall()


def _lose(connection: Connection) -> None:
    """Have SQLAlchemy find a connection dead, so that those made before it are replaced too."""
    below: Any = connection.connection.driver_connection
    below.terminate()
    with suppress(DBAPIError):
        connection.exec_driver_sql("SELECT 1")
