"""An open store for each test, on each engine there is."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from receiver.storage.store import SqlStore, migrate, open_store
from tests.postgresql import Server

#: A database is named by the path of its file or by its URL.
Opens = Callable[..., AbstractAsyncContextManager[SqlStore]]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its schema and nothing else: copying it is ten times as fast as making one."""
    path = tmp_path_factory.mktemp("empty") / "receiver.db"
    migrate(path)
    return path


@pytest.fixture(scope="session")
def empty_postgresql(postgresql: Server) -> str:
    """The name of such a database on PostgreSQL, made to be copied."""
    postgresql.ask("CREATE DATABASE empty")
    migrate(postgresql.url("empty"))
    return "empty"


@pytest.fixture
def database(tmp_path: Path, empty_database: Path) -> Path:
    """A database of this test alone, closed."""
    return Path(shutil.copy(empty_database, tmp_path / "receiver.db"))


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest) -> Path | str:
    """A database of this test alone, closed: of one engine, then of the other."""
    if request.param == "sqlite":
        path: Path = request.getfixturevalue("database")
        return path
    server: Server = request.getfixturevalue("postgresql")
    return server.database(request.getfixturevalue("empty_postgresql"))


@pytest.fixture
def commits() -> list[int]:
    """How many calls each commit made durable, in order."""
    return []


@pytest.fixture
async def store(either: Path | str, commits: list[int]) -> AsyncIterator[SqlStore]:
    # Leases go by the moment that a test names, on PostgreSQL too: its clock is the subject of tests of its own.
    async with open_store(either, on_commit=commits.append, moment=lambda _, now: now) as opened:
        commits.clear()
        yield opened
