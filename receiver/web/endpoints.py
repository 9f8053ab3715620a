"""Where the user's application is told what happens: register, try, pause, resume, renew the secret, remove."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.delivery import Told
from receiver.domain.endpoint import Endpoint
from receiver.domain.errors import NotFoundError
from receiver.lifecycle import endpoints
from receiver.lifecycle.ports import Backlog
from receiver.web import problems
from receiver.web.answers_notifications import Endpoint as EndpointShape
from receiver.web.answers_notifications import Endpoints, EndpointTest, EndpointWithSecret, EventWord, Removed
from receiver.web.context import Context, answer_json, described, id_of, route
from receiver.web.documents import MOST_PROBLEMS
from receiver.web.operations import Body, Operation, answers
from receiver.web.present import time
from receiver.web.problems import invalid_fields
from receiver.web.queries import read_query
from receiver.web.schemas import problem_of
from receiver.web.taking import taken

_LARGEST_BODY = 64 * 1024
_Wish = TypeVar("_Wish", bound=BaseModel)
USUAL_OVERLAP_SECONDS = 86_400.0
#: At once: each may hang for as long as an endpoint likes, on a connection that notifications need too.
MOST_TRIALS = 16
_NOTHING = Backlog(0, 0, None)
_EXAMPLES = {
    "all": {"url": "https://app.example.org/hooks"},
    "some": {"url": "https://app.example.org/hooks", "types": ["task.succeeded", "task.failed"]},
}


class NewEndpoint(BaseModel):
    """An endpoint to register."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field(description="Takes POSTs; https, except for allowed private hosts.")
    types: list[EventWord] | None = Field(None, description="What it is told of; null: everything.")
    secret: str | None = Field(None, description="whsec_ and the base64 of 24 to 64 bytes; null: one is made.")


class Rotation(BaseModel):
    """A change of the secret of an endpoint."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    secret: str | None = Field(None, description="The new one; null: one is made.")
    overlap_seconds: float = Field(
        USUAL_OVERLAP_SECONDS,
        ge=0,
        le=endpoints.LONGEST_OVERLAP.total_seconds(),
        allow_inf_nan=False,
        description="How long the old one signs beside it.",
    )


def routes(context: Context) -> list[Route]:
    """Return the routes of this room."""
    return [
        route(context, "/v1/endpoints", GET=listing, POST=create),
        route(context, "/v1/endpoints/{id}", GET=show, DELETE=remove),
        route(context, "/v1/endpoints/{id}/test", POST=test),
        route(context, "/v1/endpoints/{id}/pause", POST=pause),
        route(context, "/v1/endpoints/{id}/resume", POST=resume),
        route(context, "/v1/endpoints/{id}/rotate", POST=rotate),
    ]


@described(
    Operation(
        "listEndpoints",
        "notifications",
        "All endpoints",
        {200: answers("The endpoints, oldest first.", Endpoints)},
        problems=(problems.INVALID_REQUEST,),
    )
)
async def listing(context: Context, request: Request) -> Response:
    """Answer with all endpoints and how they stand; the configured one among them."""
    read_query(request.query_params, ())
    found = await context.ports.store.outbox.endpoints()
    backlogs = await context.ports.store.outbox.backlogs([endpoint.id for endpoint in found])
    return answer_json({"data": [shown(endpoint, backlogs[endpoint.id]) for endpoint in found]})


@described(
    Operation(
        "createEndpoint",
        "notifications",
        "Register an endpoint",
        {201: answers("The endpoint; its secret is shown this once.", EndpointWithSecret, Location="Where it is.")},
        body=Body("Where to notify, and of what.", NewEndpoint, examples=_EXAMPLES),
        problems=(problems.ENDPOINT_TAKEN, problems.TOO_MANY_ENDPOINTS, problems.INVALID_REQUEST),
    )
)
async def create(context: Context, request: Request) -> Response:
    """Register an endpoint: from now on it is told what happens.

    Notifications follow [Standard Webhooks](https://www.standardwebhooks.com); any 2xx within the time limit takes
    one. They are repeated until then, in the order of events for each task, under an id that stays.
    """
    read_query(request.query_params, ())
    async with taken(context, request, limit=_LARGEST_BODY) as document:
        asked = _read(NewEndpoint, document, "an endpoint")
    endpoint, secret = await endpoints.add(context.ports, asked.url, asked.types, asked.secret)
    headers = {"Location": f"{context.present.base}/v1/endpoints/{endpoint.id}"}
    return answer_json({**shown(endpoint, _NOTHING), "secret": secret}, 201, headers)


@described(
    Operation(
        "getEndpoint",
        "notifications",
        "One endpoint",
        {200: answers("The endpoint.", EndpointShape)},
        problems=(problems.NOT_FOUND, problems.INVALID_REQUEST),
    )
)
async def show(context: Context, request: Request) -> Response:
    """Answer with one endpoint and how it stands."""
    read_query(request.query_params, ())
    endpoint = await context.ports.store.outbox.endpoint(id_of(request, "id"))
    if endpoint is None:
        raise NotFoundError
    return await _answer(context, endpoint)


@described(
    Operation(
        "removeEndpoint",
        "notifications",
        "Remove an endpoint",
        {200: answers("It is gone.", Removed)},
        problems=(problems.NOT_FOUND, problems.CONFIGURED, problems.INVALID_REQUEST),
    )
)
async def remove(context: Context, request: Request) -> Response:
    """Tell an endpoint nothing more; what is on its way to it goes too, and the history of its deliveries."""
    read_query(request.query_params, ())
    await endpoints.remove(context.ports, id_of(request, "id"))
    return answer_json({"count": 1})


@described(
    Operation(
        "testEndpoint",
        "notifications",
        "Try an endpoint now",
        {200: answers("What came of it.", EndpointTest)},
        problems=(problems.NOT_FOUND, problems.INVALID_REQUEST, problems.TOO_MANY_TRIALS),
    )
)
async def test(context: Context, request: Request) -> Response:
    """Send a notification of type `endpoint.test`, signed like any other, and answer with what came of it.

    It is sent once, also to an endpoint that is paused, and changes nothing.
    """
    read_query(request.query_params, ())
    with context.trials.enter():
        told = await endpoints.test(context.ports, id_of(request, "id"))
    return answer_json(_tried(told))


@described(
    Operation(
        "pauseEndpoint",
        "notifications",
        "Send nothing to an endpoint for now",
        {200: answers("The endpoint, paused.", EndpointShape)},
        problems=(problems.NOT_FOUND, problems.INVALID_REQUEST),
    )
)
async def pause(context: Context, request: Request) -> Response:
    """Send nothing to an endpoint until it is resumed; what happens meanwhile waits for it."""
    read_query(request.query_params, ())
    return await _answer(context, await endpoints.pause(context.ports, id_of(request, "id")))


@described(
    Operation(
        "resumeEndpoint",
        "notifications",
        "Send to an endpoint again",
        {200: answers("The endpoint, active.", EndpointShape)},
        problems=(problems.NOT_FOUND, problems.INVALID_REQUEST),
    )
)
async def resume(context: Context, request: Request) -> Response:
    """Send to an endpoint again, whyever it was paused or stopped, beginning with what waits for it."""
    read_query(request.query_params, ())
    return await _answer(context, await endpoints.resume(context.ports, id_of(request, "id")))


@described(
    Operation(
        "rotateEndpointSecret",
        "notifications",
        "Give an endpoint a new secret",
        {200: answers("The endpoint; its new secret is shown this once.", EndpointWithSecret)},
        body=Body("The new secret, and how long the old one signs beside it.", Rotation, examples={"new": {}}),
        problems=(problems.NOT_FOUND, problems.CONFIGURED, problems.INVALID_REQUEST),
    )
)
async def rotate(context: Context, request: Request) -> Response:
    """Give an endpoint a new secret; until the overlap ends notifications carry a signature of each."""
    read_query(request.query_params, ())
    endpoint_id = id_of(request, "id")
    async with taken(context, request, limit=_LARGEST_BODY) as document:
        asked = _read(Rotation, document, "a rotation")
    overlap = timedelta(seconds=asked.overlap_seconds)
    endpoint, secret = await endpoints.rotate(context.ports, endpoint_id, asked.secret, overlap)
    backlogs = await context.ports.store.outbox.backlogs([endpoint.id])
    return answer_json({**shown(endpoint, backlogs[endpoint.id]), "secret": secret})


def shown(endpoint: Endpoint, backlog: Backlog) -> dict[str, object]:
    """Return an endpoint as answers show it: without its secrets."""
    return {
        "id": str(endpoint.id),
        "url": endpoint.url,
        "types": None if endpoint.types is None else sorted(kind.value for kind in endpoint.types),
        "configured": endpoint.configured,
        "status": endpoint.status.value,
        "reason": endpoint.reason,
        "since": time(endpoint.since),
        "failures": endpoint.failures,
        "next_attempt_at": time(endpoint.rests_until),
        "created_at": time(endpoint.created_at),
        "pending": backlog.pending,
        "dead": backlog.dead,
        "oldest_pending_at": time(backlog.oldest_pending_at),
    }


async def _answer(context: Context, endpoint: Endpoint) -> Response:
    backlogs = await context.ports.store.outbox.backlogs([endpoint.id])
    return answer_json(shown(endpoint, backlogs[endpoint.id]))


def _tried(told: Told) -> dict[str, object]:
    return {
        "delivered": told.error is None,
        "status_code": told.http_status,
        "error": None if told.error is None else told.error.value,
        "seconds": round(told.seconds, 3),
    }


def _read(shape: type[_Wish], document: Mapping[str, object], what: str) -> _Wish:
    try:
        return shape.model_validate({name: value for name, value in document.items() if value is not None})
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)[:MOST_PROBLEMS]
        raise invalid_fields([problem_of(detail, shape.model_fields, what) for detail in details]) from None
