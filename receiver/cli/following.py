"""Following a task that exists: to its end, and to its audio on this disk."""

import asyncio
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from receiver.cli.failures import CommandError, UsageError
from receiver.cli.progress import Progress
from receiver.cli.saving import save
from receiver.cli.service import Service
from receiver.cli.waiting import follow
from receiver.sdk import Client, ClientError, Task
from receiver.system import RealSystem


@dataclass(frozen=True, slots=True)
class Pursuit:
    """How far to follow a task. ``folder``: where its audio goes, which needs its end."""

    service: Service
    wait: bool
    timeout_seconds: float | None
    folder: Path | None


@dataclass(slots=True)
class Outcome:
    """The task as it was last seen, the files of its results by their ids, and what went wrong on the way."""

    task: Task
    files: dict[str, Path] = field(default_factory=dict)
    failure: CommandError | None = None

    @property
    def given_up(self) -> bool:
        """True when the task goes on and we do not."""
        return self.failure is not None and not self.task.ended


def pursuit(service: Service, timeout_seconds: float | None, folder: Path | None, *, wait: bool) -> Pursuit:
    """Return what the options of a command ask for. Raises UsageError."""
    if timeout_seconds is not None and not (wait or folder):
        raise UsageError("--timeout belongs to --wait or --out")
    return Pursuit(service, wait or folder is not None, timeout_seconds, folder)


def hint(task_id: str, folder: Path | None = None) -> str:
    """Return how to follow a task from here on."""
    out = "" if folder is None else f" --out {shlex.quote(str(folder))}"
    also = "; with --out DIR for its audio" if folder is None else ""
    return f"follow it with `receiver task {task_id} --wait{out}`{also}"


async def pursue(client: Client, task: Task, plan: Pursuit, system: RealSystem) -> Outcome:
    """Follow a task as far as is asked for; what goes wrong is in the outcome."""
    outcome = Outcome(task)
    if plan.wait:
        await _follow(client, outcome, plan, system)
    if plan.folder is not None and outcome.task.ended:
        await _save(client, outcome, plan, plan.folder)
    return outcome


async def _follow(client: Client, outcome: Outcome, plan: Pursuit, system: RealSystem) -> None:
    look = hint(outcome.task.id, plan.folder)
    with Progress(system, error=True) as progress:
        try:
            await follow(client, [outcome.task], progress, system, timeout_seconds=plan.timeout_seconds)
        except asyncio.CancelledError:
            outcome.failure = CommandError("no longer waiting; the task goes on", look)
        except ClientError as error:
            outcome.failure = CommandError(plan.service.explained(error).message, "the task goes on", look)
        outcome.task = progress.latest(outcome.task)
    if outcome.failure is None and not outcome.task.ended:
        seconds = f"{plan.timeout_seconds or 0:g}"
        outcome.failure = CommandError(f"the task has not ended within {seconds} s; it goes on", look)
    if outcome.failure is None and outcome.task.status != "succeeded":
        outcome.failure = CommandError(f"the task ended as {outcome.task.status}")


async def _save(client: Client, outcome: Outcome, plan: Pursuit, folder: Path) -> None:
    for result in outcome.task.results:
        if result.artifact.status != "stored":
            continue
        try:
            outcome.files[result.id] = await save(client, outcome.task, result, folder)
        except asyncio.CancelledError:
            again = f"fetch it with `receiver task {outcome.task.id} --out {shlex.quote(str(folder))}`"
            outcome.failure = CommandError("interrupted before all audio was there", again)
            return
        except CommandError as error:
            outcome.failure = error
        except ClientError as error:
            outcome.failure = plan.service.explained(error)
