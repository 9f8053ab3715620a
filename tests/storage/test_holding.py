"""What is urgent goes with the long job that is expected, and never waits for one that does not come."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection

from receiver.domain.errors import StorageFullError, UnavailableError
from receiver.domain.task import Status
from receiver.lifecycle import settle
from receiver.storage import holding
from receiver.storage.engine import SqliteEngine, open_sqlite
from tests.lifecycle.upkeep import world
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
        # Nobody is expected now.
        assert await urgent("b") == "b"
    assert commits == [1, 1]


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
        # All who are urgent have been taken, so whoever comes now is too late for this transaction.
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
    late = asyncio.ensure_future(urgent("late"))
    await turns(20)
    asked.set()
    await asyncio.gather(slow, settling, late)
    assert await engine.read(words) == ["long 1", "slow", "long 2", "late"]
    assert len(commits) == 2


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("fails", ["prepared", "written"])
async def test_who_was_to_go_with_a_long_job_that_fails_is_written_all_the_same(
    engine: SqliteEngine, commits: list[int], fails: str
) -> None:
    def prepare(connection: Connection, items: Sequence[str], breathe: Callable[[], None]) -> Finish:
        def write(open_: Connection) -> list[str | Exception]:
            fill(open_)
            return [*items]

        if fails == "prepared":
            fill(connection)
        return write

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
    assert await engine.read(words) == ["a"]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("breaks", ["long", "urgent"])
async def test_of_those_who_share_a_transaction_one_does_not_undo_the_other(
    engine: SqliteEngine, commits: list[int], breaks: str
) -> None:
    def failing(connection: Connection, items: Sequence[str]) -> list[str | Exception]:
        done = note_all(connection, items)
        if breaks in items:
            raise LookupError(breaks)
        return done

    urgent = engine.gather_urgent(failing, str)

    def long(_: Connection, items: Sequence[str], __: Callable[[], None]) -> Finish:
        return lambda connection: failing(connection, items)

    prepared = engine.gather_prepared(long)
    engine.expect()
    waiting = asyncio.ensure_future(urgent("urgent"))
    await turns(20)
    answers = await asyncio.gather(prepared("long"), waiting, return_exceptions=True)
    assert [isinstance(answer, LookupError) for answer in answers] == [breaks == "long", breaks == "urgent"]
    assert commits == [2]
    assert await engine.read(words) == ["urgent" if breaks == "long" else "long"]


@pytest.mark.usefixtures("patient")
async def test_rounds_without_a_pause_leave_nothing_behind(engine: SqliteEngine) -> None:
    """One is expected before the other's end is over, so nothing is ever let go."""
    urgent, prepared = engine.gather_urgent(note_all, str), engine.gather_prepared(long_notes)
    for number in range(50):
        engine.expect()
        waiting = asyncio.ensure_future(urgent(f"urgent {number}"))
        await turns(10)
        await asyncio.gather(prepared(f"long {number}"), waiting)
    assert len(engine._writer._hold._held) <= 1


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


@pytest.mark.usefixtures("patient")
async def test_who_calls_back_while_reports_are_read_is_stored_with_what_they_say(tmp_path: Path) -> None:
    async with world(tmp_path, settles=True) as around:
        tasks = [await around.begun() for _ in range(3)]
        # Nobody settles yet, so there is nothing to go with.
        assert await settle.lease(around.ports, 10) == []
        await around.called(tasks[0])
        reports = await settle.lease(around.ports, 10)
        calling = [asyncio.ensure_future(around.called(task)) for task in tasks[1:]]
        # Much longer than a transaction of their own would take.
        assert not (await asyncio.wait(calling, timeout=0.5))[0]
        await settle.settle_reports(around.ports, reports)
        await asyncio.gather(*calling)
        assert (await around.now(tasks[0])).status is Status.COLLECTING
        assert len(await settle.lease(around.ports, 10)) == 2


async def test_a_closed_engine_expects_nobody(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "closing.db") as engine:
        urgent = engine.gather_urgent(note_all, str)
    engine.expect()
    with pytest.raises(UnavailableError, match="closed"):
        await urgent("a")
