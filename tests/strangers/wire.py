"""Raw bytes to a door and what comes back: no client library that would put right what is sent wrong."""

import asyncio
import contextlib
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")
_DATE = re.compile(rb"date: [^\r\n]*\r\n", re.IGNORECASE)
#: Longer than anything may take that is not meant to take long.
PATIENCE_SECONDS = 30.0


@dataclass(slots=True)
class Heard:
    """Everything that came back on one connection, and how it ended."""

    data: bytes = b""
    #: The server closed, in whatever way, before we did.
    closed: bool = False
    #: Bytes that left before the server closed.
    sent: int = 0

    @property
    def statuses(self) -> list[int]:
        """The status of each answer; what is interim (100) is none."""
        return [int(status) for status in _STATUS.findall(self.data) if status != b"100"]

    @property
    def timeless(self) -> bytes:
        """The answer without the time of day."""
        return _DATE.sub(b"", self.data)

    @property
    def body(self) -> bytes:
        """What stands behind the last head."""
        return self.data.rpartition(b"\r\n\r\n")[2]

    def header(self, name: str) -> str | None:
        """A header of the last answer."""
        head = self.data.rpartition(b"\r\n\r\n")[0].lower()
        found = re.findall(rb"\r\n%s: ([^\r]*)" % re.escape(name.lower().encode()), head)
        return found[-1].decode("latin-1") if found else None


@dataclass(frozen=True, slots=True)
class Ask:
    """What is sent on one connection, piece by piece, and how long to listen afterwards.

    With ``until_answered`` we leave once one answer is whole, else when the server closes; with ``listen`` False we
    leave at once, without a word.
    """

    pieces: tuple[bytes, ...]
    until_answered: bool = True
    listen: bool = True
    #: Our side of the connection says that nothing more will come.
    half_close: bool = False


@dataclass(frozen=True, slots=True)
class Door:
    """The address that is knocked at."""

    port: int
    host: str = "127.0.0.1"
    patience: float = field(default=PATIENCE_SECONDS)

    async def ask(self, ask: Ask) -> Heard:
        """Send and listen; a server that closes while we still send is no error here."""
        async with asyncio.timeout(self.patience):
            reader, writer = await asyncio.open_connection(self.host, self.port)
            heard = Heard()
            try:
                await self._send(writer, ask, heard)
                if ask.listen:
                    await self._listen(reader, ask, heard)
            finally:
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
            return heard

    async def say(self, *pieces: bytes) -> Heard:
        """Send the pieces and listen until the server closes or one answer is whole."""
        return await self.ask(Ask(pieces))

    async def _send(self, writer: asyncio.StreamWriter, ask: Ask, heard: Heard) -> None:
        try:
            for piece in ask.pieces:
                writer.write(piece)
                await writer.drain()
                heard.sent += len(piece)
            if ask.half_close:
                writer.write_eof()
        except OSError:
            heard.closed = True

    async def _listen(self, reader: asyncio.StreamReader, ask: Ask, heard: Heard) -> None:
        try:
            while data := await reader.read(65536):
                heard.data += data
                if ask.until_answered and _is_whole(heard.data):
                    return
        except OSError:
            pass
        heard.closed = True


def _is_whole(data: bytes) -> bool:
    """Tell whether the last answer that began has all of its bytes."""
    head, _, body = data.rpartition(b"\r\n\r\n") if data.endswith(b"\r\n\r\n") else data.partition(b"\r\n\r\n")
    if not head or head.startswith(b"HTTP/1.1 100"):
        return False
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return length is None or len(body) >= int(length[1])


def request(method: str, target: str, *headers: str, body: bytes | None = None, close: bool = True) -> bytes:
    """The bytes of an ordinary request."""
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if close:
        lines.append("Connection: close")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(parts: Iterable[bytes]) -> bytes:
    """A body in chunks, each as it is given."""
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"


def hang_up(connection: socket.socket) -> None:
    """Close with a reset, so that nothing of it stays in the system."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
