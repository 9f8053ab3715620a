"""Reading a stream of server-sent events (WHATWG HTML, 9.2) piece by piece, and when to come back to one."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from receiver.sdk.errors import UnexpectedAnswerError
from receiver.sdk.values import Event, event_of, part

#: Nothing that a receiver tells comes near: whoever sends more without an end is not one.
_LONGEST_LINE_BYTES = 8 * 1024 * 1024
#: A receiver says every 15 seconds that it is still there.
SILENCE_SECONDS = 60.0
FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 5.0
GROWTH = 2.0


@dataclass(slots=True)
class Position:
    """Behind which event to go on; None: where the service begins by itself."""

    last_id: str | None = None


async def events_in(pieces: AsyncIterator[bytes], position: Position) -> AsyncIterator[Event]:
    """Yield the events of one connection, noting in ``position`` how far they were read.

    What breaks off within an event is left out. Raises UnexpectedAnswerError for what no receiver tells.
    """
    data: list[str] = []
    last_id = position.last_id
    async for line in _lines(pieces):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "id" and value.isascii() and value.isdigit():
            last_id = value
        elif not line:
            if data:
                event = _event("\n".join(data))
                data.clear()
                yield event
            position.last_id = last_id


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[str]:
    rest = bytearray()
    async for piece in pieces:
        rest += piece
        *whole, last = rest.split(b"\n")
        if len(rest) > _LONGEST_LINE_BYTES and len(last) > _LONGEST_LINE_BYTES:
            raise UnexpectedAnswerError("the stream holds a line without an end")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")
        rest = bytearray(last)


def _event(text: str) -> Event:
    try:
        return event_of(part({"data": json.loads(text)}, "data"))
    except (ValueError, RecursionError) as error:
        raise UnexpectedAnswerError(f"the stream holds no event that a receiver tells: {error}") from None
