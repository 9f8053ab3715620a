"""Many tasks out of a few: each copy of a task has keys, ids and times of its own, all its rows keep their form."""

import math
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from uuid import UUID

from sqlalchemy import Table

from receiver.storage.tables import metadata
from receiver.storage.types import Moment

#: Tasks that have not ended are copied so often; everything else makes up the number.
_OPEN_COPIES = 12
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
#: UUIDs that grow with time, UUIDs that do not, and the providers' names for what they made.
_KEYS = {"key", "task_key", "report_id", "duplicate_of"}
_IDS = {"id", "result_id"}
_NAMES = {"provider_task_id", "provider_result_id"}
#: Moments that lie ahead. Nobody works on what is due, and none of it is to look late for that.
_AHEAD = ("due_at", "deadline_at")
_HOUR = 3600 * _SECOND
#: Whose rows belong to a report, not to a task.
_OF_REPORTS = {"rulings", "inbox"}


def multiply(database: Path, wanted: int, *, days: float = 7.0, leaving_out: Collection[str] = ()) -> int:
    """Copy the tasks of a database nobody serves until there are ``wanted``, over some days; return how many.

    Tables named in ``leaving_out`` stay as they are.
    """
    with closing(sqlite3.connect(database)) as connection:
        # What is lost in an outage is made again.
        connection.executescript("PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -200000;")
        ended = _count(connection, "SELECT count(*) FROM tasks WHERE completed_at IS NOT NULL")
        copies = math.ceil(wanted / ended)
        times = _Times(copies, days)
        for name, count, function in (
            ("shift", 2, times.shift),
            ("new_key", 3, lambda key, number, owner: _key(key, number, times.shift(number, owner))),
            ("new_id", 2, _id),
            ("new_name", 2, _name),
        ):
            connection.create_function(name, count, function, deterministic=True)
        connection.execute("CREATE TEMP TABLE numbers (n INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO numbers VALUES (?)", [(number,) for number in range(1, copies)])
        connection.execute("CREATE TEMP TABLE ended AS SELECT key FROM tasks WHERE completed_at IS NOT NULL")
        copied = [table for table in metadata.sorted_tables if table.name not in leaving_out and _owner(table)]
        for table in copied:
            connection.execute(
                f"CREATE TEMP TABLE few_{table.name} AS"  # noqa: S608 - the names of our own tables
                f" SELECT few.*, {_owner(table)} AS owner FROM main.{table.name} AS few"
            )
        for table in copied:
            _copy(connection, table)
        for table in copied:
            for name in _AHEAD:
                if name in table.columns:
                    connection.execute(f"UPDATE {table.name} SET {name} = {name} + {_HOUR}")  # noqa: S608 - our own names
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return _count(connection, "SELECT count(*) FROM tasks")


class _Times:
    """How long ago a copy of a task began, in microseconds: more of them by day than by night."""

    def __init__(self, copies: int, days: float) -> None:
        self._gap = int(days * _DAY / copies)
        self._begun = [0]
        for number in range(1, copies + 1):
            share = number / copies
            wave = math.sin(2 * math.pi * share * days) * 0.12 * min(1.0, share * 20)
            self._begun.append(round((share * days + wave) * _DAY))

    def shift(self, number: int, owner: bytes) -> int:
        """Return the same for all rows of one copy of one task, whose key is ``owner``."""
        return self._begun[number] + int.from_bytes(owner[-6:]) * (2 * number + 1) % self._gap


def _owner(table: Table) -> str | None:
    """Return what names the task that a row belongs to, None for a table whose rows belong to none."""
    if table.name in _OF_REPORTS:
        return "(SELECT task_key FROM main.reports WHERE reports.id = few.report_id)"
    if table.name == "tasks":
        return "few.key"
    return "few.task_key" if "task_key" in table.columns else None


def _copy(connection: sqlite3.Connection, table: Table) -> None:
    columns = [
        column
        for column in table.columns
        if column.computed is None and (table.name, column.name) != ("events", "id")
    ]
    names = ", ".join(f'"{column.name}"' for column in columns)
    values = ", ".join(_value(table, column.name, is_moment=isinstance(column.type, Moment)) for column in columns)
    connection.execute(
        f"INSERT INTO main.{table.name} ({names})"  # noqa: S608 - the names of our own tables
        f" SELECT {values} FROM numbers CROSS JOIN few_{table.name} AS few"
        # The oldest first: keys grow with time.
        f" WHERE n < {_OPEN_COPIES} OR owner IN (SELECT key FROM ended) ORDER BY n DESC"
    )


def _value(table: Table, name: str, *, is_moment: bool) -> str:
    column = f'few."{name}"'
    if name in _KEYS or (table.name, name) == ("reports", "id"):
        return f"new_key({column}, n, owner)"
    if name in _IDS:
        return f"new_id({column}, n)"
    if name in _NAMES:
        return f"new_name({column}, n)"
    if name in _AHEAD:
        return column
    return f"{column} - shift(n, owner)" if is_moment else column


def _key(key: bytes | None, number: int, shift: int) -> bytes | None:
    """Return a UUID v7 as it would have been made so long before; of a million copies some are of one millisecond."""
    if key is None:
        return None
    milliseconds = max(0, int.from_bytes(key[:6]) - shift // 1000)
    return milliseconds.to_bytes(6) + key[6:10] + (int.from_bytes(key[10:]) ^ number).to_bytes(6)


def _id(value: bytes | None, number: int) -> bytes | None:
    """Return another UUID of the same version."""
    if value is None:
        return None
    return (int.from_bytes(value[:6]) ^ number * 0x9E3779B97F % (1 << 48)).to_bytes(6) + value[6:]


def _name(text: str | None, number: int) -> str | None:
    if text is None:
        return None
    try:
        return str(UUID(bytes=_id(UUID(text).bytes, number)))
    except ValueError:
        return f"{text}{number}"


def _count(connection: sqlite3.Connection, statement: str) -> int:
    counted: int = connection.execute(statement).fetchone()[0]
    return counted
