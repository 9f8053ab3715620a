"""A look at a database file from outside, beside whoever serves it: nothing in it changes."""

import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from receiver.domain.errors import UnavailableError
from receiver.storage.faults import fault, unavailable
from receiver.storage.migrations import NEWEST, revision
from receiver.storage.sqlite import connect, driver
from receiver.storage.tables import installation

#: How SQLite numbers ``synchronous = FULL`` (https://sqlite.org/pragma.html#pragma_synchronous).
_FULL = 2
_COMMITS = 5


@dataclass(frozen=True, slots=True)
class Inspected:
    """What stands in a database: whose it is (None: in none yet), and its schema, with the newest that we know."""

    installation_id: bytes | None
    revision: str | None
    newest: str = NEWEST


@dataclass(frozen=True, slots=True)
class Durability:
    """How commits end in a folder: the journal, whether each is synced, and how long the slowest of some took."""

    journal_mode: str
    synced: bool
    commit_seconds: float


def inspect(path: Path) -> Inspected:
    """Read whose a database is. Raises UnavailableError."""
    try:
        with connect(path, writes=False) as connection:
            reached = revision(connection)
            known = None if reached is None else connection.scalar(select(installation.columns.id))
            return Inspected(known, reached)
    except (sqlite3.Error, DBAPIError) as error:
        raise unavailable(fault(error) or type(error).__name__, error) from None


def holder(path: Path) -> str | None:
    """Return the process that serves a database, "unknown" if it does not say, None when none does.

    The lock is asked for and let go again in the same moment.
    """
    try:
        descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
    else:
        return None
    finally:
        os.close(descriptor)


def try_commits(folder: Path, monotonic: Callable[[], float]) -> Durability:
    """Commit a few times to a database of our own in the same folder, and remove it. Raises UnavailableError."""
    scratch = None
    try:
        scratch = Path(tempfile.mkdtemp(prefix=".doctor-", dir=folder))
        with connect(scratch / "doctor.db", writes=True) as connection:
            below = driver(connection)
            mode = str(below.execute("PRAGMA journal_mode").fetchone()[0])
            synced = below.execute("PRAGMA synchronous").fetchone()[0] >= _FULL
            below.execute("CREATE TABLE tried (number INTEGER)")
            took = []
            for number in range(_COMMITS):
                begun = monotonic()
                below.execute("INSERT INTO tried VALUES (?)", (number,))
                took.append(monotonic() - begun)
        return Durability(mode, synced, max(took))
    except OSError as error:
        raise UnavailableError(f"{folder}: {error.strerror}") from None
    except (sqlite3.Error, DBAPIError) as error:
        raise unavailable(fault(error) or type(error).__name__, error) from None
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
