"""What `receiver submit` does once its options are understood: ask, follow, take the audio."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from receiver.cli import screen
from receiver.cli.failures import CommandError
from receiver.cli.portrait import portrait
from receiver.cli.progress import Progress
from receiver.cli.saving import folder_for, save
from receiver.cli.screen import foreign
from receiver.cli.service import Service
from receiver.cli.waiting import follow
from receiver.sdk import AnswerLostError, Client, ClientError, Task
from receiver.system import RealSystem


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask for and how far to follow it. ``folder``: where the audio goes."""

    service: Service
    request: Mapping[str, object]
    idempotency_key: str | None
    wait: bool
    timeout_seconds: float | None
    folder: Path | None


@dataclass(slots=True)
class Outcome:
    """The task as it was last seen, the files of its results by their ids, and what went wrong after the submit."""

    task: Task
    files: dict[str, Path] = field(default_factory=dict)
    failure: CommandError | None = None


async def submitted(plan: Plan) -> Outcome:
    """Do all of it. Raises CommandError when there is no task to show."""
    system = RealSystem()
    if plan.folder is not None:
        folder_for(plan.folder)
    async with plan.service.connect() as client:
        task = await _asked(client, plan, plan.idempotency_key or str(system.new_id()))
        outcome = Outcome(task)
        if plan.wait:
            await _follow(client, outcome, plan, system)
        if plan.folder is not None and outcome.task.ended:
            await _save(client, outcome, plan.folder, plan.service)
    return outcome


def show(outcome: Outcome, *, waited: bool) -> None:
    """Show a task to a person."""
    task = outcome.task
    if waited:
        screen.lines(portrait(task, RealSystem().now(), files=outcome.files, width=screen.width()))
        return
    screen.line("Task ", foreign(task.id), " is ", foreign(task.status, screen.status_style(task.status)), ".")
    for warning in task.warnings:
        screen.line("  warning: ", foreign(warning.field), ": ", foreign(warning.message))
    screen.line("  see `receiver task ", foreign(task.id), "`")


async def _asked(client: Client, plan: Plan, idempotency_key: str) -> Task:
    again = f"the same command with --idempotency-key {idempotency_key} gives that task, or makes it now"
    try:
        return await client.submit(plan.request, idempotency_key=idempotency_key)
    except AnswerLostError as error:
        raise CommandError(f"the answer to the request was lost ({error}); the task may exist", again) from None
    except asyncio.CancelledError:
        raise CommandError("interrupted while the request was under way; the task may exist", again) from None


async def _follow(client: Client, outcome: Outcome, plan: Plan, system: RealSystem) -> None:
    look = f"see `receiver task {outcome.task.id}`"
    with Progress(system, error=True) as progress:
        try:
            await follow(client, [outcome.task], progress, system, timeout_seconds=plan.timeout_seconds)
        except asyncio.CancelledError:
            outcome.failure = CommandError("no longer waiting; the task goes on", look)
        except ClientError as error:
            outcome.failure = CommandError(plan.service.explained(error).message, f"the task goes on; {look}")
        outcome.task = progress.latest(outcome.task)
    if outcome.failure is None and not outcome.task.ended:
        seconds = f"{plan.timeout_seconds or 0:g}"
        outcome.failure = CommandError(f"the task has not ended within {seconds} s; it goes on", look)
    if outcome.failure is None and outcome.task.status != "succeeded":
        outcome.failure = CommandError(f"the task ended as {outcome.task.status}")


async def _save(client: Client, outcome: Outcome, folder: Path, service: Service) -> None:
    for result in outcome.task.results:
        if result.artifact.status != "stored":
            continue
        try:
            outcome.files[result.id] = await save(client, outcome.task, result, folder)
        except CommandError as error:
            outcome.failure = error
        except ClientError as error:
            outcome.failure = service.explained(error)
