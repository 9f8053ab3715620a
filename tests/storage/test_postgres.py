"""The engine on PostgreSQL: what SQLite's one writer gives by itself must be so here, too."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Sequence

import asyncpg
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from receiver.domain.errors import StorageReadOnlyError, UnavailableError
from receiver.storage.postgres import PostgresEngine, open_postgres
from tests.postgresql import Server
from tests.storage.wires import wired

SECRET = "a-word-of-a-caller"
DEAD = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"


@pytest.fixture
def url(postgresql: Server) -> str:
    made = postgresql.database()
    postgresql.ask("CREATE TABLE notes (id serial PRIMARY KEY, word text UNIQUE, size integer)", of=made)
    return made


@pytest.fixture
def commits() -> list[int]:
    return []


@pytest.fixture
async def engine(url: str, commits: list[int]) -> AsyncIterator[PostgresEngine]:
    async with open_postgres(url, on_commit=commits.append) as opened:
        yield opened


def sql(connection: Connection, text: str, *values: object) -> list[tuple[object, ...]]:
    result = connection.exec_driver_sql(text, values)
    return [tuple(row) for row in result] if result.returns_rows else []


def note(word: str) -> Callable[[Connection], str]:
    def write(connection: Connection) -> str:
        sql(connection, "INSERT INTO notes (word) VALUES ($1)", word)
        return word

    return write


def note_all(connection: Connection, items: Sequence[str]) -> list[str | Exception]:
    return [note(item)(connection) for item in items]


def words(connection: Connection) -> list[object]:
    return [word for (word,) in sql(connection, "SELECT word FROM notes ORDER BY id")]


async def test_a_write_is_committed_when_it_returns_and_undone_when_it_raises(
    engine: PostgresEngine, commits: list[int]
) -> None:
    def half(connection: Connection) -> None:
        note("half")(connection)
        raise LookupError

    assert await engine.write(note("one")) == "one"
    with pytest.raises(LookupError):
        await engine.write(half)
    assert await engine.read(words) == ["one"]
    assert commits == [1]


@pytest.mark.parametrize("error", [StopIteration, KeyboardInterrupt, SystemExit, MemoryError])
async def test_whatever_a_function_raises_ends_no_more_than_its_caller(
    engine: PostgresEngine, error: type[BaseException]
) -> None:
    def broken(_: Connection) -> None:
        raise error

    with pytest.raises((RuntimeError, MemoryError)):
        await engine.write(broken)
    assert await engine.write(note("after")) == "after"


async def test_callers_who_come_together_share_a_commit_and_those_who_come_meanwhile_the_next(
    engine: PostgresEngine, commits: list[int]
) -> None:
    served: list[int] = []

    def together(connection: Connection, items: Sequence[str]) -> list[str | Exception]:
        served.append(len(items))
        if len(served) == 1:
            later.extend(asyncio.ensure_future(ask(f"later {number}")) for number in range(30))
        return [note(item)(connection) for item in items]

    later: list[asyncio.Future[str]] = []
    ask = engine.gather(together)
    first = await asyncio.gather(*(ask(f"word {number}") for number in range(50)))
    assert first == [f"word {number}" for number in range(50)]
    await asyncio.gather(*later)
    assert served == commits == [50, 30]


async def test_an_item_that_cannot_be_written_does_not_fail_the_items_beside_it(engine: PostgresEngine) -> None:
    def together(connection: Connection, items: Sequence[str]) -> list[str | Exception]:
        return [ValueError(item) if item == "no" else note(item)(connection) for item in items]

    ask = engine.gather(together)
    asked = ("a", "no", "b", "a", "\ud800", "nul\0", "c")
    answers = await asyncio.gather(*(ask(item) for item in asked), return_exceptions=True)
    assert [answer if isinstance(answer, str) else type(answer).__name__ for answer in answers] == [
        "a",
        "ValueError",
        "b",
        "IntegrityError",
        "DBAPIError",
        "DBAPIError",
        "c",
    ]
    assert await engine.read(words) == ["a", "b", "c"]


async def test_others_are_served_while_something_prepares(engine: PostgresEngine) -> None:
    order: list[str] = []
    urgent = engine.gather(note_all)

    def prepare(
        connection: Connection, items: Sequence[str], breathe: Callable[[], None]
    ) -> Callable[[Connection], list[str | Exception]]:
        asked.append(asyncio.ensure_future(urgent("callback")))
        for _ in range(10_000):
            breathe()
            if asked[0].done():
                break
        order.append("prepared")
        return lambda open_: [note(item)(open_) for item in items]

    asked: list[asyncio.Future[str]] = []
    await engine.gather_prepared(prepare)("slow")
    assert asked[0].done()
    assert await engine.read(words) == ["callback", "slow"]


async def test_a_reader_sees_one_state_from_its_first_look_to_its_last_and_cannot_write(
    engine: PostgresEngine,
) -> None:
    await engine.write(note("before"))
    looked: list[object] = []

    def twice(connection: Connection) -> list[object]:
        looked.append(words(connection))
        # Somebody else, in a transaction of theirs, while this one goes on.
        engine.spawn(engine.write(note("between")))
        sql(connection, "SELECT pg_sleep(0.3)")
        return words(connection)

    assert await engine.read(twice) == looked[0] == ["before"]
    assert await engine.read(words) == ["before", "between"]
    with pytest.raises(StorageReadOnlyError):
        await engine.read(note("never"))


async def test_transactions_that_wait_for_each_other_are_tried_again(engine: PostgresEngine) -> None:
    for word in ("a", "b"):
        await engine.write(note(word))
    tries: list[str] = []

    def crossing(first: str, second: str) -> Callable[[Connection], None]:
        def change(connection: Connection) -> None:
            tries.append(first)
            for word in (first, second):
                sql(connection, "UPDATE notes SET size = coalesce(size, 0) + 1 WHERE word = $1", word)
                sql(connection, "SELECT pg_sleep(0.2)")

        return change

    await asyncio.gather(engine.write(crossing("a", "b")), engine.write(crossing("b", "a")))
    assert await engine.read(lambda connection: sql(connection, "SELECT size FROM notes")) == [(2,), (2,)]
    assert len(tries) == 3


async def test_connections_that_died_meanwhile_are_replaced_and_nobody_hears_of_it(
    postgresql: Server, url: str, engine: PostgresEngine
) -> None:
    await asyncio.gather(*(engine.write(note(f"{number}")) for number in range(8)))
    await asyncio.gather(*(engine.read(words) for _ in range(8)))
    await asyncio.to_thread(postgresql.ask, f"{DEAD} AND pid <> pg_backend_pid()", of=url)
    answers = await asyncio.gather(*(engine.write(note(f"after {number}")) for number in range(8)))
    assert len(answers) == 8
    assert len(await engine.read(words)) == 16
    assert engine.trouble is None


async def test_a_connection_lost_in_the_middle_is_tried_again_and_one_lost_at_the_commit_is_not(
    engine: PostgresEngine,
) -> None:
    tries: list[str] = []

    def dies_once(connection: Connection) -> None:
        tries.append("once")
        note(f"{len(tries)}")(connection)
        if len(tries) == 1:
            sql(connection, "SELECT pg_terminate_backend(pg_backend_pid())")

    await engine.write(dies_once)
    assert tries == ["once"] * 2
    assert await engine.read(words) == ["2"]

    def dies_at_commit(connection: Connection) -> None:
        tries.append("commit")
        note("at commit")(connection)
        sql(
            connection,
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'",
        )
        sql(
            connection,
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION die()",
        )
        note("and dies")(connection)

    with pytest.raises(UnavailableError):
        await engine.write(dies_at_commit)
    assert tries == ["once"] * 2 + ["commit"]
    # Whether it stands is for its caller to find out.
    assert await engine.read(words) == ["2"]
    assert engine.trouble is not None
    assert await engine.write(note("after")) == "after"
    assert engine.trouble is None


async def test_a_server_that_vanished_without_a_word_is_noticed_long_before_an_answer_would_be_late(url: str) -> None:
    async with wired(url) as wire, open_postgres(wire.url) as engine:
        await engine.write(note("before"))
        slow = asyncio.create_task(engine.read(lambda connection: sql(connection, "SELECT pg_sleep(1), 17")))
        await until_asked(url, "pg_sleep")
        # One waits for its answer, others lie idle until they are next used.
        assert wire.vanish() >= 2
        # An answer is late after forty seconds.
        async with asyncio.timeout(35):
            assert await engine.write(note("after")) == "after"
            [(_, answer)] = await slow
            assert answer == 17
        assert await engine.read(words) == ["before", "after"]


async def until_asked(url: str, part: str) -> None:
    """Wait until somebody else's statement with this part is under way."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1 AND pid <> pg_backend_pid()"
    )
    connection = await asyncpg.connect(url)
    try:
        while not await connection.fetchval(query, f"%{part}%"):
            await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def test_what_takes_too_long_is_broken_off_and_said_to_be_our_fault(engine: PostgresEngine) -> None:
    def slow(connection: Connection) -> None:
        sql(connection, "SET LOCAL statement_timeout = 50")
        sql(connection, "SELECT pg_sleep(5)")

    with pytest.raises(UnavailableError, match="a statement took too long"):
        await engine.write(slow)

    def waiting(connection: Connection) -> None:
        sql(connection, "SET LOCAL lock_timeout = 50")
        sql(connection, "LOCK TABLE notes")

    def holding(connection: Connection) -> None:
        sql(connection, "LOCK TABLE notes")
        sql(connection, "SELECT pg_sleep(1)")

    held = asyncio.ensure_future(engine.write(holding))
    await engine.read(lambda connection: sql(connection, "SELECT pg_sleep(0.3)"))
    with pytest.raises(UnavailableError, match="a lock was not to be had"):
        await engine.write(waiting)
    await held


async def test_a_caller_that_is_cancelled_has_written_all_the_same(url: str, engine: PostgresEngine) -> None:
    impatient = asyncio.ensure_future(engine.write(note("a")))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    await engine.stop()
    async with open_postgres(url) as again:
        assert await again.read(words) == ["a"]


async def test_a_fault_that_its_caller_is_not_there_to_hear_is_not_complained_of(engine: PostgresEngine) -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    begun: list[str] = []

    def fails(connection: Connection) -> None:
        begun.append("begun")
        sql(connection, "SELECT pg_sleep(0.1)")
        raise LookupError

    impatient = asyncio.ensure_future(engine.write(fails))
    while not begun:
        await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    await engine.stop()
    gc.collect()
    assert complaints == []


async def test_no_error_repeats_what_was_to_be_written(
    engine: PostgresEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await engine.write(note(SECRET))

    def wrong(connection: Connection) -> None:
        sql(connection, "INSERT INTO notes (size) VALUES ($1)", SECRET)

    def null(connection: Connection) -> None:
        sql(connection, "ALTER TABLE notes ALTER size SET NOT NULL")

    def cast(connection: Connection) -> None:
        sql(connection, "SELECT $1::text::integer", SECRET)

    for work in (note(SECRET), wrong, null, cast, note(f"{SECRET}\0")):
        try:
            await engine.write(work)
        except Exception:
            logging.getLogger("test").exception("failed")
    assert caplog.text.count("Traceback") >= 5
    assert SECRET not in caplog.text
    with pytest.raises(IntegrityError, match="notes_word_key"):
        await engine.write(note(SECRET))


async def test_after_closing_it_is_said_to_be_closed(engine: PostgresEngine) -> None:
    ask = engine.gather(note_all)
    asked = [asyncio.ensure_future(ask(f"{number}")) for number in range(5)]
    await asyncio.sleep(0)
    await engine.stop()
    assert await asyncio.gather(*asked) == [f"{number}" for number in range(5)]
    for use in (engine.write(note("a")), engine.read(words)):
        with pytest.raises(UnavailableError, match="closed"):
            await use
    with pytest.raises(UnavailableError, match="closed"):
        await ask("late")


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        ("postgresql://u:hush@127.0.0.1:9/x", UnavailableError, "Connection refused"),
        ("postgresql://u:hush@127.0.0.1:nine/x", ValueError, "cannot be read"),
        ("postgresql://u:hush@/x?host=/nowhere/hush", UnavailableError, "No such file"),
        ("postgresql://u:hush@127.0.0.1:9/x?sslmode=perhaps", ValueError, "cannot be read"),
    ],
)
async def test_a_url_that_leads_nowhere_is_refused_without_being_repeated(
    url: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as refused:
        async with open_postgres(url):
            pass
    assert "hush" not in str(refused.value)


async def test_a_pooler_that_takes_no_settings_of_ours_is_named_as_what_is_wrong() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # No TLS, then the error that a pooler answers settings with that it does not pass on.
        await reader.readexactly(8)
        writer.write(b"N")
        await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4)
        told = b"SFATAL\0C08P01\0Munsupported startup parameter: synchronous_commit\0\0"
        writer.write(b"E" + (len(told) + 4).to_bytes(4) + told)
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as pooler:
        port = pooler.sockets[0].getsockname()[1]
        with pytest.raises(UnavailableError, match="a pooler before it, refuses our settings"):
            async with open_postgres(f"postgresql://u:hush@127.0.0.1:{port}/x"):
                pass


async def test_hosts_none_of_which_is_as_asked_for_are_said_to_be_that(url: str) -> None:
    with pytest.raises(UnavailableError, match="target_session_attrs"):
        async with open_postgres(f"{url}&target_session_attrs=standby"):
            pass
    async with open_postgres(f"{url}&target_session_attrs=primary") as engine:
        assert await engine.write(note("a")) == "a"
