"""What is true now, for the metrics: asked of the store when somebody looks, at most every few seconds."""

import asyncio
import logging
from datetime import timedelta

from receiver.domain.endpoint import EndpointStatus
from receiver.domain.result import LINK_AT_RISK
from receiver.domain.task import Status
from receiver.lifecycle.ports import Ports, Queue
from receiver.web.context import Context
from receiver.web.faults import log_fault
from receiver.web.health import Readiness

#: One look serves all who ask within this time: anybody may, where the metrics are public.
FRESH_SECONDS = 2.0
#: A store that does not answer within this time tells nothing.
STORE_SECONDS = 5.0
#: Why a provider rests, and the other reasons there may be, of which a series is made when they occur.
PAUSES = ("auth", "balance", "rate")
_OPEN = tuple(status for status in Status if not status.terminal)
_OF_THE_STORE = (
    "tasks_open",
    "tasks_overdue",
    "oldest_due_seconds",
    "links_dying",
    "provider_paused",
    "endpoints",
    "oldest_delivery_seconds",
)
#: Audio that waits for less than this is under way like any other, however short its link lives.
_PATIENCE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
_log = logging.getLogger("receiver.web")


class Gauges:
    """Looks around and says what there is; what cannot be seen is not said, rather than said as it was once."""

    def __init__(self, context: Context, readiness: Readiness) -> None:
        """Take where to look."""
        self._context = context
        self._readiness = readiness
        self._lock = asyncio.Lock()
        self._looked_at: float | None = None

    async def take(self) -> None:
        """Bring every gauge up to date; never raises for a store that is away."""
        ports = self._context.ports
        metrics = ports.metrics
        metrics.gauge("streams_open", self._context.streams.inside)
        metrics.gauge("waits_open", self._context.waits.inside)
        async with self._lock:
            now = ports.system.monotonic()
            if self._looked_at is not None and now - self._looked_at < FRESH_SECONDS:
                return
            ready, _ = await asyncio.gather(self._readiness.ready(), self._ask_the_store(ports))
            metrics.gauge("ready", ready)
            metrics.gauge("database_write_trouble", ports.store.trouble is not None)
            self._looked_at = ports.system.monotonic()

    async def _ask_the_store(self, ports: Ports) -> None:
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await _tasks(ports)
                await _due(ports)
                await _pauses(ports)
                await _endpoints(ports)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other measures are still to be told
            log_fault(_log, "gauges_fault", error)
            for name in _OF_THE_STORE:
                ports.metrics.forget(name)


async def _tasks(ports: Ports) -> None:
    found = await ports.store.under_way()
    for provider in ports.providers:
        for status in _OPEN:
            standing = sum(part.tasks for part in found if (part.provider, part.status) == (provider, status))
            ports.metrics.gauge("tasks_open", standing, provider=provider, status=status.value)
        overdue = sum(part.tasks for part in found if part.provider == provider and part.overdue)
        ports.metrics.gauge("tasks_overdue", overdue, provider=provider)


async def _due(ports: Ports) -> None:
    due, now = await ports.store.next_due(), ports.system.now()
    for queue in Queue:
        seconds = max(0.0, (now - due.get(queue, now)) / _SECOND)
        ports.metrics.gauge("oldest_due_seconds", seconds, queue=queue.value)
    dying = await ports.store.links_dying(before=now + LINK_AT_RISK, waits_since=now - _PATIENCE)
    ports.metrics.gauge("links_dying", dying)


async def _endpoints(ports: Ports) -> None:
    counted, oldest = await ports.store.outbox.standing()
    for status in EndpointStatus:
        ports.metrics.gauge("endpoints", counted.get(status, 0), status=status.value)
    waited = 0.0 if oldest is None else max(0.0, (ports.system.now() - oldest) / _SECOND)
    ports.metrics.gauge("oldest_delivery_seconds", waited)


async def _pauses(ports: Ports) -> None:
    pauses, now = await ports.store.pauses(), ports.system.now()
    ports.metrics.forget("provider_paused")
    for provider in ports.providers:
        pause = pauses.get(provider)
        reason = pause.error.code.value if pause is not None and pause.until > now else None
        for code in {*PAUSES, *([reason] if reason else [])}:
            ports.metrics.gauge("provider_paused", code == reason, provider=provider, code=code)
