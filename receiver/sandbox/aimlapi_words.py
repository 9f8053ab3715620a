"""The words of AIMLAPI's answers: generations, their status, and the envelopes of refused requests.

Sources: AIMLAPI docs, music-cover page (schema and sample responses), general info page (second envelope), request
tracing and cost page (headers); a captured 401 (first envelope).
"""

import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeAlias
from uuid import uuid4

import anyio
from starlette.requests import Request
from starlette.responses import Response

from receiver.sandbox.chance import Chance
from receiver.sandbox.faults import Faults
from receiver.sandbox.generation import PRICE_USD, Failure, Generation, Status
from receiver.sandbox.wire import json_response

# One JSON object on its way out; it is only ever filled and encoded.
Words: TypeAlias = dict[str, Any]

CREDITS_OF_A_DOLLAR = 2_000_000
_PREFIX = "/aimlapi"
_ID = re.compile(r"[A-Za-z0-9_:/.-]{1,128}")
_CLIENT_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_QUEUED_SHARE = 0.15
_DRIFTED = {
    "queued": ("queued", "waiting", "pending"),
    "generating": ("generating", "active", "processing", "warming"),
    "completed": ("completed", "succeeded", "complete"),
    "error": ("error", "failed"),
}


def make_id(chance: Chance, form: str) -> str:
    """Return a generation id in one of the forms seen: 21 URL-safe characters, uuid:model, uuid."""
    match form:
        case "dash":
            return chance.pick("-_", "id lead") + chance.word(20, "id")
        case "model":
            return f"{chance.uuid4('id')}:minimax/music-cover"
        case "uuid":
            return chance.uuid4("id")
        case _:
            return chance.word(21, "id")


def generation_words(generation: Generation, faults: Faults) -> Words:
    """Return a generation as it stands now."""
    (result,) = generation.results
    status = _status(generation)
    words: Words = {"id": generation.id, "status": _spelt(status, generation, faults)}
    if faults.null_fields:
        words |= {"audio_file": None, "error": None, "meta": None}
    if result.artifact is not None:
        if not generation.chance.hits(faults.no_file, "no file"):
            words["audio_file"] = {"url": result.artifact.url}
        words["meta"] = {"usage": {"credits_used": round(PRICE_USD * CREDITS_OF_A_DOLLAR), "usd_spent": PRICE_USD}}
    if result.failure is not None:
        words["error"] = _task_error(result.failure, faults)
    return words


def _status(generation: Generation) -> str:
    """Return the documented word: queued for the first part of its time, then generating, then the end."""
    (result,) = generation.results
    if result.status is Status.SUCCESS:
        return "completed"
    if result.status is Status.ERROR:
        return "error"
    elapsed = anyio.current_time() - generation.accepted_clock
    return "queued" if elapsed < result.seconds * _QUEUED_SHARE else "generating"


def _spelt(status: str, generation: Generation, faults: Faults) -> str:
    """Return the word itself, or one of those seen elsewhere."""
    if faults.status_words != "drift":
        return status
    return generation.chance.pick(_DRIFTED[status], status)


def _task_error(failure: Failure, faults: Faults) -> Words:
    """Return the error of a failed generation: as in the schema, or as one page's sample leaks it from upstream."""
    if faults.task_error == "detail":
        detail = {"loc": ["body", "reference_audio_url"], "msg": failure.message, "type": failure.code, "input": None}
        return {"detail": [detail]}
    return {"name": failure.code, "message": failure.message}


def headers(request: Request, generation: Generation | None, faults: Faults) -> dict[str, str]:
    """Return the tracing headers of an answer; the cost only once it is recorded."""
    found: dict[str, str] = {"x-request-id": str(uuid4())}
    client_request_id = read_client_request_id(request)
    if client_request_id is not None:
        found["x-client-request-id"] = client_request_id
    if generation is not None:
        found["x-inference-id"] = generation.id
        if faults.cost_headers and generation.status is not Status.PROCESSING:
            found["x-aimlapi-credits-used"] = str(round(generation.billed_usd * CREDITS_OF_A_DOLLAR))
            found["x-aimlapi-usd-spent"] = str(generation.billed_usd)
    return found


def read_client_request_id(request: Request) -> str | None:
    """Return X-Client-Request-Id, or None when absent or malformed: then it is silently dropped."""
    sent = request.headers.get("x-client-request-id", "")
    return sent if _CLIENT_REQUEST_ID.fullmatch(sent) else None


def is_well_formed(generation_id: str) -> bool:
    """Whether an asked-for id could be one; only then is it echoed in x-inference-id."""
    return _ID.fullmatch(generation_id) is not None


def refused(
    request: Request, faults: Faults, status: int, message: str, *, more_headers: dict[str, str] | None = None
) -> Response:
    """Return a refused request in one of the two envelopes; status 200 wraps a server error by mistake."""
    said = 500 if status == HTTPStatus.OK else status
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    path = request.url.path.removeprefix(_PREFIX)
    request_id = str(uuid4())
    answer_headers = headers(request, None, faults) | {"x-request-id": request_id} | (more_headers or {})
    if faults.error_envelope == "general":
        general = {
            "message": message,
            "path": path,
            "requestId": request_id,
            "statusCode": str(said),
            "timestamp": now,
        }
        return json_response(general, status, headers=answer_headers)
    title = _phrase(said)
    problem: Words = {
        "title": title,
        "status": said,
        "message": message,
        "instance": path,
        "requestId": request_id,
        "timestamp": now,
        "error": {"name": f"{title.replace(' ', '')}Exception", "message": message},
    }
    return json_response(
        problem, status, headers=answer_headers, media_type="application/problem+json; charset=utf-8"
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
