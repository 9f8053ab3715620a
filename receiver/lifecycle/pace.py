"""Pace: how many calls to a provider this process may begin in a second, whatever they are for."""

import asyncio

from receiver.lifecycle.ports import System


class Pace:
    """A bucket of a second's calls that fills evenly; without a figure there is no limit.

    Whoever waits is served in the order of coming, so that submits, looks and searches get their turn in any crowd.
    Work is claimed after the wait, not before: an attempt that waits here would be unknown after a kill.
    """

    def __init__(self, per_second: float | None, system: System) -> None:
        self._per_second = per_second
        self._system = system
        self._most = max(1.0, per_second or 0.0)
        self._left = self._most
        self._counted_at = system.monotonic()
        self._turn = asyncio.Lock()

    async def turns(self, most: int = 1) -> int:
        """Wait until a call may begin; return how many may, up to ``most``. They count as made until given back."""
        if self._per_second is None:
            return most
        async with self._turn:
            self._fill(self._per_second)
            while self._left < 1:
                await self._system.sleep((1 - self._left) / self._per_second)
                self._fill(self._per_second)
            taken = min(most, int(self._left))
            self._left -= taken
            return taken

    def give_back(self, unused: int) -> None:
        """Return turns that no call was made of."""
        self._left = min(self._most, self._left + unused)

    def _fill(self, per_second: float) -> None:
        now = self._system.monotonic()
        self._left = min(self._most, self._left + (now - self._counted_at) * per_second)
        self._counted_at = now
