"""What is urgent goes with the long job that is expected, and never waits for one that does not come."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection

from receiver.domain.errors import StorageFullError, UnavailableError
from receiver.storage import holding
from receiver.storage.engine import SqliteEngine, open_sqlite
from tests.storage.notes import fill, note_all, sql, words

Finish = Callable[[Connection], list[str | Exception]]


@pytest.fixture
def commits() -> list[int]:
    return []


@pytest.fixture
async def engine(tmp_path: Path, commits: list[int]) -> AsyncIterator[SqliteEngine]:
    async with open_sqlite(tmp_path / "notes.db", on_commit=commits.append) as opened:
        await opened.write(lambda connection: sql(connection, "CREATE TABLE notes (word TEXT UNIQUE, size INTEGER)"))
        commits.clear()
        yield opened


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "PATIENCE_SECONDS", 60)


def long_notes(connection: Connection, items: Sequence[str], breathe: Callable[[], None]) -> Finish:
    """Prepare nothing; a long job that only writes."""
    return lambda open_: note_all(open_, items)


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.usefixtures("patient")
async def test_who_comes_while_a_long_job_is_expected_shares_its_transaction(
    engine: SqliteEngine, commits: list[int]
) -> None:
    urgent, prepared = engine.gather_urgent(note_all, str), engine.gather_prepared(long_notes)
    engine.expect()
    early = [asyncio.ensure_future(urgent(word)) for word in ("a", "b")]
    await turns(20)
    late = asyncio.ensure_future(urgent("c"))
    await turns(20)
    assert commits == []
    assert await asyncio.gather(prepared("long"), *early, late) == ["long", "a", "b", "c"]
    assert commits == [4]
    assert await engine.read(words) == ["long", "a", "b", "c"]


async def test_a_long_job_that_does_not_come_is_not_waited_for_long(engine: SqliteEngine, commits: list[int]) -> None:
    urgent = engine.gather_urgent(note_all, str)
    engine.expect()
    async with asyncio.timeout(60):
        assert await urgent("a") == "a"
        # And the next is waited for again, no longer.
        engine.expect()
        assert await urgent("b") == "b"
        # Nobody is expected now.
        assert await urgent("c") == "c"
    assert commits == [1, 1, 1]


@pytest.mark.usefixtures("patient")
async def test_what_is_not_urgent_waits_for_nobody(engine: SqliteEngine, commits: list[int]) -> None:
    plain, urgent = engine.gather(note_all), engine.gather_urgent(note_all, str)
    engine.expect()
    waiting = asyncio.ensure_future(urgent("urgent"))
    await turns(20)
    assert await plain("plain") == "plain"
    assert await engine.write(words) == ["plain"]
    assert not waiting.done()
    assert await engine.gather_prepared(long_notes)("long") == "long"
    await waiting
    assert commits == [1, 1, 2]


@pytest.mark.usefixtures("patient")
async def test_who_comes_after_the_last_look_of_a_long_job_goes_with_the_next(
    engine: SqliteEngine, commits: list[int]
) -> None:
    """Whoever was served by the one asks for the next at once, as who settles does."""
    looked, asked = threading.Event(), threading.Event()

    def slowly(connection: Connection, items: Sequence[str]) -> list[str | Exception]:
        # Taken last of all, so whoever comes now is too late for this transaction.
        looked.set()
        assert asked.wait(60)
        return note_all(connection, items)

    first_urgent, urgent = engine.gather_urgent(slowly, str), engine.gather_urgent(note_all, str)
    prepared = engine.gather_prepared(long_notes)

    async def one_after_another() -> list[str]:
        engine.expect()
        done = [await prepared("long 1")]
        engine.expect()
        return [*done, await prepared("long 2")]

    engine.expect()
    slow = asyncio.ensure_future(first_urgent("slow"))
    settling = asyncio.ensure_future(one_after_another())
    assert await asyncio.to_thread(looked.wait, 10)
    # The other urgent one has been looked at by then, or is looked at now: asked for twice, the second is late.
    early = asyncio.ensure_future(urgent("early"))
    await turns(20)
    asked.set()
    await asyncio.gather(slow, settling, early)
    assert await engine.read(words) in (["long 1", "slow", "early", "long 2"], ["long 1", "slow", "long 2", "early"])
    assert len(commits) == 2


@pytest.mark.usefixtures("patient")
async def test_who_was_to_go_with_a_long_job_that_fails_is_written_all_the_same(
    engine: SqliteEngine, commits: list[int]
) -> None:
    def prepare(connection: Connection, items: Sequence[str], breathe: Callable[[], None]) -> Finish:
        fill(connection)
        return lambda _: list(items)

    urgent = engine.gather_urgent(note_all, str)
    await engine.write(lambda connection: sql(connection, "PRAGMA max_page_count = 20"))
    commits.clear()
    engine.expect()
    waiting = asyncio.ensure_future(urgent("a"))
    await turns(20)
    with pytest.raises(StorageFullError):
        await engine.gather_prepared(prepare)("long")
    async with asyncio.timeout(60):
        assert await waiting == "a"
    assert commits == [1]


@pytest.mark.usefixtures("patient")
async def test_a_long_job_in_several_parts_holds_nobody_back_afterwards(
    engine: SqliteEngine, commits: list[int]
) -> None:
    urgent = engine.gather_urgent(note_all, str)
    heavy = engine.gather_prepared(long_notes, weigh=lambda _: 200)
    engine.expect()
    waiting = [asyncio.ensure_future(urgent(word)) for word in ("a", "b")]
    parts = [asyncio.ensure_future(heavy(f"long {number}")) for number in range(5)]
    async with asyncio.timeout(60):
        await asyncio.gather(*waiting, *parts)
        commits.clear()
        for word in ("c", "d", "e"):
            assert await urgent(word) == word
            await turns(20)
    # And what is expected is held for as before.
    engine.expect()
    last = asyncio.ensure_future(urgent("f"))
    await turns(20)
    await asyncio.gather(heavy("long"), last)
    assert commits == [1, 1, 1, 2]


@pytest.mark.usefixtures("patient")
async def test_who_is_held_when_the_engine_closes_is_written_first(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "closing.db") as engine:
        await engine.write(lambda connection: sql(connection, "CREATE TABLE notes (word TEXT UNIQUE, size INTEGER)"))
        urgent = engine.gather_urgent(note_all, str)
        engine.expect()
        waiting = asyncio.ensure_future(urgent("a"))
        await turns(20)
    async with asyncio.timeout(60):
        assert await waiting == "a"
    async with open_sqlite(tmp_path / "closing.db") as engine:
        assert await engine.read(words) == ["a"]


async def test_a_closed_engine_expects_nobody(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "closing.db") as engine:
        urgent = engine.gather_urgent(note_all, str)
    engine.expect()
    with pytest.raises(UnavailableError, match="closed"):
        await urgent("a")
