"""Notifications: who is told, what is on its way, and the secrets that sign it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from receiver.domain.delivery import Delivery, DeliveryStatus
from receiver.domain.endpoint import Endpoint, EndpointStatus
from receiver.domain.errors import ReceiverError, UnavailableError
from receiver.domain.task import Task

#: Deliveries are counted up to here: so many stand for as many or more.
MOST_COUNTED = 10_000
#: Shows a task as every route does.
Show = Callable[[Task], Awaitable[Mapping[str, object]]]


@dataclass(frozen=True, slots=True)
class Backlog:
    """What there is of one endpoint; ``pending`` and ``dead`` are counted up to ``MOST_COUNTED``."""

    pending: int
    dead: int
    oldest_pending_at: datetime | None


@dataclass(frozen=True, slots=True)
class DueEndpoint:
    """An endpoint that may be sent to, and since when its longest waiting first attempt and retry are due, if any."""

    endpoint: Endpoint
    first_at: datetime | None
    retry_at: datetime | None


@dataclass(frozen=True, slots=True)
class Room:
    """How many first attempts and how many retries may begin at one endpoint."""

    first: int
    retries: int


@dataclass(frozen=True, slots=True)
class Notice:
    """A leased delivery with its task as it is now, and where it goes."""

    delivery: Delivery
    task: Task
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries to list, newest first, or to send again, oldest first.

    ``before_id`` continues a listing after that one, ``after_id`` what is sent again.
    """

    delivery_id: UUID | None = None
    endpoint_id: UUID | None = None
    task_id: UUID | None = None
    status: DeliveryStatus | None = None
    error: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    limit: int = 50
    before_id: UUID | None = None
    after_id: UUID | None = None


class EndpointTakenError(ReceiverError):
    """There is an endpoint with this URL already; ``endpoint_id`` is its id."""

    def __init__(self, endpoint_id: UUID) -> None:
        super().__init__(f"endpoint {endpoint_id} has this URL already")
        self.endpoint_id = endpoint_id


class TooManyEndpointsError(ReceiverError):
    """There are as many endpoints as are kept."""


class Outbox(Protocol):
    """Endpoints and deliveries; the transaction that makes an event makes its deliveries, too.

    All calls raise UnavailableError when the database is out of order.
    """

    async def endpoints(self) -> list[Endpoint]:
        """Return all endpoints, oldest first."""

    async def endpoint(self, endpoint_id: UUID) -> Endpoint | None:
        """Return one endpoint."""

    async def backlogs(self, endpoint_ids: Sequence[UUID]) -> Mapping[UUID, Backlog]:
        """Return what there is of endpoints."""

    async def dead(self) -> int:
        """Count what was given up, of all endpoints together, up to a bound."""

    async def add_endpoint(self, endpoint: Endpoint) -> None:
        """Keep a new endpoint. Raises EndpointTakenError, TooManyEndpointsError."""

    async def change_endpoint(
        self, endpoint_id: UUID, change: Callable[[Endpoint], Endpoint]
    ) -> tuple[Endpoint, Endpoint] | None:
        """Change an endpoint by a pure function while nobody else does; return it as it was and as it is.

        None when there is none.
        """

    async def configure(self, url: str | None, now: datetime) -> None:
        """Let the endpoint of the settings be there with this URL, or not be sent to when there is none."""

    async def remove_endpoint(self, endpoint_id: UUID, now: datetime) -> bool:
        """Send nothing to an endpoint any more and forget it, at once; its deliveries go with it, by ``tidy``."""

    async def due_endpoints(
        self, now: datetime, *, proven: int = 1000, new: int = 1000, failing: int = 1000, busy: Sequence[UUID] = ()
    ) -> list[DueEndpoint]:
        """Return the endpoints that have something due and may be sent to, none that is ``busy``.

        Up to ``proven`` of those that have proved to answer, what waits longest first; up to ``new`` of those that
        have not been tried, and up to ``failing`` of those that fail, whoever rested longest first.
        """

    async def lease_deliveries(self, rooms: Mapping[UUID, Room], *, now: datetime, lease: timedelta) -> list[Notice]:
        """Claim due deliveries of each endpoint, first attempts and retries each up to its room."""

    async def delivery(self, delivery_id: UUID) -> Delivery | None:
        """Return one delivery."""

    async def deliveries(self, wanted: DeliveryFilter) -> list[Delivery]:
        """Return deliveries, newest first."""

    async def redrive(self, wanted: DeliveryFilter, now: datetime) -> tuple[int, UUID | None]:
        """Let up to ``limit`` deliveries that have ended be sent anew under their ids.

        Returns how many, and behind which one to go on, None where there is no other. Those of stopped endpoints stay
        as they are.
        """

    async def withheld(self, wanted: DeliveryFilter) -> Mapping[UUID, int]:
        """Count what ``redrive`` would send again, were its endpoint not stopped: by endpoint, up to a bound."""

    async def standing(self) -> tuple[Mapping[EndpointStatus, int], datetime | None]:
        """Count the endpoints by status, and return when the oldest event happened that is still on its way."""

    async def hopeless(self, *, expired_before: datetime, limit: int) -> list[Delivery]:
        """Return pending deliveries of stopped endpoints, and those older than a moment."""

    async def tidy(self, *, ended_before: datetime, limit: int) -> int:
        """Forget up to ``limit`` deliveries that ended, of events before a moment, or whose endpoint was removed."""


class Vault(Protocol):
    """Keeps what must be readable again, and is secret, unreadable at rest."""

    def seal(self, secret: bytes) -> str:
        """Return what is kept in its place."""

    def unseal(self, sealed: str) -> bytes | None:
        """Return what was sealed; None when the key it was sealed with is gone."""

    def is_fresh(self, sealed: str) -> bool:
        """Whether it was sealed with the first key, so that no other is needed any more."""


class NoVault:
    """Where nothing can be kept secret, and nothing was."""

    def seal(self, secret: bytes) -> str:
        """Refuse. Raises UnavailableError."""
        del secret
        raise UnavailableError("there is no key to keep secrets with")

    def unseal(self, sealed: str) -> bytes | None:
        """Return None."""
        del sealed
        return None

    def is_fresh(self, sealed: str) -> bool:
        """Return False."""
        del sealed
        return False


@dataclass(frozen=True, slots=True)
class Notifying:
    """The settings of notifications. ``keys`` sign what goes to the endpoint at ``url``, the newest first.

    What waits for a paused endpoint is given up after ``give_up``; what has ended is forgotten after ``retention``.
    """

    url: str | None = None
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    vault: Vault = field(default_factory=NoVault, repr=False)
    timeout_seconds: float = 15.0
    give_up: timedelta = timedelta(days=3)
    retention: timedelta = timedelta(days=30)
