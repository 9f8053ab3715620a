"""What a task under way is waiting for, in words for whoever asks why nothing happens."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from receiver.domain.errors import TaskError
from receiver.domain.result import ArtifactStatus
from receiver.domain.task import Status, Task, Work


class WaitsFor(StrEnum):
    """Who or what has to move next."""

    KEY = "key"
    PROVIDER = "provider"
    RETRY = "retry"
    CALLBACK = "callback"
    POLL = "poll"
    LOOKUP = "lookup"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is waited for, and until when at the latest something of ours happens; None when that is open."""

    what: WaitsFor
    message: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Resting:
    """A provider that takes nothing from us."""

    until: datetime
    error: TaskError


def waiting(task: Task, now: datetime, *, resting: Resting | None, has_key: bool) -> Waiting | None:
    """Return what a task waits for, or None for one that has ended or is being worked on."""
    if task.status.terminal:
        return None
    if task.status is Status.COLLECTING:
        return _audio(task)
    name = task.provider
    if not has_key:
        return Waiting(WaitsFor.KEY, f"no key is set for {name}: set {name.upper()}_API_KEY and start again")
    if resting is not None and resting.until > now and task.work is Work.SUBMIT:
        return Waiting(WaitsFor.PROVIDER, f"{name} takes nothing from us: {resting.error.message}", resting.until)
    return _next_step(task)


def _next_step(task: Task) -> Waiting | None:
    name = task.provider
    if task.status is Status.QUEUED:
        message = f"sending it to {name} did not work; it is tried again"
        return Waiting(WaitsFor.RETRY, message, task.due_at) if task.tries else None
    if task.work is Work.LOOKUP:
        return Waiting(WaitsFor.LOOKUP, f"its answer was lost; the log of {name} is searched for it", task.due_at)
    if task.pushed and not task.overdue:
        return Waiting(WaitsFor.CALLBACK, f"the callback of {name}; our own look comes next", task.due_at)
    return Waiting(WaitsFor.POLL, f"our next look at {name}", task.due_at)


def _audio(task: Task) -> Waiting | None:
    pending = [result.artifact for result in task.results if result.artifact.status is ArtifactStatus.PENDING]
    failed = next((artifact for artifact in pending if artifact.error is not None), None)
    if failed is None:
        return Waiting(WaitsFor.AUDIO, "its audio is being fetched") if pending else None
    return Waiting(WaitsFor.AUDIO, f"fetching its audio did not work: {failed.error}", failed.due_at)
