"""Puts a large file into a bucket in one request, read piece by piece as it goes.

An upload in parts that a killed process began stays open in the bucket, unseen and paid for, and obstore can neither
list nor end it. One request has no such state: what breaks off before its announced length leaves nothing. obstore
reads a file whole for it, so this one is ours; the bucket's key never is: obstore signs the link it goes to.
"""

import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from anyio import to_thread

from receiver.domain.errors import UnavailableError

_PIECE = 1024 * 1024
_CONNECT_SECONDS = 3.0
#: Without a byte taken, or without the answer after the last one: a bucket copies a file of 500 MB in less.
_STALL_SECONDS = 60.0
_TRIES = 2


def trusting() -> ssl.SSLContext:
    """Return what certificates are judged by: as obstore does it, those of this machine and the common ones."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context


async def _pieces(descriptor: int) -> AsyncIterator[bytes]:
    while piece := await to_thread.run_sync(os.read, descriptor, _PIECE):
        yield piece


async def put_file(link: str, path: Path, size: int, trusted: ssl.SSLContext, *, replace: bool) -> bool:
    """Put a file of ``size`` bytes at a signed link, True when it lies there.

    False when something lies there already, unless that is to be replaced. Raises UnavailableError when the bucket
    did not take it, OSError for the disk.
    """
    headers = {"Content-Length": str(size)}
    if not replace:
        headers["If-None-Match"] = "*"
    timeout = httpx.Timeout(_STALL_SECONDS, connect=_CONNECT_SECONDS)
    said = ""
    async with httpx.AsyncClient(verify=trusted, timeout=timeout, follow_redirects=False) as client:
        for _ in range(_TRIES):
            file = await to_thread.run_sync(path.open, "rb", 0)
            try:
                answer = await client.put(link, content=_pieces(file.fileno()), headers=headers)
            except httpx.HTTPError as error:
                # Its text may hold the link, which is a key.
                said = type(error).__name__
                continue
            finally:
                await to_thread.run_sync(file.close)
            if answer.is_success:
                return True
            if answer.status_code == httpx.codes.PRECONDITION_FAILED:
                return False
            said = f"it answered {answer.status_code}"
            if not answer.is_server_error:
                break
    raise UnavailableError(f"the artifact store: {said}")
