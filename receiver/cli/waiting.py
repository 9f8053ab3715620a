"""Following tasks to their end by asking for them again and again, through a restart of the service too."""

from collections.abc import Sequence

from receiver.cli.progress import Progress
from receiver.sdk import PASSING, Client, ClientError, Task, UnreachableError
from receiver.system import RealSystem

_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 0.5
_GROWTH = 1.3
#: How long the service may be away before following it is given up.
_PATIENCE_SECONDS = 60.0


async def follow(
    client: Client,
    tasks: Sequence[Task],
    progress: Progress,
    system: RealSystem,
    *,
    timeout_seconds: float | None = None,
) -> list[Task]:
    """Ask until every task has ended or the time is over; return them as last seen, in their order."""
    known = {task.id: task for task in tasks}
    for task in tasks:
        progress.see(task)
    begun = heard = system.monotonic()
    wait = _FIRST_WAIT_SECONDS
    while not all(task.ended for task in known.values()):
        now = system.monotonic()
        left = float("inf") if timeout_seconds is None else begun + timeout_seconds - now
        if left <= 0:
            break
        await system.sleep(min(wait, left))
        wait = min(wait * _GROWTH, _LONGEST_WAIT_SECONDS)
        try:
            for task in [task for task in known.values() if not task.ended]:
                known[task.id] = await client.task(task.id)
                progress.see(known[task.id])
            heard = system.monotonic()
        except PASSING as error:
            if system.monotonic() - heard > _PATIENCE_SECONDS:
                raise
            progress.trouble(_trouble(error))
    return list(known.values())


def _trouble(error: ClientError) -> str:
    if isinstance(error, UnreachableError):
        return "the service is away; trying again"
    return "the service does not answer; trying again"
