"""Reading what is sent to us: bounded in bytes, in time, and in what all large bodies take together."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Hashable, Iterable
from types import TracebackType
from typing import Self

from starlette.types import Message, Receive, Scope, Send

#: A body up to this size needs no room of its own: connections are capped, and it is gone in a moment.
SMALL_BYTES = 64 * 1024
#: How long, and how much, to go on reading after a refusal that came before the body's end.
LINGER_SECONDS = 1.0
LINGER_BYTES = 8 * 1024 * 1024
#: Stands in the scope of a request whose body has arrived whole, so that nothing of it can come too slowly.
ARRIVED = "receiver.body_arrived"


class TooLargeError(Exception):
    """The body is larger than is taken here."""


class TooSlowError(Exception):
    """The body was not complete in time."""


class NoRoomError(Exception):
    """Other large bodies take all the room there is: come again later."""


class Room:
    """The bytes that all large bodies under way may take together, so that a few of them cannot fill the memory."""

    def __init__(self, size: int, most_per_holder: int | None = None) -> None:
        """Take the size in all, and what the shares of one holder may take together."""
        self.size = size
        self.taken = 0
        self._most_per_holder = size if most_per_holder is None else most_per_holder
        self._held: Counter[Hashable] = Counter()

    def share(self, holder: Hashable = None) -> "Share":
        """Return a share of nothing yet, given back when its ``with`` block ends; without a holder only the whole
        room bounds it.
        """
        return Share(self, holder)

    def take(self, more: int, holder: Hashable) -> None:
        """Take ``more`` bytes; raise NoRoomError when there is no room for them, or not for this holder."""
        if self.taken + more > self.size:
            raise NoRoomError
        if holder is not None:
            if self._held[holder] + more > self._most_per_holder:
                raise NoRoomError
            self._held[holder] += more
        self.taken += more

    def give_back(self, size: int, holder: Hashable) -> None:
        """Give back what was taken."""
        self.taken -= size
        if holder is not None:
            self._held[holder] -= size
            if not self._held[holder]:
                del self._held[holder]


class Share:
    """What one body takes of a room."""

    __slots__ = ("_holder", "_room", "_size")

    def __init__(self, room: Room, holder: Hashable) -> None:
        self._room = room
        self._holder = holder
        self._size = 0

    def grow_to(self, size: int) -> None:
        """Take room for ``size`` bytes in all; raise NoRoomError when there is none."""
        if size <= SMALL_BYTES or size <= self._size:
            return
        self._room.take(size - self._size, self._holder)
        self._size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._size:
            self._room.give_back(self._size, self._holder)
            self._size = 0


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the only header of that lower-case name; None when there is none, or more than one."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    found = [value for key, value in headers if key == name]
    return found[0] if len(found) == 1 else None


async def read_body(scope: Scope, receive: Receive, share: Share, *, limit: int, seconds: float) -> bytes | None:
    """Return the whole body, or None when the sender went away before its end.

    Raises TooLargeError (before the first byte when the length is announced), TooSlowError and NoRoomError. Room is
    taken for what has arrived: an announcement costs its sender nothing.
    """
    announced = header(scope, b"content-length")
    if announced is not None and announced.isdigit():
        # A number of a thousand digits is not worth reading.
        length = int(announced[:20])
        if length > limit:
            raise TooLargeError
    if ARRIVED in scope:
        # Nearly every callback comes in one piece with its head: a timer that never rings would cost it a tenth.
        return await _gather(receive, share, limit)
    try:
        async with asyncio.timeout(seconds):
            return await _gather(receive, share, limit)
    except TimeoutError:
        raise TooSlowError from None


async def _gather(receive: Receive, share: Share, limit: int) -> bytes | None:
    gathered = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunk: bytes = message.get("body", b"")
        size = len(gathered) + len(chunk)
        if size > limit:
            raise TooLargeError
        share.grow_to(size)
        more: bool = message.get("more_body", False)
        if not gathered and not more:
            return chunk
        gathered += chunk
        if not more:
            return bytes(gathered)


class Lingering:
    """A ``send`` for an answer that comes before the body's end: before it completes, and with it the connection
    closes, what still arrives is read and dropped for a moment.

    Closing at once would reset the connection under a sender that is still writing, and the answer be lost with it.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def __call__(self, message: Message) -> None:
        """Send a message of the answer."""
        if message["type"] != "http.response.body" or message.get("more_body", False):
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        await _drop(self._receive)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drop(receive: Receive) -> None:
    dropped = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while dropped < LINGER_BYTES:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    break
                dropped += len(message.get("body", b""))
