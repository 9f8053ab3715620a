"""How a SQLite file is opened: by one process, for its owner's eyes, with every commit on the disk."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, NullPool, create_engine, event, func, select
from sqlalchemy.exc import DBAPIError

from receiver.domain.errors import UnavailableError
from receiver.storage.faults import DatabaseInUseError, fault, unavailable

_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700
#: Statements that the driver keeps prepared; the long texts for many rows at once are worth it.
_CACHED_STATEMENTS = 256

_COMMON = ("PRAGMA busy_timeout = 5000", "PRAGMA temp_store = MEMORY")
_WRITER = (
    *_COMMON,
    "PRAGMA journal_mode = WAL",
    # An acknowledged report survives a power cut: the log is synced at every commit.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    # What was erased is overwritten; how SQLite was built must not decide that.
    "PRAGMA secure_delete = ON",
    # 16 MiB. Checkpoints every 2,000 pages keep the log near 8 MB; what a burst made of it is given back. At 8,000
    # one caller in a hundred waited for 50 ms; at 1,000 every other claim of 500 looks moved what it had written.
    "PRAGMA cache_size = -16384",
    "PRAGMA wal_autocheckpoint = 2000",
    "PRAGMA journal_size_limit = 67108864",
)
_READER = (*_COMMON, "PRAGMA query_only = ON", "PRAGMA cache_size = -4096")

# The driver looks for what might adapt each value that is no number and no text, and where it finds nothing it makes
# and throws away an error with a message: 2,000 instructions for each identifier, NULL and flag, a tenth of all
# receiving and settling. What returns such a value as it is, without a step of the interpreter, is found at once.
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), {None: None}.get)
sqlite3.register_adapter(bool, int)


def connect(path: Path, *, writes: bool) -> Connection:
    """Open a connection whose transactions are begun and ended by explicit statements alone.

    The driver would begin one by itself, too late and as a reader: two writers then meet as "database is locked".
    May be used by one thread after another. Raises DBAPIError.
    """
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
        # Parameters hold prompts, links and bodies; an error's text ends in logs.
        hide_parameters=True,
        connect_args={"check_same_thread": False, "cached_statements": _CACHED_STATEMENTS},
    )

    def settle_in(connection: sqlite3.Connection, _: object) -> None:
        for statement in _WRITER if writes else _READER:
            connection.execute(statement).close()

    event.listen(engine, "connect", settle_in)
    return engine.connect()


def driver(connection: Connection) -> sqlite3.Connection:
    """Return what lies below a connection made by ``connect``."""
    below = connection.connection.driver_connection
    if not isinstance(below, sqlite3.Connection):
        raise TypeError("this is no SQLite connection")
    return below


@contextmanager
def written(path: Path) -> Iterator[Connection]:
    """Open a connection for one transaction, committed when nothing was raised. Raises UnavailableError."""
    try:
        with connect(path, writes=True) as connection:
            driver(connection).execute("BEGIN IMMEDIATE")
            yield connection
            driver(connection).execute("COMMIT")
    except (sqlite3.Error, DBAPIError) as error:
        reason = fault(error)
        if reason is None:
            raise
        raise unavailable(reason, error) from None


def drawn(connection: Connection) -> bytes:
    """Return 16 random bytes; the engine draws them from the system's own generator."""
    made = connection.scalar(select(func.randomblob(16)))
    if not isinstance(made, bytes):
        raise TypeError("no random bytes were drawn")
    return made


def make_private(path: Path) -> None:
    """Make the database file and its folder for the owner alone; SQLite gives its log the same rights.

    Raises UnavailableError when they cannot be made.
    """
    try:
        path.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE))
        # A backup that was copied back may have lost its rights. Not being the owner is no reason to stop.
        with contextlib.suppress(PermissionError):
            path.chmod(_PRIVATE_FILE)
    except OSError as error:
        raise unavailable(f"{path}: {error.strerror}") from None


def refuse_lost(path: Path) -> None:
    """Raise UnavailableError when there was a database and it is gone: a new one would know none of its tasks."""
    beside = [path.with_name(f"{path.name}{ending}") for ending in (".lock", "-wal")]
    left = [file.name for file in beside if file.exists()]
    if left and not path.exists():
        raise UnavailableError(
            f"{path} is gone, although {' and '.join(left)} beside it show that it was there: put it back from a "
            f"backup, or remove {'it' if len(left) == 1 else 'them'} too to begin anew without the tasks of before"
        )


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the database for this process. Raises DatabaseInUseError naming the process that holds it.

    The lock lies on a file beside the database: SQLite's own locks on the database would be dropped by closing any
    other descriptor of it. The file stays; a lock ends with its process, however that ends.
    """
    beside = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE)
    except OSError as error:
        raise unavailable(f"{beside}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise DatabaseInUseError(
                f"{path} is in use by process {holder}: it serves one process at a time, so stop that one first"
            ) from None
        # A disk that is full must not keep us from starting; then the number is missing, the lock is not.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
