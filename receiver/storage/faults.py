"""Which errors of a database are its own fault, to be answered with "later", and which are the statement's."""

import sqlite3

from sqlalchemy.exc import DBAPIError

from receiver.domain.errors import UnavailableError

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
_PRIMARY = 0xFF


class DatabaseInUseError(UnavailableError):
    """Another process has this database open; SQLite here takes one."""


class NewerSchemaError(UnavailableError):
    """The database was written by a newer version."""


def fault(error: BaseException) -> str | None:
    """Return what is wrong with the database in one line, or None when it is not the database's fault."""
    if isinstance(error, DBAPIError):
        error = error.orig or error
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(code, int):
        # Raised by the driver, not by the database: of these only a closed or broken connection is nobody's fault.
        return str(error) if isinstance(error, sqlite3.OperationalError | sqlite3.InterfaceError) else None
    return str(error) if code & _PRIMARY in _NOT_THE_STATEMENT else None


def unavailable(reason: str) -> UnavailableError:
    """Return the error every caller of a failed transaction gets; one for each, as each is raised elsewhere."""
    return UnavailableError(f"the database cannot be used now: {reason}")
