"""Erase: take away for good what a task holds of a person, in the database and in the artifact store.

The names of the objects go into the transaction that erases the task, so that whatever happens then, nothing is left
that nobody knows of: this call removes them, and what it could not remove the sweep does. What others share stays.
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
#: For so long objects are ours to remove; nobody makes them anew meanwhile. Nothing is begun in its second half.
REMOVING = timedelta(minutes=5)


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
    fault = (await _remove(ports, names)).fault
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
        fault = fault or (await _remove(ports, names)).fault
    if fault is not None:
        raise fault
    return Erased(count, more=more)


async def sweep(ports: Ports) -> Swept:
    """Remove objects that nothing names any more, or nobody came to name, and uploads that no task used in time.

    Raises UnavailableError for the database.
    """
    await ports.store.inputs.erase_unused(ports.system.now(), SWEPT)
    return await _remove(ports, None)


async def _erase(ports: Ports, tasks: Sequence[Task], now: datetime) -> tuple[int, Sequence[str]]:
    count, names = await ports.store.erase(
        [task.key for task in tasks], lambda task: Erasing(erase(task, now), _objects(task, now))
    )
    if count:
        ports.metrics.count("tasks_erased", count)
    ports.system.checkpoint("erase.after_rows")
    return count, names


def _objects(task: Task, now: datetime) -> dict[str, datetime]:
    """Name what lies in the store for a task; each is to go from ``now`` on.

    What somebody is making for it just now is claimed by them, and goes when they come to name it.
    """
    keys = [result.artifact.object_key for result in task.results]
    reference = task.request.reference_audio
    if isinstance(reference, InlineAudio):
        keys.append(reference.object_key)
    return {key: now for key in keys if key is not None}


async def _remove(ports: Ports, only: Sequence[str] | None) -> Swept:
    """Remove objects that are to be removed, each by itself, and forget those that are gone."""
    if only is not None and not only:
        return Swept(0)
    now, began = ports.system.now(), ports.system.monotonic()
    names = await ports.store.condemn(now, SWEPT if only is None else len(only), lease=REMOVING, only=only)
    if names:
        ports.system.checkpoint("erase.after_condemn")
    gone: list[str] = []
    fault, in_a_row = None, 0
    for name in names:
        if ports.system.monotonic() - began > REMOVING.total_seconds() / 2:
            break
        try:
            await ports.objects.remove(name)
        except UnavailableError as error:
            fault, in_a_row = error, in_a_row + 1
            if in_a_row == MOST_FAULTS:
                break
        else:
            gone.append(name)
            in_a_row = 0
    if gone:
        await ports.store.forget_objects(gone)
    stay = set(names).difference(gone)
    if stay:
        # Else the same ones, being the oldest, would be all that every later sweep comes to.
        await ports.store.put_off_objects(sorted(stay), ports.system.now() + AGAIN)
    return Swept(len(names), fault)
