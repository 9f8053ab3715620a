"""A sandbox to talk to, in this process or behind a real socket, and somebody to call back."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import anyio
import httpx
from anyio.abc import SocketAttribute, SocketStream

from receiver.sandbox.app import create_app
from receiver.sandbox.config import SandboxConfig
from receiver.sandbox.faults_reader import faults_from_document
from receiver.sandbox.server import run

KEY = {"Authorization": "Bearer a-key"}
PATIENCE_SECONDS = 10.0
# Generations that end at once and sound for a moment: what a test needs unless it is about time or sound.
QUICK: dict[str, object] = {"seconds": [0, 0], "tune_seconds": [0.1, 0.2]}


def quick(seed: int = 0, **faults: object) -> SandboxConfig:
    """Return a config whose generations end at once."""
    return SandboxConfig(seed=seed, faults=faults_from_document(QUICK | faults))


def cover(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a faultless Runware task; fields given as None are left out."""
    task: dict[str, Any] = {
        "taskType": "audioInference",
        "taskUUID": str(uuid4()),
        "model": "minimax:music@cover",
        "positivePrompt": "bossa nova, nylon guitar, brushed drums",
        "inputs": {"audio": "https://files.example.org/in.mp3"},
        "deliveryMethod": "async",
    }
    return {name: value for name, value in (task | fields).items() if value is not None}


def song(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a faultless AIMLAPI request; fields given as None are left out."""
    body: dict[str, Any] = {
        "model": "minimax/music-cover",
        "prompt": "quiet jazz trio, brushes",
        "reference_audio_url": "https://files.example.org/in.mp3",
    }
    return {name: value for name, value in (body | fields).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Box:
    """A sandbox and a client that has a key."""

    client: httpx.AsyncClient
    url: str

    async def faults(self, **faults: object) -> None:
        """Replace all faults, on top of quick generations."""
        answer = await self.client.put("/_sandbox/faults", json=QUICK | faults)
        assert answer.status_code == 200, answer.text

    async def ledger(self) -> list[dict[str, Any]]:
        """Return the tasks of the ledger."""
        tasks: list[dict[str, Any]] = (await self.client.get("/_sandbox/ledger")).json()["tasks"]
        return tasks

    async def runware(self, *tasks: object, **headers: str) -> httpx.Response:
        """Post tasks to Runware's endpoint."""
        return await self.client.post("/runware/v1", json=list(tasks), headers=headers)

    async def asked(self, task_uuid: str) -> dict[str, Any]:
        """Return what getResponse says of a task."""
        answer = await self.runware({"taskType": "getResponse", "taskUUID": task_uuid})
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def finished(self, count: int) -> list[dict[str, Any]]:
        """Return the ledger once so many of its tasks have ended."""

        async def enough() -> bool:
            ended = [task for task in await self.ledger() if task["status"] != "processing"]
            return len(ended) >= count

        await until(enough)
        return await self.ledger()

    async def submitted(self, **fields: object) -> str:
        """Submit to AIMLAPI and return the generation id."""
        answer = await self.client.post("/aimlapi/v2/generate/audio", json=song(**fields))
        assert answer.is_success, answer.text
        return str(answer.json()["id"])

    async def looked_at(self, generation_id: str) -> httpx.Response:
        """Ask AIMLAPI about a generation."""
        return await self.client.get("/aimlapi/v2/generate/audio", params={"generation_id": generation_id})


@asynccontextmanager
async def in_process(config: SandboxConfig) -> AsyncIterator[Box]:
    """Run a sandbox without a socket."""
    app = create_app(config, "http://sandbox")
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox", headers=KEY) as client:
            yield Box(client, "http://sandbox")


@asynccontextmanager
async def served(config: SandboxConfig) -> AsyncIterator[Box]:
    """Serve a sandbox on a free loopback port."""
    listening = anyio.Event()
    urls: list[str] = []

    def ready(url: str) -> None:
        urls.append(url)
        listening.set()

    async def serve() -> None:
        await run("127.0.0.1", 0, config, ready)

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        with anyio.fail_after(PATIENCE_SECONDS):
            await listening.wait()
        async with httpx.AsyncClient(
            base_url=urls[0], headers=KEY, trust_env=False, timeout=PATIENCE_SECONDS
        ) as client:
            yield Box(client, urls[0])
        group.cancel_scope.cancel()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so; fails loudly when it takes far too long."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while not await condition():
            await anyio.sleep(0.005)


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request that somebody received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Listener:
    """A tiny HTTP server: notes every call and answers by plan, 200 when the plan has run out."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    plan: list[str] = field(default_factory=list)

    async def received(self, count: int) -> list[Call]:
        """Return the calls once there are so many."""

        async def enough() -> bool:
            return len(self.calls) >= count

        await until(enough)
        return self.calls

    async def handle(self, stream: SocketStream) -> None:
        """Answer the requests of one connection."""
        async with stream:
            pending = b""
            while True:
                while b"\r\n\r\n" not in pending:
                    try:
                        pending += await stream.receive()
                    except (anyio.EndOfStream, anyio.BrokenResourceError):
                        return
                head, _, pending = pending.partition(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                length = int(headers.get("content-length", "0"))
                while len(pending) < length:
                    pending += await stream.receive()
                body, pending = pending[:length], pending[length:]
                method, path, _ = first.split(" ")
                self.calls.append(Call(method, path, headers, body))
                reaction = self.plan.pop(0) if self.plan else "200 OK"
                if reaction == "hang":
                    await anyio.sleep_forever()
                await stream.send(f"HTTP/1.1 {reaction}\r\nContent-Length: 0\r\n\r\n".encode())


@asynccontextmanager
async def listening(*plan: str) -> AsyncIterator[Listener]:
    """Serve a listener on a free loopback port; each word of the plan is a status line, or `hang`."""
    listener = Listener(plan=list(plan))
    server = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with server, anyio.create_task_group() as group:
        group.start_soon(server.serve, listener.handle)
        port = server.extra_attributes[SocketAttribute.local_port]()
        listener.url = f"http://127.0.0.1:{port}/callbacks?token=t%2F1"
        yield listener
        group.cancel_scope.cancel()
