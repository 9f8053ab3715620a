"""The socket side: uvicorn with bounded heads and connections, and a stop that ends streams and waits for answers."""

import asyncio
import contextlib
import fcntl
import signal
import struct
import termios
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from socket import socket
from typing import cast

import uvicorn

from receiver.web.bodies import ARRIVED
from receiver.web.entrance import Entrance, EntranceProtocol, PlainReader
from receiver.web.peers import counted_as, is_loopback

#: A request head larger than this is refused: headers are memory given to strangers.
MOST_HEAD_BYTES = 32 * 1024
#: Nobody here reads trailers; a connection that sends more of them than this is closed.
MOST_TRAILER_BYTES = 8 * 1024
#: Requests that may wait on one connection behind the one being answered.
MOST_QUEUED = 16
#: The body of a request that waits may grow to this many bytes: nobody reads it yet.
MOST_QUEUED_BODY_BYTES = 1024 * 1024
#: A head not complete after this many seconds closes the connection; so does as long a time after an answer without
#: a new head.
HEAD_SECONDS = 10.0
#: Who has an answer waiting and takes less than this of it in so many seconds is not reading: the answer is memory.
WRITE_SECONDS = 20.0
LEAST_TAKEN_BYTES = 16 * 1024
_INT = struct.Struct("i")
_LONG_HEAD = b"431 Request Header Fields Too Large"


@dataclass(slots=True)
class Connections:
    """How many connections are open in all and from each peer; shared by the protocols of one server.

    For IPv6 a peer is the network around an address, which one customer holds whole.
    A peer on loopback is the proxy that speaks for everybody, so only the total bounds it; ``speaks_for_all`` tells
    such a peer by its address.
    """

    most: int = 2000
    most_per_peer: int = 200
    speaks_for_all: Callable[[str], bool] = is_loopback
    total: int = 0
    by_peer: Counter[str] = field(default_factory=Counter)

    def enter(self, peer: str) -> bool:
        """Count a new connection and tell whether it may stay."""
        self.total += 1
        key = counted_as(peer)
        self.by_peer[key] += 1
        return self.total <= self.most and (self.by_peer[key] <= self.most_per_peer or self.speaks_for_all(peer))

    def leave(self, peer: str) -> None:
        self.total -= 1
        key = counted_as(peer)
        self.by_peer[key] -= 1
        if not self.by_peer[key]:
            del self.by_peer[key]


class GuardedProtocol(EntranceProtocol):
    """HTTP on one connection, closed when a head, the trailers or the queue grow too large, when a head is too slow,
    and when nobody takes the answer.

    The parser itself bounds none of them: 200 MB of headers took 200 MB of memory, half a head stayed open for ever.
    """

    # Set on the subclass that ``guarded`` makes.
    counted: Connections
    head_seconds: float
    write_seconds: float

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self._peer = self.client[0] if self.client else ""
        self._in_head = True
        #: The head of a chunk has been read and none of its bytes yet: after the last chunk these are the trailers.
        self._after_chunk_head = False
        #: Heads and chunk heads begun so far: tells whether a read went on with the same one.
        self._begun = 0
        self._head_bytes = 0
        #: The same by what the parser has reported, of a head that comes at once.
        self._parsed_bytes = 0
        self._trailer_bytes = 0
        #: When the head that is awaited comes too late, by the loop's clock; None while none is.
        self._head_due: float | None = None
        #: Rings at that moment or before it: begun anew for every request, timers were a twentieth of all it cost.
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        #: The bytes of answers that waited to be taken when they were last looked at.
        self._untaken = 0
        self._entered = True
        self._refused = False
        if self.counted.enter(self._peer):
            self._watch_head()
        else:
            self._refuse(b"503 Service Unavailable", b"retry-after: 5\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._stop_watching_writes()
        if self._entered:
            self._entered = False
            self.counted.leave(self._peer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        begun, in_head, after_chunk_head = self._begun, self._in_head, self._after_chunk_head
        EntranceProtocol.data_received(self, data)
        # What begins within a read is bounded by the read. What only goes on in it is counted here, for the parser
        # reports a line once it is complete, however long it grows.
        if begun != self._begun:
            return
        if in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(_LONG_HEAD)
        elif after_chunk_head and self._after_chunk_head:
            self._count_trailer(len(data))

    def on_message_begin(self) -> None:
        if self._refused:
            return
        EntranceProtocol.on_message_begin(self)
        self._begun += 1
        self._in_head = True
        self._head_bytes = self._parsed_bytes = 0
        self._watch_head()

    def on_url(self, url: bytes) -> None:
        if not self._refused:
            EntranceProtocol.on_url(self, url)
            self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            EntranceProtocol.on_header(self, name, value)
            self._count_head(len(name) + len(value) + 4)
        else:
            self._count_trailer(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        if self._refused:
            return
        if len(self.pipeline) >= MOST_QUEUED:
            self._close()
            return
        self._after_chunk_head = False
        self._trailer_bytes = 0
        self._stop_watching()
        EntranceProtocol.on_headers_complete(self)
        self._in_head = False

    def on_chunk_header(self) -> None:
        self._begun += 1
        self._after_chunk_head = True

    def on_body(self, body: bytes) -> None:
        if self._refused:
            return
        self._after_chunk_head = False
        EntranceProtocol.on_body(self, body)
        is_queued = bool(self.pipeline) and self.pipeline[0][0] is self.cycle
        if is_queued and len(self.cycle.body) > MOST_QUEUED_BODY_BYTES:
            self._close()

    def on_message_complete(self) -> None:
        self._after_chunk_head = False
        if not self._refused:
            EntranceProtocol.on_message_complete(self)
            if self._is_answering():
                cast("dict[str, object]", self.cycle.scope)[ARRIVED] = True

    def on_response_complete(self) -> None:
        EntranceProtocol.on_response_complete(self)
        self.left()

    def entered(self) -> None:
        self._begun += 1
        self._in_head = False
        self._stop_watching()

    def left(self) -> None:
        if self.transport.is_closing():
            self._watch_writes()
        # The server's own timer for idle connections stops at any byte, also at those of no request.
        elif self._head_due is None and not self._is_answering():
            self._watch_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writes()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_watching_writes()

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.is_closing():
            self._watch_writes()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch_writes()

    def send_400_response(self, msg: str) -> None:
        # A fault in the body of the only request open, whose answer has not begun, may be told in its place.
        is_told = not self._in_head and not self.pipeline and self._is_answering() and not self.cycle.response_started
        if not self._refused and not self.transport.is_closing() and (is_told or not self._is_answering()):
            super().send_400_response(msg)
        self._close()

    def _count_head(self, size: int) -> None:
        self._parsed_bytes += size
        if self._parsed_bytes > MOST_HEAD_BYTES:
            self._refuse(_LONG_HEAD)

    def _count_trailer(self, size: int) -> None:
        self._trailer_bytes += size
        if self._trailer_bytes > MOST_TRAILER_BYTES:
            self._close()

    def _watch_head(self) -> None:
        self._head_due = self.loop.time() + self.head_seconds
        if self._head_timer is None:
            self._head_timer = self.loop.call_at(self._head_due, self._look_at_head)

    def _stop_watching(self) -> None:
        self._head_due = None

    def _look_at_head(self) -> None:
        self._head_timer = None
        if self._head_due is None:
            return
        if self._head_due > self.loop.time():
            self._head_timer = self.loop.call_at(self._head_due, self._look_at_head)
        else:
            self._too_slow()

    def _watch_writes(self) -> None:
        """Look, from time to time, whether what waits is taken; a closing connection, too, stays until it has been.

        Nothing is added meanwhile: whoever writes waits, or is done.
        """
        if self._write_timer is None and self.transport.get_write_buffer_size():
            self._untaken = self._count_untaken()
            self._write_timer = self.loop.call_later(self.write_seconds, self._look_at_writes)

    def _count_untaken(self) -> int:
        """Return the bytes that wait here and in the system's buffer, which alone takes megabytes at a time."""
        untaken: int = self.transport.get_write_buffer_size()
        with contextlib.suppress(OSError):
            descriptor = self.transport.get_extra_info("socket").fileno()
            untaken += _INT.unpack(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(_INT.size)))[0]
        return untaken

    def _stop_watching_writes(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _look_at_writes(self) -> None:
        self._write_timer = None
        if not self.transport.get_write_buffer_size():
            return
        if self._untaken - self._count_untaken() < LEAST_TAKEN_BYTES:
            self.transport.abort()
        else:
            self._watch_writes()

    def _too_slow(self) -> None:
        self._head_due = None
        if self._in_head and self._is_answering() and self.flow.read_paused:
            # It is we who do not read on.
            self._watch_head()
        elif self._in_head:
            self._refuse(b"408 Request Timeout")
        else:
            self._close()

    def _refuse(self, status: bytes, headers: bytes = b"") -> None:
        """Say why, unless an answer is under way, and close."""
        if not self._is_answering() and not self.transport.is_closing():
            answer = b"HTTP/1.1 " + status + b"\r\n" + headers + b"connection: close\r\ncontent-length: 0\r\n\r\n"
            self.transport.write(answer)
        self._close()

    def _close(self) -> None:
        self._stop_watching()
        self._refused = True
        self.transport.close()
        self._watch_writes()


def guarded(
    counted: Connections,
    *,
    head_seconds: float = HEAD_SECONDS,
    write_seconds: float = WRITE_SECONDS,
    entrance: Entrance | None = None,
) -> type[GuardedProtocol]:
    """Return the protocol class for one server, sharing its count of connections; ``entrance`` is the short
    way in for small requests that came whole.
    """
    settings = {"counted": counted, "head_seconds": head_seconds, "write_seconds": write_seconds}
    return type("ServerProtocol", (GuardedProtocol,), {**settings, "entrance": entrance, "reader": PlainReader()})


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
