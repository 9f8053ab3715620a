"""`receiver adopt`: take over a generation that was started elsewhere, and follow it to its audio on this disk."""

from typing import TYPE_CHECKING, Annotated

import typer

from receiver.cli import options, screen
from receiver.cli.failures import CommandError
from receiver.cli.running import run

if TYPE_CHECKING:
    from receiver.cli.following import Outcome
    from receiver.sdk import Client, Task


def adopt(
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="runware or aimlapi.", show_default=False)],
    provider_task_id: Annotated[
        str,
        typer.Argument(
            metavar="PROVIDER_ID",
            help="The provider's id: runware's taskUUID, aimlapi's generation id.",
            show_default=False,
        ),
    ],
    *,
    count: Annotated[
        int | None,
        typer.Option("--count", metavar="NUMBER", help="How many results it has; 1 if not given (runware)."),
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", metavar="NAME=VALUE", help="A note of yours; repeatable.")
    ] = None,
    deadline: Annotated[
        float | None, typer.Option("--deadline", metavar="SECONDS", help="Seconds after which it is overdue.")
    ] = None,
    wait: options.Wait = False,
    timeout: options.Timeout = None,
    out: options.Out = None,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Take over a generation that was started elsewhere."""
    from receiver.cli.following import pursue, pursuit
    from receiver.cli.saving import folder_for
    from receiver.cli.service import service
    from receiver.cli.submitting import show
    from receiver.system import RealSystem

    notes = options.pairs(metadata, "--metadata")
    plan = pursuit(service(url, api_key, folder), timeout, out, wait=wait)
    if out is not None:
        folder_for(out)

    async def adopted() -> "Outcome":
        async with plan.service.connect() as client:
            task = await _adopted(client, provider, provider_task_id, count, notes, deadline)
            return await pursue(client, task, plan, RealSystem())

    outcome = run(adopted)
    if as_json:
        screen.document(outcome.task.document)
    else:
        show(outcome, waited=plan.wait)
    if outcome.failure is not None:
        raise outcome.failure


async def _adopted(
    client: "Client",
    provider: str,
    provider_task_id: str,
    count: int | None,
    notes: dict[str, str],
    deadline: float | None,
) -> "Task":
    from receiver.sdk import ConflictError

    try:
        return await client.adopt(provider, provider_task_id, count=count, metadata=notes, deadline_seconds=deadline)
    except ConflictError as error:
        told = [f"it {remark.message}" for remark in error.remarks] or [str(error)]
        raise CommandError(f"a task stands for {provider_task_id} already", *told) from None
