"""Hints between processes that share a PostgreSQL database: that something was written, and of what kind.

They are sent after the commit, on a connection of their own, many at once: within the transaction that takes a
callback, ``NOTIFY`` would have all commits of the database wait for each other. A hint carries nothing, and one that
is lost costs a moment: whoever hears none looks by itself.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from receiver.storage.line import SETTINGS, watch

_log = logging.getLogger("receiver.storage")

#: However much there is to say, it is not said more often, in seconds.
SHORTEST_REST = 0.02
#: Between two tries to connect, in seconds.
AGAIN = 1.0
_CHANNEL = "receiver_hints"
_ANSWER = 10
_SETTINGS = {
    "application_name": "receiver",
    # A hint that does not outlive a power cut is no loss, and needs no flush of the disk.
    "synchronous_commit": "off",
    "idle_in_transaction_session_timeout": "30s",
}


class Hints:
    """Says words to all who share a database and hears theirs; ``words`` are all there are."""

    def __init__(self, url: str, name: str, words: Iterable[str], heard: Callable[[str], None]) -> None:
        self._url = url
        self._name = name
        self._words = frozenset(words)
        self._heard = heard
        self._waiting: set[str] = set()
        self._something = asyncio.Event()

    def say(self, word: str) -> None:
        """Say a word to the others, soon. Called in the event loop."""
        self._waiting.add(word)
        self._something.set()

    async def run(self) -> None:
        """Be in touch with the others, again and again until cancelled."""
        while True:
            with suppress(OSError, TimeoutError, *_driver_errors()):
                await self._in_touch()
            _log.debug("hints_interrupted")
            await _rest(AGAIN)

    async def _in_touch(self) -> None:
        import asyncpg  # noqa: PLC0415 - an extra, which only those have who need it

        connection = await asyncpg.connect(
            self._url, timeout=_ANSWER, command_timeout=_ANSWER, server_settings=_SETTINGS | SETTINGS
        )
        try:
            watch(connection)
            connection.add_termination_listener(lambda _: self._something.set())
            await connection.add_listener(_CHANNEL, self._hear)
            # What was said while nobody listened.
            for word in self._words:
                self._heard(word)
            while True:
                await self._something.wait()
                if connection.is_closed():
                    return
                self._something.clear()
                said = sorted(self._waiting)
                self._waiting.clear()
                await connection.execute("SELECT pg_notify($1, $2)", _CHANNEL, " ".join([self._name, *said]))
                await _rest(SHORTEST_REST)
        finally:
            connection.terminate()

    def _hear(self, _connection: Any, _process: int, _channel: str, said: str) -> None:  # noqa: ANN401 - the driver's
        name, *words = said.split(" ")
        if name == self._name:
            return
        for word in self._words.intersection(words):
            self._heard(word)


@asynccontextmanager
async def in_touch(url: str, name: str, words: Iterable[str], heard: Callable[[str], None]) -> AsyncIterator[Hints]:
    """Be in touch with all who share a database, for the length of the block; ``name`` is nobody else's."""
    hints = Hints(url, name, words, heard)
    running = asyncio.create_task(hints.run(), name="hints")
    try:
        yield hints
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _driver_errors() -> tuple[type[Exception], ...]:
    import asyncpg  # noqa: PLC0415 - an extra, which only those have who need it

    return (asyncpg.PostgresError, asyncpg.InterfaceError)


async def _rest(seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)
