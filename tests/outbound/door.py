"""A TCP server on 127.0.0.1 that sends exactly the bytes a test gives it, and remembers what it was sent."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from receiver.outbound import AllowedHosts, CallLimits, HttpOutbound, Network
from tests.outbound.fakes import SSL_CONTEXT

#: What happens on a connection after one request has been read; the connection is closed when it returns.
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Door:
    """Where the server is, and the heads and bodies of the requests it got."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def targets(self) -> list[bytes]:
        """The request targets, as they stood on the wire."""
        return [request.split(b" ", 2)[1] for request in self.requests]


@asynccontextmanager
async def door(*scripts: Script) -> AsyncIterator[Door]:
    """Serve; the n-th request gets the n-th script, every later one the last."""
    handlers: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        served.connections += 1
        try:
            while not reader.at_eof() and not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                served.requests.append(head + await reader.readexactly(_length(head)))
                await scripts[min(len(served.requests), len(scripts)) - 1](reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Cancelled only at the end of the test; Python 3.11 complains about a handler that says so.
            pass
        finally:
            handlers.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    served = Door(server.sockets[0].getsockname()[1])
    try:
        yield served
    finally:
        server.close()
        for task in list(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


@asynccontextmanager
async def caller(
    *urls: str, allowed: str = "127.0.0.1", limits: CallLimits | None = None
) -> AsyncIterator[HttpOutbound]:
    """An outbound whose provider lives at ``urls`` on this machine, which is allowed unless a test says else."""
    network = Network(ssl_context=SSL_CONTEXT)
    hosts = AllowedHosts.parse(allowed)
    async with HttpOutbound(allowed=hosts, provider_urls=urls, limits=limits, network=network) as outbound:
        yield outbound


def answers(data: bytes, *, then_close: bool = True) -> Script:
    """Send these bytes and nothing else."""

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if then_close:
            writer.close()

    return script


def resets_after(data: bytes) -> Script:
    """Send these bytes, then break the connection with RST."""

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return script


def stalls_after(data: bytes) -> Script:
    """Send these bytes, then keep the connection open and silent."""

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        await asyncio.Event().wait()

    return script


def repeats(head: bytes, piece: bytes, *, pause_seconds: float = 0.0) -> Script:
    """Send a head, then the same piece for ever."""

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        with contextlib.suppress(OSError):
            while not writer.is_closing():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_seconds)

    return script


def ok(body: bytes, *headers: str) -> bytes:
    """A whole 200 answer."""
    return answer(200, body, *headers)


def answer(status: int, body: bytes, *headers: str) -> bytes:
    """A whole answer with Content-Length."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def redirect(location: str, status: int = 302) -> bytes:
    """An answer that sends the caller elsewhere."""
    return answer(status, b"", f"Location: {location}")


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
