"""Retire: let go what was kept for as long as it was to be, some at a time, so that nobody waits for it.

Only what belongs to tasks that have ended, and nothing of which a part is still under way.
"""

from datetime import datetime
from uuid import UUID

from receiver.domain.erasure import retire_audio
from receiver.domain.request import InlineAudio
from receiver.domain.task import Task
from receiver.lifecycle.ports import Decision, Ports

#: Of each kind in one transaction, between which callbacks are written: with fifty, one callback in a hundred waited
#: ten times as long as without; with ten, hardly longer.
BATCH = 10


async def retire(ports: Ports) -> int:
    """Let go some of what is kept for long enough, of each kind; 0 when there is nothing more of it for now.

    Raises UnavailableError.
    """
    now, keeps = ports.system.now(), ports.limits.retention
    count = 0
    if keeps.tasks is not None:
        count += await ports.store.retire_tasks(now - keeps.tasks, BATCH, lambda task: _objects(task, now))
    if keeps.reports is not None:
        count += await ports.store.retire_reports(now - keeps.reports, BATCH)
    if keeps.audio is not None:
        count += await _audio(ports, now - keeps.audio, now)
    return count


async def _audio(ports: Ports, ended_before: datetime, now: datetime) -> int:
    keys: list[UUID] = await ports.store.with_audio(ended_before, BATCH)
    if not keys:
        return 0
    # First, so that they are found by the audio that stays until they are gone.
    await ports.store.retire_carriers(keys, ended_before)
    changes = await ports.store.apply(
        [Decision(key, lambda task: retire_audio(task, ended_before, now)) for key in keys]
    )
    return sum(change is not None for change in changes)


def _objects(task: Task, now: datetime) -> dict[str, datetime]:
    """Name what lies in the store for a task."""
    keys = [result.artifact.object_key for result in task.results]
    reference = task.request.reference_audio
    if isinstance(reference, InlineAudio):
        keys.append(reference.object_key)
    return {key: now for key in keys if key is not None}
