"""What is urgent is held back while a long job is on its way: it is to share that job's transaction."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Held = TypeVar("Held")

#: A long job that is about to be asked for is waited for so many seconds at most.
PATIENCE_SECONDS = 0.02
#: Whoever was served by one long job is given so many turns of the event loop to ask for the next.
TURNS = 4


class Hold(Generic[Held]):
    """Holds what comes between the moment a long job is expected and its end; used by the event loop alone.

    While a long job is written, what is held loses nothing: the one thread that writes is taken. Without this, who
    came between its last look and its end would be written alone, and then be in step with nobody: each of them
    would wait for two transactions. ``put`` queues what is let go.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, put: Callable[[Held], None]) -> None:
        self._loop = loop
        self._put = put
        # Each once: it is taken by every long job that it goes with, and comes again for the next.
        self._held: dict[Held, None] = {}
        self._patience: asyncio.TimerHandle | None = None
        self._under_way = 0
        self._closed = False

    def expect(self) -> None:
        """Be told that a long job is about to be asked for."""
        if self._patience is None:
            self._patience = self._loop.call_later(PATIENCE_SECONDS, self._lose_patience)

    def keep(self, source: Held) -> bool:
        """Hold what came if it is to wait, and tell whether it is."""
        if self._holding:
            self._held[source] = None
        return self._holding

    def begin(self) -> None:
        """Be told that a long job was queued; each is followed by an ``end``."""
        self._under_way += 1
        self._lose_patience()

    def end(self, turns: int = TURNS) -> None:
        """Be told that a long job is done, or came to nothing."""
        if turns and self._patience is None:
            self._loop.call_soon(self.end, turns - 1)
            return
        self._under_way -= 1
        self._let_go()

    def close(self) -> None:
        """Let go, and hold nothing more."""
        self._closed = True
        self._let_go()

    @property
    def _holding(self) -> bool:
        return not self._closed and (self._patience is not None or self._under_way > 0)

    def _lose_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._let_go()

    def _let_go(self) -> None:
        if self._holding:
            return
        held, self._held = self._held, {}
        for source in held:
            self._put(source)
