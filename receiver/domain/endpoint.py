"""An endpoint: where the user's application wants to be told, and how it has fared there.

active ──▶ paused     it keeps failing (probed by one delivery now and then), or somebody said so
  ▲ └────▶ stopped    it answered 410, or it is the configured one and is configured no more
  └─ a success ends a pause that failures began; a person ends any of them
"""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from urllib.parse import urlsplit
from uuid import UUID

from receiver.domain.delivery import DeliveryError, Told
from receiver.domain.event import EventType
from receiver.domain.values import Word

#: The endpoint of RECEIVER_NOTIFY_URL always has this id, so that its deliveries stay its own whatever the URL.
CONFIGURED_ID = UUID("6e6f7469-6679-8000-8000-000000000001")
#: Paused after so many failures in a row ...
MOST_FAILURES = 10
#: ... that went on for at least so long: a restart is no reason.
FAILING_FOR = timedelta(seconds=60)
#: Between two probes of a paused endpoint: doubled after each that failed, up to the last.
_FIRST_PROBE = timedelta(seconds=60)
_LONGEST_PROBE = timedelta(minutes=15)
#: Rest of an endpoint after failures in a row, before anything else is sent to it: doubled, up to the last.
_FIRST_REST = timedelta(seconds=0.5)
_LONGEST_REST = timedelta(seconds=5)
#: Without ASCII, the sign of a kelvin would be a k to it, and a long s an s.
_PLAIN_URL = re.compile(
    r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?:[/?][!-~]*)?", re.IGNORECASE | re.ASCII
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


class EndpointStatus(Word):
    """Whether anything is sent to an endpoint."""

    ACTIVE = "active"
    PAUSED = "paused"
    STOPPED = "stopped"


#: Which of several needs somebody most.
WORST_FIRST = (EndpointStatus.STOPPED, EndpointStatus.PAUSED, EndpointStatus.ACTIVE)
#: Why an endpoint is paused or stopped, where that is not the last failure's own word.
BY_HAND = "by_hand"
NOT_CONFIGURED = "not_configured"
REASONS = (BY_HAND, NOT_CONFIGURED, *DeliveryError)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint and how it stands.

    ``types`` are the types it wants, None for all. ``sealed`` holds its secrets, unreadable here; the configured one
    has none, its secrets are settings. ``since`` is when ``status`` began. ``failures`` are those in a row since
    ``failing_since``; ``proven`` says that the last attempt succeeded. Before ``rests_until`` nothing is sent.
    """

    id: UUID
    url: str
    created_at: datetime
    types: frozenset[EventType] | None = None
    sealed: str | None = field(default=None, repr=False)
    status: EndpointStatus = EndpointStatus.ACTIVE
    reason: str | None = None
    since: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    proven: bool = False
    rests_until: datetime | None = None

    @property
    def configured(self) -> bool:
        """Whether this is the endpoint of the settings."""
        return self.id == CONFIGURED_ID


def failed(endpoint: Endpoint, told: Told, now: datetime) -> Endpoint:
    """Return an endpoint after an attempt that failed."""
    if told.error is DeliveryError.GONE:
        return replace(
            endpoint,
            status=EndpointStatus.STOPPED,
            reason=DeliveryError.GONE.value,
            since=now,
            proven=False,
            rests_until=None,
        )
    failures = endpoint.failures + 1
    since = endpoint.failing_since or now
    rest = max(told.retry_after or timedelta(), _doubled(_FIRST_REST, failures - 1, _LONGEST_REST))
    changed = replace(endpoint, failures=failures, failing_since=since, proven=False, rests_until=now + rest)
    if endpoint.status is EndpointStatus.ACTIVE and (failures < MOST_FAILURES or now - since < FAILING_FOR):
        return changed
    if endpoint.status is EndpointStatus.STOPPED or endpoint.reason == BY_HAND:
        return changed
    probe = _doubled(_FIRST_PROBE, failures - MOST_FAILURES, _LONGEST_PROBE)
    return replace(
        changed,
        status=EndpointStatus.PAUSED,
        reason=(told.error or DeliveryError.STATUS).value,
        since=endpoint.since if endpoint.status is EndpointStatus.PAUSED else now,
        rests_until=now + max(rest, probe),
    )


def succeeded(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint after an attempt that succeeded: what failures began is over."""
    cleared = replace(endpoint, failures=0, failing_since=None, proven=True, rests_until=None)
    if endpoint.status is EndpointStatus.PAUSED and endpoint.reason != BY_HAND:
        return replace(cleared, status=EndpointStatus.ACTIVE, reason=None, since=None)
    return cleared


def paused(endpoint: Endpoint, now: datetime) -> Endpoint:
    """Return an endpoint to which nothing is sent until somebody says so; what happens meanwhile waits."""
    if endpoint.status is EndpointStatus.PAUSED and endpoint.reason == BY_HAND:
        return endpoint
    return replace(endpoint, status=EndpointStatus.PAUSED, reason=BY_HAND, since=now, rests_until=None)


def resumed(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that is sent to again, whyever it was not."""
    return replace(
        endpoint,
        status=EndpointStatus.ACTIVE,
        reason=None,
        since=None,
        failures=0,
        failing_since=None,
        rests_until=None,
    )


@lru_cache(maxsize=8192)
def origin(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of a URL, None for what is no http(s) URL.

    Nor for one that is not plainly written: parsers differ over what stands before an @ or behind a backslash. Those
    of all endpoints are asked for with each task that has an URL of its own, so they are remembered.
    """
    if not _PLAIN_URL.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    # Port 0 is none that could be called, and never the usual one.
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or port == 0:
        return None
    # One dot at the end is the root of all names; a host with an empty part is nobody's name.
    host = parts.hostname.removesuffix(".")
    if not all(host.split(".")):
        return None
    return parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme]


def target(endpoint: Endpoint, notify_url: str | None) -> str:
    """Return where a task's notifications go: its own URL where that has the endpoint's origin, else that one's."""
    if notify_url is not None and origin(notify_url) == origin(endpoint.url) is not None:
        return notify_url
    return endpoint.url


def _doubled(first: timedelta, times: int, most: timedelta) -> timedelta:
    return min(most, first * 2.0 ** min(max(times, 0), 32))
