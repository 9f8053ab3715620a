"""An open store for each test, on each engine there is."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from receiver.storage.store import SqlStore, migrate, open_store


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its schema and nothing else: copying it is ten times as fast as making one."""
    path = tmp_path_factory.mktemp("empty") / "receiver.db"
    migrate(path)
    return path


@pytest.fixture
def database(tmp_path: Path, empty_database: Path) -> Path:
    """A database of this test alone, closed."""
    return Path(shutil.copy(empty_database, tmp_path / "receiver.db"))


@pytest.fixture
def commits() -> list[int]:
    """How many calls each commit made durable, in order."""
    return []


@pytest.fixture
async def store(database: Path, commits: list[int]) -> AsyncIterator[SqlStore]:
    async with open_store(database, on_commit=commits.append) as opened:
        commits.clear()
        yield opened
