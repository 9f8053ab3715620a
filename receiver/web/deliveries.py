"""What is on its way to the user's application, what has arrived and what has not; and sending it again."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.delivery import Delivery, DeliveryError, DeliveryStatus
from receiver.lifecycle import endpoints
from receiver.lifecycle.ports import DeliveryFilter
from receiver.web import problems
from receiver.web.answers import AnyMoment, Id
from receiver.web.answers_notifications import Deliveries, Redriven
from receiver.web.context import Context, answer_json, described, route
from receiver.web.documents import MOST_PROBLEMS
from receiver.web.operations import Body, Operation, Parameter, answers
from receiver.web.present import time
from receiver.web.problems import invalid, invalid_fields
from receiver.web.queries import cursor, cursor_for, moment, read_query, whole_number
from receiver.web.schemas import problem_of
from receiver.web.taking import taken
from receiver.web.withheld import why_not

MOST_LISTED = 200
USUALLY_LISTED = 50
#: At once: what they write, callbacks wait for.
MOST_REDRIVES = 2
_LARGEST_BODY = 64 * 1024
_FILTERS = ("endpoint_id", "task_id", "status", "error", "created_after", "created_before", "limit", "cursor")
#: What has ended: what is on its way need not be sent again.
_ENDED = (DeliveryStatus.DEAD, DeliveryStatus.SENT)
_EXAMPLES = {
    "one": {"id": "0199a3c0-5a1e-7c3f-9d2b-1f6f0a7c2e11"},
    "outage": {"created_after": "2026-11-21T09:30:00Z", "created_before": "2026-11-21T12:00:00Z"},
}


class Redrive(BaseModel):
    """Which deliveries are sent again: one, or all that fit everything that is said, at least one thing."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    id: str | None = Field(None, description="One delivery, dead or sent; stands alone.")
    endpoint_id: str | None = None
    task_id: str | None = None
    error: str | None = Field(None, description="Those whose last attempt failed so.")
    created_after: str | None = Field(None, description="Those of events at this moment or later.")
    created_before: str | None = Field(None, description="Those of events before this moment.")
    status: str | None = Field(None, description="`dead`, when nothing is said, or `sent`.")


def routes(context: Context) -> list[Route]:
    """Return the routes of this room."""
    return [
        route(context, "/v1/deliveries", GET=listing),
        route(context, "/v1/deliveries/redrive", POST=redrive),
    ]


@described(
    Operation(
        "listDeliveries",
        "notifications",
        "Deliveries, newest first",
        {200: answers("One page.", Deliveries)},
        (
            Parameter("endpoint_id", "Only those to this endpoint.", Id),
            Parameter("task_id", "Only those of this task.", Id),
            Parameter("status", "Only those that stand so.", DeliveryStatus, example="dead"),
            Parameter("error", "Only those whose last attempt failed so.", DeliveryError, example="timeout"),
            Parameter("created_after", "Only those of events at this moment or later.", AnyMoment),
            Parameter("created_before", "Only those of events before this moment.", AnyMoment),
            Parameter(
                "limit",
                f"The most deliveries of a page, {USUALLY_LISTED} when nothing is said.",
                Annotated[int, Field(ge=1, le=MOST_LISTED)],
            ),
            Parameter("cursor", "`next_cursor` of the page before."),
        ),
        problems=(problems.INVALID_REQUEST,),
    )
)
async def listing(context: Context, request: Request) -> Response:
    """Answer with deliveries, newest event first, each with its latest attempts."""
    query = read_query(request.query_params, _FILTERS)
    limit = whole_number(query, "limit", default=USUALLY_LISTED, least=1, most=MOST_LISTED)
    wanted = _filter(query, limit=limit + 1, statuses=tuple(DeliveryStatus), before_id=cursor(query, "cursor"))
    found = await context.ports.store.outbox.deliveries(wanted)
    page = found[:limit]
    more = len(found) > limit
    return answer_json(
        {"data": [shown(delivery) for delivery in page], "next_cursor": cursor_for(page[-1].id) if more else None}
    )


@described(
    Operation(
        "redriveDeliveries",
        "notifications",
        "Send again",
        {200: answers("How many are on their way again.", Redriven)},
        body=Body("Which deliveries.", Redrive, examples=_EXAMPLES),
        problems=(problems.INVALID_REQUEST, problems.TOO_MANY_REDRIVES),
    )
)
async def redrive(context: Context, request: Request) -> Response:
    """Have deliveries that ended sent again, under the same ids and showing their tasks as they are now.

    Those of a stopped endpoint stay as they are until it is resumed: `withheld` counts them.
    """
    read_query(request.query_params, ())
    async with taken(context, request, limit=_LARGEST_BODY) as document:
        asked = _read(document)
    if not asked:
        raise invalid("id", "is required, or endpoint_id, task_id, error, created_after or created_before")
    if "id" in asked and len(asked) > 1:
        raise invalid("id", "stands alone: it names one delivery")
    wanted = _filter(asked, limit=1, statuses=_ENDED)
    if wanted.status is None and wanted.delivery_id is None:
        wanted = replace(wanted, status=DeliveryStatus.DEAD)
    with context.redrives.enter():
        count, more = await endpoints.redrive(context.ports, wanted)
        if count and wanted.delivery_id is not None:
            withheld, detail = 0, None
        else:
            withheld, detail = await why_not(context.ports, wanted)
    return answer_json({"count": count, "more": more, "withheld": withheld, "detail": detail})


def shown(delivery: Delivery) -> dict[str, object]:
    """Return a delivery as answers show it."""
    return {
        "id": str(delivery.id),
        "endpoint_id": str(delivery.endpoint_id),
        "task_id": str(delivery.task_id),
        "type": delivery.type.value,
        "seq": delivery.seq,
        "created_at": time(delivery.at),
        "status": delivery.status.value,
        "attempts": delivery.attempts,
        "next_attempt_at": time(delivery.due_at),
        "ended_at": time(delivery.ended_at),
        "error": delivery.last_error,
        "outcomes": [
            {
                "at": time(outcome.at),
                "status_code": outcome.http_status,
                "error": outcome.error,
                "seconds": outcome.seconds,
                "next_attempt_at": time(outcome.next_at),
            }
            for outcome in delivery.outcomes
        ],
    }


def _filter(
    given: dict[str, str], *, limit: int, statuses: tuple[DeliveryStatus, ...], before_id: UUID | None = None
) -> DeliveryFilter:
    status = _word(given, "status", [status.value for status in statuses])
    return DeliveryFilter(
        delivery_id=_id(given, "id"),
        endpoint_id=_id(given, "endpoint_id"),
        task_id=_id(given, "task_id"),
        status=None if status is None else DeliveryStatus(status),
        error=_word(given, "error", [error.value for error in DeliveryError]),
        created_after=moment(given, "created_after"),
        created_before=moment(given, "created_before"),
        limit=limit,
        before_id=before_id,
    )


def _id(given: Mapping[str, str], name: str) -> UUID | None:
    text = given.get(name)
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise invalid(name, "must be an id as answers give it") from None


def _word(given: Mapping[str, str], name: str, known: list[str]) -> str | None:
    word = given.get(name)
    if word is not None and word not in known:
        raise invalid(name, f"must be one of: {', '.join(known)}")
    return word


def _read(document: Mapping[str, object]) -> dict[str, str]:
    """Return what is given, by name."""
    try:
        asked = Redrive.model_validate({name: value for name, value in document.items() if value is not None})
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)[:MOST_PROBLEMS]
        raise invalid_fields([problem_of(detail, Redrive.model_fields, "a redrive") for detail in details]) from None
    return {name: value for name, value in asked.model_dump().items() if value is not None}
