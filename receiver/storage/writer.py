"""The one thread that writes to a SQLite file: what is queued shares a transaction, answered after its commit."""

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from receiver.storage.faults import fault, unavailable
from receiver.storage.sqlite import connect, driver

_log = logging.getLogger("receiver.storage")

#: How much may share one transaction: what waits behind it waits for all of it.
MOST_JOBS = 256
MOST_WEIGHT = 256

T = TypeVar("T")
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

#: One outcome for each item, in their order; an exception is raised to that item's caller.
Finish = Callable[[Connection], Sequence[Outcome | Exception]]
#: Reads and thinks, calling its last argument every few milliseconds, and returns what then writes.
Prepare = Callable[[Connection, Sequence[Item], Callable[[], None]], Finish[Outcome]]

Waiting = Sequence["asyncio.Future[object]"]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a caller gets, once the commit stands."""

    future: "asyncio.Future[object]"
    value: object = None
    error: BaseException | None = None


class _Job(Protocol):
    """Work for the writer; ``take``, ``prepare`` and ``run`` are called in this order, once each time."""

    @property
    def long(self) -> bool:
        """Whether it prepares, and so is written by itself."""

    def take(self) -> Waiting:
        """Settle what is done now, and say who waits for it."""

    def prepare(self, connection: Connection, breathe: Callable[[], None]) -> None:
        """Read and think, before the transaction."""

    def run(self, connection: Connection) -> list[_Answer]:
        """Write, and undo what fails of it. Raises only what is a fault of the database."""


class _Single(Generic[T]):
    """One function for one caller."""

    long = False

    def __init__(self, work: Callable[[Connection], T], future: "asyncio.Future[object]") -> None:
        self._work = work
        self._future = future

    def take(self) -> Waiting:
        return (self._future,)

    def prepare(self, connection: Connection, breathe: Callable[[], None]) -> None:
        """Do nothing: a single function is short."""

    def run(self, connection: Connection) -> list[_Answer]:
        try:
            value = undone_if_it_fails(connection, self._work)
        except BaseException as error:
            if fault(error) is not None:
                raise
            return [_Answer(self._future, error=error)]
        return [_Answer(self._future, value)]


class Gathered(Generic[Item, Outcome]):
    """One function for many callers: whoever asks while the writer is busy is served by its next call.

    ``weigh`` says how much an item adds to a transaction; a call gets items up to a weight of ``MOST_WEIGHT``.
    """

    def __init__(
        self, writer: "Writer", prepare: Prepare[Item, Outcome], weigh: Callable[[Item], int], *, long: bool
    ) -> None:
        self.long = long
        self._writer = writer
        self._prepare = prepare
        self._weigh = weigh
        # Filled by the event loop, emptied by the writer; append and popleft of a deque are atomic.
        self._waiting: deque[tuple[Item, asyncio.Future[object]]] = deque()
        self._queued = False
        self._taken: list[tuple[Item, asyncio.Future[object]]] = []
        self._finish: Finish[Outcome] | None = None

    @property
    def waited_for(self) -> bool:
        return bool(self._waiting)

    def ask(self, item: Item) -> "asyncio.Future[object]":
        future = self._writer.future()
        self._waiting.append((item, future))
        self._queue()
        return future

    def take(self) -> Waiting:
        # Before the deque is emptied: an item that comes later queues the job again.
        self._queued = False
        self._taken = []
        weight = 0
        while self._waiting and weight < MOST_WEIGHT:
            entry = self._waiting.popleft()
            weight += self._weigh(entry[0])
            self._taken.append(entry)
        if self._waiting:
            self._queue()
        return [future for _, future in self._taken]

    def prepare(self, connection: Connection, breathe: Callable[[], None]) -> None:
        self._finish = self._prepare(connection, [item for item, _ in self._taken], breathe)

    def run(self, connection: Connection) -> list[_Answer]:
        if not self._taken or self._finish is None:
            return []
        try:
            outcomes = undone_if_it_fails(connection, self._finish)
        except Exception as error:
            if fault(error) is not None:
                raise
            if len(self._taken) == 1:
                return [_Answer(self._taken[0][1], error=error)]
            # One of them cannot be written: each by itself finds out which.
            return [answer for item, future in self._taken for answer in self._alone(connection, item, future)]
        return [
            _Answer(future, error=outcome) if isinstance(outcome, Exception) else _Answer(future, outcome)
            for (_, future), outcome in zip(self._taken, outcomes, strict=True)
        ]

    def _alone(self, connection: Connection, item: Item, future: "asyncio.Future[object]") -> list[_Answer]:
        def work(open_: Connection) -> Outcome | Exception:
            return self._prepare(open_, [item], lambda: None)(open_)[0]

        return [
            _Answer(future, error=answer.value) if isinstance(answer.value, Exception) else answer
            for answer in _Single(work, future).run(connection)
        ]

    def _queue(self) -> None:
        if not self._queued:
            self._queued = True
            self._writer.put(self)


@dataclass(slots=True)
class Writer:
    """Owns the only write connection of the only process that writes.

    ``on_commit`` is called in the writer's thread after each commit with the number of calls it made durable. A fault
    of the database fails every caller of its transaction; the connection is then opened anew for the next.
    """

    path: Path
    on_commit: Callable[[int], None] | None = None
    #: What a long job lets pass every few milliseconds while it prepares, each time in a transaction of its own.
    urgent: list[Gathered[object, object]] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _jobs: "SimpleQueue[_Job | None]" = field(init=False, default_factory=SimpleQueue)
    _thread: threading.Thread = field(init=False)
    _connection: Connection | None = field(init=False, default=None)
    _closed: bool = field(init=False, default=False)

    def start(self) -> None:
        """Start the thread; answers go to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, name="storage-writer", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Write what is queued, move the log into the database, close."""
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def future(self) -> "asyncio.Future[object]":
        """Return a future for an answer. Raises UnavailableError after ``stop``."""
        if self._closed:
            raise unavailable("it is closed")
        return self._loop.create_future()

    def put(self, job: _Job) -> None:
        self._jobs.put(job)

    def single(self, work: Callable[[Connection], object]) -> "asyncio.Future[object]":
        future = self.future()
        self._jobs.put(_Single(work, future))
        return future

    def _serve(self) -> None:
        going = True
        while going:
            jobs: list[_Job] = []
            job = self._jobs.get()
            while job is not None:
                jobs.append(job)
                if len(jobs) >= MOST_JOBS or self._jobs.empty():
                    break
                job = self._jobs.get()
            going = job is not None
            self._write_in_turn(jobs)
        # A gathered job may have queued itself again behind the end.
        while not self._jobs.empty():
            if (job := self._jobs.get()) is not None:
                self._write_in_turn([job])
        self._close(checkpoint=True)

    def _write_in_turn(self, jobs: Sequence[_Job]) -> None:
        """Write what is short together, then each long job by itself."""
        self._write([job for job in jobs if not job.long])
        for job in jobs:
            if job.long:
                self._write([job])

    def _write(self, jobs: Sequence[_Job]) -> None:
        waiting = [future for job in jobs for future in job.take()]
        if not waiting:
            return
        try:
            connection = self._open()
            for job in jobs:
                job.prepare(connection, self._breathe)
            below = driver(connection)
            below.execute("BEGIN IMMEDIATE")
            answers = [answer for job in jobs for answer in job.run(connection)]
            below.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - the thread outlives everything, and its callers hear of it
            reason = fault(error)
            if reason is None:
                _log.exception("write_failed")
                reason = type(error).__name__
            self._close(checkpoint=False)
            answers = [_Answer(future, error=unavailable(reason)) for future in waiting]
        else:
            if self.on_commit is not None:
                self.on_commit(len(waiting))
        # The loop may be gone already; then nobody waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_tell, answers)

    def _breathe(self) -> None:
        """Write what is urgent, between two parts of a preparation; nothing is written then that it has read."""
        if not any(job.waited_for for job in self.urgent):
            return
        connection = self._connection
        self._write(self.urgent)
        if self._connection is not connection:
            raise sqlite3.OperationalError("the connection was lost")

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self.path, writes=True)
        return self._connection

    def _close(self, *, checkpoint: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        below = driver(connection)
        # What a broken database answers to a farewell is of no interest; closing ends an open transaction.
        with contextlib.suppress(sqlite3.Error, SQLAlchemyError):
            if checkpoint:
                below.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        with contextlib.suppress(sqlite3.Error, SQLAlchemyError):
            connection.close()
        below.close()


def undone_if_it_fails(connection: Connection, work: Callable[[Connection], T]) -> T:
    """Run ``work`` so that nothing of it stays when it raises, and everything before it does.

    After a fault of the database there is nothing to go back to: SQLite may have ended the transaction itself.
    """
    connection.exec_driver_sql("SAVEPOINT step")
    try:
        value = work(connection)
    except BaseException as error:
        if fault(error) is None:
            # Not released: a statement that was left half read forbids it, and the commit does it anyway.
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT step")
        raise
    connection.exec_driver_sql("RELEASE SAVEPOINT step")
    return value


def _tell(answers: Sequence[_Answer]) -> None:
    for answer in answers:
        if answer.future.done():
            continue
        if answer.error is None:
            answer.future.set_result(answer.value)
        elif isinstance(answer.error, Exception) and not isinstance(answer.error, StopIteration):
            answer.future.set_exception(answer.error)
        else:
            # A future does not take these; they would also end more than their caller.
            answer.future.set_exception(RuntimeError(type(answer.error).__name__))
