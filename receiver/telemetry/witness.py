"""What became of each task: counted, and said in the log, once it is durable. Every line names the task."""

import logging
from collections import Counter
from collections.abc import Sequence

from receiver.domain.event import Event, EventType
from receiver.domain.report import Via
from receiver.domain.task import Change, Task
from receiver.domain.usual import FIRST_TOLD, LAST_TOLD, Arrival, Done
from receiver.lifecycle.ports import Metrics

#: Said by default: one line for a task, at its end, and what is out of the ordinary. All else is for a closer look:
#: at 3,000 callbacks a second it would be 15,000 lines, and strangers decide how many callbacks are set aside.
_UNUSUAL = {
    EventType.TASK_UNKNOWN: logging.INFO,
    EventType.TASK_OVERDUE: logging.INFO,
    EventType.TASK_FOUND: logging.INFO,
}
_ENDS = {
    EventType.TASK_SUCCEEDED: logging.INFO,
    EventType.TASK_PARTIAL: logging.INFO,
    EventType.TASK_FAILED: logging.INFO,
    EventType.TASK_CANCELLED: logging.INFO,
    EventType.TASK_LOST: logging.WARNING,
}
SAID = {**_UNUSUAL, **_ENDS}
_RECEIVED = EventType.RESULT_RECEIVED
#: What a line repeats of an event: our own words and numbers, none that a provider or a caller wrote.
_TOLD = ("report_id", "result_id", "index", "via", "of", "code", "late", "results", "failed", "stored", "expected")
#: Names that a line of the log has of itself.
_EVENTS = {kind: kind.value.replace(".", "_") for kind in EventType}


class Witness:
    """Is told every change once its transaction stands; what it does with it must not fail the step that made it."""

    def __init__(self, metrics: Metrics) -> None:
        """Take what to count by."""
        self._metrics = metrics
        self._log = logging.getLogger("receiver.task")

    def __call__(self, changes: Sequence[Done]) -> None:
        """Count and tell the events of ``changes``."""
        try:
            full = [change for change in changes if isinstance(change, Change)]
            self._count(full, [change for change in changes if isinstance(change, Arrival)])
            # The log is asked once: of a batch's thousand events it takes none, by default.
            all_are_said = self._log.isEnabledFor(logging.DEBUG)
            for change in changes if all_are_said else full:
                for event in change.events:
                    if all_are_said or event.type in SAID:
                        self._tell(change, event)
        except Exception:  # noqa: BLE001 - what is durable must not look as though it had failed
            self._log.exception("witness_failed")

    def _count(self, full: Sequence[Change], usual: Sequence[Arrival]) -> None:
        # Together: a batch has a thousand events of a few types. Of a usual callback they are known beforehand.
        events = Counter([(change.task.provider, event.type) for change in full for event in change.events])
        results = Counter(
            [
                (change.task.provider, change.task.pushed, str(event.data.get("via")))
                for change in full
                for event in change.events
                if event.type is _RECEIVED
            ]
        )
        alike = Counter([(arrival.task.provider, arrival.task.pushed, arrival.is_last) for arrival in usual])
        for (provider, pushed, is_last), amount in alike.items():
            for kind in LAST_TOLD if is_last else FIRST_TOLD:
                events[provider, kind] += amount
            results[provider, pushed, Via.CALLBACK.value] += amount
        for (provider, kind), amount in events.items():
            self._metrics.count("events", amount, provider=provider, type=kind.value)
        for (provider, pushed, via), amount in results.items():
            self._metrics.count("results", amount, provider=provider, pushed=str(pushed).lower(), via=via)

    def _tell(self, change: Done, event: Event) -> None:
        task, ends = change.task, _ENDS.get(event.type)
        level = SAID.get(event.type, logging.DEBUG)
        if not self._log.isEnabledFor(level):
            return
        fields: dict[str, object] = {"task_id": str(task.id), "provider": task.provider}
        attempt = change.attempt if isinstance(change, Change) else None
        if event.type is EventType.ATTEMPT_MADE and attempt is not None:
            fields["attempt"] = attempt.ordinal
            fields["outcome"] = attempt.outcome.value if attempt.outcome else None
            fields["http_status"] = attempt.http_status
        fields |= {name: event.data[name] for name in _TOLD if name in event.data}
        if ends is not None and isinstance(task, Task):
            fields |= _end(task, event)
        self._log.log(level, "task_ended" if ends else _EVENTS[event.type], extra=fields)


def _end(task: Task, event: Event) -> dict[str, object]:
    """Return what is said of a task at its end: how, after how long, and through which channel it became known."""
    return {
        "status": event.type.value.removeprefix("task."),
        "seconds": round((event.at - task.created_at).total_seconds(), 3),
        "via": "+".join(sorted({result.via.value for result in task.results})) or None,
        "attempts": task.attempts,
        "polls": task.polls,
        "callbacks": task.callbacks,
    }
