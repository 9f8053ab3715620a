"""What the loop goes by: hints, free slots, an outage that is said once, a wall clock that may be set."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from receiver.domain.errors import UnavailableError
from receiver.lifecycle import sweep
from receiver.lifecycle.ports import Queue, System

_log = logging.getLogger("receiver.worker")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: While the database is out of order that is said again after so many seconds.
SAY_EVERY = 60.0


class Hints:
    """Wakes loops early. A hint carries nothing and may be lost: every loop also wakes by itself."""

    def __init__(self) -> None:
        self._events = {queue: {"": asyncio.Event()} for queue in Queue}

    def wake(self, queue: Queue) -> None:
        for event in self._events[queue].values():
            event.set()

    async def rest(self, queue: Queue, seconds: float, lane: str = "") -> None:
        """Wait for a hint, at most ``seconds``. Each ``lane`` hears every one, whoever else has heard it."""
        event = self._events[queue].setdefault(lane, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)
        event.clear()


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many steps of a kind may run at once: per provider for submit and poll, per endpoint for notify."""

    submit: int = 8
    poll: int = 8
    collect: int = 8
    notify: int = 8


class Places(Protocol):
    """Where a step that runs is counted."""

    def take(self) -> None: ...

    def give_back(self) -> None: ...


class Slots:
    """How many steps of a kind may still start."""

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._closed = False
        self._given_back = asyncio.Event()

    def close(self) -> None:
        """Let nobody wait for a slot any more: nothing is to start."""
        self._closed = True
        self._given_back.set()

    async def free(self) -> int:
        """Wait until at least one slot is free, and say how many are; none once they are closed."""
        while self._free == 0 and not self._closed:
            self._given_back.clear()
            await self._given_back.wait()
        return self._free

    async def idle(self, seconds: float | None = None) -> bool:
        """Wait until every slot is free, or so many seconds have passed; tell whether they are."""
        if self._free == self._size:
            # As ever where one batch after the other is waited for.
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._free < self._size:
                    self._given_back.clear()
                    await self._given_back.wait()
        return self._free == self._size

    def take(self) -> None:
        self._free -= 1

    def give_back(self) -> None:
        self._free += 1
        self._given_back.set()


class Outage:
    """Says that something is out of order when that begins, now and then while it lasts, and when it is over.

    Every loop and step runs into it, some twice a second: one line for each would fill the disk that is full.
    """

    def __init__(self, system: System, what: str) -> None:
        self._system = system
        self._what = what
        self._since: float | None = None
        self._met_at = 0.0
        self._said_at = 0.0

    def met(self, error: UnavailableError, place: str) -> None:
        now = self._met_at = self._system.monotonic()
        if self._since is None:
            self._since = now
        elif now - self._said_at < SAY_EVERY:
            return
        self._said_at = now
        seconds = round(now - self._since, 1)
        named = {"met_in": place, "reason": str(error), "seconds": seconds}
        _log.warning("%s_unavailable", self._what, extra=named)

    def over(self, since: float) -> None:
        """Take it for in order again when nobody, wherever, has met it ``since`` a moment of the steady clock."""
        if self._since is not None and self._met_at < since:
            seconds = round(self._system.monotonic() - self._since, 1)
            _log.info("%s_available", self._what, extra={"seconds": seconds})
            self._since = None


class Clock:
    """Notices when the wall clock was set, by a clock that cannot be."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._ahead = self._look()

    def jumped(self) -> timedelta:
        """Return by how much the clock has moved of itself since ``settle``; small steps are let pass."""
        by = self._look() - self._ahead
        if abs(by) >= sweep.JUMP:
            return by
        self._ahead += by
        return timedelta()

    def settle(self, by: timedelta) -> None:
        """Take the clock for right, a jump having been dealt with."""
        self._ahead += by

    def _look(self) -> timedelta:
        return self._system.now() - _EPOCH - timedelta(seconds=self._system.monotonic())
