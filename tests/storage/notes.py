"""A table of words to try an engine on: what writes them, alone or for many, and what reads them."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection


def sql(connection: Connection, text: str, *values: object) -> list[tuple[object, ...]]:
    result = connection.exec_driver_sql(text, values)
    return [tuple(row) for row in result] if result.returns_rows else []


def note(word: str) -> Callable[[Connection], str]:
    def write(connection: Connection) -> str:
        sql(connection, "INSERT INTO notes (word) VALUES (?)", word)
        return word

    return write


def note_all(connection: Connection, items: Sequence[str]) -> list[str | Exception]:
    return [note(item)(connection) for item in items]


def fill(connection: Connection) -> None:
    sql(connection, "INSERT INTO notes (word) VALUES (?)", "x" * 1_000_000)


def words(connection: Connection) -> list[object]:
    return [word for (word,) in sql(connection, "SELECT word FROM notes ORDER BY rowid")]
