"""What the service says, as values; read strictly where we act on it, and kept whole besides.

A field that is missing or of another kind raises ValueError, a field that we do not know is no fault: a newer service
may say more.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import UUID

ENDED = frozenset({"succeeded", "partial", "failed", "lost", "cancelled"})

_Kind = TypeVar("_Kind", str, int, bool)


@dataclass(frozen=True, slots=True)
class Remark:
    """A field of a request and what is to be said of it."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """The audio of one result in the service's storage. ``url``: its path, ``size`` in bytes, ``sha256`` in hex."""

    status: str
    url: str | None
    size: int | None
    sha256: str | None
    media_type: str | None
    duration_seconds: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """One output of a task; ``via`` tells how it first became known: callback, poll or submit."""

    id: str
    index: int
    via: str
    late: bool
    seed: int | None
    cost_usd: float | None
    received_at: datetime
    artifact: Artifact


@dataclass(frozen=True, slots=True)
class Input:
    """A reference audio that the service holds; ``size`` in bytes, ``sha256`` in hex."""

    id: str
    sha256: str
    size: int
    duration_seconds: float | None

    @property
    def reference(self) -> str:
        """What goes into a request as its ``reference_audio``."""
        return f"input:{self.id}"


@dataclass(frozen=True, slots=True)
class TaskError:
    """One reason why a task failed. ``retryable``: the same request may succeed another time."""

    code: str
    message: str
    retryable: bool
    provider_code: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a task under way waits for, in one word and in a sentence; ``until`` is when the service acts next."""

    what: str
    message: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Task:
    """One generation. ``document`` is all that the service said of it, as it said it."""

    id: str
    provider: str
    model: str | None
    status: str
    overdue: bool
    created_at: datetime
    submitted_at: datetime | None
    settled_at: datetime | None
    completed_at: datetime | None
    deadline_at: datetime | None
    erased_at: datetime | None
    waiting: Waiting | None
    metadata: Mapping[str, object]
    warnings: tuple[Remark, ...]
    provider_task_id: str | None
    request: Mapping[str, object]
    results: tuple[Result, ...]
    errors: tuple[TaskError, ...]
    cost_usd: float | None
    polls: int
    callbacks: int
    document: Mapping[str, object] = field(repr=False)

    @property
    def ended(self) -> bool:
        """True when nothing further is waited for."""
        return self.status in ENDED

    @property
    def expected(self) -> int:
        """How many results were asked for."""
        count = self.request.get("count")
        return count if isinstance(count, int) else 1

    @property
    def stored(self) -> int:
        """How many results have their audio in the service's storage."""
        return sum(result.artifact.status == "stored" for result in self.results)


@dataclass(frozen=True, slots=True)
class Page:
    """Tasks, newest first; ``next_cursor`` asks for the following ones."""

    tasks: tuple[Task, ...]
    next_cursor: str | None
    document: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a task's timeline; ``id`` grows over all tasks, ``seq`` counts within its own."""

    id: int
    task_id: str
    seq: int
    type: str
    at: datetime
    data: Mapping[str, object]
    document: Mapping[str, object] = field(repr=False)


def document_of(body: bytes) -> Mapping[str, object]:
    """Read the JSON object of an answer."""
    return part({"the body": json.loads(body)}, "the body")


def task_of(document: Mapping[str, object]) -> Task:
    """Read one task."""
    return Task(
        id=_identifier(document),
        provider=one(document, "provider", str),
        model=maybe(document, "model", str),
        status=one(document, "status", str),
        overdue=one(document, "overdue", bool),
        created_at=time_of(document, "created_at"),
        submitted_at=maybe_time(document, "submitted_at"),
        settled_at=maybe_time(document, "settled_at"),
        completed_at=maybe_time(document, "completed_at"),
        deadline_at=maybe_time(document, "deadline_at"),
        erased_at=maybe_time(document, "erased_at"),
        waiting=_waiting(document),
        metadata=part(document, "metadata"),
        warnings=tuple(remark_of(item) for item in objects(document, "warnings")),
        provider_task_id=maybe(document, "provider_task_id", str),
        request=part(document, "request"),
        results=tuple(result_of(item) for item in objects(document, "results")),
        errors=tuple(_error(item) for item in objects(document, "errors")),
        cost_usd=maybe_number(document, "cost_usd"),
        polls=one(document, "polls", int),
        callbacks=one(document, "callbacks", int),
        document=document,
    )


def page_of(document: Mapping[str, object]) -> Page:
    """Read one page of tasks."""
    tasks = tuple(task_of(item) for item in objects(document, "data"))
    return Page(tasks, maybe(document, "next_cursor", str), document)


def input_of(document: Mapping[str, object]) -> Input:
    """Read what the service holds of a reference audio."""
    return Input(
        id=one(document, "id", str),
        sha256=one(document, "sha256", str),
        size=one(document, "bytes", int),
        duration_seconds=maybe_number(document, "duration_seconds"),
    )


def events_of(document: Mapping[str, object]) -> tuple[Event, ...]:
    """Read a timeline."""
    return tuple(event_of(item) for item in objects(document, "data"))


def remark_of(document: Mapping[str, object]) -> Remark:
    """Read what is said of one field."""
    return Remark(one(document, "field", str), one(document, "message", str))


def objects(document: Mapping[str, object], name: str) -> tuple[Mapping[str, object], ...]:
    """Read a list of objects."""
    value = document.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _wrong(name, "no list of objects")
    return tuple(value)


def maybe(document: Mapping[str, object], name: str, kind: type[_Kind]) -> _Kind | None:
    """Read a value that may be null or absent."""
    return None if document.get(name) is None else one(document, name, kind)


def _waiting(document: Mapping[str, object]) -> Waiting | None:
    """Read what is waited for; a service of an earlier version does not say."""
    if document.get("waiting") is None:
        return None
    waiting = part(document, "waiting")
    return Waiting(one(waiting, "for", str), one(waiting, "message", str), maybe_time(waiting, "until"))


def result_of(document: Mapping[str, object]) -> Result:
    """Read one result."""
    return Result(
        id=_identifier(document),
        index=one(document, "index", int),
        via=one(document, "via", str),
        late=one(document, "late", bool),
        seed=maybe(document, "seed", int),
        cost_usd=maybe_number(document, "cost_usd"),
        received_at=time_of(document, "received_at"),
        artifact=_artifact(part(document, "artifact")),
    )


def _artifact(document: Mapping[str, object]) -> Artifact:
    return Artifact(
        status=one(document, "status", str),
        url=maybe(document, "url", str),
        size=maybe(document, "bytes", int),
        sha256=maybe(document, "sha256", str),
        media_type=maybe(document, "media_type", str),
        duration_seconds=maybe_number(document, "duration_seconds"),
    )


def _error(document: Mapping[str, object]) -> TaskError:
    return TaskError(
        code=one(document, "code", str),
        message=one(document, "message", str),
        retryable=one(document, "retryable", bool),
        provider_code=maybe(document, "provider_code", str),
    )


def event_of(document: Mapping[str, object]) -> Event:
    """Read one event."""
    return Event(
        id=one(document, "id", int),
        task_id=one(document, "task_id", str),
        seq=one(document, "seq", int),
        type=one(document, "type", str),
        at=time_of(document, "at"),
        data=part(document, "data"),
        document=document,
    )


def one(document: Mapping[str, object], name: str, kind: type[_Kind]) -> _Kind:
    """Read a value of one kind."""
    value = document.get(name)
    # The very type: True is a number to Python, not to JSON.
    if isinstance(value, kind) and type(value) is kind:
        return value
    raise _wrong(name, f"no {kind.__name__}")


def part(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Read an object within an object."""
    value = document.get(name)
    if not isinstance(value, dict):
        raise _wrong(name, "no object")
    return value


def maybe_number(document: Mapping[str, object], name: str) -> float | None:
    """Read a number that may be null or absent."""
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, "no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _wrong(name, "beyond all numbers")
    return number


def time_of(document: Mapping[str, object], name: str) -> datetime:
    """Read a moment, which names its zone."""
    moment = datetime.fromisoformat(one(document, name, str))
    if moment.tzinfo is None:
        raise _wrong(name, "without a time zone")
    return moment


def maybe_time(document: Mapping[str, object], name: str) -> datetime | None:
    """Read a moment that may be null or absent."""
    return None if document.get(name) is None else time_of(document, name)


def _identifier(document: Mapping[str, object]) -> str:
    """Read an id of ours: a UUID, and so fit for a path and for the name of a file."""
    return str(UUID(one(document, "id", str)))


def _wrong(name: str, what: str) -> ValueError:
    return ValueError(f"{name} is {what}")
