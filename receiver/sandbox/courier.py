"""What the sandbox sends by itself over HTTP: callbacks and uploads."""

import contextlib
import ssl
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle
from pathlib import Path
from typing import Self

import anyio
import httpx

# httpx's pool slows down with the square of its connections: many small pools are faster than a large one.
_POOLS = 8
_CONNECTIONS_OF_A_POOL = 16
_MAX_ANSWER_BYTES = 64 * 1024
# Each call has a deadline of its own; this one only bounds what a switch may ask for.
_LONGEST_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one call: the status, or the name of the error when no answer came."""

    status_code: int | None
    error: str | None = None


def is_confirmed(status_code: int | None) -> bool:
    """Whether the other side confirmed a call: only a 2xx does, a redirect does not."""
    return status_code is not None and httpx.codes.is_success(status_code)


class Courier:
    """A few HTTP clients, opened and closed with the sandbox; follows no redirects, uses no proxies."""

    def __init__(self, ca_file: Path | None = None) -> None:
        """Prepare to be entered; raises OSError when there are no certificates in `ca_file`."""
        self._stack = contextlib.AsyncExitStack()
        self._limiter = anyio.CapacityLimiter(_POOLS * _CONNECTIONS_OF_A_POOL)
        limits = httpx.Limits(
            max_connections=_CONNECTIONS_OF_A_POOL, max_keepalive_connections=_CONNECTIONS_OF_A_POOL
        )
        self._clients = [
            httpx.AsyncClient(
                verify=_tls(ca_file), limits=limits, timeout=_LONGEST_SECONDS, follow_redirects=False, trust_env=False
            )
            for _ in range(_POOLS)
        ]
        self._next = cycle(self._clients)

    async def __aenter__(self) -> Self:
        """Open the clients."""
        for client in self._clients:
            await self._stack.enter_async_context(client)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the clients and their connections."""
        await self._stack.aclose()

    async def send(self, method: str, url: str, content: bytes, media_type: str, seconds: float) -> Answer:
        """Make one call that may take `seconds` in all; never raises for what the other side does."""
        async with self._limiter:
            try:
                with anyio.fail_after(seconds):
                    return await self._call(method, url, content, media_type)
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
                return Answer(None, type(error).__name__)

    async def _call(self, method: str, url: str, content: bytes, media_type: str) -> Answer:
        """Make the call; read a little of the answer, so that the connection can be used again."""
        headers = {"Content-Type": media_type, "Accept-Encoding": "identity"}
        client = next(self._next)
        async with client.stream(method, url, content=content, headers=headers) as response:
            size = 0
            async for chunk in response.aiter_raw():
                size += len(chunk)
                if size > _MAX_ANSWER_BYTES:
                    break
            return Answer(response.status_code)


@lru_cache(maxsize=1)
def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """Return the one context that all clients share: making it takes longer than many calls."""
    context = httpx.create_ssl_context(trust_env=False)
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context
