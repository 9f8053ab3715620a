"""Taking audio in: what storing it, or failing to, does to a result and to its task."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from receiver.domain.asking import look_now
from receiver.domain.ending import complete
from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.event import Event, EventType
from receiver.domain.result import Artifact, ArtifactStatus, Result
from receiver.domain.schedule import back_off
from receiver.domain.task import Change, Task
from receiver.domain.values import replace

#: Collecting gives up after this many definite refusals ...
MOST_REFUSALS = 5
#: ... over about two minutes: the gaps between them double, 8 + 16 + 32 + 64 s.
FIRST_REFUSAL_GAP = timedelta(seconds=8)
#: Passing faults are tried again until the link dies, or for this long when its end is unknown.
INTERRUPTED_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Kept:
    """Audio that lies in the store: ``size`` in bytes, ``sha256`` in hex, ``duration_seconds`` None if unknown."""

    object_key: str
    size: int
    sha256: str
    media_type: str
    duration_seconds: float | None


def collected(task: Task, result_id: UUID, kept: Kept, now: datetime) -> Change | None:
    """Record audio as stored; None when it already is or the result is gone."""
    result = _pending(task, result_id)
    if result is None:
        return None
    artifact = replace(
        result.artifact,
        status=ArtifactStatus.STORED,
        due_at=None,
        attempts=result.artifact.attempts + 1,
        object_key=kept.object_key,
        size=kept.size,
        sha256=kept.sha256,
        media_type=kept.media_type,
        duration_seconds=kept.duration_seconds,
        error=None,
    )
    data: dict[str, object] = {
        "result_id": str(result.id),
        "bytes": kept.size,
        "sha256": kept.sha256,
        "media_type": kept.media_type,
        "duration_seconds": kept.duration_seconds,
    }
    if artifact.attempts > 1:
        # The row forgets what went wrong before it went well; whoever asks why it took so long is told here.
        data |= {"tries": artifact.attempts, "last_fault": result.artifact.error}
    return _ended(task, result, artifact, Event(EventType.RESULT_STORED, now, data), now)


def refused(
    task: Task, result_id: UUID, reason: str, now: datetime, gap: timedelta = FIRST_REFUSAL_GAP
) -> Change | None:
    """Count a definite refusal, ask the provider for a fresh link, and give up after the fifth."""
    result = _pending(task, result_id)
    return None if result is None else _asked_anew(task, result, reason, now, gap)


def interrupted(
    task: Task, result_id: UUID, reason: str, now: datetime, jitter: float, gap: timedelta = FIRST_REFUSAL_GAP
) -> Change | None:
    """Plan another try after a passing fault; once the link is dead it counts as a refusal.

    Whether the provider signs a link anew is not documented by either (Runware docs, task polling page; AIMLAPI docs,
    music-cover page), and asking costs one look. Where there is nobody to ask, a dead link is the end at once.
    """
    result = _pending(task, result_id)
    if result is None:
        return None
    attempts = result.artifact.attempts + 1
    if not _is_dead(result, now):
        artifact = replace(result.artifact, attempts=attempts, error=reason)
        artifact = replace(artifact, due_at=now + back_off(attempts, jitter, cap=120.0))
        return Change(_with(task, replace(result, artifact=artifact)))
    if look_now(task, now) is not task:
        return _asked_anew(task, result, reason, now, gap)
    artifact = replace(result.artifact, attempts=attempts)
    return _gave_up(task, result, artifact, ArtifactStatus.EXPIRED, _last_words(result, reason), now)


def _asked_anew(task: Task, result: Result, reason: str, now: datetime, gap: timedelta) -> Change:
    refusals = result.artifact.refusals + 1
    artifact = replace(
        result.artifact,
        attempts=result.artifact.attempts + 1,
        refusals=refusals,
        first_refused_at=result.artifact.first_refused_at or now,
        error=reason,
    )
    if refusals >= MOST_REFUSALS or result.inline:  # the bytes we hold will not get better
        if _is_dead(result, now):
            return _gave_up(task, result, artifact, ArtifactStatus.EXPIRED, _last_words(result, reason), now)
        return _gave_up(task, result, artifact, ArtifactStatus.FAILED, reason, now)
    artifact = replace(artifact, due_at=now + gap * 2.0 ** (refusals - 1))
    task = _with(task, replace(result, artifact=artifact))
    return Change(look_now(task, now))


def _is_dead(result: Result, now: datetime) -> bool:
    return now >= (result.link_expires_at or result.received_at + INTERRUPTED_FOR)


def _last_words(result: Result, reason: str) -> str:
    ended = "given up after 24 hours" if result.link_expires_at is None else "the link has expired"
    return f"{ended}; last: {reason}"


def _gave_up(
    task: Task, result: Result, artifact: Artifact, status: ArtifactStatus, reason: str, now: datetime
) -> Change:
    error = TaskError(ErrorCode.ARTIFACT_UNAVAILABLE, reason)
    data: dict[str, object] = {"result_id": str(result.id), "message": reason}
    task = replace(task, errors=(*task.errors, error))
    event = Event(EventType.RESULT_FAILED, now, data)
    return _ended(task, result, replace(artifact, status=status, due_at=None, error=reason), event, now)


def _ended(task: Task, result: Result, artifact: Artifact, event: Event, now: datetime) -> Change:
    change = complete(_with(task, replace(result, artifact=artifact)), now)
    return replace(change, events=(event, *change.events))


def _pending(task: Task, result_id: UUID) -> Result | None:
    for result in task.results:
        if result.id == result_id and result.artifact.status is ArtifactStatus.PENDING:
            return result
    return None


def _with(task: Task, changed: Result) -> Task:
    results = tuple(changed if result.id == changed.id else result for result in task.results)
    return replace(task, results=results)
