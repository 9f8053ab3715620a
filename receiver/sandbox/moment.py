"""A moment that may be waited for: an event that costs nothing until somebody does."""

import anyio


class Moment:
    """Set once. Thousands of generations have such moments; hardly any is waited for."""

    __slots__ = ("_event", "has_come")

    def __init__(self) -> None:
        """Start as not yet come."""
        self.has_come = False
        self._event: anyio.Event | None = None

    def come(self) -> None:
        """Let everybody go on who waits for it."""
        self.has_come = True
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        """Wait until it has come."""
        if self.has_come:
            return
        if self._event is None:
            self._event = anyio.Event()
        await self._event.wait()
