"""Questions with short answers, thousands a second: httpx's values on connections that cost a tenth of its own.

Of the millisecond that a look at one task takes, httpcore, h11 and anyio's streams had most: layers for what is not
asked for here, HTTP/2, answers in pieces, a time limit for every step. One deadline is around a whole exchange, and
each answer is read to its end.
"""

import asyncio
import re
from collections import deque
from collections.abc import Mapping

import anyio
import httpcore
import httptools
import httpx

from receiver.outbound.network import KEEP_ALIVE_SECONDS, CheckedBackend, Network

#: The extension under which a request brings what is called just before its first byte is handed to a connection.
LEAVING = "leaving"
#: So much may come in a row that is no body: the head of an answer, or what stands between the pieces of its body and
#: behind them. The same that httpcore takes of a head.
_MOST_AROUND_BYTES = 100 * 1024
_READ_BYTES = 64 * 1024
_DEFAULT_PORTS = {"http": 80, "https": 443}
_INFORMATIONAL = range(100, 200)
# RFC 9110, 5.1 and 5.5: no control character, and no space at the ends.
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")


class Exchanges(httpx.AsyncBaseTransport):
    """Sends requests on kept connections to checked addresses, and returns answers with all of their bodies.

    Of a body over ``most_bytes`` or in an encoding no more is read than shows that: its connection is closed.
    """

    def __init__(self, network: Network, backend: CheckedBackend, connections: int, most_bytes: int) -> None:
        """``connections`` is the most there are at a time, to all hosts together."""
        self._network = network
        self._backend = backend
        self._most_bytes = most_bytes
        self._free = asyncio.Semaphore(connections)
        #: Last used last, by host and port; and when each is too old to be used again.
        self._idle: dict[tuple[str, int], deque[tuple[_Connection, float]]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its answer. Raises what httpx's own transport raises, ForbiddenError besides."""
        written, place = _written(request), _place(request.url)
        limits: Mapping[str, float | None] = request.extensions["timeout"]
        if self._free.locked():
            try:
                with anyio.fail_after(limits["pool"]):
                    await self._free.acquire()
            except TimeoutError:
                raise httpx.PoolTimeout("no connection became free in time") from None
        else:
            await self._free.acquire()
        try:
            connection = await self._kept(place) or await self._connected(place, request.url, limits["connect"])
            answer = _Answer(self._most_bytes)
            try:
                request.extensions[LEAVING]()
                await connection.exchange(written, answer)
            except BaseException:
                await connection.close()
                raise
            if answer.leaves_open and not connection.is_writing():
                kept = self._idle.setdefault(place, deque())
                kept.append((connection, anyio.current_time() + KEEP_ALIVE_SECONDS))
            else:
                await connection.close()
        finally:
            self._free.release()
        return httpx.Response(answer.status, headers=answer.headers, stream=httpx.ByteStream(answer.body()))

    async def aclose(self) -> None:
        """Close all connections that are not in use."""
        while self._idle:
            _, kept = self._idle.popitem()
            for connection, _ in kept:
                await connection.close()

    async def _kept(self, place: tuple[str, int]) -> "_Connection | None":
        """Return the connection that was used last, if it is still good; those that grew too old are closed."""
        kept = self._idle.get(place)
        if kept is None:
            return None
        now = anyio.current_time()
        while kept and kept[0][1] <= now:
            await kept.popleft()[0].close()
        while kept:
            connection, _ = kept.pop()
            if not connection.has_ended():
                return connection
            await connection.close()
        return None

    async def _connected(self, place: tuple[str, int], url: httpx.URL, seconds: float | None) -> "_Connection":
        try:
            stream = await self._backend.connect_tcp(*place, timeout=seconds)
            if url.scheme == "https":
                stream = await stream.start_tls(self._network.ssl_context, url.raw_host.decode("ascii"), seconds)
        except httpcore.ConnectTimeout as fault:
            raise httpx.ConnectTimeout(str(fault)) from fault
        except httpcore.ConnectError as fault:
            raise httpx.ConnectError(str(fault)) from fault
        return _Connection(stream)


class _Connection:
    """One connection, used by one exchange at a time."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    def has_ended(self) -> bool:
        """Tell whether the other side closed it, or said something that nobody asked for."""
        return bool(self._stream.get_extra_info("is_readable"))

    def is_writing(self) -> bool:
        """Tell whether some of the request has not been taken yet, though it is answered."""
        return bool(self._stream.get_extra_info("is_writing"))

    async def exchange(self, written: bytes, answer: "_Answer") -> None:
        try:
            await self._stream.write(written)
            while not answer.is_whole:
                answer.take(await self._stream.read(_READ_BYTES))
        except (httpcore.NetworkError, httpcore.TimeoutException) as fault:
            raise httpx.ReadError(str(fault)) from fault

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()


class _Answer:
    """An answer while it is read: RFC 9112, as far as answers to GET and POST go."""

    def __init__(self, most_bytes: int) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        #: Whether nothing more is to be read, and whether another answer may follow on the same connection.
        self.is_whole = self.leaves_open = False
        self._most_bytes = most_bytes
        # Not in pieces: one of two bytes takes fifty.
        self._body = bytearray()
        self._around_bytes = 0
        self._has_head = self._ends_with_connection = self._names_both = False
        self._parser = httptools.HttpResponseParser(self)
        # A length beside chunks is no reason to lose an answer that may have been paid for: see ``_names_both``.
        self._parser.set_dangerous_leniencies(lenient_chunked_length=True)

    def body(self) -> bytes:
        return bytes(self._body)

    def take(self, data: bytes) -> None:
        """Read on. Raises httpx.RemoteProtocolError for what is no HTTP or ends too early."""
        if not data:
            if not (self._has_head and self._ends_with_connection):
                raise httpx.RemoteProtocolError("the connection was closed before the answer was whole")
            self.is_whole = True
            return
        size = len(self._body)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self.is_whole:
                # What llhttp quotes of it may be anything.
                raise httpx.RemoteProtocolError("the answer is not HTTP") from None
            # What was asked for is there, and may have been paid for; only nothing may follow what came behind it.
            self.leaves_open = False
        self._around_bytes = 0 if len(self._body) > size else self._around_bytes + len(data)
        if not self.is_whole and self._around_bytes > _MOST_AROUND_BYTES:
            raise httpx.RemoteProtocolError("a head or trailers that do not end")

    def on_message_begin(self) -> None:
        if self.is_whole:
            # More than was asked for: whose answer the next one is, nobody could tell.
            self.leaves_open = False

    def on_header(self, name: bytes, value: bytes) -> None:
        # Behind the head they are trailers, which nobody here asked for.
        if not self._has_head:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self.is_whole:
            return
        self.status = self._parser.get_status_code()
        if self.status in _INFORMATIONAL:
            self.headers.clear()
            return
        self._has_head = True
        given: dict[bytes, bytes] = {name.lower(): value for name, value in self.headers}
        length = given.get(b"content-length", b"")
        is_coded = b"transfer-encoding" in given
        if is_coded and self._codings() != [b"chunked"]:
            raise httpx.RemoteProtocolError("a transfer coding that was not asked for")
        self._ends_with_connection = not (is_coded or length)
        # RFC 9112, 6.3: then the chunks count, and the connection is to be closed.
        self._names_both = is_coded and bool(length)
        too_long = not is_coded and length.isdigit() and int(length[:20]) > self._most_bytes
        if too_long or given.get(b"content-encoding", b"").strip().lower() not in {b"", b"identity"}:
            self.is_whole = True

    def on_body(self, body: bytes) -> None:
        if self.is_whole:
            return
        self._body += body
        if len(self._body) > self._most_bytes:
            self.is_whole = True

    def on_message_complete(self) -> None:
        if not self.is_whole and self.status not in _INFORMATIONAL:
            self.is_whole = True
            self.leaves_open = self._parser.should_keep_alive() and not self._names_both

    def _codings(self) -> list[bytes]:
        return [value.strip().lower() for name, value in self.headers if name.lower() == b"transfer-encoding"]


def _place(url: httpx.URL) -> tuple[str, int]:
    return url.raw_host.decode("ascii"), url.port or _DEFAULT_PORTS[url.scheme]


def _written(request: httpx.Request) -> bytes:
    """Return a request as it goes on the wire. Raises httpx.LocalProtocolError for what HTTP cannot say."""
    target: bytes = request.extensions.get("target") or request.url.raw_path
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), target)]
    for name, value in request.headers.raw:
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise httpx.LocalProtocolError("a header that cannot be written")
        lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join((*lines, b"", request.read()))
