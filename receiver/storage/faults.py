"""Which errors of a database are its own fault, to be answered with "later", and which are the statement's."""

import errno
import os
import sqlite3
from typing import Any, cast

from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from receiver.domain.errors import StorageFullError, StorageReadOnlyError, UnavailableError

#: Primary result codes (https://sqlite.org/rescode.html) that say nothing about the statement.
_NOT_THE_STATEMENT = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_NOTADB,
    }
)
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY = 0xFF
#: PostgreSQL's codes that say nothing about the statement, and classes of them, by their first letters
#: (https://www.postgresql.org/docs/current/errcodes-appendix.html). Its own words quote values, so are not repeated.
_STATES = {
    "08": "the connection was lost",
    # Of what the driver keeps prepared: each connection finds out for itself, and has to prepare it anew.
    "0A000": "the type of a column was changed meanwhile",
    "08P01": "it, or a pooler before it, refuses our settings: name the server itself",
    "25006": "it is read-only",
    "25P03": "a transaction waited for too long",
    "25P04": "a transaction took too long",
    "28": "it refuses the user or the password",
    "3D000": "there is no database of that name",
    "40": "others kept changing the same rows",
    "53": "it is out of resources",
    "53100": "its disk is full",
    "53300": "it takes no more connections",
    "55P03": "a lock was not to be had in time",
    "57": "it is stopping",
    "57014": "a statement took too long",
    "57P03": "it is starting or stopping",
    "58": "its machine failed it",
    "F0": "its configuration is broken",
    "XX": "it failed inside",
    "XX001": "its data is damaged",
    "XX002": "an index of it is damaged",
}
#: What the driver complains of by itself, where more is to be said than that the connection is of no use.
_DRIVER = {
    "TargetServerAttributeNotMatched": "no host of its URL is what target_session_attrs asks for; primary is needed",
}
_STATE_FULL = "53100"
_STATE_TAKEN = "23505"
STATE_READ_ONLY = "25006"
_STATES_TRIED_AGAIN = frozenset({"40001", "40P01"})
#: Classes of which the connection itself does not survive, or is not worth keeping.
_STATES_OF_CONNECTIONS = ("08", "0A000", "57P", STATE_READ_ONLY, "25P03", "28", "3D000")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class DatabaseInUseError(UnavailableError):
    """Another process has this database open; SQLite here takes one."""


class NewerSchemaError(UnavailableError):
    """The database was written by a newer version."""


def fault(error: BaseException) -> str | None:
    """Return what is wrong with the database in one line, or None when it is not the database's fault."""
    below = _below(error)
    if isinstance(below, sqlite3.Error):
        return _fault_of_sqlite(below)
    state = state_of(error)
    if state is not None:
        return next((f"{_STATES[part]} ({state})" for part in (state, state[:2]) if part in _STATES), None)
    if isinstance(error, PoolTimeoutError):
        return "all connections to it are busy"
    if isinstance(below, TimeoutError):
        return "it does not answer"
    if isinstance(below, OSError):
        return f"it cannot be reached: {os.strerror(below.errno) if below.errno else type(below).__name__}"
    said = (type(part).__name__ for part in (below, getattr(below, "__cause__", None)))
    lost = "the connection was lost" if is_lost(error) else None
    return next((_DRIVER[name] for name in said if name in _DRIVER), lost)


def _fault_of_sqlite(below: sqlite3.Error) -> str | None:
    code = getattr(below, "sqlite_errorcode", None)
    if not isinstance(code, int):
        # Raised by the driver, not by the database: of these only a closed or broken connection is nobody's fault.
        return str(below) if isinstance(below, sqlite3.OperationalError | sqlite3.InterfaceError) else None
    return str(below) if code & _PRIMARY in _NOT_THE_STATEMENT else None


def state_of(error: BaseException | None) -> str | None:
    """Return PostgreSQL's code for an error, None when it is not PostgreSQL that speaks."""
    below = _below(error)
    for said in (below, None if below is None else below.__cause__):
        state = getattr(said, "sqlstate", None)
        if isinstance(state, str):
            return state
    return None


def is_lost(error: BaseException) -> bool:
    """Tell whether a connection to PostgreSQL is gone, or none was to be had, or is worth keeping."""
    below = _below(error)
    state = state_of(error)
    if state is not None:
        return state.startswith(_STATES_OF_CONNECTIONS)
    if isinstance(below, OSError | EOFError):
        # A time limit is among the first: what was asked may still be under way on that connection.
        return True
    if isinstance(error, PendingRollbackError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return True
    # What the driver itself complains of, but for values that it cannot send: the connection is of no use any more.
    said = (below, getattr(below, "__cause__", None))
    if any(isinstance(part, ValueError) for part in said):
        return False
    return any(type(part).__name__ in {"InterfaceError", "InternalClientError", *_DRIVER} for part in said)


def quieted(original: BaseException, around: BaseException | None = None) -> None:
    """Keep what PostgreSQL quotes of our rows out of an error, and of the one ``around`` it: errors end in logs."""
    said = original.__cause__ or original
    state: str | None = getattr(said, "sqlstate", None)
    named = [getattr(said, name, None) for name in ("table_name", "column_name", "constraint_name")]
    words = " ".join([type(said).__name__, *filter(None, [state and f"({state})", *named])])
    for error in (said, original, around):
        if error is not None:
            error.args = (words, *error.args[1:])
    for error in (said, original):
        if hasattr(error, "detail"):
            cast("Any", error).detail = None


def is_conflict(error: BaseException) -> bool:
    """Tell whether the same once more is likely to go through: it met others who changed the same rows."""
    return state_of(error) in _STATES_TRIED_AGAIN


def is_taken(error: BaseException) -> bool:
    """Tell whether a name was taken that is given once, perhaps by others since it was looked for."""
    return state_of(error) == _STATE_TAKEN


def unavailable(reason: str, error: BaseException | None = None) -> UnavailableError:
    """Return the error every caller of a failed transaction gets; one for each, as each is raised elsewhere."""
    kind: type[UnavailableError] = UnavailableError
    code = getattr(_below(error), "sqlite_errorcode", None)
    if isinstance(code, int):
        kind = {sqlite3.SQLITE_FULL: StorageFullError, sqlite3.SQLITE_READONLY: StorageReadOnlyError}.get(
            code & _PRIMARY, UnavailableError
        )
        if code & _PRIMARY in _DAMAGED:
            reason = f"{reason}; restore a backup (see infra/backup), or move it away to begin anew"
    state = state_of(error)
    if state in {_STATE_FULL, STATE_READ_ONLY}:
        kind = StorageFullError if state == _STATE_FULL else StorageReadOnlyError
    return kind(f"the database cannot be used now: {reason}")


def disk_fault(error: OSError) -> UnavailableError:
    """Return what a fault of the file system is to our callers."""
    kind: type[UnavailableError] = UnavailableError
    if error.errno in _FULL:
        kind = StorageFullError
    elif error.errno in _READ_ONLY:
        kind = StorageReadOnlyError
    return kind(f"our disk: {error.strerror or type(error).__name__}")


def _below(error: BaseException | None) -> BaseException | None:
    """Return the driver's own error."""
    return (error.orig or error) if isinstance(error, DBAPIError) else error
