"""The application in this process behind a client, or behind a real uvicorn and a raw socket."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp

from receiver.web import WebConfig, create_app
from receiver.web.server import HEAD_SECONDS, WRITE_SECONDS, Connections, GuardedProtocol, guarded
from tests.web import interface
from tests.web.fakes import BEARER, KEY, World

PATIENCE_SECONDS = 10.0


def config(**fields: Any) -> WebConfig:  # noqa: ANN401 - fields of a WebConfig
    """Return the config of the tests with some fields of its own."""
    return WebConfig(**{"api_keys": (KEY,), **fields})


def client(
    world: World,
    *,
    headers: dict[str, str] | None = None,
    base_url: str = "http://127.0.0.1:8080",
    peer: str = "203.0.113.7",
    **fields: Any,  # noqa: ANN401 - fields of a WebConfig
) -> httpx.AsyncClient:
    """Return a client of a new application; it has the key unless ``headers`` say otherwise.

    Every answer is held against the document of the interface.
    """
    transport = httpx.ASGITransport(create_app(world.ports, config(**fields)), client=(peer, 5000))
    return httpx.AsyncClient(
        transport=transport,
        base_url=base_url,
        headers=BEARER if headers is None else headers,
        event_hooks={"response": [_is_described]},
    )


async def _is_described(answer: httpx.Response) -> None:
    body = await answer.aread()
    asked = answer.request
    interface.check(asked.method, asked.url.path, answer.status_code, answer.headers, body)


class _CountingProtocol(GuardedProtocol):
    """The protocol of the service; counts the reads of all connections, and knows those that were made."""

    reads = 0
    made: "list[GuardedProtocol]"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.made.append(self)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        type(self).reads += 1


class _QuietServer(uvicorn.Server):
    """A server that leaves the test's signals alone and ends when told, not at its next tick."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ended = asyncio.Event()

    async def main_loop(self) -> None:
        await self.ended.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():
            await asyncio.sleep(0)


@dataclass(slots=True)
class Answer:
    """What came back over a socket."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Wire:
    """One connection to a served application."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    before: list[bytes] = field(default_factory=list)

    async def send(self, *parts: bytes) -> None:
        """Send bytes; a server that has closed is no error."""
        with contextlib.suppress(ConnectionError):
            for part in parts:
                self.writer.write(part)
                await self.writer.drain()

    async def answer(self) -> Answer:
        """Read one answer; interim ones (100) are noted in ``before``."""
        while True:
            head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)).decode("latin-1")
            status_line, *lines = head.strip().split("\r\n")
            status = int(status_line.split()[1])
            if status != 100:
                break
            self.before.append(head.encode())
        headers = dict(line.lower().split(": ", 1) for line in lines)
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(status, headers, body)

    async def is_closed(self) -> bool:
        """Wait until the server closes; what it still sends is dropped."""
        with contextlib.suppress(ConnectionError):
            while await asyncio.wait_for(self.reader.read(65536), PATIENCE_SECONDS):
                pass
        return True


@dataclass(frozen=True, slots=True)
class Served:
    """A served application; ``reads`` counts how often its protocol was given something to read."""

    port: int
    protocol: "type[_CountingProtocol]"

    @property
    def reads(self) -> int:
        return self.protocol.reads

    @property
    def protocols(self) -> list[GuardedProtocol]:
        return self.protocol.made

    @property
    def connections(self) -> int:
        return self.protocol.counted.total

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Wire]:
        """Open a connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Wire(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def served(
    app: ASGIApp, *, head_seconds: float = HEAD_SECONDS, write_seconds: float = WRITE_SECONDS, keep_alive: int = 5
) -> AsyncIterator[Served]:
    """Serve an application on a free loopback port, with the protocol of the service and its short way in."""
    listening = socket.create_server(("127.0.0.1", 0))
    entrance = getattr(app, "entrance", None)
    counted = Connections()
    bounded = guarded(counted, head_seconds=head_seconds, write_seconds=write_seconds, entrance=entrance)
    protocol = type("CountingProtocol", (_CountingProtocol, bounded), {"made": []})
    settings = uvicorn.Config(
        app,
        http=protocol,
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=keep_alive,
    )
    server = _QuietServer(settings)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            await asyncio.sleep(0.005)
        # A running server renews this every second.
        server.server_state.default_headers = [(b"date", b"Tue, 15 Nov 1994 08:12:31 GMT")]
        yield Served(listening.getsockname()[1], protocol)
    finally:
        server.ended.set()
        await asyncio.wait_for(serving, PATIENCE_SECONDS)


def request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    """Return the bytes of a request, with a Content-Length where there is a body."""
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *length, *headers, "", ""]).encode("latin-1") + body
