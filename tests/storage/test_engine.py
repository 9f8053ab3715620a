import asyncio
import gc
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from receiver.domain.errors import StorageFullError, UnavailableError
from receiver.storage.engine import SqliteEngine, open_sqlite
from receiver.storage.faults import DatabaseInUseError
from tests.storage.notes import fill, note, note_all, sql, words

HOUSE = Path(__file__).resolve().parents[2]
HOLDING = """
import asyncio, sys
from pathlib import Path
from receiver.storage.engine import open_sqlite

async def hold():
    async with open_sqlite(Path(sys.argv[1])):
        print("open", flush=True)
        sys.stdin.read()

asyncio.run(hold())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "notes.db"


@pytest.fixture
def commits() -> list[int]:
    return []


@pytest.fixture
async def engine(path: Path, commits: list[int]) -> AsyncIterator[SqliteEngine]:
    async with open_sqlite(path, on_commit=commits.append) as opened:
        await opened.write(lambda connection: sql(connection, "CREATE TABLE notes (word TEXT UNIQUE, size INTEGER)"))
        commits.clear()
        yield opened


class Gate:
    """A function for the writer that keeps it busy until it is let go."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, _: Connection) -> None:
        self._reached.set()
        assert self._open.wait(60)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._reached.wait, 10)

    def let_go(self) -> None:
        self._open.set()


async def test_a_write_returns_its_value_and_is_seen_by_readers(engine: SqliteEngine) -> None:
    assert await engine.write(note("one")) == "one"
    assert await engine.read(words) == ["one"]


async def test_what_is_queued_while_the_writer_is_busy_shares_one_commit(
    engine: SqliteEngine, commits: list[int]
) -> None:
    gate = Gate()
    first = asyncio.ensure_future(engine.write(gate))
    await gate.reached()
    others = [asyncio.ensure_future(engine.write(note(f"word {number}"))) for number in range(100)]
    await asyncio.sleep(0)
    gate.let_go()
    assert await asyncio.gather(*others) == [f"word {number}" for number in range(100)]
    await first
    assert commits == [1, 100]


async def test_a_transaction_takes_no_more_than_its_share(engine: SqliteEngine, commits: list[int]) -> None:
    gate = Gate()
    first = asyncio.ensure_future(engine.write(gate))
    await gate.reached()
    others = [asyncio.ensure_future(engine.write(note(f"word {number}"))) for number in range(600)]
    await asyncio.sleep(0)
    gate.let_go()
    await asyncio.gather(first, *others)
    assert commits == [1, 256, 256, 88]


async def test_no_caller_is_answered_before_the_commit(path: Path) -> None:
    seen: list[bool] = []
    calls: list[asyncio.Future[str]] = []
    async with open_sqlite(path, on_commit=lambda _: seen.extend(call.done() for call in calls)) as engine:
        await engine.write(lambda connection: sql(connection, "CREATE TABLE notes (word TEXT)"))
        calls.extend(asyncio.ensure_future(engine.write(note(f"word {number}"))) for number in range(5))
        await asyncio.gather(*calls)
    assert len(seen) >= 5
    assert not any(seen[:5])


async def test_a_function_that_raises_is_undone_alone_and_its_caller_alone_hears_of_it(engine: SqliteEngine) -> None:
    def half(connection: Connection) -> None:
        note("half")(connection)
        raise LookupError("the other half is missing")

    gate = Gate()
    first = asyncio.ensure_future(engine.write(gate))
    await gate.reached()
    calls = [
        asyncio.ensure_future(each)
        for each in (engine.write(note("a")), engine.write(half), engine.write(note("a")), engine.write(note("b")))
    ]
    await asyncio.sleep(0)
    gate.let_go()
    answers = await asyncio.gather(first, *calls, return_exceptions=True)
    assert [type(answer) for answer in answers[1:]] == [str, LookupError, IntegrityError, str]
    assert await engine.read(words) == ["a", "b"]


@pytest.mark.parametrize("error", [StopIteration, KeyboardInterrupt, SystemExit, MemoryError])
async def test_the_writer_outlives_whatever_a_function_raises(
    engine: SqliteEngine, error: type[BaseException]
) -> None:
    def broken(_: Connection) -> None:
        raise error

    with pytest.raises((RuntimeError, MemoryError)):
        await engine.write(broken)
    assert await engine.write(note("after")) == "after"


async def test_a_caller_that_is_cancelled_has_written_all_the_same(engine: SqliteEngine) -> None:
    gate = Gate()
    first = asyncio.ensure_future(engine.write(gate))
    await gate.reached()
    impatient = asyncio.ensure_future(engine.write(note("a")))
    await asyncio.sleep(0)
    impatient.cancel()
    gate.let_go()
    await first
    with pytest.raises(asyncio.CancelledError):
        await impatient
    assert await engine.write(words) == ["a"]


async def test_gathered_calls_are_served_by_one_call_of_their_function(engine: SqliteEngine) -> None:
    served: list[int] = []

    def together(connection: Connection, items: Sequence[str]) -> list[int | Exception]:
        served.append(len(items))
        return [len(note(item)(connection)) for item in items]

    gate = Gate()
    ask = engine.gather(together)
    first = asyncio.ensure_future(engine.write(gate))
    await gate.reached()
    calls = [asyncio.ensure_future(ask("x" * size)) for size in range(1, 51)]
    await asyncio.sleep(0)
    gate.let_go()
    assert await asyncio.gather(*calls) == list(range(1, 51))
    await first
    assert served == [50]


async def test_the_writer_does_not_begin_with_the_first_of_those_who_come_together(engine: SqliteEngine) -> None:
    served: list[int] = []
    begun = threading.Event()

    def together(connection: Connection, items: Sequence[str]) -> list[str | Exception]:
        begun.set()
        served.append(len(items))
        return [note(item)(connection) for item in items]

    ask = engine.gather(together)
    first = ask("first")
    # The loop is at it all the while, as when it goes through what many callers have sent.
    assert not begun.wait(0.2)
    await asyncio.gather(first, *(ask(f"word {number}") for number in range(49)))
    assert served == [50]


async def test_an_item_that_cannot_be_written_does_not_fail_the_items_beside_it(engine: SqliteEngine) -> None:
    def together(connection: Connection, items: Sequence[str]) -> list[str | Exception]:
        return [ValueError(item) if item == "no" else note(item)(connection) for item in items]

    gate = Gate()
    ask = engine.gather(together)
    first = asyncio.ensure_future(engine.write(gate))
    await gate.reached()
    calls = [asyncio.ensure_future(ask(item)) for item in ("a", "no", "b", "a", "\ud800", "c")]
    await asyncio.sleep(0)
    gate.let_go()
    answers = await asyncio.gather(first, *calls, return_exceptions=True)
    assert [str(answer) if isinstance(answer, str) else type(answer).__name__ for answer in answers[1:]] == [
        "a",
        "ValueError",
        "b",
        "IntegrityError",
        "UnicodeEncodeError",
        "c",
    ]
    assert await engine.read(words) == ["a", "b", "c"]


async def test_what_is_urgent_is_written_while_something_else_prepares(engine: SqliteEngine) -> None:
    urgent = engine.gather_urgent(note_all, str)
    order: list[str] = []
    written = threading.Event()
    preparing = threading.Event()

    def prepare(
        connection: Connection, items: Sequence[str], breathe: Callable[[], None]
    ) -> Callable[[Connection], list[str | Exception]]:
        preparing.set()
        while not written.wait(0.001):
            breathe()
        order.append("prepared")
        assert words(connection) == ["urgent"]
        return lambda open_: note_all(open_, items)

    slow = asyncio.ensure_future(engine.gather_prepared(prepare)("slow"))
    assert await asyncio.to_thread(preparing.wait, 10)
    plain = asyncio.ensure_future(engine.write(note("plain")))
    order.append(await urgent("urgent"))
    written.set()
    await asyncio.gather(slow, plain)
    assert order == ["urgent", "prepared"]
    assert await engine.read(words) == ["urgent", "slow", "plain"]


@pytest.mark.parametrize("breaks", [False, True], ids=["all goes well", "what was prepared cannot be written"])
async def test_who_asks_while_something_prepares_shares_its_commit_and_not_its_faults(
    engine: SqliteEngine, commits: list[int], breaks: bool
) -> None:
    urgent = engine.gather_urgent(note_all, str)
    preparing, asked = threading.Event(), threading.Event()

    def prepare(
        _: Connection, items: Sequence[str], __: Callable[[], None]
    ) -> Callable[[Connection], list[str | Exception]]:
        preparing.set()
        assert asked.wait(60)

        def finish(open_: Connection) -> list[str | Exception]:
            done = note_all(open_, items)
            if breaks:
                raise LookupError("not this one")
            return done

        return finish

    slow = asyncio.ensure_future(engine.gather_prepared(prepare)("slow"))
    assert await asyncio.to_thread(preparing.wait, 10)
    others = [asyncio.ensure_future(urgent(word)) for word in ("first", "second")]
    await asyncio.sleep(0)
    asked.set()
    assert await asyncio.gather(*others) == ["first", "second"]
    [outcome] = await asyncio.gather(slow, return_exceptions=True)
    assert isinstance(outcome, LookupError) is breaks
    assert commits == [3]
    assert await engine.read(words) == [*(["slow"] if not breaks else []), "first", "second"]


async def test_nobody_is_forgotten_who_asks_twice_while_something_prepares(engine: SqliteEngine) -> None:
    """The first is served early and leaves its call in the queue, the second adds another: one of the two is idle."""
    urgent = engine.gather_urgent(note_all, str)
    preparing, first_asked, second_asked = threading.Event(), threading.Event(), threading.Event()

    def prepare(
        _: Connection, items: Sequence[str], breathe: Callable[[], None]
    ) -> Callable[[Connection], list[str | Exception]]:
        preparing.set()
        assert first_asked.wait(60)
        breathe()
        assert second_asked.wait(60)
        return lambda open_: note_all(open_, items)

    slow = asyncio.ensure_future(engine.gather_prepared(prepare)("slow"))
    assert await asyncio.to_thread(preparing.wait, 10)
    first = asyncio.ensure_future(urgent("first"))
    await asyncio.sleep(0)
    first_asked.set()
    await first
    others = [asyncio.ensure_future(urgent(word)) for word in ("second", "third")]
    await asyncio.sleep(0)
    second_asked.set()
    async with asyncio.timeout(60):
        assert await asyncio.gather(slow, *others) == ["slow", "second", "third"]
    assert await engine.read(words) == ["first", "slow", "second", "third"]


async def test_a_full_disk_fails_everybody_in_the_transaction_and_is_got_over(engine: SqliteEngine) -> None:
    await engine.write(lambda connection: sql(connection, "PRAGMA max_page_count = 20"))
    gate = Gate()
    first = asyncio.ensure_future(engine.write(gate))
    await gate.reached()
    calls = [asyncio.ensure_future(engine.write(note("small"))), asyncio.ensure_future(engine.write(fill))]
    await asyncio.sleep(0)
    gate.let_go()
    await first
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StorageFullError, StorageFullError]
    assert "full" in str(answers[0])
    assert await engine.read(words) == []
    # The connection was opened anew, as it is when there is room again.
    await engine.write(fill)
    assert await engine.write(note("small")) == "small"


async def test_a_read_only_database_is_said_to_be_unavailable_and_is_got_over(engine: SqliteEngine) -> None:
    await engine.write(lambda connection: sql(connection, "PRAGMA query_only = ON"))
    with pytest.raises(UnavailableError, match="readonly"):
        await engine.write(note("a"))
    assert await engine.write(note("a")) == "a"


async def test_a_database_locked_by_a_stranger_is_unavailable_until_it_lets_go(
    engine: SqliteEngine, path: Path
) -> None:
    stranger = sqlite3.connect(path, isolation_level=None)
    try:
        await engine.write(lambda connection: sql(connection, "PRAGMA busy_timeout = 10"))
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="locked"):
            await engine.write(note("a"))
        stranger.execute("ROLLBACK")
        assert await engine.write(note("a")) == "a"
    finally:
        stranger.close()


async def test_a_fault_while_something_prepares_fails_it_and_nobody_hangs(engine: SqliteEngine) -> None:
    def together(connection: Connection, items: Sequence[str]) -> list[str | Exception]:
        for _ in items:
            fill(connection)
        return list(items)

    def prepare(
        connection: Connection, items: Sequence[str], breathe: Callable[[], None]
    ) -> Callable[[Connection], list[str | Exception]]:
        preparing.set()
        assert asked.wait(60)
        breathe()
        return lambda _: list(items)

    preparing, asked = threading.Event(), threading.Event()
    urgent = engine.gather_urgent(together, str)
    await engine.write(lambda connection: sql(connection, "PRAGMA max_page_count = 20"))
    slow = asyncio.ensure_future(engine.gather_prepared(prepare)("slow"))
    assert await asyncio.to_thread(preparing.wait, 10)
    failing = asyncio.ensure_future(urgent("urgent"))
    await asyncio.sleep(0)
    asked.set()
    answers = await asyncio.gather(slow, failing, return_exceptions=True)
    assert [type(answer) for answer in answers] == [UnavailableError, StorageFullError]
    assert await engine.write(note("after")) == "after"


async def test_a_reader_cannot_write(engine: SqliteEngine) -> None:
    with pytest.raises(UnavailableError, match="readonly"):
        await engine.read(note("a"))
    assert await engine.read(words) == []


async def test_a_reader_sees_one_state_from_its_first_look_to_its_last(engine: SqliteEngine) -> None:
    looked, written = threading.Event(), threading.Event()

    def twice(connection: Connection) -> list[list[object]]:
        first = words(connection)
        looked.set()
        assert written.wait(60)
        return [first, words(connection)]

    reading = asyncio.ensure_future(engine.read(twice))
    assert await asyncio.to_thread(looked.wait, 10)
    await engine.write(note("a"))
    written.set()
    assert await reading == [[], []]


async def test_an_error_of_a_reader_is_its_own(engine: SqliteEngine) -> None:
    def broken(_: Connection) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await engine.read(broken)
    assert await engine.read(words) == []


async def test_closing_writes_what_is_queued_and_leaves_one_file_and_its_lock(path: Path) -> None:
    async with open_sqlite(path) as engine:
        await engine.write(lambda connection: sql(connection, "CREATE TABLE notes (word TEXT)"))
        calls = [asyncio.ensure_future(engine.write(note(f"word {number}"))) for number in range(700)]
        await asyncio.sleep(0)
    assert len(await asyncio.gather(*calls)) == 700
    assert sorted(file.name for file in path.parent.iterdir()) == ["notes.db", "notes.db.lock"]
    for use in (engine.write(words), engine.read(words)):
        with pytest.raises(UnavailableError, match="closed"):
            await use


async def test_every_commit_is_synced_to_the_disk(engine: SqliteEngine) -> None:
    settings = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    found = await engine.write(lambda connection: {name: sql(connection, f"PRAGMA {name}") for name in settings})
    assert found == {name: [(value,)] for name, value in settings.items()}


async def test_database_and_folder_are_for_their_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        async with open_sqlite(path) as engine:
            await engine.write(lambda connection: sql(connection, "CREATE TABLE notes (word TEXT)"))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert set(modes) == {"notes.db", "notes.db-wal", "notes.db-shm", "notes.db.lock"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_database_that_was_copied_back_for_everybody_to_read_is_closed_to_them_again(path: Path) -> None:
    async with open_sqlite(path):
        pass
    path.chmod(0o644)
    async with open_sqlite(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_second_process_is_refused_and_told_who_has_the_database(path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(path)], cwd=HOUSE, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(DatabaseInUseError, match=f"process {holder.pid}"):
            async with open_sqlite(path):
                pass
        holder.stdin.close()
        assert holder.wait(60) == 0
    async with open_sqlite(path):
        pass


async def test_the_same_process_cannot_open_a_database_twice(engine: SqliteEngine, path: Path) -> None:
    with pytest.raises(DatabaseInUseError, match=f"process {os.getpid()}"):
        async with open_sqlite(path):
            pass


async def test_a_database_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UnavailableError, match=r"Not a directory|File exists"):
        async with open_sqlite(tmp_path / "file" / "notes.db"):
            pass


async def test_a_file_that_is_no_database_is_unavailable(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all, but long enough to be one" * 100)
    async with open_sqlite(path) as engine:
        with pytest.raises(UnavailableError, match="not a database"):
            await engine.write(words)
        with pytest.raises(UnavailableError, match="not a database"):
            await engine.read(words)


async def test_nothing_that_is_written_gets_into_an_error_or_a_log(
    engine: SqliteEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await engine.write(note("a secret word"))
    with pytest.raises(Exception, match="UNIQUE") as caught:
        await engine.write(note("a secret word"))
    assert "secret" not in str(caught.value)
    assert "secret" not in caplog.text


async def test_connections_are_closed_with_the_engine(path: Path) -> None:
    descriptors = Path("/dev/fd")
    gc.collect()
    before = len(list(descriptors.iterdir()))
    async with open_sqlite(path) as engine:
        await asyncio.gather(*(engine.read(lambda connection: sql(connection, "SELECT 1")) for _ in range(20)))
        await engine.write(lambda connection: sql(connection, "CREATE TABLE notes (word TEXT)"))
    gc.collect()
    assert len(list(descriptors.iterdir())) <= before
