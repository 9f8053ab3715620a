"""Which errors of a database are its own fault, to be answered with "later", and which are the statement's."""

import errno
import sqlite3

from sqlalchemy.exc import DBAPIError

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
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class DatabaseInUseError(UnavailableError):
    """Another process has this database open; SQLite here takes one."""


class NewerSchemaError(UnavailableError):
    """The database was written by a newer version."""


def fault(error: BaseException) -> str | None:
    """Return what is wrong with the database in one line, or None when it is not the database's fault."""
    below = _below(error)
    if not isinstance(below, sqlite3.Error):
        return None
    code = getattr(below, "sqlite_errorcode", None)
    if not isinstance(code, int):
        # Raised by the driver, not by the database: of these only a closed or broken connection is nobody's fault.
        return str(below) if isinstance(below, sqlite3.OperationalError | sqlite3.InterfaceError) else None
    return str(below) if code & _PRIMARY in _NOT_THE_STATEMENT else None


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
