"""The one thread that writes to a SQLite file: what is queued shares a transaction, answered after its commit."""

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from receiver.storage.faults import fault, unavailable
from receiver.storage.gathered import Answer, Gathered, Single, Source
from receiver.storage.holding import Hold
from receiver.storage.sqlite import connect, driver

_log = logging.getLogger("receiver.storage")

#: How many calls may share one transaction: what waits behind it waits for all of it.
MOST_JOBS = 256


@dataclass(slots=True)
class Writer:
    """Owns the only write connection of the only process that writes.

    ``on_commit`` is called in the writer's thread after each commit with the number of calls it made durable. A fault
    of the database fails every caller of its transaction; the connection is then opened anew for the next.
    """

    path: Path
    on_commit: Callable[[int], None] | None = None
    #: What shares the transaction of a long job. One that prepares for long lets it pass every few milliseconds, each
    #: time in a transaction of its own.
    urgent: list[Gathered[object, object]] = field(default_factory=list)
    #: Why the last change could not be written; None once one was. Read by other threads.
    trouble: str | None = field(init=False, default=None)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _queue: "SimpleQueue[Source | None]" = field(init=False, default_factory=SimpleQueue)
    _thread: threading.Thread = field(init=False)
    _connection: Connection | None = field(init=False, default=None)
    #: Nothing more is to be asked of it.
    closed: bool = field(init=False, default=False)
    _hold: Hold[Source] = field(init=False)

    def start(self) -> None:
        """Start the thread; answers go to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._hold = Hold(self._loop, self._queue.put)
        self._thread = threading.Thread(target=self._serve, name="storage-writer", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Write what is queued, move the log into the database, close."""
        self.closed = True
        self._hold.close()
        # Behind what was asked for a moment ago and is not in the queue yet.
        self._loop.call_soon(self._queue.put, None)
        await asyncio.to_thread(self._thread.join)

    def future(self) -> "asyncio.Future[object]":
        """Return a future for an answer. Raises UnavailableError after ``stop``."""
        if self.closed:
            raise unavailable("it is closed")
        return self._loop.create_future()

    def expect(self) -> None:
        """Be told that a long job is about to be asked for."""
        self._hold.expect()

    def put_again(self, source: Source) -> None:
        """Queue what was taken in part; called by the thread that writes."""
        self._queue.put(source)
        if source.long:
            self._tell(self._hold.begin)

    def bring(self, source: Source) -> None:
        """Queue something, or hold it for what it is to go with; called by the event loop."""
        if source in self.urgent and self._hold.keep(source):
            return
        self._queue.put(source)
        if source.long:
            self._hold.begin()

    def soon(self, work: Callable[[], None]) -> None:
        """Run ``work`` behind what the event loop has ready; called in its thread."""
        self._loop.call_soon(work)

    def single(self, work: Callable[[Connection], object]) -> "asyncio.Future[object]":
        future = self.future()
        self._queue.put(Single(work, future))
        return future

    def _serve(self) -> None:
        going = True
        while going:
            sources: list[Source] = []
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

    def _write_in_turn(self, sources: Sequence[Source]) -> None:
        """Write what is short together, then each long job, with what is urgent by then."""
        self._write([source for source in sources if not source.long])
        for source in sources:
            if source.long:
                self._write([source], joined=self.urgent)
                self._tell(self._hold.end)

    def _write(self, sources: Sequence[Source], *, joined: Sequence[Source] = ()) -> None:
        """Write what is to be done by now; ``joined`` is taken last, and not where the others came to nothing."""
        jobs = [job for source in sources if (job := source.take()) is not None]
        if not jobs:
            return
        try:
            connection = self._open()
            for job in jobs:
                job.prepare(connection, self._breathe)
            below = driver(connection)
            changes = below.total_changes
            below.execute("BEGIN IMMEDIATE")
            answers = [answer for job in jobs for answer in job.run(connection)]
            # Whoever came meanwhile would wait for this transaction and then for the disk once more.
            joining = [job for source in joined if (job := source.take()) is not None]
            jobs += joining
            answers += [answer for job in joining for answer in job.run(connection)]
            below.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - the thread outlives everything, and its callers hear of it
            reason = fault(error)
            if reason is None:
                _log.exception("write_failed")
                reason = type(error).__name__
            self._close(checkpoint=False)
            self.trouble = reason
            answers = [Answer(future, error=unavailable(reason, error)) for job in jobs for future in job.waiting]
        else:
            # A transaction that changes nothing succeeds on a disk that is full, and says nothing.
            if below.total_changes != changes:
                self.trouble = None
            if self.on_commit is not None:
                self.on_commit(sum(len(job.waiting) for job in jobs))
        self._tell(_answer, answers)

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        """Have the event loop call something. It may be gone already; then nobody waits."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what, *arguments)

    def _breathe(self) -> None:
        """Write what is urgent, between two parts of a preparation; nothing is written then that it has read."""
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


def _answer(answers: Sequence[Answer]) -> None:
    for answer in answers:
        value = answer.value
        if answer.told is not None and answer.error is None:
            value = answer.told(value)
        if answer.future.done():
            continue
        if answer.error is None:
            answer.future.set_result(value)
        elif isinstance(answer.error, Exception) and not isinstance(answer.error, StopIteration):
            answer.future.set_exception(answer.error)
        else:
            # A future does not take these; they would also end more than their caller.
            answer.future.set_exception(RuntimeError(type(answer.error).__name__))
