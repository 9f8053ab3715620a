"""Serves the audio behind media links, or what the switch `media` makes of it.

The link is judged by its raw path and raw query, byte for byte; answers of refused links are the XML of an object
store, as seen behind such links.
"""

import gzip
import re
from collections.abc import AsyncIterator
from functools import lru_cache

import anyio
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from receiver.sandbox.encode import MEDIA_TYPES
from receiver.sandbox.links import Found, Verdict
from receiver.sandbox.state import State
from receiver.sandbox.wire import CutShort, Misstated

_REFUSALS = {
    Verdict.FORGED: (403, "SignatureDoesNotMatch", "The signature does not match this request."),
    Verdict.EXPIRED: (403, "AccessDenied", "Request has expired."),
    Verdict.UNKNOWN: (404, "NoSuchKey", "The specified key does not exist."),
}
_SIGN_IN = "<!doctype html><title>Sign in</title><p>Please sign in to continue.</p>"
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>{}</Message></Error>'
_RANGE = re.compile(r"bytes=([0-9]{0,12})-([0-9]{0,12})")
# The first eleven bits of an MP3 frame (ISO 11172-3).
_FRAME_SYNC = b"\xff\xe0"
_BOMB_BYTES = 64 * 1024 * 1024
_ENDLESS_CHUNK_BYTES = 64 * 1024
_ENDLESS_PAUSE_SECONDS = 0.002


class Media:
    """GET and HEAD of media links, over the state of one sandbox."""

    def __init__(self, state: State) -> None:
        """Keep the state."""
        self._state = state

    async def endpoint(self, request: Request) -> Response:
        """Answer a media link."""
        raw_path = bytes(request.scope.get("raw_path") or request.url.path.encode()).decode("latin-1")
        raw_query = bytes(request.scope["query_string"]).decode("latin-1")
        verdict, found = self._state.links.find(raw_path, raw_query)
        if found is None:
            return _xml(*_REFUSALS[verdict])
        return await self._serve(found, request)

    async def _serve(self, found: Found, request: Request) -> Response:
        """Answer a good link as the switch `media` says."""
        media_type = MEDIA_TYPES[found.result.encoding.format]
        match self._state.faults_for(found.provider).media:
            case "gone":
                return _xml(*_REFUSALS[Verdict.UNKNOWN])
            case "html":
                return Response(_SIGN_IN, media_type="text/html")
            case "endless":
                return StreamingResponse(self._endless(), media_type=media_type)
            case switch:
                audio = await self._state.studio.render(found.result.recipe, found.result.encoding)
                return await _audio(audio, media_type, found, request, switch)

    async def _endless(self) -> AsyncIterator[bytes]:
        """Yield bytes until the reader leaves or the server stops."""
        chunk = b"\xff\xfb\x90\x64" * (_ENDLESS_CHUNK_BYTES // 4)
        while not self._state.drain.is_set():
            yield chunk
            await anyio.sleep(_ENDLESS_PAUSE_SECONDS)


async def _audio(audio: bytes, media_type: str, found: Found, request: Request, switch: str) -> Response:
    """Return the audio whole, cut short, under a length that is not its own, or packed with a bomb behind it."""
    if switch == "truncated":
        return _truncated(audio, media_type, found)
    if switch == "understated":
        return Misstated(audio, length=_half(audio), media_type=media_type)
    if switch == "overstated":
        return Misstated(audio, length=2 * len(audio), media_type=media_type)
    if switch == "gzip":
        content = gzip.compress(audio, compresslevel=1) + await run_sync(_bomb)
        return Response(content, headers={"Content-Encoding": "gzip"}, media_type=media_type)
    return _ranged(audio, media_type, request)


def _ranged(audio: bytes, media_type: str, request: Request) -> Response:
    """Return the audio, or the one range of it that was asked for (RFC 9110, section 14)."""
    headers = {"Accept-Ranges": "bytes"}
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or match[0] == "bytes=-":
        return Response(audio, headers=headers, media_type=media_type)
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or len(audio)), len(audio) - 1)
    else:
        first, last = max(0, len(audio) - int(match[2])), len(audio) - 1
    if first > last:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{len(audio)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(audio)}"
    return Response(audio[first : last + 1], 206, headers=headers, media_type=media_type)


def _truncated(audio: bytes, media_type: str, found: Found) -> Response:
    """Return half of the audio: by turns complete to HTTP, and cut off before the promised length."""
    if not found.chance.ordinal % 2:
        return CutShort(audio, media_type=media_type)
    return Response(audio[: _half(audio)], media_type=media_type)


def _half(audio: bytes) -> int:
    """Return where half of the audio ends.

    Never between two frames of MP3: what is left would be a whole, shorter file, and nobody could tell.
    """
    half = len(audio) // 2
    begins_a_frame = audio[half] == _FRAME_SYNC[0] and audio[half + 1] & _FRAME_SYNC[1] == _FRAME_SYNC[1]
    return half - begins_a_frame


@lru_cache(maxsize=1)
def _bomb() -> bytes:
    """Return a small gzip member that unpacks to a great many zeros."""
    return gzip.compress(bytes(_BOMB_BYTES), compresslevel=9)


def _xml(status: int, code: str, message: str) -> Response:
    """Return an object store's refusal."""
    return Response(_XML.format(code, message), status, media_type="application/xml")
