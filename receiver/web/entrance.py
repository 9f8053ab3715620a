"""The short way in: a plain small request that came whole, in one read, is answered without the layers of ASGI.

Nearly every callback is one. What the server makes of any request (a scope, a cycle with its event and its timers, a
task), a scope's way through the layers, and messages for the body and for the answer cost it more than to verify its
token and to store it. Whatever is not as plain as that goes the long way, from its first byte, and so does what the
entrance does not take.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple, Protocol

import httptools
from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from receiver.web.connection import MendedProtocol

#: What is larger, head and body, goes the long way, where each of the two is bounded by itself.
PLAIN_BYTES = 32 * 1024
#: Requests with one of these headers are not plain: what follows them is not a body as long as it says, or they are
#: answered otherwise.
_NOT_PLAIN = frozenset({b"expect", b"transfer-encoding"})


class Answer:
    """One answer, made once and given many times, by either way. ``closes``: the connection ends with it."""

    __slots__ = ("_last", "_last_headers", "body", "closes", "head", "start", "tail")

    def __init__(
        self, status: int, body: bytes, media_type: str, *headers: tuple[str, str], closes: bool = False
    ) -> None:
        """Make the messages of ASGI and the bytes on the wire."""
        shown = [
            ("content-type", media_type),
            ("content-length", str(len(body))),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            *headers,
        ]
        if not body:
            shown = shown[2:]
        if closes:
            shown.append(("connection", "close"))
        raw = [(name.encode(), value.encode()) for name, value in shown]
        self.start: Message = {"type": "http.response.start", "status": status, "headers": raw}
        self.body: Message = {"type": "http.response.body", "body": body}
        self.closes = closes
        self.head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
        self.tail = b"".join(name + b": " + value + b"\r\n" for name, value in raw)
        self._last_headers: list[tuple[bytes, bytes]] | None = None
        self._last = b""

    def written(self, server_headers: list[tuple[bytes, bytes]], *, closes: bool) -> bytes:
        """Return the whole answer; ``closes`` says so where the answer itself does not."""
        if closes:
            return self._whole(server_headers, closes=True)
        # A server makes a new list of them when the second of its clock changes.
        if server_headers is not self._last_headers:
            self._last, self._last_headers = self._whole(server_headers, closes=False), server_headers
        return self._last

    def _whole(self, server_headers: list[tuple[bytes, bytes]], *, closes: bool) -> bytes:
        parts = [self.head]
        for name, value in server_headers:
            parts += (name, b": ", value, b"\r\n")
        parts.append(self.tail)
        if closes and not self.closes:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", self.body["body"])
        return b"".join(parts)


class Plain(NamedTuple):
    """A plain request: the path as it was sent, headers by their lower-case names, the whole body."""

    path: bytes
    headers: dict[bytes, bytes]
    body: bytes
    keeps_alive: bool


class Entrance(Protocol):
    """What answers plain requests that begin with ``beginning``, as in ``POST /somewhere/``."""

    beginning: bytes

    def enter(self, request: Plain, answer: Callable[[Answer], None]) -> bool:
        """Take a request and call ``answer`` once, later; False to leave it to the long way. Raises nothing."""


class PlainReader:
    """Takes plain requests apart, each given whole; one for all connections of a server, for none leaves anything.

    The parser is the one of the long way, which is asked again about whatever this one does not find plain.
    """

    __slots__ = (
        "_begun",
        "_ended",
        "_feed",
        "_headers",
        "_keeps_alive",
        "_lines",
        "_parser",
        "_pieces",
        "_url",
    )

    def __init__(self) -> None:
        """Begin with nothing read."""
        self._anew()

    def read(self, data: bytes) -> Plain | None:
        """Return the request that ``data`` is from its first byte to its last, or None when it is not a plain one."""
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._anew()
            return None
        url, headers = self._url, self._headers
        is_plain = (
            self._begun == self._ended == 1
            and self._lines == len(headers)
            and b"?" not in url
            and b"#" not in url
            and _NOT_PLAIN.isdisjoint(headers)
        )
        request = Plain(url, headers, b"".join(self._pieces), self._keeps_alive) if is_plain else None
        if is_plain and self._keeps_alive:
            self._clear()
        else:
            # It stands in the middle of something, or takes nothing more.
            self._anew()
        return request

    def on_message_begin(self) -> None:
        self._begun += 1

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines += 1
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        parser = self._parser
        self._keeps_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self._ended += 1

    def _anew(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._feed = self._parser.feed_data
        self._clear()

    def _clear(self) -> None:
        # A connection may stay open for long; what came by it need not.
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._begun = self._ended = self._lines = 0
        self._keeps_alive = False


class EntranceProtocol(MendedProtocol):
    """HTTP on one connection, with a short way in."""

    # Set on a subclass, for one server.
    entrance: Entrance | None = None
    reader: PlainReader

    #: No request has begun that is not read to its end.
    _is_between = True
    #: A request went the short way and is not answered yet.
    _is_inside = False
    #: The connection ends with its answer.
    _ends = False
    #: What came behind it.
    _behind = b""

    def data_received(self, data: bytes) -> None:
        if self._is_inside:
            # One after the other, as they came.
            self._behind += data
            self.flow.pause_reading()
        elif not self._enters(data):
            MendedProtocol.data_received(self, data)

    def on_message_begin(self) -> None:
        self._is_between = False
        MendedProtocol.on_message_begin(self)

    def on_message_complete(self) -> None:
        # Of one that asks for an upgrade only the head has been read, and is read again.
        self._is_between = not self._is_upgrade
        MendedProtocol.on_message_complete(self)

    def shutdown(self) -> None:
        if self._is_inside:
            self._ends = True
        else:
            super().shutdown()

    def entered(self) -> None:
        """Notice that a request begins, and has been read to its end, the short way."""

    def left(self) -> None:
        """Notice that it is answered."""

    def _is_answering(self) -> bool:
        """Tell whether a request is not answered to its end: then any other answer would be taken for its own."""
        # uvicorn has None here until the first request, whatever its type says.
        cycle: RequestResponseCycle | None = self.cycle
        return self._is_inside or (cycle is not None and not cycle.response_complete)

    def _enters(self, data: bytes) -> bool:
        """Let what came in the short way; False, with nothing done, where it is not for it."""
        entrance = self.entrance
        if (
            entrance is None
            or not data.startswith(entrance.beginning)
            or len(data) > PLAIN_BYTES
            or not self._is_between
            or self._is_answering()
            or self.flow.write_paused
        ):
            return False
        request = self.reader.read(data)
        if request is None:
            return False
        if not entrance.enter(request, self._answer):
            return False
        self._is_inside, self._ends = True, not request.keeps_alive
        self._unset_keepalive_if_required()
        self.entered()
        return True

    def _answer(self, answer: Answer) -> None:
        self._is_inside = False
        if self.transport.is_closing():
            # Whoever asked has gone, or takes nothing.
            self.left()
            return
        closes = answer.closes or self._ends
        self.transport.write(answer.written(self.server_state.default_headers, closes=closes))
        self.server_state.total_requests += 1
        if closes:
            self.transport.close()
        self.left()
        if self._behind:
            behind, self._behind = self._behind, b""
            self.flow.resume_reading()
            self.data_received(behind)
