import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import asyncpg
import pytest

from receiver.domain.event import EventType
from receiver.domain.task import Change
from receiver.lifecycle.ports import Queue
from receiver.storage.store import EVENTS, SqlStore, open_store
from tests.postgresql import Server, connected
from tests.storage.making import event, task

EVERYTHING = {EVENTS, *Queue}


class Heard:
    """What one instance was told, until it is asked."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._more = asyncio.Event()

    def __call__(self, word: str) -> None:
        self._words.append(word)
        self._more.set()

    async def until(self, words: set[str]) -> list[str]:
        """Wait until these have been told, and return all that was since the last time."""
        async with asyncio.timeout(60):
            while not words <= set(self._words):
                self._more.clear()
                await self._more.wait()
        told, self._words = self._words, []
        return told


@pytest.fixture
def url(postgresql: Server, empty_postgresql: str) -> str:
    return postgresql.database(empty_postgresql)


@pytest.fixture
async def opened(url: str) -> AsyncIterator[Callable[[], Awaitable[tuple[SqlStore, Heard]]]]:
    """Opens the database as one more process would; whoever begins to listen is told to look everywhere."""
    async with AsyncExitStack() as stack:

        async def another() -> tuple[SqlStore, Heard]:
            heard = Heard()
            store = await stack.enter_async_context(open_store(url, on_hint=heard))
            assert set(await heard.until(EVERYTHING)) == EVERYTHING
            return store, heard

        yield another


Opened = Callable[[], Awaitable[tuple[SqlStore, Heard]]]


async def test_what_one_writes_is_hinted_to_the_others_and_not_to_itself(opened: Opened) -> None:
    (one, own), (_, other) = await opened(), await opened()
    await one.create(Change(task(), (event(EventType.TASK_CREATED),)))
    assert set(await other.until({EVENTS})) == {EVENTS}
    one.hint(Queue.SETTLE)
    assert set(await other.until({Queue.SETTLE})) <= {EVENTS, Queue.SETTLE}
    second, _ = await opened()
    second.hint(Queue.POLL)
    # All that the first hears is from others.
    assert await own.until({Queue.POLL}) == [Queue.POLL]


async def test_many_hints_at_once_are_few_messages(url: str, opened: Opened) -> None:
    messages: list[str] = []
    (one, _), (_, other) = await opened(), await opened()

    async def listen(connection: "asyncpg.Connection[object]") -> None:
        await connection.add_listener("receiver_hints", lambda *said: messages.append(said[-1]))
        for _ in range(300):
            one.hint(Queue.SETTLE)
            one.hint(Queue.COLLECT)
        await other.until({Queue.COLLECT})
        # Each listener is told on its own; this one may be a little later.
        while not messages:
            await connection.fetchval("SELECT 1")

    await connected(url, listen)
    [message] = messages
    assert message.split(" ")[1:] == [Queue.COLLECT, Queue.SETTLE]


async def test_who_was_cut_off_listens_again_and_looks_everywhere(
    postgresql: Server, url: str, opened: Opened
) -> None:
    (one, own), (_, other) = await opened(), await opened()
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
    await asyncio.to_thread(postgresql.ask, f"{cut} pg_backend_pid()", of=url)
    for heard in (own, other):
        assert set(await heard.until(EVERYTHING)) == EVERYTHING
    one.hint(Queue.LOOKUP)
    await other.until({Queue.LOOKUP})
    # The others of its connections were cut as well; nobody who asks hears of it.
    await one.create(Change(task(), (event(EventType.TASK_CREATED),)))
    assert len(await one.events(None)) == 1
