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
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from receiver.storage.faults import fault, unavailable
from receiver.storage.running import Ready, run
from receiver.storage.sqlite import connect, driver

_log = logging.getLogger("receiver.storage")

#: How much may share one transaction: what waits behind it waits for all of it.
MOST_JOBS = 256
MOST_WEIGHT = 256

_SAVE = (Ready("SAVEPOINT step", ()),)
_GO_BACK = (Ready("ROLLBACK TO SAVEPOINT step", ()),)
_LET_GO = (Ready("RELEASE SAVEPOINT step", ()),)

T = TypeVar("T")
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

#: One outcome for each item, in their order; an exception is raised to that item's caller.
Finish = Callable[[Connection], Sequence[Outcome | Exception]]
#: Reads and thinks, calling its last argument every few milliseconds, and returns what then writes.
Prepare = Callable[[Connection, Sequence[Item], Callable[[], None]], Finish[Outcome]]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a caller gets, once the commit stands."""

    future: "asyncio.Future[object]"
    value: object = None
    error: BaseException | None = None
    #: Is told the value, whether or not the caller still waits.
    told: Callable[[Any], None] | None = None


class _Job(Protocol):
    """Something to be written, for callers who are known."""

    @property
    def waiting(self) -> Sequence["asyncio.Future[object]"]:
        """Who waits for it."""

    def prepare(self, connection: Connection, breathe: Callable[[], None]) -> None:
        """Read and think, before the transaction."""

    def run(self, connection: Connection) -> list[_Answer]:
        """Write, and undo what fails of it. Raises only what is a fault of the database."""


class _Source(Protocol):
    """What lies in the queue: a call for the writer to come and take a job."""

    @property
    def long(self) -> bool:
        """Whether its jobs prepare, and so are written by themselves, beside what is urgent alone."""

    def take(self) -> _Job | None:
        """Return what is to be done by now, None when another call has fetched it already."""


class _Single(Generic[T]):
    """One function for one caller."""

    long = False

    def __init__(self, work: Callable[[Connection], T], future: "asyncio.Future[object]") -> None:
        self._work = work
        self.waiting = (future,)

    def take(self) -> _Job:
        return self

    def prepare(self, connection: Connection, breathe: Callable[[], None]) -> None:
        """Do nothing: a single function is short."""

    def run(self, connection: Connection) -> list[_Answer]:
        [future] = self.waiting
        try:
            value = undone_if_it_fails(connection, self._work)
        except BaseException as error:
            if fault(error) is not None:
                raise
            return [_Answer(future, error=error)]
        return [_Answer(future, value)]


class _Share(Generic[Item, Outcome]):
    """One call of a function for the many callers who waited when it was taken."""

    def __init__(
        self,
        prepare: Prepare[Item, Outcome],
        items: Sequence[Item],
        waiting: Sequence["asyncio.Future[object]"],
        told: Callable[[Outcome], None] | None,
    ) -> None:
        self._prepare = prepare
        self._items = items
        self.waiting = waiting
        self._told = told
        self._finish: Finish[Outcome] | None = None

    def prepare(self, connection: Connection, breathe: Callable[[], None]) -> None:
        self._finish = self._prepare(connection, self._items, breathe)

    def run(self, connection: Connection) -> list[_Answer]:
        finish = self._finish or self._prepare(connection, self._items, _no_breath)
        try:
            outcomes = undone_if_it_fails(connection, finish)
        except Exception as error:
            if fault(error) is not None:
                raise
            if len(self._items) == 1:
                return [_Answer(self.waiting[0], error=error)]
            # One of them cannot be written: each by itself finds out which.
            return [
                answer
                for item, future in zip(self._items, self.waiting, strict=True)
                for answer in _Share(self._prepare, [item], [future], self._told).run(connection)
            ]
        return [
            _Answer(future, error=outcome)
            if isinstance(outcome, Exception)
            else _Answer(future, outcome, told=self._told)
            for future, outcome in zip(self.waiting, outcomes, strict=True)
        ]


class Gathered(Generic[Item, Outcome]):
    """One function for many callers: whoever asks while the writer is busy is served by its next call.

    ``weigh`` says how much an item adds to a transaction; a call gets items up to a weight of ``MOST_WEIGHT``.
    ``told`` is told each outcome by the event loop once the commit stands, before its caller, who may have gone.
    """

    def __init__(
        self,
        writer: "Writer",
        prepare: Prepare[Item, Outcome],
        weigh: Callable[[Item], int],
        *,
        long: bool,
        told: Callable[[Outcome], None] | None = None,
    ) -> None:
        self.long = long
        self._told = told
        self._writer = writer
        self._prepare = prepare
        self._weigh = weigh
        # Filled by the event loop, emptied by the writer; append and popleft of a deque are atomic.
        self._asked: deque[tuple[Item, asyncio.Future[object]]] = deque()
        self._queued = False

    @property
    def waited_for(self) -> bool:
        return bool(self._asked)

    def ask(self, item: Item) -> "asyncio.Future[object]":
        future = self._writer.future()
        self._asked.append((item, future))
        if not self._queued:
            self._queued = True
            # Once the loop has been through what is ready now: the first of many who came together would else have
            # the writer for itself. At 64 connections that halved the commits, and took a fifth off every callback.
            self._writer.put_soon(self)
        return future

    def take(self) -> _Job | None:
        # Before the deque is emptied: an item that comes later queues this again. So this may lie in the queue twice,
        # and what one call takes must be nothing the next one can touch.
        self._queued = False
        items: list[Item] = []
        waiting: list[asyncio.Future[object]] = []
        weight = 0
        while self._asked and weight < MOST_WEIGHT:
            item, future = self._asked.popleft()
            items.append(item)
            waiting.append(future)
            weight += self._weigh(item)
        if self._asked and not self._queued:
            self._queued = True
            self._writer.put(self)
        return _Share(self._prepare, items, waiting, self._told) if items else None


@dataclass(slots=True)
class Writer:
    """Owns the only write connection of the only process that writes.

    ``on_commit`` is called in the writer's thread after each commit with the number of calls it made durable. A fault
    of the database fails every caller of its transaction; the connection is then opened anew for the next.
    """

    path: Path
    on_commit: Callable[[int], None] | None = None
    #: What a long job lets pass every few milliseconds while it prepares, each time in a transaction of its own; who
    #: came since the last time shares the long job's.
    urgent: list[Gathered[object, object]] = field(default_factory=list)
    #: Why the last change could not be written; None once one was. Read by other threads.
    trouble: str | None = field(init=False, default=None)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _queue: "SimpleQueue[_Source | None]" = field(init=False, default_factory=SimpleQueue)
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
        # Behind what was asked for a moment ago and is not in the queue yet.
        self._loop.call_soon(self._queue.put, None)
        await asyncio.to_thread(self._thread.join)

    def future(self) -> "asyncio.Future[object]":
        """Return a future for an answer. Raises UnavailableError after ``stop``."""
        if self._closed:
            raise unavailable("it is closed")
        return self._loop.create_future()

    def put(self, source: _Source) -> None:
        self._queue.put(source)

    def put_soon(self, source: _Source) -> None:
        """Put behind what the event loop has ready; called in its thread."""
        self._loop.call_soon(self._queue.put, source)

    def single(self, work: Callable[[Connection], object]) -> "asyncio.Future[object]":
        future = self.future()
        self._queue.put(_Single(work, future))
        return future

    def _serve(self) -> None:
        going = True
        while going:
            sources: list[_Source] = []
            source = self._queue.get()
            while source is not None:
                sources.append(source)
                if len(sources) >= MOST_JOBS or self._queue.empty():
                    break
                source = self._queue.get()
            going = source is not None
            self._write_in_turn(sources)
        # What was gathered may have queued itself again behind the end.
        while not self._queue.empty():
            if (source := self._queue.get()) is not None:
                self._write_in_turn([source])
        self._close(checkpoint=True)

    def _write_in_turn(self, sources: Sequence[_Source]) -> None:
        """Write what is short together, then each long job, with what is urgent by then."""
        self._write([source for source in sources if not source.long])
        for source in sources:
            if source.long:
                self._write([source])

    def _write(self, sources: Sequence[_Source]) -> None:
        jobs = [job for source in sources if (job := source.take()) is not None]
        if not jobs:
            return
        try:
            connection = self._open()
            for job in jobs:
                job.prepare(connection, self._breathe)
            if any(source.long for source in sources):
                # Whoever came meanwhile would wait for this transaction and then for the disk once more.
                joining = [job for gathered in self.urgent if (job := gathered.take()) is not None]
                jobs += joining
                for job in joining:
                    job.prepare(connection, _no_breath)
            below = driver(connection)
            changes = below.total_changes
            below.execute("BEGIN IMMEDIATE")
            answers = [answer for job in jobs for answer in job.run(connection)]
            below.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - the thread outlives everything, and its callers hear of it
            reason = fault(error)
            if reason is None:
                _log.exception("write_failed")
                reason = type(error).__name__
            self._close(checkpoint=False)
            self.trouble = reason
            answers = [_Answer(future, error=unavailable(reason, error)) for job in jobs for future in job.waiting]
        else:
            # A transaction that changes nothing succeeds on a disk that is full, and says nothing.
            if below.total_changes != changes:
                self.trouble = None
            if self.on_commit is not None:
                self.on_commit(sum(len(job.waiting) for job in jobs))
        # The loop may be gone already; then nobody waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_tell, answers)

    def _breathe(self) -> None:
        """Write what is urgent, between two parts of a preparation; nothing is written then that it has read."""
        if not any(gathered.waited_for for gathered in self.urgent):
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
    run(connection, _SAVE)
    try:
        value = work(connection)
    except BaseException as error:
        if fault(error) is None:
            # Not released: a statement that was left half read forbids it, and the commit does it anyway.
            run(connection, _GO_BACK)
        raise
    run(connection, _LET_GO)
    return value


def _no_breath() -> None:
    """Let nothing pass: inside a transaction there is nothing that could."""


def _tell(answers: Sequence[_Answer]) -> None:
    for answer in answers:
        if answer.told is not None and answer.error is None:
            answer.told(answer.value)
        if answer.future.done():
            continue
        if answer.error is None:
            answer.future.set_result(answer.value)
        elif isinstance(answer.error, Exception) and not isinstance(answer.error, StopIteration):
            answer.future.set_exception(answer.error)
        else:
            # A future does not take these; they would also end more than their caller.
            answer.future.set_exception(RuntimeError(type(answer.error).__name__))
