"""What lies in the queue of the thread that writes: one function for one caller, or one for all who came together."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection

from receiver.storage.faults import fault
from receiver.storage.serving import MOST_WEIGHT, Finish, Item, Outcome, Prepare, undone_if_it_fails

T = TypeVar("T")

#: Who gather are waited for through so many turns of the event loop, as long as each brings some.
MOST_TURNS = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller gets, once the commit stands."""

    future: "asyncio.Future[object]"
    value: object = None
    error: BaseException | None = None
    #: Is told the value, whether or not the caller still waits, and returns what the caller hears.
    told: Callable[[Any], object] | None = None


class _Writer(Protocol):
    """The thread that takes what is queued."""

    closed: bool

    def future(self) -> "asyncio.Future[object]":
        """Return a future for an answer. Raises UnavailableError when it is closed."""

    def bring(self, source: "Source") -> None:
        """Queue something, or hold it for what it is to go with; called by the event loop."""

    def put_again(self, source: "Source") -> None:
        """Queue what was taken in part; called by the thread that writes."""

    def soon(self, work: Callable[[], None]) -> None:
        """Run ``work`` behind what the event loop has ready."""


class Job(Protocol):
    """Something to be written, for callers who are known."""

    @property
    def waiting(self) -> Sequence["asyncio.Future[object]"]:
        """Who waits for it."""

    def prepare(self, connection: Connection, breathe: Callable[[], None]) -> None:
        """Read and think, before the transaction."""

    def run(self, connection: Connection) -> list[Answer]:
        """Write, and undo what fails of it. Raises only what is a fault of the database."""


class Source(Protocol):
    """What lies in the queue: a call for the writer to come and take a job."""

    @property
    def long(self) -> bool:
        """Whether its jobs prepare, and so are written by themselves, beside what is urgent alone."""

    def take(self) -> Job | None:
        """Return what is to be done by now, None when another call has fetched it already."""


class Single(Generic[T]):
    """One function for one caller."""

    long = False

    def __init__(self, work: Callable[[Connection], T], future: "asyncio.Future[object]") -> None:
        self._work = work
        self.waiting = (future,)

    def take(self) -> Job:
        return self

    def prepare(self, connection: Connection, breathe: Callable[[], None]) -> None:
        """Do nothing: a single function is short."""

    def run(self, connection: Connection) -> list[Answer]:
        [future] = self.waiting
        try:
            value = undone_if_it_fails(connection, self._work)
        except BaseException as error:
            if fault(error) is not None:
                raise
            return [Answer(future, error=error)]
        return [Answer(future, value)]


class _Share(Generic[Item, Outcome]):
    """One call of a function for the many callers who waited when it was taken."""

    def __init__(
        self,
        prepare: Prepare[Item, Outcome],
        items: Sequence[Item],
        waiting: Sequence["asyncio.Future[object]"],
        told: Callable[[Outcome], object] | None,
    ) -> None:
        self._prepare = prepare
        self._items = items
        self.waiting = waiting
        self._told = told
        self._finish: Finish[Outcome] | None = None

    def prepare(self, connection: Connection, breathe: Callable[[], None]) -> None:
        self._finish = self._prepare(connection, self._items, breathe)

    def run(self, connection: Connection) -> list[Answer]:
        finish = self._finish or self._prepare(connection, self._items, no_breath)
        try:
            outcomes = undone_if_it_fails(connection, finish)
        except Exception as error:
            if fault(error) is not None:
                raise
            if len(self._items) == 1:
                return [Answer(self.waiting[0], error=error)]
            # One of them cannot be written: each by itself finds out which.
            return [
                answer
                for item, future in zip(self._items, self.waiting, strict=True)
                for answer in _Share(self._prepare, [item], [future], self._told).run(connection)
            ]
        return [
            Answer(future, error=outcome)
            if isinstance(outcome, Exception)
            else Answer(future, outcome, told=self._told)
            for future, outcome in zip(self.waiting, outcomes, strict=True)
        ]


class Gathered(Generic[Item, Outcome]):
    """One function for many callers: whoever asks while the writer is busy is served by its next call.

    ``weigh`` says how much an item adds to a transaction; a call gets items up to a weight of ``MOST_WEIGHT``.
    ``told`` is told each outcome by the event loop once the commit stands, before its caller, who may have gone, and
    returns what the caller hears.
    """

    def __init__(
        self,
        writer: _Writer,
        prepare: Prepare[Item, Outcome],
        weigh: Callable[[Item], int],
        *,
        long: bool,
        told: Callable[[Outcome], object] | None = None,
    ) -> None:
        self.long = long
        self._told = told
        self._writer = writer
        self._prepare = prepare
        self._weigh = weigh
        # Filled by the event loop, emptied by the writer; append and popleft of a deque are atomic.
        self._asked: deque[tuple[Item, asyncio.Future[object]]] = deque()
        self._queued = False

    def ask(self, item: Item) -> "asyncio.Future[object]":
        future = self._writer.future()
        self._asked.append((item, future))
        if not self._queued:
            self._queued = True
            self._put_later(MOST_TURNS)
        return future

    def _put_later(self, turns: int) -> None:
        """Call the writer after a turn of the loop that brings nobody else, but after so many turns in any case.

        The first of many who come together would else have the writer for itself. At 64 connections that halves the
        commits, and takes a fifth off every callback.
        """
        asked = len(self._asked)

        def put() -> None:
            if turns and len(self._asked) > asked and not self._writer.closed:
                self._put_later(turns - 1)
            else:
                self._writer.bring(self)

        self._writer.soon(put)

    def take(self) -> Job | None:
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
            self._writer.put_again(self)
        return _Share(self._prepare, items, waiting, self._told) if items else None


def no_breath() -> None:
    """Let nothing pass: inside a transaction there is nothing that could."""
