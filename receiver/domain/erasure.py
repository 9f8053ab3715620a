"""What stays of a task that was erased: its numbers and times, and nothing that anybody wrote, sang or sent."""

from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from receiver.domain.errors import TaskError
from receiver.domain.event import Event, EventType
from receiver.domain.operation import cancel
from receiver.domain.request import TaskRequest
from receiver.domain.result import Artifact, ArtifactStatus, Result
from receiver.domain.task import Change, Task, at_rest

#: Stands where a provider's words were.
ERASED = "erased"


def erase(task: Task, now: datetime) -> Change:
    """Return the husk of a task; one that is under way is no longer waited for.

    Kept are ids, provider, model, status, times, counts and cost: the books stay right, the generation cannot be
    adopted by mistake, an idempotency key goes on standing for it. An erased task never changes again, whatever
    is still said of it.
    """
    events: tuple[Event, ...] = ()
    if not task.status.terminal:
        stopped = cancel(task, now)
        task, events = stopped.task, stopped.events
    husk = replace(
        at_rest(task),
        erased_at=now,
        request=TaskRequest(task.provider, prompt="", reference_audio="", count=task.request.count),
        metadata=MappingProxyType({}),
        warnings=(),
        errors=tuple(TaskError(error.code, ERASED, error.retryable) for error in task.errors),
        results=tuple(_husk(result) for result in task.results),
        attempt_open_since=None,
        answer_digest=None,
    )
    return Change(husk, (*events, Event(EventType.TASK_ERASED, now)))


def retire_audio(task: Task, ended_before: datetime, now: datetime) -> Change | None:
    """Let go the audio of a task that ended before a moment; None when it did not, or has none.

    What the audio was stays told: its size, hash and length. Audio that is still to be fetched stays so.
    """
    if not task.status.terminal or task.completed_at is None or task.completed_at >= ended_before:
        return None
    kept = [result for result in task.results if result.artifact.status is ArtifactStatus.STORED]
    if not kept:
        return None
    gone = {
        result.id: replace(result, artifact=replace(result.artifact, status=ArtifactStatus.ERASED, object_key=None))
        for result in kept
    }
    return Change(
        replace(task, results=tuple(gone.get(result.id, result) for result in task.results)),
        tuple(Event(EventType.RESULT_ERASED, now, {"result_id": str(result.id)}) for result in kept),
        discarded=tuple((result.artifact.object_key, now) for result in kept if result.artifact.object_key),
    )


def _husk(result: Result) -> Result:
    return replace(
        result,
        identity=f"{ERASED}-{result.index}",
        provider_result_id=None,
        seed=None,
        link=None,
        link_expires_at=None,
        artifact=Artifact(status=ArtifactStatus.ERASED),
    )
