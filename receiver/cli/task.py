"""`receiver task ID`: one task with its timeline, followed to its end where that is asked for."""

from typing import TYPE_CHECKING

from receiver.cli import options, screen
from receiver.cli.running import run

if TYPE_CHECKING:
    from receiver.cli.following import Outcome
    from receiver.sdk import Event


def task(
    task_id: options.TaskId,
    *,
    wait: options.Wait = False,
    timeout: options.Timeout = None,
    out: options.Out = None,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Show one task with its timeline."""
    from receiver.cli.following import pursue, pursuit
    from receiver.cli.naming import named
    from receiver.cli.portrait import portrait
    from receiver.cli.saving import folder_for
    from receiver.cli.service import service
    from receiver.system import RealSystem

    plan = pursuit(service(url, api_key, folder), timeout, out, wait=wait)
    system = RealSystem()

    async def asked() -> "tuple[Outcome, tuple[Event, ...]]":
        if out is not None:
            folder_for(out)
        async with plan.service.connect() as client, named(client, task_id) as whole_id:
            outcome = await pursue(client, await client.task(whole_id), plan, system)
            return outcome, () if outcome.given_up else await client.events(whole_id)

    outcome, events = run(asked)
    if as_json:
        story = {} if outcome.given_up else {"events": [dict(event.document) for event in events]}
        screen.document({**outcome.task.document, **story})
    elif not outcome.given_up:
        width = screen.width()
        screen.lines(portrait(outcome.task, system.now(), events=events, files=outcome.files, width=width))
    if outcome.failure is not None:
        raise outcome.failure
