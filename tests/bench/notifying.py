"""How long a first attempt waits at a healthy endpoint beside a thousand that fail: the real loop, real sockets.

A third of the failing ones hang, a third answer 500, a third refuse the connection; all have deliveries due at once
and go on having them.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast
from uuid import uuid4

from receiver.domain.endpoint import Endpoint
from receiver.domain.event import Event, EventType
from receiver.domain.task import Change, Task
from receiver.domain.token import SigningKey
from receiver.lifecycle.ports import Decision, Notifying, Objects, Outbound, Ports, Probe
from receiver.lifecycle.ports import Queue as Work
from receiver.lifecycle.sealing import Secret, seal
from receiver.outbound import AllowedHosts, HttpOutbound
from receiver.storage.store import SqlStore, open_store
from receiver.storage.vault import FernetVault
from receiver.system import RealSystem
from receiver.worker import Concurrency, Hints, Worker
from tests.storage.making import submitted
from tests.web.fakes import FakeMetrics, World

KEY = SigningKey("bench", b"k" * 32)


@dataclass
class Server:
    """Answers 200 at /good and 500 at /bad, and nothing at /hang; notes when what was told arrived."""

    port: int = 0
    arrived: dict[str, float] = field(default_factory=dict)
    posts: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
                self.posts += 1
                path = head.split(b" ")[1]
                if path.startswith(b"/hang"):
                    await reader.read()
                    break
                if path.startswith(b"/good"):
                    self.arrived.setdefault(json.loads(body)["data"]["id"], time.monotonic())
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                else:
                    writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        writer.close()


@asynccontextmanager
async def served() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=2048)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


async def show(task: Task) -> Mapping[str, object]:
    """As little of a task as the server needs."""
    return {"id": str(task.id), "results": []}


def endpoints_of(ports: Ports, server: Server, failing: int) -> list[Endpoint]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = closed.getsockname()[1]
    kinds = (f"{server.port}/hang", f"{server.port}/bad", f"{nobody}/refused")
    now = ports.system.now()
    urls = [f"http://127.0.0.1:{kinds[number % 3]}/{number}" for number in range(failing)]
    made = []
    for url in [f"http://127.0.0.1:{server.port}/good", *urls]:
        endpoint_id = uuid4()
        sealed = seal(ports, endpoint_id, (Secret(b"s" * 32),))
        made.append(Endpoint(endpoint_id, url, now, sealed=sealed))
    return made


async def happens(store: SqlStore, ports: Ports) -> Task:
    """Let one task end; every endpoint is to be told."""
    task = replace(submitted(), key=ports.system.new_key(), id=ports.system.new_id(), work=None, due_at=None)
    task = replace(task, provider_task_id=str(task.id))
    await store.create(Change(task, (Event(EventType.TASK_CREATED, ports.system.now()),)))
    ended = Event(EventType.TASK_CANCELLED, ports.system.now())
    await store.apply([Decision(task.key, lambda same: Change(same, (ended,)))])
    ports.wake(Work.NOTIFY)
    return task


async def measure(folder: Path, *, failing: int, tasks: int, gap: float, timeout: float) -> dict[str, float]:
    """Return seconds from the event to its arrival at the healthy endpoint, and how busy it was otherwise."""
    system, hints = RealSystem(), Hints()
    async with (
        served() as server,
        open_store(folder / "bench.db") as store,
        HttpOutbound(allowed=AllowedHosts.parse("127.0.0.1"), provider_urls=()) as outbound,
    ):
        ports = replace(
            World().ports,
            store=store,
            outbound=cast("Outbound", outbound),
            objects=cast("Objects", Nothing()),
            providers={},
            system=system,
            metrics=FakeMetrics(),
            probe=cast("Probe", None),
            wake=hints.wake,
            notifying=Notifying(vault=FernetVault([KEY]), timeout_seconds=timeout),
        )
        healthy, *others = endpoints_of(ports, server, failing)
        await store.outbox.add_endpoint(healthy)
        worker = Worker(ports, hints, Concurrency(), alone=True, show=show)
        await worker.start()
        # It is known to be healthy, as it is after its first success.
        await happens(store, ports)
        async with asyncio.timeout(60):
            while not server.arrived:
                await asyncio.sleep(0.02)
        server.arrived.clear()
        for endpoint in others:
            await store.outbox.add_endpoint(endpoint)
        began: dict[str, float] = {}
        for _ in range(tasks):
            committed = await happens(store, ports)
            began[str(committed.id)] = time.monotonic()
            await asyncio.sleep(gap)
        async with asyncio.timeout(120):
            while len(server.arrived) < tasks:
                await asyncio.sleep(0.02)
        await worker.stop(1)
        waits = sorted(server.arrived[of] - at for of, at in began.items())
        return {
            "p50": waits[len(waits) // 2],
            "p99": waits[min(len(waits) - 1, round(len(waits) * 0.99))],
            "worst": waits[-1],
            "posts": server.posts,
        }


class Nothing:
    """An artifact store in which there is nothing."""

    async def newest(self, folder: str, most: int) -> list[str]:
        return []

    async def remove(self, key: str) -> None:
        """Have nothing to do."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--failing", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=60)
    parser.add_argument("--gap", type=float, default=0.5, help="seconds between two tasks that end")
    parser.add_argument("--timeout", type=float, default=15.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(
            measure(Path(folder), failing=asked.failing, tasks=asked.tasks, gap=asked.gap, timeout=asked.timeout)
        )
    print(json.dumps({name: round(value, 4) for name, value in found.items()}))


if __name__ == "__main__":
    main()
