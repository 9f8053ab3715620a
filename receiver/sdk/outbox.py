"""What the service says of endpoints, and of what is on its way to them; read like ``values``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from receiver.sdk.values import maybe, maybe_number, maybe_time, objects, one, time_of


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where your application is told. ``types`` are the types it wants, None for all.

    ``status``: active, paused or stopped, with the ``reason``. ``pending`` and ``dead`` count its deliveries, up to a
    bound. ``configured``: it is the one of the settings, which are the only place to change it.
    """

    id: str
    url: str
    types: tuple[str, ...] | None
    status: str
    reason: str | None
    created_at: datetime
    configured: bool
    pending: int
    dead: int
    document: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Secret:
    """An endpoint and its new secret, which the service tells this once."""

    endpoint: Endpoint
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a notification that only tried an endpoint; ``error`` None: it was taken."""

    error: str | None
    status_code: int | None
    seconds: float
    document: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint; ``id`` is the ``webhook-id`` of all its attempts.

    ``status``: pending, sent or dead. ``created_at`` is when the event happened, ``error`` why the last attempt
    failed, ``status_code`` what it was answered. Pending without ``next_attempt_at``, it waits for an earlier one of
    the same task.
    """

    id: str
    task_id: str
    endpoint_id: str
    type: str
    status: str
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    error: str | None
    status_code: int | None
    document: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Deliveries, newest first; ``next_cursor`` asks for the following ones."""

    deliveries: tuple[Delivery, ...]
    next_cursor: str | None
    document: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Redriven:
    """How many deliveries one call had sent again; ``more`` says that it is to be repeated.

    ``withheld`` are those that stay as they are because their endpoint is stopped; ``detail`` says why.
    """

    count: int
    more: bool
    withheld: int = 0
    detail: str | None = None


def endpoints_of(document: Mapping[str, object]) -> tuple[Endpoint, ...]:
    """Read a list of endpoints."""
    return tuple(endpoint_of(item) for item in objects(document, "data"))


def endpoint_of(document: Mapping[str, object]) -> Endpoint:
    """Read one endpoint; its secret, where it is told, is kept out of ``document``."""
    shown = {name: value for name, value in document.items() if name != "secret"}
    return Endpoint(
        id=one(document, "id", str),
        url=one(document, "url", str),
        types=_types(document),
        status=one(document, "status", str),
        reason=maybe(document, "reason", str),
        created_at=time_of(document, "created_at"),
        configured=one(document, "configured", bool),
        pending=one(document, "pending", int),
        dead=one(document, "dead", int),
        document=shown,
    )


def secret_of(document: Mapping[str, object]) -> Secret:
    """Read an endpoint with its secret."""
    return Secret(endpoint_of(document), one(document, "secret", str))


def trial_of(document: Mapping[str, object]) -> Trial:
    """Read what came of a trial."""
    return Trial(
        error=maybe(document, "error", str),
        status_code=maybe(document, "status_code", int),
        seconds=maybe_number(document, "seconds") or 0.0,
        document=document,
    )


def deliveries_of(document: Mapping[str, object]) -> Deliveries:
    """Read a page of deliveries."""
    found = tuple(_delivery(item) for item in objects(document, "data"))
    return Deliveries(found, maybe(document, "next_cursor", str), document)


def redriven_of(document: Mapping[str, object]) -> Redriven:
    """Read how many were sent again."""
    return Redriven(
        count=one(document, "count", int),
        more=one(document, "more", bool),
        withheld=maybe(document, "withheld", int) or 0,
        detail=maybe(document, "detail", str),
    )


def _delivery(document: Mapping[str, object]) -> Delivery:
    outcomes = objects(document, "outcomes")
    return Delivery(
        id=one(document, "id", str),
        task_id=one(document, "task_id", str),
        endpoint_id=one(document, "endpoint_id", str),
        type=one(document, "type", str),
        status=one(document, "status", str),
        attempts=one(document, "attempts", int),
        created_at=time_of(document, "created_at"),
        next_attempt_at=maybe_time(document, "next_attempt_at"),
        error=maybe(document, "error", str),
        status_code=maybe(outcomes[-1], "status_code", int) if outcomes else None,
        document=document,
    )


def _types(document: Mapping[str, object]) -> tuple[str, ...] | None:
    value = document.get("types")
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("types is no list of texts")
    return tuple(value)
