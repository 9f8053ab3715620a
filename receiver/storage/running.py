"""Statements that are ready to be run, given to the driver itself where that spares a way through every layer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from receiver.storage.sqlite import driver


@dataclass(frozen=True, slots=True)
class Ready:
    """A statement with everything the driver needs."""

    text: str
    parameters: tuple[object, ...]


def run(connection: Connection, statements: Iterable[Ready]) -> None:
    """Execute statements in order."""
    if connection.dialect.name == "sqlite":
        # As ``exec_driver_sql`` does, without its context and its result for each: a twentieth of all settling.
        execute = driver(connection).execute
        for statement in statements:
            execute(statement.text, statement.parameters)
        return
    for statement in statements:
        connection.exec_driver_sql(statement.text, statement.parameters)


def rows_of(connection: Connection, statement: Ready) -> Sequence[Sequence[Any]]:
    """Return what a statement finds, as the driver gives it: all at once, for each row by itself would cost a call
    through every layer.
    """
    if connection.dialect.name == "sqlite":
        return driver(connection).execute(statement.text, statement.parameters).fetchall()
    return connection.exec_driver_sql(statement.text, statement.parameters).all()
