"""Endpoints that are told nothing just now: which of them the overview names, and what it says of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from receiver.domain.delivery import Delivery, DeliveryError, DeliveryStatus
from receiver.domain.endpoint import BY_HAND, NOT_CONFIGURED, WORST_FIRST, Endpoint, EndpointStatus
from receiver.lifecycle.ports import MOST_COUNTED, DeliveryFilter, Outbox
from receiver.web.dashboard.deliveries import WORDS
from receiver.web.dashboard.words import ago, number
from receiver.web.present import masked

#: So many are named; of the others it is said how many there are.
MOST_NAMED = 3
#: Of so many in trouble it is counted what waits for them: a thousand with thousands each would take a second.
_COUNTED = 5
#: An active endpoint is named after so many failures in a row: one may be a restart.
_SEVERAL = 3
#: Of what waits for an endpoint, how much is looked at to find what it answered last.
_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Untold:
    """An endpoint that is told nothing; what its address may hold of a secret is masked.

    ``says`` is how it stands and why, what waits for it and until when: none of it a stranger's words.
    """

    id: UUID
    url: str
    alarming: bool
    says: str


async def untold(outbox: Outbox, now: datetime) -> tuple[list[Untold], int]:
    """Return what is said of the first few, and how many there are besides. Raises UnavailableError."""
    troubled = in_trouble(await outbox.endpoints())
    backlogs = await outbox.backlogs([each.id for each in troubled[:_COUNTED]])
    those = [each for each in troubled if each.id not in backlogs or is_untold(each, backlogs[each.id].pending)]
    found = []
    for each in [each for each in those if each.id in backlogs][:MOST_NAMED]:
        pending = backlogs[each.id].pending
        wanted = DeliveryFilter(endpoint_id=each.id, status=DeliveryStatus.PENDING, limit=_LOOKED_AT)
        waiting = await outbox.deliveries(wanted) if pending else []
        alarming = each.status is not EndpointStatus.ACTIVE
        found.append(Untold(each.id, masked(each.url) or "", alarming, says(each, waiting, pending, now)))
    return found, len(those) - len(found)


def in_trouble(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Return the endpoints that do not stand well, those that need somebody most first."""
    found = [each for each in endpoints if each.status is not EndpointStatus.ACTIVE or each.failures >= _SEVERAL]
    return sorted(found, key=lambda each: (WORST_FIRST.index(each.status), -each.failures, each.url))


def is_untold(endpoint: Endpoint, pending: int) -> bool:
    """Whether an endpoint in trouble is told nothing though it should be told something."""
    if endpoint.status is EndpointStatus.ACTIVE:
        return pending > 0
    # What the settings name no more is at an end by somebody's wish, but for what waits for it still.
    return endpoint.reason != NOT_CONFIGURED or pending > 0


def says(endpoint: Endpoint, waiting: Sequence[Delivery], pending: int, now: datetime) -> str:
    """Return how an endpoint stands, behind its address; ``waiting`` are some of what waits for it."""
    active, stopped = (endpoint.status is each for each in (EndpointStatus.ACTIVE, EndpointStatus.STOPPED))
    if active:
        stands = f"failed {number(endpoint.failures)} times in a row"
    else:
        since = "" if endpoint.since is None else f" since {ago(endpoint.since, now)}"
        stands = f"is {endpoint.status.value}{since}"
    why = _why(endpoint, waiting)
    parts = [stands if why is None else f"{stands} ({why})"]
    if pending or not stopped:
        parts.append(f"{number(pending, MOST_COUNTED)} {'waits' if pending == 1 else 'wait'}")
    if stopped:
        parts.append("nothing new is kept for it until it is resumed")
    elif endpoint.reason == BY_HAND:
        parts.append("nothing is sent until it is resumed")
    else:
        later = endpoint.rests_until is not None and endpoint.rests_until > now
        parts.append(f"next try {ago(endpoint.rests_until, now) if later else 'now'}" if pending else "")
    return ", ".join(part for part in parts if part)


def _why(endpoint: Endpoint, waiting: Sequence[Delivery]) -> str | None:
    """Return the status that it answered with, or the reason in our own words; None where neither is known."""
    error, http_status = _last(waiting)
    reason = endpoint.reason or error
    if http_status is not None and reason == error == DeliveryError.STATUS:
        return f"HTTP {http_status}"
    return None if reason is None else WORDS.get(reason)


def _last(waiting: Sequence[Delivery]) -> tuple[str | None, int | None]:
    """Return why the last attempt of these failed, and the status of its answer."""
    outcomes = [delivery.outcomes[-1] for delivery in waiting if delivery.outcomes]
    last = max(outcomes, key=lambda outcome: outcome.at, default=None)
    return (None, None) if last is None else (last.error, last.http_status)
