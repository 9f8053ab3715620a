"""Files of the caller's own: taken in with a key, given to the one provider whose task needs them by a token."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.errors import MediaRefusedError
from receiver.domain.input import LONGEST_SECONDS, MOST_BYTES, PREFIX, SHORTEST_SECONDS
from receiver.domain.token import Purpose
from receiver.lifecycle.ports import TooManyInputsError
from receiver.lifecycle.reference import OFFERED_TO
from receiver.lifecycle.upload import check_room, upload
from receiver.web import problems
from receiver.web.answers import Input as InputShape
from receiver.web.bodies import header
from receiver.web.context import Context, answer_json, described, route
from receiver.web.operations import BYTES, Answer, Body, Operation, Parameter, answers
from receiver.web.problems import BrokenOffError, ProblemError
from receiver.web.queries import read_query
from receiver.web.ranges import StoredBytes, cut, is_known, wanted_range
from receiver.web.reports import FOREIGN_BYTES

TEMPLATE = "/inputs/{token}"
#: Uploads under way at once; each is a file of up to 50 MiB that nobody has looked at yet.
MOST_AT_ONCE = 8
#: What no sender of a file may take for the whole of it, or for one piece: 50 MiB at half a megabit a second.
UPLOAD_SECONDS = 900.0
SILENCE_SECONDS = 30.0
_MIB = 1024 * 1024
#: What is sent by mistake: a form around the file, or a document that names one.
_WRAPPED = (b"multipart/", b"application/json")
_AS_IT_IS = "send the file itself as the body, such as with curl --data-binary @song.mp3"


def routes(context: Context) -> list[Route]:
    """Return the route of the private side."""
    return [route(context, "/v1/inputs", POST=create)]


def public_routes(context: Context) -> list[Route]:
    """Return the route of the public side."""
    return [route(context, TEMPLATE, GET=show)]


@described(
    Operation(
        "uploadInput",
        "inputs",
        "Upload a reference audio",
        {201: answers("What it is, and the name for it.", InputShape)},
        body=Body(
            f"The file as it is, up to {MOST_BYTES // _MIB} MiB: MP3, WAV, FLAC, Ogg or M4A that plays for "
            f"{SHORTEST_SECONDS:g} seconds to {LONGEST_SECONDS / 60:g} minutes.",
            None,
            (BYTES,),
        ),
        problems=(
            problems.TOO_SLOW,
            problems.TOO_LARGE,
            problems.NOT_AUDIO,
            problems.INVALID_REQUEST,
            problems.TOO_MANY_INPUTS,
            problems.TOO_MANY_UPLOADS,
        ),
    )
)
async def create(context: Context, request: Request) -> Response:
    """Take a file and answer with its id; `reference_audio: "input:<id>"` names it then.

    The same bytes are the same input, however often they are sent. One that no task uses is erased after a day.
    """
    read_query(request.query_params, ())
    _check_headers(request)
    with context.uploads.enter():
        try:
            await check_room(context.ports)
            new = await upload(context.ports, _pieces(request))
        except TooManyInputsError as error:
            raise ProblemError(problems.TOO_MANY_INPUTS, headers=problems.LATER, unread=True) from error
        except MediaRefusedError as error:
            raise ProblemError(problems.NOT_AUDIO, f"the file was not taken: {error}") from None
    content = {
        "id": str(new.id),
        "reference_audio": f"{PREFIX}{new.id}",
        "sha256": new.sha256,
        "bytes": new.size,
        "duration_seconds": new.duration_seconds,
        "media_type": new.media_type,
    }
    return answer_json(content, 201)


_HEADERS = {
    "ETag": "The sha256 of the whole, in quotes.",
    "Accept-Ranges": "bytes",
    "Content-Disposition": "A name to save it under.",
}


@described(
    Operation(
        "getInput",
        "inputs",
        "A reference audio, for the provider to fetch",
        {
            200: Answer("The whole.", {BYTES: None}, _HEADERS),
            206: Answer(
                "The range asked for.", {BYTES: None}, {**_HEADERS, "Content-Range": "Which bytes of how many."}
            ),
            304: Answer("The caller has these bytes already.", headers=_HEADERS),
        },
        (
            Parameter("Range", "One range of bytes.", where="header", example="bytes=0-1023"),
            Parameter("If-None-Match", "ETags of what the caller has.", where="header"),
            Parameter("If-Range", "The ETag for which the range holds.", where="header"),
        ),
        problems=(problems.NOT_FOUND, problems.RANGE_NOT_SATISFIABLE),
        opened_by="token",
    )
)
async def show(context: Context, request: Request) -> Response:
    """Answer with the input of the one task for which the link was made, as long as its provider may need it.

    Every token that does not verify is the same 404, and so is that of a task that has settled.
    """
    ports = context.ports
    now = ports.system.now()
    task_key = ports.tokens.verify(Purpose.INPUT, OFFERED_TO, request.path_params["token"], now)
    if task_key is None:
        ports.metrics.count("inputs_bad_token")
        raise ProblemError(problems.NOT_FOUND, unread=True)
    offered = await ports.store.inputs.of_task(task_key)
    if offered is None or not offered.to_be_given(now):
        raise ProblemError(problems.NOT_FOUND, unread=True)
    found = offered.input
    etag = f'"{found.sha256}"'
    headers = {
        **FOREIGN_BYTES,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="reference.{found.extension}"',
        "ETag": etag,
    }
    if is_known(header(request.scope, b"if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    start, end, status = 0, found.size, 200
    wanted = wanted_range(request.scope, etag)
    if wanted is not None:
        start, end = cut(wanted, found.size)
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=BYTES)
    ports.metrics.count("inputs_given")
    return StoredBytes(ports.objects, found.object_key, start, end, status=status, headers=headers, media_type=BYTES)


def _check_headers(request: Request) -> None:
    """Refuse what is certainly no file, before any of it is read."""
    if header(request.scope, b"content-encoding") not in {None, b"identity"}:
        raise ProblemError(problems.NOT_AUDIO, f"the body must not be compressed: {_AS_IT_IS}", unread=True)
    media_type = (header(request.scope, b"content-type") or b"").strip().lower()
    if media_type.startswith(_WRAPPED):
        named = media_type.partition(b";")[0].decode("ascii", "replace")
        raise ProblemError(problems.NOT_AUDIO, f"{named} is no audio: {_AS_IT_IS}", unread=True)
    announced = header(request.scope, b"content-length")
    # A number of a thousand digits is not worth reading.
    if announced is not None and announced.isdigit() and int(announced[:20]) > MOST_BYTES:
        raise _too_large()


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield the body as it comes. Raises ProblemError when it is too large or slow, BrokenOffError when cut short."""
    size = 0
    over_at = asyncio.get_running_loop().time() + UPLOAD_SECONDS
    more = True
    while more:
        try:
            async with asyncio.timeout_at(min(over_at, asyncio.get_running_loop().time() + SILENCE_SECONDS)):
                message = await request.receive()
        except TimeoutError:
            raise ProblemError(problems.TOO_SLOW, unread=True) from None
        if message["type"] != "http.request":
            raise BrokenOffError
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > MOST_BYTES:
            raise _too_large()
        yield chunk
        more = message.get("more_body", False)


def _too_large() -> ProblemError:
    return ProblemError(problems.TOO_LARGE, f"a file may have {MOST_BYTES // _MIB} MiB", unread=True)
