"""What happens, as it happens: new events are read once for all who listen, and each is told only what it asked for.

A listener holds no queue, only the id of the last event it has had. What it has not had is taken from the newest
lines, which are kept in memory for all, or, further back, from the store. So a slow one costs no memory, nothing is
skipped and nothing is told twice, over a reconnect neither.
"""

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from uuid import UUID

from anyio.lowlevel import checkpoint

from receiver.domain.event import EventType
from receiver.lifecycle.ports import RecordedEvent, Store
from receiver.web.faults import log_fault

_log = logging.getLogger("receiver.web")

#: The newest events kept for all listeners; who is further behind reads the store.
KEPT = 2000
#: The most events in one piece.
PAGE = 200
#: So many who rest are woken before others have a turn.
WOKEN_AT_ONCE = 50
#: A bell may not ring (another process wrote): then the store is asked this often, once for everybody.
LONGEST_REST_SECONDS = 0.25
#: However often the bell rings, the store is not asked again sooner.
SHORTEST_REST_SECONDS = 0.02


class Bell:
    """Says that something may have been written; rung from any thread, heard by one listener. A hint, no more."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()
        self._rung = False

    def ring(self) -> None:
        """Wake the listener; cheap when it is awake already or there is none."""
        loop = self._loop
        if loop is None or self._rung:
            return
        self._rung = True
        # The loop may be gone already; then nobody listens.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds: float) -> None:
        """Wait until it rings, at most that long. What was written before it rang is there to be read afterwards."""
        self._loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)
        self._event.clear()
        self._rung = False

    def leave(self) -> None:
        """Have nobody to wake."""
        self._loop = None


@dataclass(frozen=True, slots=True)
class Line:
    """An event, and how it is told in a stream."""

    event: RecordedEvent
    text: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What a listener gets: ``lines`` in order, and the id up to which it then knows everything it asked for.

    ``complete``: there was nothing more when this was read.
    """

    lines: tuple[Line, ...]
    position: int
    complete: bool


@dataclass(slots=True)
class News:
    """Reads the store for all who listen, as long as anybody does. ``show`` makes the JSON value of an event."""

    store: Store
    show: Callable[[RecordedEvent], dict[str, object]]
    bell: Bell
    draining: Callable[[], bool]
    kept: int = KEPT
    _lines: "deque[Line]" = field(default_factory=deque)
    #: Every event above the floor and up to the head is among the lines.
    _floor: int = 0
    _head: int = 0
    _listeners: int = 0
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: Who rests until there is something new.
    _resting: "set[asyncio.Future[None]]" = field(default_factory=set)
    #: Held while a piece from further back is made: many at once would leave no moment to anybody else.
    _further_back: asyncio.Lock = field(default_factory=asyncio.Lock)
    _reader: "asyncio.Task[None] | None" = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Have new events read for the length of the block, and get the id of the newest one there is.

        Raises UnavailableError when the store cannot tell.
        """
        async with self._opening:
            if self._reader is None:
                self._lines.clear()
                self._floor = self._head = await self.store.last_event()
                self._reader = asyncio.create_task(self._read(), name="news")
            self._listeners += 1
        try:
            yield self._head
        finally:
            self._listeners -= 1
            if self._listeners == 0:
                self._reader.cancel()
                self._reader = None
                self.bell.leave()

    async def batch(self, task_id: UUID | None, after: int) -> Batch:
        """Return the next events above ``after``, of one task or of all; none more once the process is to stop.

        Raises UnavailableError.
        """
        head = self._head
        if after >= self._floor:
            found = [
                line
                for line in takewhile(lambda line: line.event.id > after, reversed(self._lines))
                if task_id in {None, line.event.task_id}
            ]
            lines = tuple(found[::-1][:PAGE])
            complete = len(found) <= PAGE
        else:
            async with self._further_back:
                if self.draining():
                    return Batch((), after, complete=False)
                events = await self.store.events(task_id, after=after, limit=PAGE)
                lines = tuple(map(self._line, events))
            complete = len(events) < PAGE
        last = lines[-1].event.id if lines else after
        # Whatever lies up to the head was there before the store was asked.
        return Batch(lines, max(last, head) if complete else last, complete)

    async def rest(self, position: int, seconds: float) -> None:
        """Wait until there may be something above ``position``, the process is about to stop, or time is over."""
        if self._head > position or self.draining():
            return
        # A future and a timer; a task for each, as wait_for makes one, would be half of what thousands cost.
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        timer = loop.call_later(seconds, _wake, woken)
        self._resting.add(woken)
        try:
            await woken
        finally:
            timer.cancel()
            self._resting.discard(woken)

    async def _read(self) -> None:
        """Take up what is new, again and again; a fault of the store ends nobody's listening."""
        faulty = False
        while True:
            await self.bell.wait(LONGEST_REST_SECONDS)
            try:
                news = await self._take_up()
            except Exception as error:  # noqa: BLE001 - whatever it is, it may be over at the next look
                news = False
                if not faulty:
                    log_fault(_log, "news_fault", error)
                faulty = True
            else:
                faulty = False
            if news or self.draining():
                await self._wake_all()
            await self._pause()

    async def _wake_all(self) -> None:
        """Wake all who rest, some at a time: if there are thousands, everybody else has a turn in between."""
        for number, woken in enumerate(list(self._resting), start=1):
            _wake(woken)
            if number % WOKEN_AT_ONCE == 0:
                await checkpoint()

    async def _take_up(self) -> bool:
        """Read what has been written since; tell whether there was anything."""
        before = self._head
        while True:
            events = await self.store.events(None, after=self._head, limit=PAGE)
            for event in events:
                if len(self._lines) >= self.kept:
                    self._floor = self._lines.popleft().event.id
                self._lines.append(self._line(event))
                self._head = event.id
            self._blank({event.task_id for event in events if event.type == EventType.TASK_ERASED})
            if len(events) < PAGE:
                return self._head > before

    def _blank(self, erased: set[UUID]) -> None:
        """Let the lines of erased tasks say what the store says of them by now: that they happened, and no more."""
        if not erased:
            return
        for place, line in enumerate(self._lines):
            if line.event.task_id in erased and line.event.data:
                self._lines[place] = self._line(replace(line.event, data={}))

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), SHORTEST_REST_SECONDS)

    def _line(self, event: RecordedEvent) -> Line:
        data = json.dumps(self.show(event), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text = f"id: {event.id}\nevent: {event.type}\ndata: {data}\n\n"
        return Line(event, text.encode("utf-8", "replace"))


def _wake(woken: "asyncio.Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)


async def first_of(*waits: Awaitable[None]) -> None:
    """Wait until the first of several ends, end the others, and raise what it raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
