"""`receiver task ID`: one task with its timeline."""

from typing import Annotated

import typer

from receiver.cli import options, screen
from receiver.cli.running import run


def task(
    task_id: Annotated[str, typer.Argument(metavar="ID", help="The task's id.", show_default=False)],
    *,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Show one task with its timeline."""
    from receiver.cli.portrait import portrait
    from receiver.cli.service import service
    from receiver.sdk import Event, Task
    from receiver.system import RealSystem

    speaking_with = service(url, api_key, folder)

    async def asked() -> tuple[Task, tuple[Event, ...]]:
        async with speaking_with.connect() as client:
            return await client.task(task_id), await client.events(task_id)

    found, events = run(asked)
    if as_json:
        screen.document({**found.document, "events": [dict(event.document) for event in events]})
    else:
        screen.lines(portrait(found, RealSystem().now(), events=events, width=screen.width()))
