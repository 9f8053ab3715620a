"""One way to write and one to read, whatever the database: synchronous functions of a connection, awaited."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar, cast

from sqlalchemy import Connection

from receiver.storage.faults import fault, unavailable
from receiver.storage.gathered import Gathered
from receiver.storage.serving import Prepare, Serve, unprepared
from receiver.storage.sqlite import connect, drawn, driver, held, make_private, refuse_lost
from receiver.storage.writer import Writer

T = TypeVar("T")
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Heard = TypeVar("Heard")

#: Readers of a SQLite file at once; each keeps a connection with up to 4 MiB of pages.
_READERS = 4


class Engine(Protocol):
    """A database to write to and to read from. Every call raises UnavailableError when it is out of order."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction and return its value after the commit, synced to disk.

        When ``work`` raises, what it wrote is undone and the error is raised here. A caller that is cancelled has
        written all the same.
        """

    def gather(
        self,
        work: Serve[Item, Outcome],
        *,
        weigh: Callable[[Item], int] = ...,
    ) -> Callable[[Item], Awaitable[Outcome]]:
        """Return a function that writes like ``write``, but one call of ``work`` serves many callers.

        ``work`` gets the items of callers who came at the same time and returns an outcome for each; an exception
        among them is raised to its caller, and what the others wrote stands. If it raises itself, it is called again
        for each item alone. ``weigh`` says how much of a transaction an item takes.
        """

    def gather_urgent(
        self, work: Serve[Item, Outcome], told: Callable[[Outcome], Heard]
    ) -> "Callable[[Item], asyncio.Future[Heard]]":
        """Return a function like that of ``gather``: for what may be written while something else prepares, or with.

        ``told`` is told each outcome that is no exception, by the event loop and once it is durable, before its
        caller, who may have gone, and returns what the caller hears.
        """

    def gather_prepared(
        self, prepare: Prepare[Item, Outcome], *, weigh: Callable[[Item], int] = ...
    ) -> Callable[[Item], Awaitable[Outcome]]:
        """Return a function like that of ``gather`` whose work is done in two parts: ``prepare`` reads, and what it
        returns writes. In between, nothing is written by others except what is urgent.
        """

    def expect(self) -> None:
        """Be told that something prepared is about to be asked for: what is urgent waits to go with it, not long."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on one unchanging view of what is committed and return its value."""

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written, as long as the last that was to be written could not be; else None."""

    @property
    def shared(self) -> bool:
        """Whether other processes may write to this database too."""

    def draw(self, connection: Connection) -> bytes:
        """Return 16 random bytes, drawn by the database."""

    def moment(self, connection: Connection, now: datetime) -> datetime:
        """Return the time that leases go by: ``now``, or that of a clock which all who share the database have."""


class SqliteEngine:
    """A SQLite file in write-ahead-log mode: one thread writes, some read."""

    shared = False

    def __init__(self, path: Path, on_commit: Callable[[int], None] | None) -> None:
        self._path = path
        self._writer = Writer(path, on_commit)
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="storage-reader")
        self._mine = threading.local()
        self._opened: set[Connection] = set()

    async def write(self, work: Callable[[Connection], T]) -> T:
        return cast("T", await self._writer.single(work))

    def gather(
        self,
        work: Serve[Item, Outcome],
        *,
        weigh: Callable[[Item], int] = lambda _: 1,
    ) -> Callable[[Item], Awaitable[Outcome]]:
        gathered = Gathered(self._writer, unprepared(work), weigh, long=False)
        return cast("Callable[[Item], Awaitable[Outcome]]", gathered.ask)

    def gather_urgent(
        self, work: Serve[Item, Outcome], told: Callable[[Outcome], Heard]
    ) -> "Callable[[Item], asyncio.Future[Heard]]":
        gathered = Gathered(self._writer, unprepared(work), lambda _: 1, long=False, told=told)
        self._writer.urgent.append(cast("Gathered[object, object]", gathered))
        return cast("Callable[[Item], asyncio.Future[Heard]]", gathered.ask)

    def gather_prepared(
        self, prepare: Prepare[Item, Outcome], *, weigh: Callable[[Item], int] = lambda _: 1
    ) -> Callable[[Item], Awaitable[Outcome]]:
        gathered = Gathered(self._writer, prepare, weigh, long=True)
        return cast("Callable[[Item], Awaitable[Outcome]]", gathered.ask)

    def expect(self) -> None:
        self._writer.expect()

    async def read(self, work: Callable[[Connection], T]) -> T:
        try:
            running = asyncio.get_running_loop().run_in_executor(self._pool, self._read, work)
        except RuntimeError:
            raise unavailable("it is closed") from None
        return await running

    @property
    def trouble(self) -> str | None:
        return self._writer.trouble

    def draw(self, connection: Connection) -> bytes:
        return drawn(connection)

    def moment(self, connection: Connection, now: datetime) -> datetime:  # noqa: ARG002 - SQLite has no other
        return now

    def start(self) -> None:
        self._writer.start()

    async def stop(self) -> None:
        """Let readers end, drain the writer, close every connection; the writer last, for its checkpoint."""
        await asyncio.to_thread(self._pool.shutdown)
        for connection in self._opened:
            connection.close()
        await self._writer.stop()

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            connection = self._reader()
            below = driver(connection)
            below.execute("BEGIN")
            try:
                return work(connection)
            finally:
                below.execute("ROLLBACK")
        except Exception as error:
            reason = fault(error)
            if reason is None:
                raise
            self._forget()
            raise unavailable(reason, error) from None

    def _reader(self) -> Connection:
        connection: Connection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = connect(self._path, writes=False)
            self._opened.add(connection)
        return connection

    def _forget(self) -> None:
        connection: Connection | None = getattr(self._mine, "connection", None)
        self._mine.connection = None
        if connection is not None:
            self._opened.discard(connection)
            with suppress(Exception):
                connection.close()


@asynccontextmanager
async def open_sqlite(path: Path, *, on_commit: Callable[[int], None] | None = None) -> AsyncIterator[SqliteEngine]:
    """Open a database file for this process alone, making it if need be.

    ``on_commit`` is told after each commit how many calls it made durable, in the writer's thread. Raises
    DatabaseInUseError when another process has it, UnavailableError when it cannot be opened.
    """
    refuse_lost(path)
    make_private(path)
    with held(path):
        engine = SqliteEngine(path, on_commit)
        engine.start()
        try:
            yield engine
        finally:
            await engine.stop()
