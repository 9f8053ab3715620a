"""Slow connections beside good callers: what the slow ones cost the good ones, and how the slow ones end.

Run with ``python -m tests.strangers.slow`` for the measured ratio; a test runs it in small and untimed.
"""

import argparse
import asyncio
import multiprocessing
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import uvloop

from tests.harness import wait_until
from tests.strangers.house import House, attacked
from tests.strangers.wire import PATIENCE_SECONDS, Door, request

MIB = 1024 * 1024
#: What a process may have open beside its slow connections.
_SPARE_FILES = 200
_LARGE_ANSWER = 8 * MIB


@dataclass(frozen=True, slots=True)
class Bait:
    """What the slow connections ask for."""

    port: int
    callback: str
    large: str
    key: str


@dataclass(slots=True)
class Crowd:
    """All slow connections of one attack: how many there are, those that were ended, and what these were told."""

    opened: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    told: set[bytes] = field(default_factory=set)


def allowed(wanted: int) -> int:
    """As many connections as this process may have open, and no more than are wanted."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(0, min(wanted, soft - _SPARE_FILES))


def bait(house: House) -> Bait:
    """Prepare what the slow connections ask for: a callback address, and an answer larger than the system buffers."""
    task_id, token = next(iter(house.targets.items()))
    body = b"x" * _LARGE_ANSWER
    assert uvloop.run(house.door.say(request("POST", house.path(token), body=body))).statuses == [200]
    [report] = [report for report in house.reports(task_id) if report["bytes"] == _LARGE_ANSWER]
    key = house.stack.headers()["Authorization"]
    return Bait(house.door.port, house.path(token), f"/v1/reports/{report['id']}/raw", key)


@asynccontextmanager
async def hanging(what: Bait, connections: int) -> AsyncIterator[Crowd]:
    """Hold that many slow connections: heads and bodies a byte a second, silent ones, and readers that never read."""
    crowd = Crowd()
    head = request("POST", what.callback, body=b"x" * 1000, close=False)
    begin = request("POST", what.callback, "Content-Length: 1000", close=False)
    deaf = request("GET", what.large, f"Authorization: {what.key}", close=False)
    door = Door(what.port)
    with ExitStack() as held:
        tasks = []
        waiting: list[socket.socket] = []
        for number in range(connections):
            match number % 4:
                case 0:
                    tasks.append(asyncio.create_task(_trickle(door, "head", b"", head, crowd)))
                case 1:
                    tasks.append(asyncio.create_task(_trickle(door, "body", begin, b"x" * 1000, crowd)))
                case 2:
                    tasks.append(asyncio.create_task(_trickle(door, "silent", b"", b"", crowd)))
                case _:
                    connection = held.enter_context(socket.socket())
                    await _ask_and_never_read(connection, door, deaf)
                    waiting.append(connection)
                    crowd.opened += 1
        while crowd.opened < connections:
            await asyncio.sleep(0.01)
        # To make their answers is work, which is not what is asked here: what they cost once they hang is.
        while waiting := [connection for connection in waiting if not _is_answered(connection)]:
            await asyncio.sleep(0.05)
        try:
            yield crowd
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _trickle(door: Door, kind: str, begin: bytes, rest: bytes, crowd: Crowd) -> None:
    """Send the beginning, then a byte a second, until the service ends it."""
    reader, writer = await asyncio.open_connection(door.host, door.port)
    crowd.opened += 1
    reading = asyncio.create_task(reader.read())
    try:
        writer.write(begin)
        for place in count():
            writer.write(rest[place : place + 1])
            if (await asyncio.wait({reading}, timeout=1.0))[0]:
                break
        crowd.ended[kind] += 1
        # A byte of ours that crosses their end resets the connection, and their last words are lost.
        with suppress(OSError):
            crowd.told.add(reading.result()[:12])
    finally:
        reading.cancel()
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def _ask_and_never_read(connection: socket.socket, door: Door, asked: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (door.host, door.port))
    await loop.sock_sendall(connection, asked)


def _is_answered(connection: socket.socket) -> bool:
    """Tell whether an answer, or the end, has come, and leave it unread."""
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


async def good_callers(house: House, *, callers: int, callbacks: int) -> list[float]:
    """Send genuine callbacks, one after another by each caller, and return how long each acknowledgement took."""
    took: list[float] = []

    async def call(number: int) -> None:
        reader, writer = await asyncio.open_connection(house.door.host, house.door.port)
        try:
            for turn in range(callbacks):
                body = b'{"caller":%d,"turn":%d}' % (number, turn)
                data = request("POST", house.path(house.issued()), body=body, close=False)
                began = time.perf_counter()
                writer.write(data)
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)
                assert head.startswith(b"HTTP/1.1 200"), head
                assert await reader.readexactly(len(b'{"status":"accepted"}')) == b'{"status":"accepted"}'
                took.append(time.perf_counter() - began)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(call(number))
    return took


def _p99(took: Sequence[float]) -> float:
    return statistics.quantiles(took, n=100)[98] * 1000


def _hang_until_told(
    what: Bait, connections: int, ready: "multiprocessing.synchronize.Event", end: "multiprocessing.synchronize.Event"
) -> None:
    """Hold slow connections from a process of its own, so that they cost the good callers' process nothing."""

    async def hang() -> None:
        async with hanging(what, connections):
            ready.set()
            while not end.is_set():
                await asyncio.sleep(0.05)

    uvloop.run(hang())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--connections", type=int, default=500)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--callers", type=int, default=8)
    arguments.add_argument("--callbacks", type=int, default=250)
    chosen = arguments.parse_args()
    connections = allowed(chosen.connections)
    spawn = multiprocessing.get_context("spawn")
    alone, beside = [], []
    settings = {"RECEIVER_CALLBACK_BODY_SECONDS": "20"}
    with (
        tempfile.TemporaryDirectory(prefix="receiver-slow-") as folder,
        attacked(Path(folder), settings=settings) as house,
    ):
        what, files, before = bait(house), house.open_files(), house.memory()

        def measure() -> float:
            return _p99(uvloop.run(good_callers(house, callers=chosen.callers, callbacks=chosen.callbacks)))

        measure()
        for number in range(chosen.rounds):
            alone.append(measure())
            ready, end = spawn.Event(), spawn.Event()
            crowd = spawn.Process(target=_hang_until_told, args=(what, connections, ready, end))
            crowd.start()
            ready.wait(60)
            beside.append(measure())
            end.set()
            crowd.join(30)
            wait_until(lambda: house.open_files() <= files + 5, 30, "every slow connection is gone")
            sys.stdout.write(f"round {number + 1}: p99 alone {alone[-1]:.1f} ms, beside {beside[-1]:.1f} ms\n")
        ratio = statistics.median(beside) / statistics.median(alone)
        grown = (house.memory().peak - before.now) / MIB
        sys.stdout.write(
            f"{connections} slow connections: median p99 {statistics.median(alone):.1f} ms alone, "
            f"{statistics.median(beside):.1f} ms beside them: "
            f"x{ratio:.2f} (must be at most 2); +{grown:.0f} MiB at most\n"
        )
        house.assert_works()
        house.assert_silent()
    sys.exit(ratio > 2)


if __name__ == "__main__":
    main()
