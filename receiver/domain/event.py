"""One line of a task's timeline: append-only, written in the transaction that caused it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from receiver.domain.values import Word, quick


class EventType(Word):
    """Every type of event there is; users match on these words."""

    TASK_CREATED = "task.created"
    TASK_SUBMITTED = "task.submitted"
    TASK_UNKNOWN = "task.unknown"
    TASK_OVERDUE = "task.overdue"
    TASK_SETTLED = "task.settled"
    TASK_SUCCEEDED = "task.succeeded"
    TASK_PARTIAL = "task.partial"
    TASK_FAILED = "task.failed"
    TASK_LOST = "task.lost"
    TASK_FOUND = "task.found"
    TASK_CANCELLED = "task.cancelled"
    TASK_ERASED = "task.erased"
    ATTEMPT_MADE = "attempt.made"
    CALLBACK_RECEIVED = "callback.received"
    CALLBACK_DUPLICATE = "callback.duplicate"
    CALLBACK_QUARANTINED = "callback.quarantined"
    CALLBACK_CONFLICT = "callback.conflict"
    POLL_ANSWERED = "poll.answered"
    RESULT_RECEIVED = "result.received"
    RESULT_STORED = "result.stored"
    RESULT_FAILED = "result.failed"
    RESULT_ERASED = "result.erased"
    DELIVERY_SENT = "delivery.sent"
    DELIVERY_FAILED = "delivery.failed"
    DELIVERY_DEAD = "delivery.dead"


@quick
@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a task. ``data`` holds JSON values only, never bodies, tokens or links.

    The number in the task's unbroken sequence and the global id are given by the store.
    """

    type: EventType
    at: datetime
    data: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
