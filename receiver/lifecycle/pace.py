"""Pace: how many calls to a provider may begin in a second, whatever they are for and whoever makes them."""

import asyncio
import contextlib

from receiver.domain import standing
from receiver.domain.errors import UnavailableError
from receiver.lifecycle.ports import Standings, System


class Pace:
    """A bucket of a second's calls that fills evenly; without a figure there is no limit.

    Whoever waits is served in the order of coming, so that submits, looks and searches get their turn in any crowd;
    processes that share a bucket get theirs in the order in which they reserved them. Work is claimed after the wait,
    not before: an attempt that waits here would be unknown after a kill.
    """

    def __init__(self, provider: str, per_second: float | None, standings: Standings, system: System) -> None:
        self._provider = provider
        self._per_second = per_second
        self._standings = standings
        self._system = system
        self._turn = asyncio.Lock()

    @property
    def limited(self) -> bool:
        """Whether calls are counted at all."""
        return self._per_second is not None

    async def turns(self, most: int = 1) -> int:
        """Wait until a call may begin; return how many may, up to ``most``. They count as made until given back.

        Raises UnavailableError where the bucket lies in a database that is out of order.
        """
        per_second = self._per_second
        if per_second is None:
            return most
        async with self._turn:
            taken, wait = await self._standings.change(
                self._provider, lambda kept, now: standing.take(kept, now, per_second, most)
            )
            if wait > 0:
                await self._system.sleep(wait)
            return taken

    async def give_back(self, unused: int) -> None:
        """Return turns that no call was made of."""
        per_second = self._per_second
        if per_second is None or unused <= 0:
            return
        # Turns that are lost make the next call a little later, and nothing else.
        with contextlib.suppress(UnavailableError):
            await self._standings.change(
                self._provider, lambda kept, now: (standing.give_back(kept, now, per_second, unused), None)
            )
