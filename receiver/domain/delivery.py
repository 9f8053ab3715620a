"""One event on its way to one endpoint: which events are told, when it is tried again, how a notification is signed.

Standard Webhooks (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md) is the form of it.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from uuid import UUID

from receiver.domain.event import Event, EventType
from receiver.domain.identity import uuid_of
from receiver.domain.values import Word

#: What endpoints are told of.
TOLD_OF = (
    EventType.TASK_SUCCEEDED,
    EventType.TASK_PARTIAL,
    EventType.TASK_FAILED,
    EventType.TASK_LOST,
    EventType.TASK_FOUND,
    EventType.TASK_CANCELLED,
    EventType.RESULT_STORED,
)
#: The same, to look a type up in.
TOLD_TYPES = frozenset(TOLD_OF)
#: After each failure so much later; after one more it is dead.
SCHEDULE = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=10),
)
#: How much a gap may differ from the schedule, so that what failed together does not come again together.
_JITTER = 0.1
SHORTEST_RETRY_AFTER = timedelta(seconds=1)
LONGEST_RETRY_AFTER = timedelta(hours=1)
#: So many outcomes of one delivery are kept, the latest.
MOST_OUTCOMES = 20
#: Of a secret, in bytes: the bounds of Standard Webhooks.
LEAST_SECRET_BYTES = 24
MOST_SECRET_BYTES = 64
_SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret begins with is none


class DeliveryStatus(Word):
    """Where a delivery stands."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"


class DeliveryError(Word):
    """Why an attempt failed, or a delivery died without one more."""

    STATUS = "status"  # an answer, and none of the 2xx
    REDIRECT = "redirect"  # never followed: a signature is for one address
    GONE = "gone"  # 410
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    NAME = "name"  # the host has no address
    TLS = "tls"
    ANSWER = "answer"  # broken off, or no HTTP
    FORBIDDEN = "forbidden"  # an address we do not call
    SECRET = "secret"  # noqa: S105 - the word for: its secret cannot be read with the signing keys there are
    RESULT_GONE = "result_gone"  # another result has taken its place
    EXPIRED = "expired"  # waited for an endpoint that was paused for too long
    STOPPED = "stopped"  # its endpoint was stopped


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one attempt: ``error`` None is a success. ``seconds`` is how long it took."""

    error: DeliveryError | None
    http_status: int | None = None
    retry_after: timedelta | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt as it is kept. ``next_at`` is when the next was due then."""

    at: datetime
    error: str | None
    http_status: int | None
    seconds: float
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery. ``id`` is the ``webhook-id`` of all its attempts; ``seq`` that of its event in the timeline.

    ``attempts`` are all that were made; ``tries`` those of the schedule since it was last begun. Pending without
    ``due_at``, it waits for an earlier one of the same task to the same endpoint. ``claims`` counts how often it was
    taken up: what came of an attempt counts only if nobody has taken it up since.
    """

    id: UUID
    task_key: UUID
    task_id: UUID
    seq: int
    endpoint_id: UUID
    type: EventType
    at: datetime
    result_id: UUID | None = None
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    tries: int = 0
    due_at: datetime | None = None
    ended_at: datetime | None = None
    outcomes: tuple[Outcome, ...] = ()
    claims: int = 0

    @property
    def last_error(self) -> str | None:
        """Why the last attempt failed, None when it did not or there was none."""
        return self.outcomes[-1].error if self.outcomes else None


def delivery_id(at: datetime, task_key: UUID, seq: int, endpoint_id: UUID) -> UUID:
    """Return the id of the delivery of an event to an endpoint: the same whoever makes it, and later events greater.

    A UUID v7 (RFC 9562) whose random bits are a digest instead.
    """
    digest = hashlib.sha256(task_key.bytes + seq.to_bytes(8, "big") + endpoint_id.bytes).digest()
    value = moment_bits(at) | int.from_bytes(digest[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid_of(value & ~(0x3 << 62) | 0x2 << 62)


def moment_bits(at: datetime) -> int:
    """Return what every UUID v7 of a moment begins with: no earlier one's is greater."""
    return (max(0, int(at.timestamp() * 1000)) & (2**48 - 1)) << 80


def concluded(delivery: Delivery, told: Told, now: datetime, *, jitter: float) -> tuple[Delivery, Event]:
    """Return a delivery after an attempt, and the event that says so. ``jitter`` is a random number in [0, 1).

    A Retry-After takes the place of the schedule's next gap and uses none of it up: who asks for time is there.
    """
    if told.error is None:
        return _ended(delivery, DeliveryStatus.SENT, told, now)
    tries = delivery.tries + (told.retry_after is None)
    if told.error in _FINAL or tries > len(SCHEDULE):
        return _ended(replace(delivery, tries=tries), DeliveryStatus.DEAD, told, now)
    gap = told.retry_after or SCHEDULE[tries - 1] * (1 - _JITTER + 2 * _JITTER * jitter)
    next_at = now + gap
    after = _with(replace(delivery, tries=tries, due_at=next_at), told, now, next_at)
    return after, _event(EventType.DELIVERY_FAILED, after, told, now)


def given_up(delivery: Delivery, error: DeliveryError, now: datetime) -> tuple[Delivery, Event]:
    """Return a delivery that died without another attempt, and the event that says so."""
    told = Told(error)
    ended = replace(
        delivery,
        status=DeliveryStatus.DEAD,
        due_at=None,
        ended_at=now,
        outcomes=_latest((*delivery.outcomes, Outcome(now, error.value, None, 0.0))),
    )
    return ended, _event(EventType.DELIVERY_DEAD, ended, told, now)


_FINAL = frozenset({DeliveryError.GONE, DeliveryError.RESULT_GONE})


def _ended(delivery: Delivery, status: DeliveryStatus, told: Told, now: datetime) -> tuple[Delivery, Event]:
    after = replace(_with(delivery, told, now, None), status=status, due_at=None, ended_at=now)
    kind = EventType.DELIVERY_SENT if status is DeliveryStatus.SENT else EventType.DELIVERY_DEAD
    return after, _event(kind, after, told, now)


def _with(delivery: Delivery, told: Told, now: datetime, next_at: datetime | None) -> Delivery:
    word = None if told.error is None else told.error.value
    made = Outcome(now, word, told.http_status, round(told.seconds, 3), next_at)
    return replace(delivery, attempts=delivery.attempts + 1, outcomes=_latest((*delivery.outcomes, made)))


def _latest(outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
    return tuple(outcomes[-MOST_OUTCOMES:])


def _event(kind: EventType, delivery: Delivery, told: Told, now: datetime) -> Event:
    data: dict[str, object] = {
        "delivery_id": str(delivery.id),
        "endpoint_id": str(delivery.endpoint_id),
        "of": delivery.type.value,
        "attempts": delivery.attempts,
        "status_code": told.http_status,
    }
    if told.error is not None:
        data["error"] = told.error.value
    if delivery.due_at is not None:
        data["next_attempt_at"] = delivery.due_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Event(kind, now, data)


def retry_after(text: str | None, date: str | None) -> timedelta | None:
    """Return what a Retry-After header asks for (RFC 9110, 10.2.3), within our bounds; None for nonsense.

    A moment in it is one by the clock of whoever answered, which the Date header beside it tells.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        asked = timedelta(seconds=min(int(text[:9]), 10**9))
    else:
        try:
            asked = parsedate_to_datetime(text) - parsedate_to_datetime(date or "")
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(asked, SHORTEST_RETRY_AFTER), LONGEST_RETRY_AFTER)


def read_secret(text: str) -> bytes:
    """Return the key that a secret as users have it, ``whsec_`` and base64, stands for. Raises ValueError."""
    try:
        key = base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_SECRET_PREFIX) or not LEAST_SECRET_BYTES <= len(key) <= MOST_SECRET_BYTES:
        message = f"must be {_SECRET_PREFIX} and the base64 of {LEAST_SECRET_BYTES} to {MOST_SECRET_BYTES} bytes"
        raise ValueError(message)
    return key


def spell_secret(key: bytes) -> str:
    """Return a key as users have it."""
    return _SECRET_PREFIX + base64.b64encode(key).decode()


def signed(delivery: UUID, now: datetime, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """Return the headers that sign exactly these bytes, once with each key; the first key is the newest."""
    name, timestamp = str(delivery), str(int(now.timestamp()))
    content = f"{name}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys)
    return {
        "webhook-id": name,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
