"""Stored bytes as an answer: the whole or one range of it, streamed out of the object store."""

import re
from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from receiver.domain.errors import NotFoundError, UnavailableError
from receiver.lifecycle.ports import Objects
from receiver.web import problems
from receiver.web.bodies import header
from receiver.web.problems import ProblemError

_RANGE = re.compile(rb"bytes *= *([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


class StoredBytes(StreamingResponse):
    """Bytes streamed out of the object store, which is opened before the answer begins."""

    def __init__(
        self,
        objects: Objects,
        key: str,
        start: int,
        end: int,
        *,
        status: int,
        headers: dict[str, str],
        media_type: str,
    ) -> None:
        super().__init__(_nothing(), status, headers, media_type)
        self._objects = objects
        self._key = key
        self._start = start
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            opening = self._objects.stream(self._key, start=self._start, end=self._end)
            async with opening as chunks:
                self.body_iterator = chunks
                await super().__call__(scope, receive, send)
        except NotFoundError:
            raise UnavailableError("audio that is noted as stored is not in the artifact store") from None


async def _nothing() -> AsyncIterator[bytes]:
    """Stand in until the object is open."""
    yield b""


def is_known(if_none_match: bytes | None, etag: str) -> bool:
    """Tell whether the caller holds these bytes (RFC 9110, 13.1.2: compared weakly)."""
    if if_none_match is None:
        return False
    held = [tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b",")]
    return held == [b"*"] or etag.encode() in held


def wanted_range(scope: Scope, etag: str) -> tuple[bytes, bytes] | None:
    """Return the two ends of the one range asked for, as written.

    None for no range, several ranges, another unit, a HEAD, or a range that holds only for other bytes: then the
    whole is the answer (RFC 9110, 14.2).
    """
    asked = header(scope, b"range")
    condition = header(scope, b"if-range")
    if asked is None or scope["method"] != "GET" or (condition is not None and condition != etag.encode()):
        return None
    found = _RANGE.fullmatch(asked.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if found[1] and found[2] and int(found[2]) < int(found[1]):
        return None
    return found[1], found[2]


def cut(wanted: tuple[bytes, bytes], size: int) -> tuple[int, int]:
    """Return the first byte and the one after the last; raise ProblemError 416 when there is none."""
    first, last = wanted
    if first:
        start = int(first)
        end = min(int(last) + 1, size) if last else size
    else:
        start = max(0, size - int(last))
        end = size
    if start >= end:
        raise ProblemError(problems.RANGE_NOT_SATISFIABLE, headers={"Content-Range": f"bytes */{size}"})
    return start, end
