"""What `receiver submit` does once its options are understood: ask, follow, take the audio."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from receiver.cli import screen
from receiver.cli.failures import CommandError
from receiver.cli.following import Outcome, Pursuit, hint, pursue
from receiver.cli.portrait import portrait
from receiver.cli.saving import folder_for
from receiver.cli.screen import foreign
from receiver.sdk import AnswerLostError, Client, Task
from receiver.system import RealSystem


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask for and how far to follow it. ``file`` is a reference audio on this disk, with its size."""

    pursuit: Pursuit
    request: Mapping[str, object]
    idempotency_key: str | None
    file: tuple[Path, int] | None = None


async def submitted(plan: Plan) -> Outcome:
    """Do all of it. Raises CommandError when there is no task to show."""
    system = RealSystem()
    if plan.pursuit.folder is not None:
        folder_for(plan.pursuit.folder)
    async with plan.pursuit.service.connect() as client:
        if plan.file is not None:
            from receiver.cli.uploading import upload

            plan = replace(plan, request={**plan.request, "reference_audio": await upload(client, *plan.file)})
        task = await _asked(client, plan, plan.idempotency_key or str(system.new_id()))
        return await pursue(client, task, plan.pursuit, system)


def show(outcome: Outcome, *, waited: bool) -> None:
    """Show a task to a person; of one that goes on without us its failure says all there is to know."""
    task = outcome.task
    if outcome.given_up:
        return
    if waited:
        screen.lines(portrait(task, RealSystem().now(), files=outcome.files, width=screen.width()))
        return
    screen.line("Task ", foreign(task.id), " is ", foreign(task.status, screen.status_style(task.status)), ".")
    for warning in task.warnings:
        screen.line("  warning: ", foreign(warning.field), ": ", foreign(warning.message))
    screen.line("  ", foreign(hint(task.id)))


async def _asked(client: Client, plan: Plan, idempotency_key: str) -> Task:
    again = f"the same command with --idempotency-key {idempotency_key} gives that task, or makes it now"
    try:
        return await client.submit(plan.request, idempotency_key=idempotency_key)
    except AnswerLostError as error:
        raise CommandError(f"the answer to the request was lost ({error}); the task may exist", again) from None
    except asyncio.CancelledError:
        raise CommandError("interrupted while the request was under way; the task may exist", again) from None
