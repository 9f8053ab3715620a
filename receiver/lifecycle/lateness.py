"""Lateness: how long after it fell due work was taken up, by kind of work."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from receiver.lifecycle.ports import Ports, Queue

_NONE = timedelta()
_SECOND = timedelta(seconds=1)


def observe_lateness(ports: Ports, queue: Queue, due: Iterable[datetime | None], now: datetime) -> None:
    """Record for each piece of work taken up ``now`` how late that is; work without a moment is left out."""
    late = [max(now - due_at, _NONE) / _SECOND for due_at in due if due_at is not None]
    if late:
        ports.metrics.observe("due_lateness_seconds", *late, queue=queue.value)
