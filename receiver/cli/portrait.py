"""One task as a person reads it: what it is, what came of it, and its timeline."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from rich.text import Text

from receiver.cli import screen
from receiver.cli.awaited import awaited
from receiver.cli.phrases import phrase
from receiver.cli.screen import foreign, ours
from receiver.cli.words import age, amount, moment, money, span
from receiver.sdk import Event, Result, Task, TaskError

_LEAST_INDENT = 13
_LEAST_ROOM = 20
_DIM = "dim"
_RESULT_INDENT = 5
_SHORT_ID = 8
_NO_FILES: Mapping[str, Path] = MappingProxyType({})
_LABELS = {
    "reference_audio": "reference",
    "output_format": "format",
    "output_type": "output type",
    "sample_rate": "sample rate",
    "ttl_seconds": "link lives",
    "include_cost": "report cost",
    "upload_endpoint": "upload to",
    "provider_options": "options",
    "deadline_seconds": "deadline",
}
_UNITS = {"sample_rate": "Hz", "bitrate": "bit/s"}
_STORED = {"succeeded": "its audio was stored", "partial": "the audio there is was stored"}
_SENTENCES = frozenset({"message", "detail"})
_SHOWN_ELSEWHERE = frozenset({"provider", "model"})
_OUTCOMES = {
    "green": frozenset({"task.succeeded", "result.stored", "delivery.sent"}),
    "yellow": frozenset(
        {"task.unknown", "task.overdue", "task.partial", "callback.quarantined", "callback.conflict"}
    ),
    "red": frozenset({"task.failed", "task.lost", "result.failed", "delivery.failed", "delivery.dead"}),
}


def portrait(
    task: Task,
    now: datetime,
    *,
    events: Sequence[Event] | None = None,
    files: Mapping[str, Path] = _NO_FILES,
    width: int | None,
) -> list[Text]:
    """Return the lines of a task, unbroken where ``width`` is None; ``files`` names saved results by their ids."""
    page = _Page(width)
    title = foreign(task.id, "bold").append("  ").append_text(foreign(task.status, screen.status_style(task.status)))
    if task.overdue and not task.ended:
        title.append(", overdue", "yellow")
    page.lines.append(title)
    page.facts(_facts(task, now))
    page.heading("Request")
    page.facts(_request(task))
    if task.warnings:
        page.heading("Warnings")
        page.facts([(warning.field, foreign(warning.message)) for warning in task.warnings])
    if task.errors:
        page.heading("Errors")
        page.facts([(error.code, _error(error)) for error in task.errors])
    if task.results:
        page.heading("Results")
        for result in task.results:
            _result(page, task, result, files.get(result.id))
        if any(_is_too_long(result, width) and result.id not in files for result in task.results):
            page.facts([("audio", foreign(f"receiver task {task.id[:_SHORT_ID]} --out DIR"))])
    if events is not None:
        page.heading("Timeline")
        _timeline(page, task, events)
    return page.lines


def outcome_style(kind: str) -> str:
    """Return the colour of a type of event; none for what is no outcome."""
    return next((style for style, types in _OUTCOMES.items() if kind in types), "")


class _Page:
    """Lines that grow; texts are broken at the width and stay within their column."""

    def __init__(self, width: int | None) -> None:
        self.width = width
        self.lines: list[Text] = []

    def heading(self, text: str) -> None:
        self.lines += [ours(""), ours(text, "bold")]

    def whole(self, line: Text) -> None:
        """Add a line that is for copying, and so is never broken by us."""
        self.lines.append(line)

    def facts(self, facts: Sequence[tuple[str, Text]]) -> None:
        """Add labelled values, all in one column."""
        indent = max((len(screen.escaped(label)) for label, _ in facts), default=0) + 4
        for label, value in facts:
            self.hung(ours("  ").append_text(foreign(label, _DIM)), value, indent=max(indent, _LEAST_INDENT))

    def hung(self, head: Text, body: Text, *, indent: int) -> None:
        """Add ``body`` behind ``head``; its further lines hang below its first."""
        head.append(" " * (indent - head.cell_len))
        if self.width is None:
            pieces = list(body.split("\n", allow_blank=True))
        else:
            pieces = list(body.wrap(screen.console(), max(self.width - indent, _LEAST_ROOM)))
        for at, piece in enumerate(pieces):
            whole = (ours(" " * indent) if at else head).append_text(piece)
            whole.rstrip()
            self.lines.append(whole)


def _facts(task: Task, now: datetime) -> list[tuple[str, Text]]:
    facts: list[tuple[str, Text]] = []
    if task.waiting is not None and not task.ended:
        facts.append(("waiting", foreign(awaited(task.waiting, now), "yellow")))
    facts.append(("provider", foreign(f"{task.provider}, {task.model or 'model not known'}")))
    if task.provider_task_id is not None and task.provider_task_id != task.id:
        facts.append(("provider id", foreign(task.provider_task_id)))
    facts.append(("created", ours(f"{moment(task.created_at)}, {age((now - task.created_at).total_seconds())} ago")))
    facts += [
        (label, ours(f"{_after(task, time)}{meaning and f', {meaning}'}"))
        for label, time, meaning in _times(task)
        if time is not None
    ]
    facts.append(("told by", ours(f"{_counted(task.callbacks, 'callback')}, {_counted(task.polls, 'poll')}")))
    if task.cost_usd is not None:
        facts.append(("cost", ours(money(task.cost_usd))))
    facts += [("metadata", foreign(f"{name}={value}")) for name, value in task.metadata.items()]
    return facts


def _times(task: Task) -> list[tuple[str, datetime | None, str]]:
    """Return what happened when, in order, and what that means where its name alone does not say it."""
    stored = _STORED.get(task.status)
    return [
        ("submitted", task.submitted_at, ""),
        ("settled", task.settled_at, "its outcome was known"),
        ("completed" if stored else "ended", task.completed_at, stored or ""),
        ("erased", task.erased_at, "its words and its audio are gone"),
        ("deadline", None if task.ended else task.deadline_at, ""),
    ]


def _request(task: Task) -> list[tuple[str, Text]]:
    shown = {name: value for name, value in task.request.items() if name not in _SHOWN_ELSEWHERE}
    return [
        (_LABELS.get(name, name), _value(name, value))
        for name, value in shown.items()
        if value is not None and value != {}
    ]


def _value(name: str, value: object) -> Text:
    """Return a value of the request; the lines of lyrics are lines here too."""
    if isinstance(value, bool):
        return ours("yes" if value else "no")
    if isinstance(value, int | float) and name.endswith("_seconds"):
        # Whole numbers as they are: one that is too large for a float cannot be shortened.
        return ours(f"{value:g} s" if isinstance(value, float) else f"{value} s")
    if name in _UNITS:
        return foreign(f"{value} {_UNITS[name]}")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return ours("\n").join(foreign(each) for each in text.split("\n"))


def _error(error: TaskError) -> Text:
    notes = ["the same request may succeed another time"] if error.retryable else []
    notes += [f"the provider's word: {error.provider_code}"] if error.provider_code else []
    return foreign(error.message).append_text(foreign(f" ({'; '.join(notes)})" if notes else "", _DIM))


def _result(page: _Page, task: Task, result: Result, file: Path | None) -> None:
    artifact = result.artifact
    told = [
        f"by {result.via} {_after(task, result.received_at)}",
        *(["late"] if result.late else []),
        *([span(artifact.duration_seconds)] if artifact.duration_seconds is not None else []),
        *([amount(artifact.size)] if artifact.size is not None else []),
        *([artifact.media_type] if artifact.media_type else []),
        *([money(result.cost_usd)] if result.cost_usd is not None else []),
        *([f"seed {result.seed}"] if result.seed is not None else []),
    ]
    style = {"stored": "green", "failed": "red", "expired": "red"}.get(artifact.status, "")
    head = ours(f"  {result.index}  ").append_text(foreign(artifact.status, style))
    page.hung(head, foreign(", ".join(told)), indent=_LEAST_INDENT)
    if file is not None:
        page.hung(ours(" " * _RESULT_INDENT), foreign(file), indent=_RESULT_INDENT)
    if artifact.status == "stored" and artifact.url is not None and not _is_too_long(result, page.width):
        page.whole(ours(" " * _RESULT_INDENT).append_text(foreign(artifact.url, _DIM)))
    elif file is None:
        page.hung(ours(" " * _RESULT_INDENT), foreign(f"id {result.id}", _DIM), indent=_RESULT_INDENT)
    if artifact.sha256 is not None:
        page.hung(ours(" " * _RESULT_INDENT), foreign(f"sha256 {artifact.sha256}", _DIM), indent=_RESULT_INDENT)


def _is_too_long(result: Result, width: int | None) -> bool:
    """Tell whether the link of a result's audio would be broken by the terminal, so that nobody could copy it."""
    url = result.artifact.url
    return width is not None and url is not None and len(url) + _RESULT_INDENT > width


def _timeline(page: _Page, task: Task, events: Sequence[Event]) -> None:
    times = [_after(task, event.at) for event in events]
    time_width = max((len(time) for time in times), default=0) + 2
    type_width = max((len(screen.escaped(event.type)) for event in events), default=0)
    results = {result.id: f"result {result.index}" for result in task.results}
    told: set[object] = {error.message for error in task.errors}
    for event, time in zip(events, times, strict=True):
        head = ours(f"{time:>{time_width}}  ", _DIM).append_text(foreign(event.type, outcome_style(event.type)))
        # Where we chose the provider's id it is the task's own.
        data = {name: value for name, value in event.data.items() if name != "provider_task_id" or value != task.id}
        # A refusal is told once: with the errors, else where it first came.
        texts = {name: str(value) for name, value in data.items() if name in _SENTENCES and value is not None}
        data = {name: value for name, value in data.items() if texts.get(name) not in told}
        told |= set(texts.values())
        page.hung(head, foreign(phrase(data, results)), indent=time_width + type_width + 4)


def _after(task: Task, time: datetime) -> str:
    seconds = (time - task.created_at).total_seconds()
    return f"-{span(-seconds)}" if seconds < 0 else f"+{span(seconds)}"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
