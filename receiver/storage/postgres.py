"""PostgreSQL as the database: any number of processes share it, each by a few connections of its own."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from typing import TypeVar, cast
from uuid import UUID

from sqlalchemy import Connection, event, func, select
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

from receiver.domain.errors import UnavailableError
from receiver.storage import line
from receiver.storage.batches import Together, a_turn
from receiver.storage.faults import fault, is_conflict, is_lost, is_taken, quieted, unavailable
from receiver.storage.running import WROTE_ALONE
from receiver.storage.serving import Prepare, Serve, unprepared
from receiver.storage.types import encode

T = TypeVar("T")
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Heard = TypeVar("Heard")

#: Connections of one process that write, and that read. A write is a few milliseconds, and most are gathered.
WRITERS = 6
READERS = 4
#: A transaction that met others, or whose connection had died meanwhile, is tried so often in all.
TRIES = 4
#: In seconds: to connect, to wait for one of our own connections, for an answer on one.
_CONNECT = 5
_POOL = 10
_ANSWER = 40
_SETTINGS = {
    "application_name": "receiver",
    "timezone": "UTC",
    # Whatever the server is set to by default: an acknowledged report survives a power cut.
    "synchronous_commit": "on",
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    # What a process holds that was stopped in the middle of a transaction is given back to the others.
    "idle_in_transaction_session_timeout": "30s",
    # Compiling a plan takes longer than any statement of ours.
    "jit": "off",
}
#: Whatever a writer does, it does to a few rows that it finds by an index. A statement that is prepared while a table
#: is nearly empty would walk through it, and go on so as it grows, until the table is next analysed.
_BY_INDEX = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
#: Statements that are kept prepared on each connection; the long texts for many rows at once are worth it.
_CACHED_STATEMENTS = 512


class PostgresEngine:
    """A PostgreSQL database: functions of a connection run on a small pool, what is gathered one batch at a time."""

    shared = True

    def __init__(self, url: str, on_commit: Callable[[int], None] | None) -> None:
        self._writers = _Pool(url, WRITERS, {"default_transaction_isolation": "read committed", **_BY_INDEX})
        self._readers = _Pool(
            url, READERS, {"default_transaction_isolation": "repeatable read", "default_transaction_read_only": "on"}
        )
        self._on_commit = on_commit
        self._running: set[asyncio.Task[object]] = set()
        self._closed = False
        self._trouble: str | None = None

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._outliving(self.committed(work, 1))

    def gather(
        self,
        work: Serve[Item, Outcome],
        *,
        weigh: Callable[[Item], int] = lambda _: 1,
    ) -> Callable[[Item], Awaitable[Outcome]]:
        return cast("Callable[[Item], Awaitable[Outcome]]", Together(self, unprepared(work), weigh).ask)

    def gather_urgent(
        self, work: Serve[Item, Outcome], told: Callable[[Outcome], Heard]
    ) -> "Callable[[Item], asyncio.Future[Heard]]":
        # Nothing here waits for what another prepares.
        gathered = Together(self, unprepared(work), lambda _: 1, told)
        return cast("Callable[[Item], asyncio.Future[Heard]]", gathered.ask)

    def gather_prepared(
        self, prepare: Prepare[Item, Outcome], *, weigh: Callable[[Item], int] = lambda _: 1
    ) -> Callable[[Item], Awaitable[Outcome]]:
        # Where they are many: what the server writes of some, we prepare of others.
        gathered = Together(self, prepare, weigh, at_once=2)
        return cast("Callable[[Item], Awaitable[Outcome]]", gathered.ask)

    def expect(self) -> None:
        """Do nothing: what is urgent has a connection of its own here."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._outliving(self._readers.run(work))

    @property
    def trouble(self) -> str | None:
        return self._trouble

    def draw(self, connection: Connection) -> bytes:
        """Return 16 bytes that nobody has drawn before, 122 of their bits random; the server draws them."""
        made: UUID = connection.execute(select(func.gen_random_uuid())).scalar_one()
        return made.bytes

    def moment(self, connection: Connection, now: datetime) -> datetime:  # noqa: ARG002 - ours may differ from theirs
        """Return the time by the clock that all who share the database go by."""
        moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return moment

    async def committed(self, work: Callable[[Connection], T], calls: int) -> T:
        """Run ``work`` in a transaction, tried again where that may help; return its value after the commit.

        ``calls``: how many callers it serves. Raises UnavailableError, and what ``work`` raises.
        """

        def noticed(connection: Connection) -> T:
            connection.info.pop(WROTE_ALONE, None)
            value = work(connection)
            if self._trouble is not None and _has_written(connection):
                self._trouble = None
            return value

        try:
            value = await self._writers.run(noticed, commit=True)
        except UnavailableError as error:
            self._trouble = str(error)
            raise
        if self._on_commit is not None:
            self._on_commit(calls)
        return value

    def spawn(self, work: Coroutine[object, object, T]) -> "asyncio.Task[T]":
        """Run something that no caller's end may cut off. Raises UnavailableError when the engine is closed."""
        if self._closed:
            work.close()
            raise unavailable("it is closed")
        task = asyncio.create_task(work)
        running = cast("asyncio.Task[object]", task)
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return task

    def future(self) -> "asyncio.Future[object]":
        """Return a future for an answer. Raises UnavailableError when the engine is closed."""
        if self._closed:
            raise unavailable("it is closed")
        return asyncio.get_running_loop().create_future()

    async def stop(self) -> None:
        """Let what is under way end, and close every connection."""
        # What was asked for a moment ago begins with the next turn of the loop.
        await a_turn()
        self._closed = True
        while self._running:
            await asyncio.wait(self._running)
        await self._writers.close()
        await self._readers.close()
        # A socket is let go with the next turn of the loop, which may be the last.
        await a_turn()

    async def _outliving(self, work: Coroutine[object, object, T]) -> T:
        """Wait for something that goes on when its caller is cancelled."""
        task = self.spawn(work)
        # A fault that its caller is not there to hear is nobody's: the loop would complain of it.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)


class _Pool:
    """Some connections alike; a broken one is replaced, after an outage all of them are."""

    def __init__(self, url: str, size: int, settings: dict[str, str]) -> None:
        self._engine: AsyncEngine = create_async_engine(
            # The URL itself is read by the driver, as libpq would read it, and is known to nobody else.
            "postgresql+asyncpg://",
            pool_size=size,
            max_overflow=0,
            pool_timeout=_POOL,
            hide_parameters=True,
            json_serializer=encode,
            json_deserializer=json.loads,
            connect_args={
                "dsn": url,
                "timeout": _CONNECT,
                "command_timeout": _ANSWER,
                "server_settings": _SETTINGS | line.SETTINGS | settings,
                "prepared_statement_cache_size": _CACHED_STATEMENTS,
            },
        )
        event.listen(self._engine.sync_engine, "handle_error", _judge)
        event.listen(self._engine.sync_engine, "connect", lambda made, _: line.watch(made.driver_connection))

    async def run(self, work: Callable[[Connection], T], *, commit: bool = False) -> T:
        """Run ``work`` in a transaction, and again when its connection is lost before the commit or others met it.

        Raises UnavailableError for what is the database's fault, and what ``work`` raises.
        """
        tries = 0
        while True:
            tries += 1
            at = _Progress()
            try:
                # One greenlet for all of it: each would cost as much as a short statement.
                return await greenlet_spawn(self._once, work, at, commit)
            except Exception as error:
                if tries == 1 and is_taken(error):
                    # Whoever looks again finds what has it.
                    continue
                reason = fault(error)
                if reason is None:
                    raise
                # What was sent and not answered may stand: only its caller knows whether it may be sent twice.
                # Whoever could not even connect will not be able to a moment later.
                may_help = is_conflict(error) or (at.connected and is_lost(error))
                if tries < TRIES and not at.committing and may_help:
                    continue
                raise unavailable(reason, error) from None

    def _once(self, work: Callable[[Connection], T], at: "_Progress", commit: bool) -> T:  # noqa: FBT001 - of ``run``
        with self._engine.sync_engine.connect() as connection:
            at.connected = True
            try:
                # Said here, as what goes straight to the driver says it to nobody.
                transaction = connection.begin()
                value = _contained(work)(connection)
                at.committing = commit
                if commit:
                    transaction.commit()
            except Exception as error:
                if is_lost(error):
                    connection.invalidate()
                raise
            return value

    async def close(self) -> None:
        with suppress(Exception):
            await self._engine.dispose()


@dataclass(slots=True)
class _Progress:
    """How far a transaction has come."""

    connected: bool = False
    committing: bool = False


def _has_written(connection: Connection) -> bool:
    """Tell whether a row was changed: what changes nothing succeeds on a disk that is full, and says nothing."""
    alone: bool = connection.info.get(WROTE_ALONE, False)
    return alone or connection.scalar(select(func.pg_current_xact_id_if_assigned())) is not None


def _contained(work: Callable[[Connection], T]) -> Callable[[Connection], T]:
    """Let nothing that ``work`` raises end more than its caller."""

    def run(connection: Connection) -> T:
        try:
            return work(connection)
        except (StopIteration, KeyboardInterrupt, SystemExit) as error:
            raise RuntimeError(type(error).__name__) from None

    return run


def _judge(context: ExceptionContext) -> None:
    """Say which connections are dead, and keep what is quoted of our rows out of every error: errors end in logs."""
    original = context.original_exception
    if is_lost(context.sqlalchemy_exception or original):
        # The others of before the outage are as dead as this one: each is replaced when it is next asked for.
        context.is_disconnect = True
    quieted(original, context.sqlalchemy_exception)


class MissingDriverError(UnavailableError):
    """PostgreSQL needs the extra `postgres`: pip install "receiver[postgres]"."""


@asynccontextmanager
async def open_postgres(url: str, *, on_commit: Callable[[int], None] | None = None) -> AsyncIterator[PostgresEngine]:
    """Open a database that others may have open too. ``url`` is what libpq takes: ``postgresql://user@host/name?…``.

    ``on_commit`` is told after each commit how many calls it made durable, by the event loop. Raises
    MissingDriverError, UnavailableError when it cannot be reached, ValueError for a URL that cannot be read.
    """
    if find_spec("asyncpg") is None or find_spec("greenlet") is None:
        raise MissingDriverError(MissingDriverError.__doc__)
    engine = PostgresEngine(url, on_commit)
    try:
        try:
            await engine.read(lambda connection: connection.scalar(select(1)))
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - the driver says it in many ways, some of them with the password
            raise ValueError(f"the database URL cannot be read ({type(error).__name__})") from None
        yield engine
    finally:
        await engine.stop()
