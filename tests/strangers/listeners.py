"""Thousands who listen to events, over a restart of the service: what each costs, and that none misses a line.

Run with ``python -m tests.strangers.listeners`` for the figures; a test runs it in small and untimed.
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import httpx
import uvloop

from tests.harness import Stack, running

KIB = 1024
#: What either side may have open beside its listeners.
_SPARE_FILES = 200
_ID, _DATA = b"id: ", b"data: "
#: Between a connection that ended and the next: nobody comes back at the very same moment.
_COMES_BACK_SECONDS = (0.05, 1.0)
#: Together they would fill the queue of connections that wait to be taken.
_OPENED_AT_ONCE = 100


@dataclass(slots=True)
class Listener:
    """One reader of ``/v1/events``, who comes again behind the last line it has had whole."""

    #: The ids of the events it was told, in order.
    told: list[int] = field(default_factory=list)
    position: str | None = None
    connections: int = 0
    listens: bool = False


@dataclass(slots=True)
class Crowd:
    """All listeners to one service."""

    listeners: list[Listener]

    @property
    def listening(self) -> int:
        """How many hold a stream that has begun."""
        return sum(listener.listens for listener in self.listeners)

    def all_know(self, ids: Sequence[int]) -> bool:
        """Whether the last of these events has come to everybody."""
        return all(listener.told and listener.told[-1] == ids[-1] for listener in self.listeners)


def allowed(wanted: int) -> int:
    """As many listeners as this process may have, and no more than are wanted; its children may have as many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + _SPARE_FILES <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted + _SPARE_FILES, hard))
        soft = wanted + _SPARE_FILES
    return max(0, min(wanted, soft - _SPARE_FILES))


def settings(listeners: int) -> dict[str, str]:
    """What a service needs to be told to take so many."""
    return {"RECEIVER_MAX_STREAMS": str(listeners), "RECEIVER_MAX_CONNECTIONS": str(listeners + 100)}


@asynccontextmanager
async def listening(stack: Stack, count: int) -> AsyncIterator[Crowd]:
    """Have so many listeners for the length of the block."""
    crowd = Crowd([Listener() for _ in range(count)])
    host, port = stack.service.url.removeprefix("http://").split(":")
    head = f"GET /v1/events HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: text/event-stream\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in stack.headers().items())
    opening = asyncio.Semaphore(_OPENED_AT_ONCE)
    tasks = [asyncio.create_task(_listen(listener, host, int(port), head, opening)) for listener in crowd.listeners]
    try:
        yield crowd
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _listen(listener: Listener, host: str, port: int, head: str, opening: asyncio.Semaphore) -> None:
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            async with opening:
                reader, writer = await asyncio.open_connection(host, port)
            try:
                listener.connections += 1
                resumed = f"Last-Event-ID: {listener.position}\r\n" if listener.position else ""
                writer.write(f"{head}{resumed}\r\n".encode())
                if b" 200 " in await reader.readuntil(b"\r\n"):
                    await _take_in(listener, reader)
            finally:
                listener.listens = False
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        await asyncio.sleep(random.uniform(*_COMES_BACK_SECONDS))


async def _take_in(listener: Listener, reader: asyncio.StreamReader) -> None:
    """Read one stream to its end; a line broken off is none. Every piece of ours is whole lines in one HTTP chunk."""
    await reader.readuntil(b"\r\n\r\n")
    identity, event = None, False
    while size := int(await reader.readuntil(b"\r\n"), 16):
        chunk = (await reader.readexactly(size + 2))[:-2]
        for line in chunk.split(b"\n"):
            if line.startswith(_ID):
                identity = line.removeprefix(_ID).decode()
            elif line.startswith(_DATA):
                event = True
            elif not line and identity is not None:
                if event:
                    listener.told.append(int(identity))
                listener.position, listener.listens, event = identity, True, False


async def until(is_so: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait for a condition and return how long that took."""
    begun = time.monotonic()
    while not is_so():
        assert time.monotonic() - begun < seconds, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.02)
    return time.monotonic() - begun


async def told_of(stack: Stack, tasks: int) -> list[int]:
    """Have so many tasks made and ended, and return the ids of all events there are by then."""

    def made() -> list[int]:
        for task in [stack.submit("runware") for _ in range(tasks)]:
            stack.wait_for(task["id"], seconds=120)
        return [event["id"] for event in stack.all_events()]

    return await asyncio.to_thread(made)


@dataclass(frozen=True, slots=True)
class Spent:
    """What the service has used: bytes of memory, seconds of a processor, at a moment of the steady clock."""

    memory: int
    processor: float
    at: float


def spent(stack: Stack) -> Spent:
    """Look at what the service has used."""
    assert stack.service.child is not None
    folder = Path("/proc", str(stack.service.child.pid))
    words = folder.joinpath("stat").read_text().rpartition(")")[2].split()
    pages = int(folder.joinpath("statm").read_text().split()[1])
    ticks = int(words[11]) + int(words[12])
    return Spent(pages * os.sysconf("SC_PAGE_SIZE"), ticks / os.sysconf("SC_CLK_TCK"), time.monotonic())


async def stopped_and_started(stack: Stack, crowd: Crowd) -> list[int]:
    """End the service as an operator would, start it anew, and return all events once everybody knows them."""
    await asyncio.to_thread(stack.service.stop, seconds=30)
    await asyncio.to_thread(stack.service.start)
    ids = await told_of(stack, 1)
    everybody = len(crowd.listeners)
    await until(lambda: crowd.listening == everybody and crowd.all_know(ids), 120, "all are back and know everything")
    return ids


async def _measured(stack: Stack, count: int, idle_seconds: float, slowest: "Synchronized[float]") -> bool:
    before = await told_of(stack, 1)
    alone = spent(stack)
    async with listening(stack, count) as crowd:
        took = await until(lambda: crowd.listening == count and crowd.all_know(before), 120, "all listen")
        joined = spent(stack)
        each = (joined.memory - alone.memory) / KIB / count
        _say(f"{count} listeners, let in within {took:.1f} s")
        _say("memory", f"{_mib(alone)} without them, {_mib(joined)} with them: {each:.0f} KiB each")
        await asyncio.sleep(idle_seconds)
        idle = spent(stack)
        _say("idle", f"{(idle.processor - joined.processor) / (idle.at - joined.at):.1%} of a processor")
        slowest.value = 0
        ids = await told_of(stack, 20)
        await until(lambda: crowd.all_know(ids), 120, "all know what happened")
        told, news = spent(stack), len(ids) - len(before)
        line = (told.processor - idle.processor) / news / count * 1e6
        _say("told", f"{news} events each: {line:.0f} µs of a processor a line, {_mib(told)} afterwards")
        _say("others", f"the slowest answer of /healthz meanwhile took {slowest.value * 1000:.0f} ms")
        begun = time.monotonic()
        ids = await stopped_and_started(stack, crowd)
        _say(
            "restart",
            f"{time.monotonic() - begun:.1f} s until all were back and knew everything, {_mib(spent(stack))}",
        )
    wrong = sum(listener.told != ids for listener in crowd.listeners)
    _say("events", f"{len(ids)}; listeners told anything else than each of them once, in order: {wrong}")
    return wrong == 0


def _mib(what: Spent) -> str:
    return f"{what.memory / KIB / KIB:.0f} MiB"


def _say(what: str, figures: str = "") -> None:
    sys.stdout.write(f"  {what:9}{figures}\n" if figures else f"{what}\n")
    sys.stdout.flush()


def _others(url: str, slowest: "Synchronized[float]") -> None:
    """Be somebody else who asks something small again and again, in a process of their own."""
    with httpx.Client(base_url=url, timeout=60) as client:
        while True:
            begun = time.monotonic()
            try:
                client.get("/healthz")
            except httpx.TransportError:
                continue
            slowest.value = max(slowest.value, time.monotonic() - begun)
            time.sleep(0.01)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listeners", type=int, default=2000, help="how many (default: 2000)")
    parser.add_argument("--idle-seconds", type=float, default=20, help="how long to look at them idle (default: 20)")
    given = parser.parse_args(arguments)
    count = allowed(given.listeners)
    spawned = multiprocessing.get_context("spawn")
    slowest = spawned.Value("d", 0.0)
    with (
        tempfile.TemporaryDirectory(prefix="listeners-") as folder,
        running(Path(folder), settings=settings(count)) as stack,
    ):
        others = spawned.Process(target=_others, args=(stack.service.url, slowest), daemon=True)
        others.start()
        try:
            good = uvloop.run(_measured(stack, count, given.idle_seconds, slowest))
        finally:
            others.kill()
            others.join()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
