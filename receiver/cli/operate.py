"""`receiver cancel` and `receiver refresh`: what a user does to a task that is under way."""

from typing import TYPE_CHECKING

from receiver.cli import options, screen
from receiver.cli.failures import CommandError
from receiver.cli.running import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from receiver.cli.service import Service
    from receiver.sdk import Client, Task


def cancel(
    task_id: options.TaskId,
    *,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Stop waiting for a task. The provider goes on, and its bill too."""
    from receiver.cli.service import service

    task = _operate(service(url, api_key, folder), task_id, lambda client, whole: client.cancel(whole))
    _show(task, as_json=as_json, advice="what the provider still says is recorded, and no longer waited for")


def refresh(
    task_id: options.TaskId,
    *,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Have the service look at a task now."""
    from receiver.cli.following import hint
    from receiver.cli.service import service

    task = _operate(service(url, api_key, folder), task_id, lambda client, whole: client.refresh(whole))
    if task.status == "queued":
        _show(task, as_json=as_json, advice="it is not sent yet, so there is nothing to look at")
    else:
        _show(task, as_json=as_json, advice=f"it is looked at now; {hint(task.id)}")


def _operate(service: "Service", text: str, act: "Callable[[Client, str], Awaitable[Task]]") -> "Task":
    from receiver.cli.naming import named
    from receiver.sdk import ConflictError

    async def asked() -> "Task":
        async with service.connect() as client, named(client, text) as whole_id:
            try:
                return await act(client, whole_id)
            except ConflictError:
                task = await client.task(whole_id)
                message = f"task {task.id} has already ended, as {task.status}; nothing was changed"
                raise CommandError(message, f"see `receiver task {task.id}`") from None

    return run(asked)


def _show(task: "Task", *, as_json: bool, advice: str) -> None:
    if as_json:
        screen.document(dict(task.document))
        return
    screen.line(
        "Task ", screen.foreign(task.id), " is ", screen.foreign(task.status, screen.status_style(task.status)), "."
    )
    screen.line("  ", screen.foreign(advice))
