"""What goes over the wire: bounded, strict JSON in; JSON out; and answers that break off or never come."""

import json
from collections.abc import Callable, Mapping
from enum import Enum
from urllib.parse import urlsplit

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

# Set into each request's scope by the server; without it (in-process tests) a lost answer is an exception.
CONNECTION = "receiver.sandbox.connection"
# Beside it: writes to the connection past all framing.
WIRE = "receiver.sandbox.wire"


class BodyProblem(Enum):
    """Why a request body could not be read."""

    TOO_LARGE = "the body is too large"
    NOT_JSON = "the body is not valid JSON"
    CUT_SHORT = "the body ended before its length"


class BodyError(ValueError):
    """A request body that could not be read; `problem` says why."""

    def __init__(self, problem: BodyProblem) -> None:
        """Keep the reason."""
        super().__init__(problem.value)
        self.problem = problem


async def read_json(request: Request, max_bytes: int) -> object:
    """Return the parsed body.

    Raises BodyError beyond `max_bytes`; when the sender leaves half-way; for what RFC 8259 does not allow (other
    encodings than UTF-8, NaN, infinities); and for what would hurt later (lone surrogates, absurd nesting, numbers
    of thousands of digits).
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                raise BodyError(BodyProblem.TOO_LARGE)
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise BodyError(BodyProblem.CUT_SHORT) from error
    try:
        text = b"".join(chunks).decode("utf-8")
        document: object = json.loads(text, parse_constant=_refuse_constant)
        if "\\u" in text:
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise BodyError(BodyProblem.NOT_JSON) from error
    return document


def _refuse_constant(name: str) -> float:
    message = f"{name} is not JSON"
    raise ValueError(message)


def is_http_url(value: object) -> bool:
    """Whether a value is an absolute http or https URL that can be called as it stands."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        return False
    try:
        parts, url = urlsplit(value), httpx.URL(value)
    except (httpx.InvalidURL, ValueError):
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and bool(url.host)


def encode_json(document: object) -> bytes:
    """Return compact JSON."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


def json_response(
    document: object,
    status_code: int = 200,
    *,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    """Return a JSON answer."""
    return Response(encode_json(document), status_code, headers=headers, media_type=media_type)


class LostAnswer(Response):
    """Closes the connection without a byte of an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Abort the connection and wait until it is gone."""
        del send
        await _end(scope, receive, "abort")


class Misstated(Response):
    """Sends the whole content and closes the connection, under a length that is not the content's."""

    def __init__(self, content: bytes, *, length: int, media_type: str) -> None:
        """``length`` is what the answer says of itself, in bytes."""
        super().__init__(content, headers={"Content-Length": str(length)}, media_type=media_type)
        self._length = length

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what was promised, then the rest past all framing, if there is one, and close."""
        promised, rest = bytes(self.body[: self._length]), bytes(self.body[self._length :])
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": promised, "more_body": True})
        wire: Mapping[str, Callable[[bytes], None]] = scope.get("extensions", {}).get(WIRE, {})
        if rest and "write" in wire:
            wire["write"](rest)
        await _end(scope, receive, "close")


class CutShort(Response):
    """Promises the whole content by its length, sends the first half, and closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half and close."""
        half = bytes(self.body[: len(self.body) // 2])
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await _end(scope, receive, "close")


async def _end(scope: Scope, receive: Receive, how: str) -> None:
    """End the connection of a request: "abort" at once, or "close" after what was sent."""
    connection: Mapping[str, Callable[[], None]] = scope.get("extensions", {}).get(CONNECTION, {})
    if how not in connection:
        message = "the sandbox broke off the connection"
        raise ConnectionAbortedError(message)
    connection[how]()
    while (await receive())["type"] != "http.disconnect":
        pass
