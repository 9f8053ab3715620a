"""Erase: take away for good what a task holds of a person, in the database and in the artifact store.

The names of the objects go into the transaction that erases the task, so that whatever happens then, nothing is left
that nobody knows of: this call removes them, and what it could not remove the sweep does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from receiver.domain.erasure import erase
from receiver.domain.errors import NotFoundError, UnavailableError
from receiver.domain.request import InlineAudio
from receiver.domain.task import Task
from receiver.lifecycle.ports import Erasing, Ports, TaskFilter

#: Tasks erased by one transaction: some milliseconds, between which callbacks are written.
BATCH = 20
#: Tasks erased by one call; the caller is told when there may be more.
MOST = 2_000
#: Objects removed by one sweep.
SWEPT = 200
#: An object that could not be removed is left alone for so long.
AGAIN = timedelta(minutes=1)
#: After so many of them in a row nothing more is tried: the artifact store is away.
MOST_FAULTS = 5
#: What the audio check may call a file: whoever collects while we erase may keep one that no row names yet.
EXTENSIONS = ("mp3", "wav", "flac", "ogg", "m4a", "pcm")


@dataclass(frozen=True, slots=True)
class Erased:
    """How many tasks were erased; ``more`` says that there may be others and the call is to be repeated."""

    count: int
    more: bool = False


@dataclass(frozen=True, slots=True)
class Swept:
    """How many objects were due to be removed; ``fault`` says why the last of those that stay could not be."""

    count: int
    fault: UnavailableError | None = None


async def erase_task(ports: Ports, task_id: UUID) -> Erased:
    """Erase one task; nothing changes when it is erased already.

    Raises NotFoundError; UnavailableError, then perhaps with files alone left, which the sweep removes.
    """
    task = await ports.store.task(task_id)
    if task is None:
        raise NotFoundError
    now = ports.system.now()
    count, names = await _erase(ports, [task], now)
    fault = await _remove(ports, names, now)
    if fault is not None:
        raise fault
    return Erased(count)


async def erase_matching(ports: Ports, metadata: Mapping[str, str]) -> Erased:
    """Erase every task with all of this metadata, at least one pair.

    Raises UnavailableError, then perhaps after a part of them or with files left; the call is to be repeated.
    """
    if not metadata:
        raise ValueError("without metadata every task would be erased")
    count, more = 0, True
    fault: UnavailableError | None = None
    while more and count < MOST:
        now = ports.system.now()
        tasks = await ports.store.tasks(TaskFilter(metadata=metadata, limit=BATCH))
        erased, names = await _erase(ports, tasks, now)
        # What is erased has no metadata, so the same question brings the next ones.
        # Those that somebody else has erased meanwhile are none of ours, but not the last ones either.
        count, more = count + erased, bool(tasks)
        # A file that stays keeps no task from being erased; it and all after it are left to the sweep.
        fault = fault or await _remove(ports, names, now)
    if fault is not None:
        raise fault
    return Erased(count, more=more)


async def sweep(ports: Ports) -> Swept:
    """Remove what erased tasks left, and uploads that no task used in time.

    Raises UnavailableError for the database.
    """
    now = ports.system.now()
    await ports.store.inputs.erase_unused(now, SWEPT)
    names = await ports.store.doomed(now, SWEPT)
    return Swept(len(names), await _remove(ports, names, now))


async def _erase(ports: Ports, tasks: Sequence[Task], now: datetime) -> tuple[int, Sequence[str]]:
    # Longer than anybody who works on one of them now can go on doing so.
    until = now + ports.limits.lease + timedelta(seconds=ports.limits.media_timeout_seconds)

    def plan(task: Task) -> Erasing:
        return Erasing(erase(task, now), _objects(task, now, until))

    count, names = await ports.store.erase([task.key for task in tasks], plan)
    if count:
        ports.metrics.count("tasks_erased", count)
    ports.system.checkpoint("erase.after_rows")
    return count, names


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


async def _remove(ports: Ports, names: Sequence[str], now: datetime) -> UnavailableError | None:
    """Remove objects, each by itself, and forget those that are gone; return the last fault of those that stay."""
    gone: list[str] = []
    stay: list[str] = []
    fault, in_a_row = None, 0
    for name in names:
        try:
            await ports.objects.remove(name)
        except UnavailableError as error:
            fault, in_a_row = error, in_a_row + 1
            stay.append(name)
            if in_a_row == MOST_FAULTS:
                break
        else:
            gone.append(name)
            in_a_row = 0
    if gone:
        await ports.store.forget_objects(gone, now)
    if stay:
        # Else the same ones, being the oldest, would be all that every later sweep comes to.
        await ports.store.put_off_objects(stay, ports.system.now() + AGAIN)
    return fault
