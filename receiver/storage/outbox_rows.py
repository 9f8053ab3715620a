"""Endpoints and deliveries as rows and back, and the rows of new deliveries."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Update, literal_column, select, tuple_, update

from receiver.domain.delivery import TOLD_TYPES, Delivery, DeliveryStatus, Outcome, delivery_id
from receiver.domain.endpoint import Endpoint, EndpointStatus
from receiver.domain.event import Event, EventType
from receiver.storage.outbox_tables import deliveries, endpoints
from receiver.storage.rows import Columns, NewRow
from receiver.storage.statements import ForKeys, Insert
from receiver.storage.statements import Update as UpdateRows
from receiver.storage.tables import tasks
from receiver.storage.types import microseconds, moment_of

ENDPOINT_COLUMNS = tuple(
    endpoints.columns[name]
    for name in (
        "id",
        "url",
        "created_at",
        "types",
        "sealed",
        "status",
        "reason",
        "since",
        "failures",
        "failing_since",
        "proven",
        "rests_until",
    )
)
DELIVERY_COLUMNS: tuple[ColumnElement[Any], ...] = (
    deliveries.columns.id,
    deliveries.columns.task_key,
    tasks.columns.id,
    *(
        deliveries.columns[name]
        for name in (
            "seq",
            "endpoint_id",
            "type",
            "at",
            "result_id",
            "status",
            "attempts",
            "tries",
            "due_at",
            "ended_at",
            "outcomes",
            "claims",
        )
    ),
)
_NEW = (
    "id",
    "task_key",
    "seq",
    "endpoint_id",
    "type",
    "at",
    "result_id",
    "status",
    "lane",
    "attempts",
    "tries",
    "claims",
)
_MOVING = (
    "status",
    "lane",
    "attempts",
    "tries",
    "due_at",
    "ended_at",
    "error",
    "outcomes",
    "lease_until",
    "lease_owner",
)
_BEGUN = (
    "status",
    "lane",
    "tries",
    "claims",
    "due_at",
    "ended_at",
    "begun_at",
    "lease_until",
    "lease_owner",
)
FIRST_LANE, RETRIES_LANE = 0, 1
#: Told apart from every value that a column can have, so that all of them are set.
_UNKNOWN = tuple(object() for _ in range(max(len(_MOVING), len(_BEGUN))))

INSERT = Insert(deliveries, _NEW)
#: By the number of claims too: what came of an attempt counts only if nobody has taken the delivery up since.
UPDATE = UpdateRows(deliveries, _MOVING, keys=("id", "claims"))
#: Of deliveries that were looked at while nobody else could change them.
AGAIN = UpdateRows(deliveries, _BEGUN)
_earlier = deliveries.alias("earlier")
_changed = deliveries.alias("changed")
# Spelt out: a statement for many keys has no parameters besides.
_PENDING: ColumnElement[str] = literal_column(f"'{DeliveryStatus.PENDING}'")


def unblocking(is_one: ColumnElement[bool]) -> Update:
    """Return what lets the first on its way fall due, of each task and endpoint of the deliveries for which this is.

    No other delivery of those tasks is looked at: there may be thousands of endpoints.
    """
    pair = tuple_(deliveries.columns.task_key, deliveries.columns.endpoint_id)
    return (
        update(deliveries)
        .where(
            pair.in_(select(_changed.columns.task_key, _changed.columns.endpoint_id).where(is_one)),
            # Pending, but not by that word: SQLite would find them by it and walk over all that is on its way.
            deliveries.columns.ended_at.is_(None),
            deliveries.columns.due_at.is_(None),
            ~select(_earlier.columns.id)
            .where(
                _earlier.columns.task_key == deliveries.columns.task_key,
                _earlier.columns.endpoint_id == deliveries.columns.endpoint_id,
                _earlier.columns.seq < deliveries.columns.seq,
                _earlier.columns.status == _PENDING,
            )
            .exists(),
        )
        .values(due_at=deliveries.columns.at)
    )


#: By the ids of deliveries that are new, have ended or begin anew.
CHANGED_ID = _changed.columns.id
UNBLOCK = ForKeys(unblocking, CHANGED_ID)
#: Those that are told of what happens.
RECIPIENTS = select(endpoints.columns.id, endpoints.columns.types).where(
    endpoints.columns.removed_at.is_(None), endpoints.columns.status != EndpointStatus.STOPPED.value
)


@dataclass(frozen=True, slots=True)
class News:
    """An event of a task that endpoints may be told of."""

    task_key: UUID
    seq: int
    event: Event


def is_told(kind: EventType) -> bool:
    """Tell whether endpoints are told of events of this type."""
    return kind in TOLD_TYPES


def new_deliveries(connection: Connection, news: Iterable[News]) -> list[NewRow]:
    """Return the rows that tell every endpoint what it wants to be told."""
    recipients = connection.execute(RECIPIENTS).all()
    return [
        (
            delivery_id(one.event.at, one.task_key, one.seq, endpoint_id),
            one.task_key,
            one.seq,
            endpoint_id,
            one.event.type.value,
            one.event.at,
            _result_id(one.event),
            DeliveryStatus.PENDING.value,
            FIRST_LANE,
            0,
            0,
            0,
        )
        for one in news
        for endpoint_id, types in recipients
        if types is None or one.event.type.value in types
    ]


def _result_id(event: Event) -> UUID | None:
    return UUID(str(event.data["result_id"])) if event.type is EventType.RESULT_STORED else None


def changed_row(delivery: Delivery) -> tuple[NewRow, NewRow, NewRow]:
    """Return what changes the row of a delivery after an attempt: its key, what it was, what it is now."""
    moving = (
        delivery.status.value,
        RETRIES_LANE,
        delivery.attempts,
        delivery.tries,
        delivery.due_at,
        delivery.ended_at,
        delivery.last_error,
        [_outcome_document(outcome) for outcome in delivery.outcomes],
        None,
        None,
    )
    return (delivery.id, delivery.claims), _UNKNOWN[: len(moving)], moving


def begun_row(delivery_id: UUID, claims: int, now: datetime) -> tuple[NewRow, NewRow, NewRow]:
    """Return what lets a delivery that ended begin anew: what came of an attempt before counts no more."""
    begun = (DeliveryStatus.PENDING.value, RETRIES_LANE, 0, claims + 1, None, None, now, None, None)
    return (delivery_id,), _UNKNOWN[: len(begun)], begun


def delivery_from(row: Columns) -> Delivery:
    """Build a delivery from ``DELIVERY_COLUMNS``."""
    (
        of_id,
        task_key,
        task_id,
        seq,
        endpoint_id,
        kind,
        at,
        result_id,
        status,
        attempts,
        tries,
        due_at,
        ended_at,
        outcomes,
        claims,
    ) = row
    return Delivery(
        id=of_id,
        task_key=task_key,
        task_id=task_id,
        seq=seq,
        endpoint_id=endpoint_id,
        type=EventType(kind),
        at=at,
        result_id=result_id,
        status=DeliveryStatus(status),
        attempts=attempts,
        tries=tries,
        due_at=due_at,
        ended_at=ended_at,
        outcomes=tuple(_outcome_from(document) for document in outcomes or ()),
        claims=claims,
    )


def endpoint_from(row: Columns) -> Endpoint:
    """Build an endpoint from ``ENDPOINT_COLUMNS``."""
    of_id, url, created_at, types, sealed, status, *rest = row
    wanted = None if types is None else frozenset(EventType(word) for word in types)
    return Endpoint(of_id, url, created_at, wanted, sealed, EndpointStatus(status), *rest)


def endpoint_values(endpoint: Endpoint) -> Mapping[str, object]:
    """Return the columns of an endpoint by name."""
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "created_at": endpoint.created_at,
        "types": None if endpoint.types is None else sorted(endpoint.types),
        "sealed": endpoint.sealed,
        "status": endpoint.status.value,
        "reason": endpoint.reason,
        "since": endpoint.since,
        "failures": endpoint.failures,
        "failing_since": endpoint.failing_since,
        "proven": endpoint.proven,
        "rests_until": endpoint.rests_until,
    }


def _outcome_document(outcome: Outcome) -> Sequence[object]:
    """Return an outcome as a short list: there may be twenty, and each is written again with the next."""
    return [
        microseconds(outcome.at),
        outcome.error,
        outcome.http_status,
        outcome.seconds,
        microseconds(outcome.next_at),
    ]


def _outcome_from(document: Sequence[Any]) -> Outcome:
    at, error, http_status, seconds, next_at = document
    made: datetime | None = moment_of(at)
    if made is None:
        raise TypeError("an outcome without its moment")
    return Outcome(made, error, http_status, float(seconds), moment_of(next_at))
