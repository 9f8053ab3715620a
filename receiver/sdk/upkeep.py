"""What the service says of reports, and of many tasks at once: erased, replayed, counted; read like ``values``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from receiver.sdk.values import maybe, maybe_number, objects, one, part, time_of


@dataclass(frozen=True, slots=True)
class Erased:
    """How many tasks one call erased; ``more`` says that it is to be repeated."""

    count: int
    more: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What a provider said of a task once, without its words; ``size`` in bytes, ``sha256`` in hex.

    ``via``: callback, poll or submit. ``sliced``: it was cut out of an answer about several tasks. ``verdict``: what
    was made of it, None while it waits.
    """

    id: str
    via: str
    received_at: datetime
    size: int
    sha256: str
    sliced: bool
    duplicate_of: str | None
    verdict: str | None
    reason: str | None
    document: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was, or would be, made of a report, and how its task stands with it; ``status`` None: no such task."""

    verdict: str
    reason: str | None
    status: str | None
    results: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """One report that was read again."""

    report_id: str
    task_id: str | None
    before: Outcome
    after: Outcome
    applied: bool


@dataclass(frozen=True, slots=True)
class Replay:
    """A page of reports, oldest first; ``next_cursor`` asks for the following ones."""

    lines: tuple[Replayed, ...]
    next_cursor: str | None
    document: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Statistics:
    """The figures of one model of one provider; ``model`` None: of adopted generations.

    ``statuses`` counts tasks by status. The seconds are from a submit to its audio in the service's storage;
    ``callback_miss_rate`` is the share of tasks, of those with a callback due, that became known by polling alone.
    """

    provider: str
    model: str | None
    tasks: int
    statuses: Mapping[str, int]
    seconds_p50: float | None
    seconds_p99: float | None
    callback_miss_rate: float | None
    polls_per_task: float | None
    cost_usd: float | None
    document: Mapping[str, object] = field(repr=False)


def reports_of(document: Mapping[str, object]) -> tuple[Report, ...]:
    """Read the reports of a task."""
    return tuple(_report(item) for item in objects(document, "data"))


def erased_of(document: Mapping[str, object]) -> Erased:
    """Read how many tasks were erased."""
    return Erased(one(document, "count", int), one(document, "more", bool))


def replay_of(document: Mapping[str, object]) -> Replay:
    """Read a page of replayed reports."""
    return Replay(
        tuple(_replayed(item) for item in objects(document, "data")), maybe(document, "next_cursor", str), document
    )


def statistics_of(document: Mapping[str, object]) -> tuple[Statistics, ...]:
    """Read the figures of every model."""
    return tuple(_statistics(item) for item in objects(document, "data"))


def _report(document: Mapping[str, object]) -> Report:
    return Report(
        id=one(document, "id", str),
        via=one(document, "via", str),
        received_at=time_of(document, "received_at"),
        size=one(document, "bytes", int),
        sha256=one(document, "sha256", str),
        sliced=one(document, "sliced", bool),
        duplicate_of=maybe(document, "duplicate_of", str),
        verdict=maybe(document, "verdict", str),
        reason=maybe(document, "reason", str),
        document=document,
    )


def _replayed(document: Mapping[str, object]) -> Replayed:
    return Replayed(
        report_id=one(document, "report_id", str),
        task_id=maybe(document, "task_id", str),
        before=_outcome(part(document, "before")),
        after=_outcome(part(document, "after")),
        applied=one(document, "applied", bool),
    )


def _outcome(document: Mapping[str, object]) -> Outcome:
    return Outcome(
        verdict=one(document, "verdict", str),
        reason=maybe(document, "reason", str),
        status=maybe(document, "status", str),
        results=one(document, "results", int),
        cost_usd=maybe_number(document, "cost_usd"),
    )


def _statistics(document: Mapping[str, object]) -> Statistics:
    seconds, statuses = part(document, "seconds"), part(document, "statuses")
    return Statistics(
        provider=one(document, "provider", str),
        model=maybe(document, "model", str),
        tasks=one(document, "tasks", int),
        statuses={status: one(statuses, status, int) for status in statuses},
        seconds_p50=maybe_number(seconds, "p50"),
        seconds_p99=maybe_number(seconds, "p99"),
        callback_miss_rate=maybe_number(document, "callback_miss_rate"),
        polls_per_task=maybe_number(document, "polls_per_task"),
        cost_usd=maybe_number(document, "cost_usd"),
        document=document,
    )
