"""What happened to a task, in words: the one sentence on top, and a line for each event."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from receiver.domain.adoption import unknown_there
from receiver.domain.event import EventType
from receiver.domain.report import Via
from receiver.domain.result import ArtifactStatus
from receiver.domain.task import Status, Task
from receiver.lifecycle.ports import RecordedEvent, ReportSummary
from receiver.web.dashboard.deliveries import why
from receiver.web.dashboard.words import amount, counted, span

#: A report came of a look or a submit that was written down within this time of it.
_TOGETHER = timedelta(seconds=2)
OUTCOMES = {
    "accepted": "taken",
    "refused": "refused",
    "paused": "turned away for now",
    "not_sent": "not sent",
    "unclear": "sent, no clear answer",
    "interrupted": "cut short by a restart of ours",
}
_WERE_STORED = frozenset({ArtifactStatus.STORED, ArtifactStatus.ERASED})
_TONES = {
    "good": frozenset({EventType.TASK_SUCCEEDED, EventType.RESULT_STORED, EventType.DELIVERY_SENT}),
    "partly": frozenset(
        {
            EventType.TASK_UNKNOWN,
            EventType.TASK_OVERDUE,
            EventType.TASK_PARTIAL,
            EventType.CALLBACK_QUARANTINED,
            EventType.CALLBACK_CONFLICT,
        }
    ),
    "bad": frozenset(
        {
            EventType.TASK_FAILED,
            EventType.TASK_LOST,
            EventType.RESULT_FAILED,
            EventType.DELIVERY_FAILED,
            EventType.DELIVERY_DEAD,
        }
    ),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline. ``since`` is how long after the line before it; ``why`` may hold strangers' words."""

    seq: int
    at: datetime
    after: float
    since: float | None
    type: str
    title: str
    why: str
    tone: str
    report_id: UUID | None = None
    attempt: int | None = None


def timeline(
    task: Task,
    events: Sequence[RecordedEvent],
    reports: Sequence[ReportSummary],
    on_the_wire: Collection[int] = (),
) -> list[Line]:
    """Return the lines of a timeline, each report beside the event it belongs to.

    ``on_the_wire`` are the attempts of which it is kept what went over the wire.
    """
    known = {str(report.id): report.id for report in reports}
    beside = _answers(events, [report for report in reports if report.via is not Via.CALLBACK])
    lines: list[Line] = []
    before: datetime | None = None
    for event in events:
        title, why = _words(task, event)
        tone = next((tone for tone, types in _TONES.items() if event.type in types), "")
        # The lines of an erased task say nothing of how it went.
        if event.type == EventType.ATTEMPT_MADE and event.data.get("outcome", "accepted") != "accepted":
            tone = "partly"
        lines.append(
            Line(
                seq=event.seq,
                at=event.at,
                after=(event.at - task.created_at).total_seconds(),
                since=None if before is None else (event.at - before).total_seconds(),
                type=event.type,
                title=title,
                why=why,
                tone=tone,
                report_id=known.get(str(event.data.get("report_id"))) or beside.get(event.seq),
                attempt=_attempt_of(event, on_the_wire),
            )
        )
        before = event.at
    return lines


def _attempt_of(event: RecordedEvent, on_the_wire: Collection[int]) -> int | None:
    ordinal = event.data.get("attempt") if event.type == EventType.ATTEMPT_MADE else None
    return ordinal if isinstance(ordinal, int) and ordinal in on_the_wire else None


def _answers(events: Sequence[RecordedEvent], reports: Sequence[ReportSummary]) -> dict[int, UUID]:
    """Return which answer belongs to which look or submit: the next of its kind written down at about that time."""
    kinds = {EventType.POLL_ANSWERED: Via.POLL, EventType.ATTEMPT_MADE: Via.SUBMIT}
    left = list(reports)
    found: dict[int, UUID] = {}
    for event in events:
        via = next((via for kind, via in kinds.items() if kind == event.type), None)
        fits = [each for each in left if each.via is via and abs(each.received_at - event.at) < _TOGETHER]
        if fits:
            found[event.seq] = fits[0].id
            left.remove(fits[0])
    return found


def story(task: Task) -> str:
    """Return what happened in one sentence, none of it a stranger's words."""
    # Audio that was let go after its time was stored once.
    stored = sum(result.artifact.status in _WERE_STORED for result in task.results)
    took = (
        "" if task.completed_at is None else f" after {span((task.completed_at - task.created_at).total_seconds())}"
    )
    had = f"{stored} of {counted(task.expected, 'result')} stored"
    vias = sorted({result.via.value for result in task.results})
    by = {"callback": "by callback", "poll": "by our own look", "submit": "with the answer to the submit"}
    told = f", told {' and '.join(by[via] for via in vias)}" if vias else ""
    if task.status is Status.SUBMITTED and unknown_there(task) is not None:
        return f"{task.provider} has shown no trace of it."
    stories = _STORIES if task.erased_at is None else _STORIES_OF_HUSKS
    return stories[task.status].format(provider=task.provider, took=took, had=had, told=told)


_STORIES: Mapping[Status, str] = {
    Status.QUEUED: "It waits to be sent to {provider}.",
    Status.SUBMITTED: "{provider} is making it.",
    Status.UNKNOWN: "It was sent and no clear answer came: whether {provider} has it is being found out.",
    Status.COLLECTING: "{provider} has made it; its audio is being fetched: {had}.",
    Status.SUCCEEDED: "It is done{took}: {had}{told}.",
    Status.PARTIAL: "It is done in part{took}: {had}{told}.",
    Status.FAILED: "It failed{took}: no audio could be had.",
    Status.LOST: "It was given up{took}: {provider} never told what became of it. Should it still, it is found.",
    Status.CANCELLED: "It was cancelled{took}: nobody waits for it. What it cost and gave is recorded all the same.",
}


#: Of an erased task it is not known any more how much was stored, and what still comes changes nothing.
_STORIES_OF_HUSKS: Mapping[Status, str] = {
    **_STORIES,
    Status.SUCCEEDED: "It was done{took}{told}.",
    Status.PARTIAL: "It was done in part{took}{told}.",
    Status.LOST: "It was given up{took}: {provider} never told what became of it.",
    Status.CANCELLED: "It was cancelled{took}.",
}


def _words(task: Task, event: RecordedEvent) -> tuple[str, str]:
    """Return the title of a line and what stands behind it."""
    data = event.data
    say = _LINES.get(event.type)
    if say is not None:
        return say(task, data)
    ended = f"{data.get('stored')} of {data.get('expected')} stored" if "stored" in data else ""
    return _PLAIN.get(event.type, event.type), "; ".join(
        part for part in (ended, _text(data, "code"), _reason(data)) if part
    )


def _created(task: Task, _: Mapping[str, object]) -> tuple[str, str]:
    return "You asked for it", f"{counted(task.expected, 'result')} of {task.provider}, {task.model or 'adopted'}"


def _attempt(task: Task, data: Mapping[str, object]) -> tuple[str, str]:
    if not data:
        return f"Sent to {task.provider}", ""
    outcome = OUTCOMES.get(str(data.get("outcome")), str(data.get("outcome")))
    answered = data.get("http_status")
    status = f"HTTP {answered}, " if answered is not None else ""
    if answered is not None and data.get("outcome") == "unclear":
        outcome, status = f"it answered {answered}, unclear whether it took it", ""
    seconds = data.get("seconds")
    took = span(seconds) if isinstance(seconds, int | float) else "?"
    title = f"Sent to {task.provider}, attempt {data.get('attempt')}: {outcome} ({status}{took})"
    return title, _reason(data)


def _submitted(task: Task, data: Mapping[str, object]) -> tuple[str, str]:
    # That the provider has one that was adopted only its caller says.
    title = f"{task.provider} is asked about it" if task.request.adopted and data else f"{task.provider} has it"
    return title, _text(data, "provider_task_id")


def _looked(task: Task, data: Mapping[str, object]) -> tuple[str, str]:
    return f"We asked {task.provider}", _answer(data) if data else ""


def _called(task: Task, data: Mapping[str, object]) -> tuple[str, str]:
    size = data.get("bytes")
    return f"{task.provider} called back", amount(size) if isinstance(size, int) else ""


def _known(task: Task, data: Mapping[str, object]) -> tuple[str, str]:
    if not data:
        return "A result became known", ""
    late = ", after the task had ended" if data.get("late") else ""
    return f"{_named(task, data).capitalize()} became known", f"by {data.get('via')}{late}"


def _named(task: Task, data: Mapping[str, object]) -> str:
    return next(
        (f"result {each.index}" for each in task.results if str(each.id) == data.get("result_id")), "a result"
    )


_LINES: Mapping[str, Callable[[Task, Mapping[str, object]], tuple[str, str]]] = {
    EventType.TASK_CREATED: _created,
    EventType.ATTEMPT_MADE: _attempt,
    EventType.TASK_SUBMITTED: _submitted,
    EventType.POLL_ANSWERED: _looked,
    EventType.CALLBACK_RECEIVED: _called,
    EventType.CALLBACK_DUPLICATE: lambda _, __: ("The same callback came again", ""),
    EventType.RESULT_RECEIVED: _known,
    EventType.RESULT_STORED: lambda task, data: (f"The audio of {_named(task, data)} is stored", _audio(data)),
    EventType.RESULT_FAILED: lambda task, data: (
        f"The audio of {_named(task, data)} could not be had",
        _reason(data),
    ),
    EventType.TASK_SETTLED: lambda _, data: ("The outcome is known", _settled(data)),
    EventType.DELIVERY_SENT: lambda _, data: ("Your application was told", _delivery(data)),
    EventType.DELIVERY_FAILED: lambda _, data: ("Your application could not be told yet", _delivery(data)),
    EventType.DELIVERY_DEAD: lambda _, data: ("Telling your application was given up", _delivery(data)),
}
_PLAIN: Mapping[str, str] = {
    EventType.TASK_UNKNOWN: "No clear answer came",
    EventType.TASK_OVERDUE: "Past its deadline: looked at more slowly from now on",
    EventType.TASK_SUCCEEDED: "Done",
    EventType.TASK_PARTIAL: "Done in part",
    EventType.TASK_FAILED: "Failed",
    EventType.TASK_LOST: "Given up",
    EventType.TASK_FOUND: "Found after all",
    EventType.TASK_CANCELLED: "Cancelled",
    EventType.TASK_ERASED: "Erased",
    EventType.CALLBACK_QUARANTINED: "A callback was set aside",
    EventType.CALLBACK_CONFLICT: "A callback is at odds with what was known",
}


def _answer(data: Mapping[str, object]) -> str:
    parts = [
        counted(count, one)
        for name, one in (("outputs", "output"), ("failures", "failure"))
        if isinstance(count := data.get(name), int) and count
    ]
    if data.get("pending"):
        parts.append("still being made")
    oddities = data.get("oddities")
    if isinstance(oddities, list | tuple) and oddities:
        parts.append("words that are not known: " + ", ".join(str(each) for each in oddities))
    return ", ".join(parts) or "nothing new"


def _audio(data: Mapping[str, object]) -> str:
    size, seconds = data.get("bytes"), data.get("duration_seconds")
    parts = [
        _text(data, "media_type"),
        amount(size) if isinstance(size, int) else "",
        span(seconds) if isinstance(seconds, int | float) else "",
    ]
    return "; ".join(part for part in (", ".join(part for part in parts if part), _tried(data)) if part)


def tries(events: Sequence[RecordedEvent]) -> Mapping[str, str]:
    """Return how often it was tried to store results, by their ids, where it took more than one try."""
    stored = (event.data for event in events if event.type == EventType.RESULT_STORED)
    return {str(data.get("result_id")): words for data in stored if (words := _tried(data))}


def _tried(data: Mapping[str, object]) -> str:
    count, fault = data.get("tries"), _text(data, "last_fault")
    if count is None:
        return ""
    return f"stored at try {count}" + (f", the last fault: {fault}" if fault else "")


def _settled(data: Mapping[str, object]) -> str:
    results, failed = data.get("results"), data.get("failed")
    told = counted(results, "result") if isinstance(results, int) else ""
    return f"{told}, {failed} failed" if failed else told


def _delivery(data: Mapping[str, object]) -> str:
    """Return what was to be told, and how that went."""
    error, status, tried = data.get("error"), data.get("status_code"), data.get("attempts")
    parts = [
        str(data.get("of", "")),
        f"attempt {tried}" if tried else "",
        f"HTTP {status}" if status is not None and error is None else "",
        "" if error is None else why(str(error), status if isinstance(status, int) else None),
        f"next at {_text(data, 'next_attempt_at')}" if data.get("next_attempt_at") else "",
    ]
    return ", ".join(part for part in parts if part)


def _reason(data: Mapping[str, object]) -> str:
    return _text(data, "reason") or _text(data, "message") or _text(data, "detail")


def _text(data: Mapping[str, object], name: str) -> str:
    value = data.get(name)
    return "" if value is None else str(value)
