"""Questions with short answers, thousands a second, on connections that cost a tenth of httpx's.

Of the millisecond that a look at one task takes, httpx, httpcore, h11 and anyio's streams had most: layers for what
is not asked for here, HTTP/2, answers in pieces, a time limit for every step. One deadline is around a whole
exchange, and each answer is read to its end. What goes wrong is told by httpx's words for it.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache

import httpcore
import httptools
import httpx

from receiver.domain.errors import AnswerLostError
from receiver.domain.exchange import HttpAnswer
from receiver.outbound.links import Link
from receiver.outbound.network import KEEP_ALIVE_SECONDS, CheckedBackend, Network

#: So much may come in a row that is no body: the head of an answer, or what stands between the pieces of its body and
#: behind them. The same that httpcore takes of a head.
_MOST_AROUND_BYTES = 100 * 1024
_READ_BYTES = 64 * 1024
_INFORMATIONAL = range(100, 200)
_PLAIN = frozenset({b"", b"identity"})
#: What says where a request goes, and how long it is: nobody else has a word in that.
_OURS = frozenset({"host", "connection", "content-length", "transfer-encoding"})
#: RFC 9110, 8.6: a length is told where a body is expected, be it of none.
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
# RFC 9110, 5.1 and 5.5: no control character, and no space at the ends.
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")


class Exchanges:
    """Sends requests on kept connections to checked addresses, and returns answers with all of their bodies."""

    def __init__(self, network: Network, backend: CheckedBackend, connections: int, most_bytes: int) -> None:
        """Open at most so many ``connections``, to all hosts together; take bodies of up to ``most_bytes``."""
        self._network = network
        self._backend = backend
        self._most_bytes = most_bytes
        self._free = asyncio.Semaphore(connections)
        #: Last used last, by host and port; and when each is too old to be used again.
        self._idle: dict[tuple[str, int], deque[tuple[httpcore.AsyncNetworkStream, float]]] = {}

    async def ask(
        self, link: Link, wire: bytes, *, patience: float, safe: bool, leaving: Callable[[], None]
    ) -> HttpAnswer:
        """Send a request and return its answer; the caller bounds the time that it takes.

        ``patience`` is for how many seconds a connection is waited for; ``leaving`` is called just before the first
        byte is handed to it. A ``safe`` request that meets a connection which was closed a moment ago is sent again
        on a new one: to ask the system about that each time would cost a tenth of a look.

        Raises what httpx raises, ForbiddenError besides, and AnswerLostError for an answer that is too large or in an
        encoding: no more of it is read than shows that, and its connection is closed.
        """
        if self._free.locked():
            try:
                async with asyncio.timeout(patience):
                    await self._free.acquire()
            except TimeoutError:
                raise httpx.PoolTimeout("no connection became free in time") from None
        else:
            await self._free.acquire()
        try:
            answer = _Answer(self._most_bytes)
            stream = await self._kept(link, "has_ended" if safe else "is_readable")
            if stream is not None:
                leaving()
                try:
                    await _exchange(stream, wire, answer)
                except (httpx.ReadError, httpx.RemoteProtocolError):
                    if answer.has_begun or not safe:
                        raise
                    # It was closed while it was kept.
                    stream = None
            if stream is None:
                stream = await self._connected(link, patience)
                leaving()
                await _exchange(stream, wire, answer)
            if answer.leaves_open and not stream.get_extra_info("is_writing"):
                kept = self._idle.setdefault((link.host, link.port), deque())
                kept.append((stream, asyncio.get_running_loop().time() + KEEP_ALIVE_SECONDS))
            else:
                await stream.aclose()
        finally:
            self._free.release()
        return answer.of(link.host)

    async def aclose(self) -> None:
        """Close all connections that are not in use."""
        while self._idle:
            _, kept = self._idle.popitem()
            for stream, _ in kept:
                await stream.aclose()

    async def _kept(self, link: Link, unfit: str) -> httpcore.AsyncNetworkStream | None:
        """Return the connection that was used last, if it is still good; those that grew too old are closed.

        One that is ``unfit`` by what it tells of itself was closed by the other side, or said what nobody asked for.
        """
        kept = self._idle.get((link.host, link.port))
        if kept is None:
            return None
        now = asyncio.get_running_loop().time()
        while kept and kept[0][1] <= now:
            await kept.popleft()[0].aclose()
        while kept:
            stream, _ = kept.pop()
            if not stream.get_extra_info(unfit):
                return stream
            await stream.aclose()
        return None

    async def _connected(self, link: Link, seconds: float) -> httpcore.AsyncNetworkStream:
        try:
            stream = await self._backend.connect_tcp(link.host, link.port, timeout=seconds)
            if link.secure:
                stream = await stream.start_tls(self._network.ssl_context, link.host, seconds)
        except httpcore.ConnectTimeout as fault:
            raise httpx.ConnectTimeout(str(fault)) from fault
        except httpcore.ConnectError as fault:
            raise httpx.ConnectError(str(fault)) from fault
        return stream


async def _exchange(stream: httpcore.AsyncNetworkStream, wire: bytes, answer: "_Answer") -> None:
    """Send a request and read its answer; where that fails the connection is closed, which nothing can hold up."""
    try:
        await stream.write(wire)
        while not answer.is_whole:
            answer.take(await stream.read(_READ_BYTES))
    except (httpcore.NetworkError, httpcore.TimeoutException) as fault:
        await stream.aclose()
        raise httpx.ReadError(str(fault)) from fault
    except BaseException:
        await stream.aclose()
        raise


class _Answer:
    """An answer while it is read: RFC 9112, as far as answers to GET and POST go."""

    def __init__(self, most_bytes: int) -> None:
        self._status = 0
        #: By name in lower case; of one that comes more than once, all values.
        self._headers: dict[bytes, bytes] = {}
        #: Why the body is not read, if it is not.
        self._refused: str | None = None
        self.has_begun = False
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

    def of(self, host: str) -> HttpAnswer:
        """Return the answer of a host, once it is whole. Raises AnswerLostError for one whose body was not read."""
        if self._refused is not None:
            raise AnswerLostError(f"{host}: answered {self._status} {self._refused}")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._headers.items()}
        return HttpAnswer(self._status, headers, bytes(self._body))

    def take(self, data: bytes) -> None:
        """Read on. Raises httpx.RemoteProtocolError for what is no HTTP or ends too early."""
        if not data:
            if not (self._has_head and self._ends_with_connection):
                raise httpx.RemoteProtocolError("the connection was closed before the answer was whole")
            self.is_whole = True
            return
        self.has_begun = True
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
            name = name.lower()
            before = self._headers.get(name)
            self._headers[name] = value if before is None else b"%b, %b" % (before, value)

    def on_headers_complete(self) -> None:
        if self.is_whole:
            return
        self._status = self._parser.get_status_code()
        if self._status in _INFORMATIONAL:
            self._headers.clear()
            return
        self._has_head = True
        given = self._headers
        length, coding = given.get(b"content-length", b""), given.get(b"transfer-encoding")
        if coding is not None and coding.strip().lower() != b"chunked":
            raise httpx.RemoteProtocolError("a transfer coding that was not asked for")
        self._ends_with_connection = coding is None and not length
        # RFC 9112, 6.3: then the chunks count, and the connection is to be closed.
        self._names_both = coding is not None and bool(length)
        if given.get(b"content-encoding", b"").strip().lower() not in _PLAIN:
            self._refuse("in an encoding we did not ask for")
        elif coding is None and length.isdigit() and int(length[:20]) > self._most_bytes:
            self._refuse(f"with more than {self._most_bytes} bytes")

    def on_body(self, body: bytes) -> None:
        if self.is_whole:
            return
        self._body += body
        if len(self._body) > self._most_bytes:
            self._refuse(f"with more than {self._most_bytes} bytes")

    def _refuse(self, reason: str) -> None:
        self._refused, self.is_whole = reason, True

    def on_message_complete(self) -> None:
        if not self.is_whole and self._status not in _INFORMATIONAL:
            self.is_whole = True
            self.leaves_open = self._parser.should_keep_alive() and not self._names_both


def written(link: Link, method: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Return a request as it goes on the wire. Raises httpx.LocalProtocolError for what HTTP cannot say.

    The names of ``headers`` are in lower case; those that say where it goes and how long it is are not among them.
    """
    lines = [b"%b: %b" % (_name(name), _value(value)) for name, value in headers.items()]
    if body or method in _WITH_BODY:
        lines.append(b"Content-Length: %d" % len(body or b""))
    first = b"%b %b HTTP/1.1\r\nHost: %b" % (method.encode("ascii"), link.target, link.url.netloc)
    return b"\r\n".join((first, *lines, b"", body or b""))


@lru_cache(maxsize=64)
def _name(name: str) -> bytes:
    """Return the name of a header; there are few. Their values may be secrets, which are remembered nowhere."""
    if name in _OURS or not (name.isascii() and _NAME.fullmatch(name.encode())):
        raise httpx.LocalProtocolError("a header that cannot be written")
    return name.encode()


def _value(value: str) -> bytes:
    if not (value.isascii() and _VALUE.fullmatch(value.encode())):
        raise httpx.LocalProtocolError("a header that cannot be written")
    return value.encode()
