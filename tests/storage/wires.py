"""A wire to a PostgreSQL server that can lose the answer to a commit, as a server that dies at that moment does.

It can also vanish with its machine: nothing that is sent is confirmed any more, and nothing says so.
"""

import asyncio
import ctypes
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

#: linux/filter.h: a program of one instruction, "keep nothing of it".
_ATTACH_FILTER = 26
_KEEP_NOTHING = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))


class Wire:
    """Leads to a server by its URL; ``url`` is that of this end."""

    def __init__(self, beyond: str) -> None:
        parts = urlsplit(beyond)
        self._socket = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self._named = f"postgresql://{parts.netloc}", parts.path
        self._to_be_lost = 0
        self._passing: set[asyncio.Task[None]] = set()
        self._near: list[asyncio.StreamWriter] = []
        self._vanished: list[asyncio.StreamWriter] = []
        self.lost = 0
        self.url = ""

    def lose_answers(self, count: int = 1) -> None:
        """Let the next commits be made and their answers, with the connections, be lost."""
        self._to_be_lost = count

    def vanish(self) -> int:
        """Let all connections be as if the machine at their other end were gone; return how many there were."""
        for connection in self._near:
            deafen(connection.get_extra_info("socket"))
        self._vanished += self._near
        self._near = []
        return len(self._vanished)

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._led, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        user, path = self._named
        self.url = f"{user}127.0.0.1:{port}{path}"
        return server

    async def let_go(self) -> None:
        """Have the connections that vanished end after all."""
        for connection in self._vanished:
            connection.transport.abort()
        if self._vanished:
            await asyncio.gather(*self._passing, return_exceptions=True)

    async def _led(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        far, to_far = await asyncio.open_unix_connection(self._socket)
        committing = asyncio.Event()
        self._near.append(to_near)

        async def ask() -> None:
            with suppress(OSError):
                while data := await near.read(65536):
                    if self._to_be_lost and b"COMMIT" in data:
                        self._to_be_lost -= 1
                        committing.set()
                    to_far.write(data)
            to_far.close()

        async def answer() -> None:
            with suppress(OSError):
                while data := await far.read(65536):
                    if committing.is_set():
                        # It has been answered, so it has been made.
                        self.lost += 1
                        break
                    if to_near not in self._vanished:
                        to_near.write(data)
            if to_near not in self._vanished:
                to_near.transport.abort()

        for passing in (asyncio.create_task(ask()), asyncio.create_task(answer())):
            self._passing.add(passing)
            passing.add_done_callback(self._passing.discard)


@asynccontextmanager
async def wired(beyond: str) -> AsyncIterator[Wire]:
    """Lay a wire to a server that listens on a socket of its own."""
    wire = Wire(beyond)
    server = await wire.listen()
    try:
        yield wire
    finally:
        server.close()
        await wire.let_go()


def deafen(connection: socket.socket) -> None:
    """Have a socket drop whatever arrives before it is confirmed, as if its machine were gone."""
    program = struct.pack("HP", 1, ctypes.addressof(_KEEP_NOTHING))
    connection.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
