"""The audio of a result: its bytes, whole or in part, for a caller with a key or a player with a token."""

import re
from collections.abc import AsyncIterator

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from receiver.domain.errors import NotFoundError, UnavailableError
from receiver.domain.result import Artifact, ArtifactStatus
from receiver.domain.token import Purpose
from receiver.lifecycle.ports import Objects, Ports
from receiver.web import problems
from receiver.web.bodies import header
from receiver.web.context import Context, described, id_of, route
from receiver.web.operations import BYTES, Answer, Operation, Parameter
from receiver.web.present import DOWNLOAD_PROVIDER
from receiver.web.problems import ProblemError
from receiver.web.queries import read_query
from receiver.web.reports import FOREIGN_BYTES

_TEMPLATE = "/v1/tasks/{id}/results/{result_id}/audio"
_PATH = re.compile(r"/v1/tasks/[^/]+/results/([0-9a-fA-F-]{36})/audio")
_RANGE = re.compile(rb"bytes *= *([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)
#: The media types that a probe can tell, with their extensions; whatever else a row says is not believed.
_EXTENSIONS = {
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/pcm": "pcm",
    "audio/l16": "pcm",
}
_PLAIN = re.compile(r"[A-Za-z0-9/.+;= -]{1,80}", re.ASCII)


def routes(context: Context) -> list[Route]:
    """Return the routes of this room."""
    return [route(context, _TEMPLATE, GET=audio)]


def opened_by_token(ports: Ports, scope: Scope) -> bool:
    """Tell whether a request without a key may read the one audio its ``token`` names.

    Raises NotFoundError for a token that does not verify or is for something else; no database is asked.
    """
    found = _PATH.fullmatch(scope["path"])
    tokens = QueryParams(scope["query_string"]).getlist("token")
    if found is None or scope["method"] not in {"GET", "HEAD"} or not tokens:
        return False
    subject = ports.tokens.verify(Purpose.DOWNLOAD, DOWNLOAD_PROVIDER, tokens[0], ports.system.now())
    if subject is None or str(subject) != found[1].lower():
        ports.metrics.count("downloads_bad_token")
        raise NotFoundError
    return True


_HEADERS = {
    "ETag": "The sha256 of the whole, in quotes.",
    "Accept-Ranges": "bytes",
    "Content-Disposition": "A name to save it under.",
}
_MEDIA_TYPES = dict.fromkeys((*_EXTENSIONS, BYTES))


@described(
    Operation(
        "getAudio",
        "audio",
        "The audio of a result",
        {
            200: Answer("The whole.", _MEDIA_TYPES, _HEADERS),
            206: Answer(
                "The range asked for.", _MEDIA_TYPES, {**_HEADERS, "Content-Range": "Which bytes of how many."}
            ),
            304: Answer("The caller has these bytes already.", headers=_HEADERS),
        },
        (
            Parameter("token", "In place of a key: the token of a `download_url`."),
            Parameter("Range", "One range of bytes.", where="header", example="bytes=0-1023"),
            Parameter("If-None-Match", "ETags of what the caller has.", where="header"),
            Parameter("If-Range", "The ETag for which the range holds.", where="header"),
        ),
        problems=(
            problems.NOT_FOUND,
            problems.NOT_STORED,
            problems.RANGE_NOT_SATISFIABLE,
            problems.INVALID_REQUEST,
        ),
        opened_by="key or token",
    )
)
async def audio(context: Context, request: Request) -> Response:
    """Answer with the audio, a range of it, or that the caller has it already."""
    read_query(request.query_params, ("token",))
    task_id, result_id = id_of(request, "id"), id_of(request, "result_id")
    task = await context.ports.store.task(task_id)
    result = next((result for result in task.results if result.id == result_id), None) if task else None
    if result is None:
        raise NotFoundError
    artifact = result.artifact
    if artifact.status is not ArtifactStatus.STORED or artifact.object_key is None or artifact.size is None:
        raise ProblemError(problems.NOT_STORED, f"its status is {artifact.status.value}")
    media_type, extension = _kind(artifact)
    etag = f'"{artifact.sha256}"'
    headers = {
        **FOREIGN_BYTES,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'inline; filename="{task_id}-{result.index}.{extension}"',
        "ETag": etag,
    }
    if _is_known(header(request.scope, b"if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    start, end, status = 0, artifact.size, 200
    wanted = _wanted(request.scope, etag)
    if wanted is not None:
        start, end = _cut(wanted, artifact.size)
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{artifact.size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    return _Audio(
        context.ports.objects, artifact.object_key, start, end, status=status, headers=headers, media_type=media_type
    )


class _Audio(StreamingResponse):
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


def _kind(artifact: Artifact) -> tuple[str, str]:
    """Return media type and extension, from the closed list only."""
    told = artifact.media_type or ""
    extension = _EXTENSIONS.get(told.partition(";")[0].strip().lower())
    if extension is None or not _PLAIN.fullmatch(told):
        return "application/octet-stream", "bin"
    return told, extension


def _is_known(if_none_match: bytes | None, etag: str) -> bool:
    """Tell whether the caller holds these bytes (RFC 9110, 13.1.2: compared weakly)."""
    if if_none_match is None:
        return False
    held = [tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b",")]
    return held == [b"*"] or etag.encode() in held


def _wanted(scope: Scope, etag: str) -> tuple[bytes, bytes] | None:
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


def _cut(wanted: tuple[bytes, bytes], size: int) -> tuple[int, int]:
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
