"""Every refusal as RFC 9457 problem details: one table of kinds, one way from an error to an answer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from starlette.exceptions import HTTPException
from starlette.responses import Response

from receiver.domain.errors import (
    AlreadyTerminalError,
    FieldProblem,
    InvalidRequestError,
    NotFoundError,
    ReusedKeyError,
    StorageFullError,
    StorageReadOnlyError,
    UnavailableError,
)
from receiver.lifecycle.endpoints import ConfiguredEndpointError
from receiver.lifecycle.ports import EndpointTakenError, TakenError, TooManyEndpointsError

MEDIA_TYPE = "application/problem+json"
#: Seconds after which to come again when the fault is ours.
RETRY_AFTER = 5
LATER = MappingProxyType({"Retry-After": str(RETRY_AFTER)})


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of refusal. ``type`` is stable: programs match on it."""

    name: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """The URI that names this kind."""
        return f"urn:receiver:problem:{self.name}"


INVALID_JSON = Kind("invalid-json", 400, "The body is not JSON")
UNAUTHORIZED = Kind("unauthorized", 401, "A valid API key is needed")
NOT_FOUND = Kind("not-found", 404, "There is nothing here")
CONFIGURED = Kind("endpoint-configured", 409, "This endpoint is changed by RECEIVER_NOTIFY_URL alone")
ENDPOINT_TAKEN = Kind("endpoint-taken", 409, "There is an endpoint with this URL already")
TOO_MANY_ENDPOINTS = Kind("too-many-endpoints", 409, "There are as many endpoints as are kept")
NOT_STORED = Kind("not-stored", 404, "The audio is not in our storage")
ERASED = Kind("audio-erased", 410, "The audio was erased")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "This address does not take that method")
TOO_SLOW = Kind("body-too-slow", 408, "The body did not arrive in time")
TAKEN = Kind("generation-taken", 409, "Another task stands for this generation already")
ALREADY_TERMINAL = Kind("already-terminal", 409, "The task has already ended")
TOO_LARGE = Kind("body-too-large", 413, "The body is too large")
UNSUPPORTED_TYPE = Kind("unsupported-media-type", 415, "The body must be application/json")
NOT_AUDIO = Kind("not-audio", 415, "The body is not an audio file of a kind that is taken")
RANGE_NOT_SATISFIABLE = Kind("range-not-satisfiable", 416, "The audio has no such range")
INVALID_REQUEST = Kind("invalid-request", 422, "The request cannot be accepted as it is")
REUSED_KEY = Kind("idempotency-key-reused", 422, "This Idempotency-Key was used for another request")
TOO_MANY_ATTEMPTS = Kind("too-many-attempts", 429, "Too many wrong API keys came from your address")
TOO_MANY_BODIES = Kind("too-many-bodies", 429, "This task has received more different callbacks than are kept")
TOO_MANY_WAITS = Kind("too-many-waits", 429, "Too many callers are waiting already")
TOO_MANY_STREAMS = Kind("too-many-streams", 429, "Too many event streams are open already")
TOO_MANY_REPLAYS = Kind("too-many-replays", 429, "As many replays as may be are under way already")
TOO_MANY_TRIALS = Kind("too-many-trials", 429, "As many endpoints as may be are being tried already")
TOO_MANY_REDRIVES = Kind("too-many-redrives", 429, "As many redrives as may be are under way already")
TOO_MANY_INPUTS = Kind("too-many-inputs", 429, "Too many uploaded files wait for a task already")
TOO_MANY_UPLOADS = Kind("too-many-uploads", 429, "As many uploads as may be are under way already")
INTERNAL = Kind("internal", 500, "Something went wrong here")
UNAVAILABLE = Kind("unavailable", 503, "We cannot do this now; try again")

KINDS = tuple(value for value in list(vars().values()) if isinstance(value, Kind))
_BY_STATUS = {kind.status: kind for kind in (NOT_FOUND, METHOD_NOT_ALLOWED)}
_BY_ERROR = {
    NotFoundError: NOT_FOUND,
    AlreadyTerminalError: ALREADY_TERMINAL,
    ReusedKeyError: REUSED_KEY,
    ConfiguredEndpointError: CONFIGURED,
    TooManyEndpointsError: TOO_MANY_ENDPOINTS,
}


class ProblemError(Exception):
    """A request that is refused, with what its caller is told.

    ``unread`` says that its body was not read to the end: then the connection is closed after the answer.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str | None = None,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] = MappingProxyType({}),
        *,
        unread: bool = False,
    ) -> None:
        """Keep what the answer is made of."""
        super().__init__(detail or kind.title)
        self.kind = kind
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = headers
        self.unread = unread


class BrokenOffError(Exception):
    """The caller went away before its request was complete: nobody is left to answer."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What to answer to an error. ``fault`` says that it is ours and belongs into the log."""

    kind: Kind
    detail: str | None = None
    errors: tuple[FieldProblem, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    unread: bool = False
    fault: bool = False

    def response(self) -> Response:
        """Return the answer."""
        body = render(self.kind, self.detail, self.errors)
        headers = {**self.headers, **({"Connection": "close"} if self.unread else {})}
        return Response(body, self.kind.status, headers, media_type=MEDIA_TYPE)


def refusal(error: Exception) -> Refusal:
    """Return what to answer to ``error``; whatever is not known here is a fault of ours, told without details."""
    if isinstance(error, ProblemError):
        return Refusal(error.kind, error.detail, error.errors, error.headers, unread=error.unread)
    if isinstance(error, InvalidRequestError):
        return Refusal(INVALID_REQUEST, _summary(error.problems), error.problems)
    if isinstance(error, TakenError | EndpointTakenError):
        return _taken(error)
    if isinstance(error, UnavailableError):
        return Refusal(UNAVAILABLE, _ours_to_mend(error), headers=LATER, fault=True)
    if isinstance(error, HTTPException) and error.status_code in _BY_STATUS:
        headers = {name: ", ".join(sorted(value.split(", "))) for name, value in (error.headers or {}).items()}
        return Refusal(_BY_STATUS[error.status_code], headers=headers)
    kind = next((kind for known, kind in _BY_ERROR.items() if isinstance(error, known)), None)
    return Refusal(kind) if kind is not None else Refusal(INTERNAL, fault=True)


def _taken(error: TakenError | EndpointTakenError) -> Refusal:
    if isinstance(error, TakenError):
        return Refusal(TAKEN, str(error), (FieldProblem("provider_task_id", f"is that of task {error.task_id}"),))
    return Refusal(ENDPOINT_TAKEN, str(error), (FieldProblem("url", f"is that of {error.endpoint_id}"),))


def _ours_to_mend(error: UnavailableError) -> str | None:
    """Return what may be told of a fault of ours: words of our own, never the error's, which may name a place."""
    if isinstance(error, StorageFullError | StorageReadOnlyError):
        return str(type(error).__doc__)
    return None


def render(kind: Kind, detail: str | None = None, errors: Sequence[FieldProblem] = ()) -> bytes:
    """Return the body of a refusal."""
    content = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": detail or kind.title,
        "errors": [{"field": problem.field, "message": problem.message} for problem in errors],
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def invalid(field_name: str, message: str) -> ProblemError:
    """Return the refusal of one field, parameter or header."""
    problem = FieldProblem(field_name, message)
    return ProblemError(INVALID_REQUEST, _summary((problem,)), (problem,))


def invalid_fields(problems: Sequence[FieldProblem]) -> ProblemError:
    """Return the refusal of several fields."""
    return ProblemError(INVALID_REQUEST, _summary(problems), problems)


def _summary(problems: Sequence[FieldProblem]) -> str:
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{first.field} {first.message}{more}"
