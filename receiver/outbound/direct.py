"""Connections straight on the event loop, for questions with short answers: no layer counts each read and write."""

import asyncio
import select
import ssl
from collections.abc import Awaitable, Iterable
from typing import TypeVar, cast

import httpcore

T = TypeVar("T")

#: So much may wait to be read; beyond it the other side is held up.
_MOST_WAITING = 1024 * 1024


class DirectBackend(httpcore.AsyncNetworkBackend):
    """Opens TCP connections whose streams are asyncio's own protocols."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to an address. Raises httpcore.ConnectError and httpcore.ConnectTimeout."""
        del local_address, socket_options  # which nobody here has
        connecting = asyncio.get_running_loop().create_connection(DirectStream, host, port)
        try:
            _, stream = await _within(timeout, connecting)
        except TimeoutError as fault:
            raise httpcore.ConnectTimeout(str(fault)) from fault
        except OSError as fault:
            raise httpcore.ConnectError(str(fault)) from fault
        return stream


class DirectStream(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """One connection. Whoever reads takes all that came; nobody writes more than one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._came: list[bytes] = []
        self._waiting = 0
        self._more: asyncio.Future[None] | None = None
        self._ended = False
        self._fault: Exception | None = None
        self._asked: select.poll | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._came.append(data)
        self._waiting += len(data)
        if self._waiting > _MOST_WAITING and self._transport is not None:
            self._transport.pause_reading()
        _wake(self._more)

    def eof_received(self) -> None:
        self._ended = True
        _wake(self._more)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._fault = True, exc
        _wake(self._more)

    async def read(
        self,
        max_bytes: int,  # noqa: ARG002 - what came is there already
        timeout: float | None = None,  # noqa: ASYNC109 the signature is httpcore's
    ) -> bytes:
        """Return what came, all of it; nothing when the other side has ended."""
        if not (self._came or self._ended):
            self._more = asyncio.get_running_loop().create_future()
            try:
                await _within(timeout, self._more)
            except TimeoutError as fault:
                raise httpcore.ReadTimeout(str(fault)) from fault
            finally:
                self._more = None
        if not self._came and self._fault is not None:
            raise httpcore.ReadError(str(self._fault)) from self._fault
        data = self._came[0] if len(self._came) == 1 else b"".join(self._came)
        self._came.clear()
        if self._waiting > _MOST_WAITING and self._transport is not None and not self._ended:
            self._transport.resume_reading()
        self._waiting = 0
        return data

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - nothing is waited for; the signature is httpcore's
    ) -> None:
        """Hand over bytes, sent while their sender reads: a refusal may come before they have all been taken."""
        if self._transport is None or self._transport.is_closing():
            raise httpcore.WriteError("the connection is closed")
        self._transport.write(buffer)

    async def aclose(self) -> None:
        """Close at once: what was not read or written by now is of no interest."""
        if self._transport is not None:
            self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 the signature is httpcore's
    ) -> httpcore.AsyncNetworkStream:
        """Speak TLS from here on; the stream stays the same. Raises httpcore.ConnectError."""
        if self._transport is None or self._came or self._ended:
            await self.aclose()
            raise httpcore.ConnectError("it spoke before TLS") from ssl.SSLError("it spoke before TLS")
        loop = asyncio.get_running_loop()
        beginning = loop.start_tls(self._transport, self, ssl_context, server_hostname=server_hostname)
        try:
            self._transport = cast("asyncio.Transport", await _within(timeout, beginning))
        except TimeoutError as fault:
            await self.aclose()
            raise httpcore.ConnectTimeout(str(fault)) from fault
        except OSError as fault:  # ssl.SSLError among them
            await self.aclose()
            raise httpcore.ConnectError(str(fault)) from fault
        except BaseException:
            await self.aclose()
            raise
        return self

    def get_extra_info(self, info: str) -> object:
        """Tell whether something came, be it the end, so far or by now; whether bytes wait to be sent; what the
        transport tells.
        """
        if info == "has_ended":
            return self._ended or bool(self._came)
        if info == "is_readable":
            return self._ended or bool(self._came) or self._has_more()
        if info == "is_writing":
            return self._transport is not None and self._transport.get_write_buffer_size() > 0
        return None if self._transport is None else self._transport.get_extra_info(info)

    def _has_more(self) -> bool:
        """Ask the system what it has not told the event loop yet: an end that came a moment ago is one."""
        if self._transport is None or self._transport.is_closing():
            return True
        if self._asked is None:
            self._asked = select.poll()
            self._asked.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._asked.poll(0))


def _wake(waiting: "asyncio.Future[None] | None") -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


async def _within(seconds: float | None, work: Awaitable[T]) -> T:
    if seconds is None:
        return await work
    async with asyncio.timeout(seconds):
        return await work
