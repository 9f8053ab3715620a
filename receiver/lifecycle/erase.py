"""Erase: take away for good what a task holds of a person, in the database and in the artifact store.

The names of the objects go into the transaction that erases the task, so that whatever happens then, nothing is left
that nobody knows of: this call removes them, and what it could not remove the sweep does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from receiver.domain.erasure import erase
from receiver.domain.errors import NotFoundError
from receiver.domain.request import InlineAudio
from receiver.domain.task import Task
from receiver.lifecycle.ports import Erasing, Ports, TaskFilter

#: Tasks erased by one transaction: some milliseconds, between which callbacks are written.
BATCH = 20
#: Tasks erased by one call; the caller is told when there may be more.
MOST = 2_000
#: Objects removed by one sweep.
SWEPT = 200
#: What the audio check may call a file: whoever collects while we erase may keep one that no row names yet.
EXTENSIONS = ("mp3", "wav", "flac", "ogg", "m4a", "pcm")


@dataclass(frozen=True, slots=True)
class Erased:
    """How many tasks were erased; ``more`` says that there may be others and the call is to be repeated."""

    count: int
    more: bool = False


async def erase_task(ports: Ports, task_id: UUID) -> Erased:
    """Erase one task; nothing changes when it is erased already. Raises NotFoundError, UnavailableError."""
    task = await ports.store.task(task_id)
    if task is None:
        raise NotFoundError
    return Erased(await _erase(ports, [task]))


async def erase_matching(ports: Ports, metadata: Mapping[str, str]) -> Erased:
    """Erase every task with all of this metadata, at least one pair.

    Raises UnavailableError, then perhaps after a part of them; the call is to be repeated.
    """
    if not metadata:
        raise ValueError("without metadata every task would be erased")
    count = 0
    while count < MOST:
        tasks = await ports.store.tasks(TaskFilter(metadata=metadata, limit=BATCH))
        erased = await _erase(ports, tasks)
        # What is erased has no metadata, so the same question brings the next ones.
        count += erased
        if not erased:
            return Erased(count)
    return Erased(count, more=True)


async def sweep(ports: Ports) -> int:
    """Remove objects whose tasks are erased and that are still there; return how many names were looked at."""
    now = ports.system.now()
    names = await ports.store.doomed(now, SWEPT)
    await _remove(ports, names, now)
    return len(names)


async def _erase(ports: Ports, tasks: Sequence[Task]) -> int:
    now = ports.system.now()
    # Longer than anybody who works on one of them now can go on doing so.
    until = now + ports.limits.lease + timedelta(seconds=ports.limits.media_timeout_seconds)

    def plan(task: Task) -> Erasing:
        return Erasing(erase(task, now), _objects(task, now, until))

    count, names = await ports.store.erase([task.key for task in tasks], plan)
    ports.system.checkpoint("erase.after_rows")
    await _remove(ports, names, now)
    if count:
        ports.metrics.count("tasks_erased", count)
    return count


def _objects(task: Task, now: datetime, until: datetime) -> dict[str, datetime]:
    """Name what lies in the store for a task, or may do so shortly; and until when each name is to be kept."""
    found: dict[str, datetime] = {}
    for result in task.results:
        found |= {f"audio/{task.id}/{result.id}.{extension}": until for extension in EXTENSIONS}
        if result.artifact.object_key is not None:
            found[result.artifact.object_key] = now
    reference = task.request.reference_audio
    if isinstance(reference, InlineAudio):
        found[reference.object_key] = now
    return found


async def _remove(ports: Ports, names: Sequence[str], now: datetime) -> None:
    for name in names:
        await ports.objects.remove(name)
    if names:
        await ports.store.forget_objects(names, now)
