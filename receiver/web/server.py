"""The socket side: uvicorn with bounded heads and connections, and a stop that ends streams and waits for answers."""

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from socket import socket
from typing import cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: A request head larger than this is refused: headers are memory given to strangers.
MOST_HEAD_BYTES = 32 * 1024
#: A head not complete after this many seconds closes the connection.
HEAD_SECONDS = 10.0


@dataclass(slots=True)
class Connections:
    """How many connections are open in all and from each peer; shared by the protocols of one server.

    A peer on loopback is the proxy that speaks for everybody, so only the total bounds it.
    """

    most: int = 2000
    most_per_peer: int = 200
    total: int = 0
    by_peer: Counter[str] = field(default_factory=Counter)

    def enter(self, peer: str) -> bool:
        """Count a new connection and tell whether it may stay."""
        self.total += 1
        self.by_peer[peer] += 1
        return self.total <= self.most and (self.by_peer[peer] <= self.most_per_peer or _is_loopback(peer))

    def leave(self, peer: str) -> None:
        self.total -= 1
        self.by_peer[peer] -= 1
        if not self.by_peer[peer]:
            del self.by_peer[peer]


def _is_loopback(peer: str) -> bool:
    try:
        return ip_address(peer).is_loopback
    except ValueError:
        return False


class GuardedProtocol(HttpToolsProtocol):
    """HTTP on one connection, closed when its head is too large or too slow.

    The parser itself bounds neither: 200 MB of headers took 200 MB of memory, half a head stayed open for ever.
    """

    # Set on the subclass that ``guarded`` makes.
    counted: Connections
    head_seconds: float

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self._peer = self.client[0] if self.client else ""
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None
        self._entered = True
        self._refused = False
        if self.counted.enter(self._peer):
            self._watch_head()
        else:
            self._refuse(b"503 Service Unavailable", b"retry-after: 5\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        if self._entered:
            self._entered = False
            self.counted.leave(self._peer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        if self._head_timer is None:
            self._watch_head()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_watching()
        head = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if head > MOST_HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()

    def _watch_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def _stop_watching(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes, headers: bytes = b"") -> None:
        self._stop_watching()
        self._refused = True
        if not self.transport.is_closing():
            answer = b"HTTP/1.1 " + status + b"\r\n" + headers + b"connection: close\r\ncontent-length: 0\r\n\r\n"
            self.transport.write(answer)
            self.transport.close()


def guarded(counted: Connections, *, head_seconds: float = HEAD_SECONDS) -> type[GuardedProtocol]:
    """Return the protocol class for one server, sharing its count of connections."""
    return type("ServerProtocol", (GuardedProtocol,), {"counted": counted, "head_seconds": head_seconds})


class DrainingServer(uvicorn.Server):
    """A server that says when it listens and when it begins to stop, and ends without killing the process.

    uvicorn raises the signal again once it has stopped, which would skip everything its caller still has to close.
    """

    def __init__(self, config: uvicorn.Config, *, on_listening: Callable[[], None], draining: asyncio.Event) -> None:
        super().__init__(config)
        self._on_listening = on_listening
        self._draining = draining

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        """End at the first signal; at the second do not wait for answers under way."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._draining.set()
