"""The shapes of what is answered about endpoints and deliveries."""

from typing import Annotated, Literal

from pydantic import Field

from receiver.domain.delivery import TOLD_OF, DeliveryError, DeliveryStatus
from receiver.domain.endpoint import REASONS, EndpointStatus
from receiver.lifecycle.ports import MOST_COUNTED
from receiver.web.answers import Count, Id, Moment, Shape

EventWord = Annotated[str, Field(json_schema_extra={"enum": [kind.value for kind in TOLD_OF]})]
Reason = Annotated[str, Field(json_schema_extra={"enum": list(REASONS)})]
#: Shown once; the bounds are those of Standard Webhooks.
Secret = Annotated[
    str, Field(pattern=r"^whsec_[A-Za-z0-9+/]+={0,2}$", examples=["whsec_bXktc2VjcmV0LW9mLTI0LWJ5dGVz"])
]


class Endpoint(Shape):
    """Where your application is told what happens."""

    id: Id
    url: str
    types: list[EventWord] | None = Field(description="What it is told of; null: everything.")
    configured: bool = Field(description="It is RECEIVER_NOTIFY_URL: changed by the settings alone.")
    status: EndpointStatus = Field(
        strict=False,
        description="`paused`: what happens waits; `stopped`: it is told nothing, not later either, until resumed.",
    )
    reason: Reason | None = Field(description="Why it is not active: by hand, or how its last attempt failed.")
    since: Moment | None = Field(description="Since when it is paused or stopped.")
    failures: Count = Field(description="Failed attempts in a row.")
    next_attempt_at: Moment | None = Field(description="Before this nothing is sent, because of those failures.")
    created_at: Moment
    pending: Count = Field(description=f"Deliveries on their way; no more than {MOST_COUNTED} are counted.")
    dead: Count = Field(description=f"Deliveries that were given up; no more than {MOST_COUNTED} are counted.")
    oldest_pending_at: Moment | None = Field(description="When the oldest event on its way happened.")


class Endpoints(Shape):
    """All endpoints, oldest first."""

    data: list[Endpoint]


class EndpointWithSecret(Endpoint):
    """An endpoint and its secret, which is shown this once."""

    secret: Secret


class EndpointTest(Shape):
    """What came of a notification that only tries an endpoint."""

    delivered: bool
    status_code: int | None
    error: DeliveryError | None = Field(strict=False)
    seconds: float


class Attempt(Shape):
    """One attempt to deliver, as it went."""

    at: Moment
    status_code: int | None
    error: DeliveryError | None = Field(strict=False, description="null: the endpoint has taken it.")
    seconds: float
    next_attempt_at: Moment | None


class Delivery(Shape):
    """One event on its way to one endpoint."""

    id: Id = Field(description="The `webhook-id` of all its attempts.")
    endpoint_id: Id
    task_id: Id
    type: EventWord
    seq: Annotated[int, Field(ge=1)] = Field(description="The number of its event in the task's timeline.")
    created_at: Moment = Field(description="When the event happened.")
    status: DeliveryStatus = Field(strict=False)
    attempts: Count
    next_attempt_at: Moment | None = Field(
        description="null while pending: an earlier delivery of the task to this endpoint comes first."
    )
    ended_at: Moment | None
    error: DeliveryError | None = Field(strict=False, description="How the last attempt failed.")
    outcomes: list[Attempt] = Field(description="The latest attempts, oldest first.")


class Deliveries(Shape):
    """One page of deliveries, newest first."""

    data: list[Delivery]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class Redriven(Shape):
    """What became of a wish to send again."""

    count: Count
    more: bool = Field(description="There may be more of the kind: ask again.")
    withheld: Count = Field(
        description="Those that fit and stay as they are, their endpoint being stopped; "
        f"up to {MOST_COUNTED} are counted."
    )
    detail: str | None = Field(description="Why there are such, or why the one that was named is not sent.")


class Removed(Shape):
    """An endpoint is gone, and with it all its deliveries."""

    count: Literal[1]
