"""The reference audio of a task, to be heard beside what was made of it: a file of the caller's own is played here.

One that lies elsewhere is named, and a person may go there: a page of ours asks nobody else for anything, and we
never fetch it ourselves.
"""

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.errors import NotFoundError
from receiver.domain.input import named
from receiver.domain.request import InlineAudio
from receiver.domain.task import Task
from receiver.web.bodies import header
from receiver.web.context import id_of
from receiver.web.dashboard.pages import House, Visit, page
from receiver.web.operations import BYTES
from receiver.web.ranges import StoredBytes, cut, is_known, wanted_range
from receiver.web.reports import FOREIGN_BYTES

#: Base64 that came in a request is decoded as a whole, and takes twice its size while it is played.
MOST_INLINE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reference:
    """What a page shows of it: ``audio`` where it can be played, else ``link`` and ``host``, or ``words`` alone."""

    audio: str | None = None
    size: int | None = None
    seconds: float | None = None
    link: str | None = None
    host: str | None = None
    words: str = ""


def routes(house: House) -> list[Route]:
    """Return the routes of this room."""
    return [page(house, "/tasks/{id}/reference", GET=listen)]


async def shown(visit: Visit, task: Task, link: str | None) -> Reference | None:
    """Return what is shown of the reference of a task, None where there was none; ``link`` is one to follow."""
    asked = task.request.reference_audio
    if task.erased_at is not None or not asked:
        return None
    if isinstance(asked, InlineAudio) or named(asked) is not None:
        return await _own(visit, task)
    if link is not None:
        return Reference(link=link, host=_host(link))
    return Reference(words=f"It lies at {task.provider}, and this page asks nobody for anything.")


async def _own(visit: Visit, task: Task) -> Reference:
    asked, place = task.request.reference_audio, visit.url(f"/tasks/{task.id}/reference")
    if isinstance(asked, InlineAudio):
        fits = asked.size <= MOST_INLINE_BYTES
        words = "" if fits else "It came within the request, and is too large to be played here."
        return Reference(place if fits else None, asked.size, words=words)
    offered = await visit.ports.store.inputs.of_task(task.key)
    if offered is None:
        return Reference(words="It is not kept any more.")
    return Reference(place, offered.input.size, offered.input.duration_seconds)


def _host(link: str) -> str:
    try:
        return urlsplit(link).hostname or "its place"
    except ValueError:
        return "its place"


async def listen(visit: Visit) -> Response:
    """Answer with the bytes of a reference of the caller's own; what kind of audio it is finds out who plays it."""
    task = await visit.ports.store.task(id_of(visit.request, "id"))
    if task is None or task.erased_at is not None:
        raise NotFoundError
    asked = task.request.reference_audio
    if isinstance(asked, InlineAudio) and asked.size <= MOST_INLINE_BYTES:
        data = await _decoded(await visit.ports.objects.read(asked.object_key))
        return _part(visit, f'"{asked.sha256}"', "bin", len(data), data)
    offered = await visit.ports.store.inputs.of_task(task.key)
    if offered is None:
        raise NotFoundError
    found = offered.input
    return _part(visit, f'"{found.sha256}"', found.extension, found.size, found.object_key)


def _part(visit: Visit, etag: str, extension: str, size: int, source: bytes | str) -> Response:
    """Return the part that is asked for, of bytes or of what lies in the artifact store under that key."""
    scope = visit.request.scope
    headers = {
        **FOREIGN_BYTES,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="reference.{extension}"',
        "ETag": etag,
    }
    if is_known(header(scope, b"if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    start, end, status = 0, size, 200
    wanted = wanted_range(scope, etag)
    if wanted is not None:
        start, end = cut(wanted, size)
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    if scope["method"] == "HEAD":
        return Response(status_code=status, headers=headers, media_type=BYTES)
    if isinstance(source, bytes):
        return Response(source[start:end], status, headers, BYTES)
    return StoredBytes(visit.ports.objects, source, start, end, status=status, headers=headers, media_type=BYTES)


async def _decoded(text: bytes) -> bytes:
    """Return the audio that a request carried as base64 or as a data URI. Raises NotFoundError for neither."""
    encoded = text.partition(b",")[2] if text.startswith(b"data:") else text
    try:
        return await to_thread.run_sync(base64.b64decode, encoded)
    except (binascii.Error, ValueError):
        raise NotFoundError from None
