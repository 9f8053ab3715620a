"""Tasks as rows and back: one place names the columns of a task in their order, for reading and for writing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from receiver.domain.attempt import Attempt
from receiver.domain.event import Event
from receiver.domain.report import NewReport, Via
from receiver.domain.result import Artifact, ArtifactStatus, Result
from receiver.domain.task import Status, Task, Work
from receiver.storage.documents import (
    error_document,
    error_from,
    many_documents,
    many_from,
    request_document,
    request_from,
    warning_document,
    warning_from,
)
from receiver.storage.tables import attempts

#: What never changes after a task was created, and what may, each in the order of the rows below.
TASK_FIXED = ("key", "id", "provider", "model", "created_at", "deadline_seconds")
TASK_MOVING = (
    "status",
    "overdue",
    "provider_task_id",
    "pushed",
    "submitted_at",
    "settled_at",
    "completed_at",
    "deadline_at",
    "told_cost_micros",
    "polls",
    "callbacks",
    "errors",
    "work",
    "due_at",
    "tries",
    "attempts",
    "attempt_open_since",
    "unknown_since",
    "doubt",
    "doubt_since",
    "answer_digest",
    "quiet_since",
    "looked_at",
    "fault",
    "cost_micros",
    "missed",
    "last_seq",
    "lease_until",
    "lease_owner",
)
RESULT_COLUMNS = (
    "task_key",
    "position",
    "id",
    "identity",
    "via",
    "received_at",
    "report_id",
    "inline",
    "late",
    "provider_result_id",
    "seed",
    "cost_micros",
    "link",
)
ARTIFACT_COLUMNS = (
    "task_key",
    "position",
    "result_id",
    "link_expires_at",
    "status",
    "due_at",
    "attempts",
    "refusals",
    "first_refused_at",
    "object_key",
    "size",
    "sha256",
    "media_type",
    "duration_seconds",
    "error",
)
ATTEMPT_COLUMNS = tuple(attempts.columns.keys())
EVENT_COLUMNS = ("task_key", "seq", "type", "at", "data")
REPORT_COLUMNS = (
    "id",
    "task_key",
    "provider",
    "via",
    "received_at",
    "size",
    "sha256",
    "object_key",
    "content_type",
    "sliced",
    "duplicate_of",
    "doubt",
    "body",
)

_STATUS = {status.value: status for status in Status}
_WORK = {work.value: work for work in Work}

#: Where the moving columns stand in the row of a whole task.
_MOVING = slice(len(TASK_FIXED), len(TASK_FIXED) + len(TASK_MOVING))
#: A row that was read: whatever its SELECT names, in that order.
Columns = Sequence[Any]
#: A row to be written: one value for each column, in the order above.
NewRow = tuple[object, ...]


@dataclass(slots=True)
class Held:
    """A task as it lies in the database, and what the rows know besides: its last event's number and its lease.

    ``stored`` are the results as they lie in the tables and ``was`` the moving columns, so that only what changed is
    written.
    """

    task: Task
    stored: tuple[Result, ...]
    was: Columns
    last_seq: int
    lease_until: datetime | None
    lease_owner: UUID | None


def held_from(row: Columns, results: tuple[Result, ...], metadata: Mapping[str, str]) -> Held:
    """Build a task from its fixed and moving columns, then ``request``, ``warnings``, ``erased_at`` and any more."""
    (
        key,
        task_id,
        provider,
        model,
        created_at,
        deadline_seconds,
        status,
        overdue,
        provider_task_id,
        pushed,
        submitted_at,
        settled_at,
        completed_at,
        deadline_at,
        told_cost_micros,
        polls,
        callbacks,
        errors,
        work,
        due_at,
        tries,
        attempts,
        attempt_open_since,
        unknown_since,
        doubt,
        doubt_since,
        answer_digest,
        quiet_since,
        looked_at,
        fault,
        _cost_micros,
        _missed,
        last_seq,
        lease_until,
        lease_owner,
        request,
        warnings,
        erased_at,
        *_,
    ) = row
    # In the order of the fields: by name it takes half as long again.
    task = Task(
        key,
        task_id,
        request_from(provider, request),
        model,
        created_at,
        deadline_seconds,
        _STATUS[status],
        overdue,
        MappingProxyType(metadata),
        many_from(warnings, warning_from),
        many_from(errors, error_from),
        results,
        provider_task_id,
        pushed,
        submitted_at,
        settled_at,
        completed_at,
        deadline_at,
        told_cost_micros,
        polls,
        callbacks,
        None if work is None else _WORK[work],
        due_at,
        tries,
        attempts,
        attempt_open_since,
        unknown_since,
        None if doubt is None else error_from(doubt),
        doubt_since,
        answer_digest,
        quiet_since,
        looked_at,
        fault,
        erased_at,
    )
    return Held(task, results, row[_MOVING], last_seq, lease_until, lease_owner)


def fixed_row(task: Task) -> NewRow:
    return (task.key, task.id, task.provider, task.model, task.created_at, task.deadline_seconds)


def moving_row(held: Held) -> NewRow:
    task = held.task
    return (
        task.status.value,
        task.overdue,
        task.provider_task_id,
        task.pushed,
        task.submitted_at,
        task.settled_at,
        task.completed_at,
        task.deadline_at,
        task.told_cost_micros,
        task.polls,
        task.callbacks,
        many_documents(task.errors, error_document),
        None if task.work is None else task.work.value,
        task.due_at,
        task.tries,
        task.attempts,
        task.attempt_open_since,
        task.unknown_since,
        None if task.doubt is None else error_document(task.doubt),
        task.doubt_since,
        task.answer_digest,
        task.quiet_since,
        task.looked_at,
        task.fault,
        task.cost_micros,
        task.missed,
        held.last_seq,
        held.lease_until,
        held.lease_owner,
    )


def request_row(task: Task) -> NewRow:
    return (task.key, request_document(task.request), many_documents(task.warnings, warning_document))


def result_row(task_key: UUID, result: Result) -> NewRow:
    return (
        task_key,
        result.index,
        result.id,
        result.identity,
        result.via.value,
        result.received_at,
        result.report_id,
        result.inline,
        result.late,
        result.provider_result_id,
        result.seed,
        result.cost_micros,
        result.link,
    )


def artifact_row(task_key: UUID, result: Result) -> NewRow:
    artifact = result.artifact
    return (
        task_key,
        result.index,
        result.id,
        result.link_expires_at,
        artifact.status.value,
        artifact.due_at,
        artifact.attempts,
        artifact.refusals,
        artifact.first_refused_at,
        artifact.object_key,
        artifact.size,
        artifact.sha256,
        artifact.media_type,
        artifact.duration_seconds,
        artifact.error,
    )


def result_from(row: Columns) -> Result:
    """Build a result from its columns and those of its artifact, without the artifact's first three."""
    (
        _,
        position,
        result_id,
        identity,
        via,
        received_at,
        report_id,
        inline,
        late,
        provider_result_id,
        seed,
        cost_micros,
        link,
        link_expires_at,
        status,
        due_at,
        attempts,
        refusals,
        first_refused_at,
        object_key,
        size,
        sha256,
        media_type,
        duration_seconds,
        error,
    ) = row
    return Result(
        id=result_id,
        index=position,
        identity=identity,
        via=Via(via),
        received_at=received_at,
        report_id=report_id,
        inline=inline,
        late=late,
        provider_result_id=provider_result_id,
        seed=seed,
        cost_micros=cost_micros,
        link=link,
        link_expires_at=link_expires_at,
        artifact=Artifact(
            status=ArtifactStatus(status),
            due_at=due_at,
            attempts=attempts,
            refusals=refusals,
            first_refused_at=first_refused_at,
            object_key=object_key,
            size=size,
            sha256=sha256,
            media_type=media_type,
            duration_seconds=duration_seconds,
            error=error,
        ),
    )


def attempt_row(task_key: UUID, attempt: Attempt) -> NewRow:
    return (
        task_key, attempt.ordinal, attempt.started_at, attempt.ended_at,
        None if attempt.outcome is None else attempt.outcome.value,
        attempt.http_status, attempt.detail, attempt.sent, attempt.answered,
    )  # fmt: skip


def event_row(task_key: UUID, seq: int, event: Event) -> NewRow:
    return (task_key, seq, event.type.value, event.at, event.data)


def report_row(report: NewReport, duplicate_of: UUID | None = None) -> NewRow:
    """Return the row of a report; one that repeats another is kept without its body."""
    repeats = duplicate_of is not None
    return (
        report.id,
        report.task_key,
        report.provider,
        report.via.value,
        report.received_at,
        report.size,
        report.sha256,
        None if repeats else report.object_key,
        report.content_type,
        report.sliced,
        duplicate_of,
        report.doubt,
        b"" if repeats else report.body,
    )


def inbox_row(report: NewReport, until: datetime | None = None, owner: UUID | None = None) -> NewRow:
    """Return the line of a report; one that is claimed until then by ``owner`` is so for the first time."""
    return (report.id, report.received_at, until, owner, 0 if until is None else 1)


INBOX_COLUMNS = ("report_id", "due_at", "lease_until", "lease_owner", "attempts")
