"""The audio of a result: its bytes, whole or in part, for a caller with a key or a player with a token."""

import re

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from receiver.domain.errors import NotFoundError
from receiver.domain.result import Artifact, ArtifactStatus
from receiver.domain.token import Purpose
from receiver.lifecycle.ports import Ports
from receiver.web import problems
from receiver.web.bodies import header
from receiver.web.context import Context, described, id_of, route
from receiver.web.operations import BYTES, Answer, Operation, Parameter
from receiver.web.present import DOWNLOAD_PROVIDER
from receiver.web.problems import ProblemError
from receiver.web.queries import read_query
from receiver.web.ranges import StoredBytes, cut, is_known, wanted_range
from receiver.web.reports import FOREIGN_BYTES

_TEMPLATE = "/v1/tasks/{id}/results/{result_id}/audio"
_PATH = re.compile(r"/v1/tasks/[^/]+/results/([0-9a-fA-F-]{36})/audio")
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
            302: Answer(
                "The audio lies in the artifact store, at a link for a short while.",
                headers={"Location": "Where to fetch it."},
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
            problems.ERASED,
            problems.RANGE_NOT_SATISFIABLE,
            problems.INVALID_REQUEST,
        ),
        opened_by="key or token",
    )
)
async def audio(context: Context, request: Request) -> Response:
    """Answer with the audio, a range of it, or that the caller has it already."""
    read_query(request.query_params, ("token",))
    return await given(context, request, link_seconds=context.config.download_link_seconds)


async def given(context: Context, request: Request, *, link_seconds: int) -> Response:
    """Return the answer for the audio that a path names; with ``link_seconds`` it may be a link into the bucket."""
    task_id, result_id = id_of(request, "id"), id_of(request, "result_id")
    task = await context.ports.store.task(task_id)
    result = next((result for result in task.results if result.id == result_id), None) if task else None
    if result is None:
        raise NotFoundError
    artifact = result.artifact
    if artifact.status is ArtifactStatus.ERASED:
        raise ProblemError(problems.ERASED)
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
    if is_known(header(request.scope, b"if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    if link_seconds and request.method == "GET":
        link = await context.ports.objects.link(artifact.object_key, link_seconds)
        if link is not None:
            return _elsewhere(link)
    start, end, status = 0, artifact.size, 200
    wanted = wanted_range(request.scope, etag)
    if wanted is not None:
        start, end = cut(wanted, artifact.size)
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{artifact.size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StoredBytes(
        context.ports.objects, artifact.object_key, start, end, status=status, headers=headers, media_type=media_type
    )


def _elsewhere(link: str) -> Response:
    """Send a caller to the artifact store. Whoever sees the link may fetch the audio, so nobody keeps it."""
    return Response(
        status_code=302, headers={"Location": link, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    )


def _kind(artifact: Artifact) -> tuple[str, str]:
    """Return media type and extension, from the closed list only."""
    told = artifact.media_type or ""
    extension = _EXTENSIONS.get(told.partition(";")[0].strip().lower())
    if extension is None or not _PLAIN.fullmatch(told):
        return "application/octet-stream", "bin"
    return told, extension
