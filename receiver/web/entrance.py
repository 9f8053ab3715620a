"""The short way in: a small request that came whole, in one read, is answered without the layers of ASGI.

Nearly every callback is one. A scope on its way through the layers, messages for the body and for the answer, and two
searches in each header that is sent cost it more than to verify its token and store it. Whatever is not as plain as
that goes the long way, and so does what the entrance has no answer for.
"""

from http import HTTPStatus
from typing import Protocol, cast

from starlette.types import Message, Scope
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from receiver.web.bodies import SMALL_BYTES
from receiver.web.connection import MendedProtocol


class Answer:
    """One answer, made once and given many times, by either way. ``closes``: the connection ends with it."""

    __slots__ = ("body", "closes", "head", "start", "tail")

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

    def written(self, server_headers: list[tuple[bytes, bytes]], *, closes: bool) -> bytes:
        """Return the whole answer; ``closes`` says so where the answer itself does not."""
        parts = [self.head]
        for name, value in server_headers:
            parts += (name, b": ", value, b"\r\n")
        parts.append(self.tail)
        if closes and not self.closes:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", self.body["body"])
        return b"".join(parts)


class Entrance(Protocol):
    """What answers requests that came whole to a path that begins with ``prefix``."""

    prefix: bytes

    async def enter(self, scope: Scope, body: bytes) -> Answer | None:
        """Return the answer, None to leave it to the long way. Raises nothing."""


class EntranceProtocol(MendedProtocol):
    """HTTP on one connection, with a short way in."""

    # Set on a subclass, for one server.
    entrance: Entrance | None = None

    _reads = False
    #: The request whose head came with the read that is being taken apart.
    _arrived: tuple[RequestResponseCycle, ASGI3Application] | None = None

    def data_received(self, data: bytes) -> None:
        self._reads = True
        try:
            MendedProtocol.data_received(self, data)
        finally:
            self._reads = False
            if self._arrived is not None:
                cycle, app = self._arrived
                self._arrived = None
                self._start(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        entrance = self.entrance
        if self._reads and entrance is not None and cycle.scope["raw_path"].startswith(entrance.prefix):
            # Not before it is known whether its body came too.
            self._arrived = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def _start(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        entrance = self.entrance
        is_whole = not cycle.more_body and len(cycle.body) <= SMALL_BYTES
        if entrance is None or not is_whole or cycle.waiting_for_100_continue or self.transport.is_closing():
            super()._start_asgi_task(cycle, app)
            return
        self._answered = cycle
        task = self.loop.create_task(self._enter(entrance, cycle, app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _enter(self, entrance: Entrance, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        # The connection may stay open for long; the body need not.
        body, cycle.body = bytes(cycle.body), bytearray()
        try:
            answer = await entrance.enter(cast("Scope", cycle.scope), body)
        except BaseException as fault:  # noqa: BLE001 - stopped in the midst of it, or against its word
            await cycle.run_asgi(_failing(fault))
            return
        if answer is None:
            cycle.body += body
            del body
            await cycle.run_asgi(app)
            return
        del body
        if self.flow.write_paused and not cycle.disconnected:
            await self.flow.drain()
        if cycle.disconnected:
            return
        cycle.response_started = cycle.response_complete = True
        closes = answer.closes or not cycle.keep_alive
        self.transport.write(answer.written(cycle.default_headers, closes=closes))
        if closes:
            self.transport.close()
        self.on_response_complete()


def _failing(fault: BaseException) -> ASGI3Application:
    """Return what fails by a fault where failing is told: who asked is not left to wait."""

    async def fail(*_: object) -> None:
        raise fault

    return fail
