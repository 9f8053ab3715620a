"""Where a database lies: in a file, named by its path or a URL, or on a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from receiver.domain.errors import UnavailableError
from receiver.storage.faults import DatabaseInUseError, NewerSchemaError


def is_shared(database: str | Path) -> bool:
    """Tell whether a database is one that several processes may use at once."""
    return isinstance(database, str) and database.startswith(("postgresql://", "postgres://"))


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Say which file it is that cannot be opened."""
    try:
        yield
    except (DatabaseInUseError, NewerSchemaError):
        raise
    except UnavailableError as error:
        raise type(error)(f"{path}: {error}") from None


def file_of(database: str | Path) -> Path:
    """Return the file that a path or a URL names. Raises ValueError."""
    if isinstance(database, Path):
        return database
    if "://" not in database:
        return Path(database)
    try:
        url = make_url(database)
    except ArgumentError:
        raise ValueError("the database URL cannot be read") from None
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        raise ValueError(
            "the database must be a file, sqlite:///relative/path or sqlite:////absolute/path, or postgresql://…"
        )
    return Path(url.database)
