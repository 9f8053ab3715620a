"""Answers the probe of `receiver doctor`: a nonce by an HMAC, and how much of a body arrived.

It lies where callbacks do, so that whatever lets those through lets it through. Its token is short-lived, carries a
random nonce and has a key of its own (the purpose ``doctor``), as has the answer, which is no token for this route:
who does not hold the signing keys of this very installation cannot give it. Nothing is stored.
"""

import asyncio
import json
from datetime import datetime, timedelta
from uuid import UUID

from starlette.types import ASGIApp, Receive, Scope, Send

from receiver.domain.token import Purpose, TokenSigner
from receiver.lifecycle.ports import Ports
from receiver.web import problems
from receiver.web.bodies import Lingering
from receiver.web.config import WebConfig
from receiver.web.problems import ProblemError

#: Takes the place of a provider: what is asked, and what is answered.
ASKED, ANSWERED = "doctor", "answer"
LIFETIME = timedelta(minutes=5)
_PREFIX = f"/callbacks/{ASKED}/"


def probe_path(tokens: TokenSigner, nonce: UUID, expires_at: datetime) -> str:
    """Return the path to post to, below the public URL."""
    return f"{_PREFIX}{tokens.issue(Purpose.DOCTOR, ASKED, nonce, expires_at)}"


class DoctorDoor:
    """In front of the callback door: takes what is asked by doctor, and hands on all else."""

    def __init__(self, callbacks: ASGIApp, ports: Ports, config: WebConfig) -> None:
        """Take the door behind it."""
        self._callbacks = callbacks
        self._ports = ports
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        nonce = self._nonce(scope["raw_path"]) if scope["method"] == "POST" else None
        if nonce is None:
            await self._callbacks(scope, receive, send)
            return
        try:
            size = await self._count(receive)
        except ProblemError as error:
            lingering = Lingering(receive, send)
            await _send(lingering, error.kind.status, problems.render(error.kind), problems.MEDIA_TYPE, closes=True)
            return
        expires_at = self._ports.system.now() + LIFETIME
        answer = self._ports.tokens.issue(Purpose.DOCTOR, ANSWERED, nonce, expires_at)
        await _send(send, 200, json.dumps({"answer": answer, "bytes": size}).encode(), "application/json")

    def _nonce(self, raw_path: bytes) -> UUID | None:
        if not raw_path.startswith(_PREFIX.encode()):
            return None
        try:
            token = raw_path[len(_PREFIX) :].decode("ascii")
        except UnicodeDecodeError:
            return None
        return self._ports.tokens.verify(Purpose.DOCTOR, ASKED, token, self._ports.system.now())

    async def _count(self, receive: Receive) -> int:
        """Return how many bytes arrived, by the rules for a callback's body. Raises ProblemError."""
        size = 0
        try:
            async with asyncio.timeout(self._config.callback_body_seconds):
                while True:
                    message = await receive()
                    size += len(message.get("body", b""))
                    if size > self._config.max_callback_bytes:
                        raise ProblemError(problems.TOO_LARGE)
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        return size
        except TimeoutError:
            raise ProblemError(problems.TOO_SLOW) from None


async def _send(send: Send, status: int, body: bytes, media_type: str, *, closes: bool = False) -> None:
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *([(b"connection", b"close")] if closes else []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
