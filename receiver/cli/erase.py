"""`receiver erase`: take out of the service for good what tasks hold, after asking whoever types."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from receiver.cli import options, screen
from receiver.cli.failures import CommandError, UsageError
from receiver.cli.running import run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.cli.service import Service


def erase(
    task_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One task, by its whole id.", show_default=False)
    ] = None,
    *,
    metadata: Annotated[
        list[str] | None,
        typer.Option("--metadata", metavar="NAME=VALUE", help="All tasks with this note; repeatable, all must fit."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Erase tasks for good: requests, reports, audio."""
    from receiver.cli.service import service

    notes = options.pairs(metadata, "--metadata")
    if (task_id is None) == (not notes):
        raise UsageError("say what to erase: the ID of a task, or --metadata NAME=VALUE")
    whole_id = None if task_id is None else _whole(task_id)
    speaking_with = service(url, api_key, folder)
    if not yes:
        _ask(whole_id, notes, as_json=as_json)
    count = _erased(speaking_with, whole_id, notes)
    if as_json:
        screen.document({"count": count})
        return
    if not count:
        screen.line("No task fits; nothing was erased.")
        return
    screen.line(f"{count} task{'' if count == 1 else 's'} erased; their numbers and times stay.")


def _whole(text: str) -> str:
    """Return an id that is given whole: what cannot be undone is not guessed from a beginning."""
    from uuid import UUID

    try:
        return str(UUID(text))
    except ValueError:
        raise UsageError(f"{text} is no whole id", "erasing cannot be undone, so the whole id is needed") from None


def _ask(task_id: str | None, notes: "Mapping[str, str]", *, as_json: bool) -> None:
    """Ask whoever types; raises UsageError where nobody can answer and CommandError for a no."""
    if as_json or not sys.stdin.isatty():
        raise UsageError("erasing cannot be undone and nobody can be asked here: confirm it with --yes")
    told = task_id or "every task with " + ", ".join(f"{name}={value}" for name, value in notes.items())
    screen.line("Erase for good ", screen.foreign(told), "? Type yes: ", error=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise CommandError("nothing was erased")


def _erased(speaking_with: "Service", task_id: str | None, notes: "Mapping[str, str]") -> int:
    from receiver.cli.naming import named

    async def asked() -> int:
        async with speaking_with.connect() as client:
            if task_id is None:
                return await client.erase_matching(notes)
            async with named(client, task_id) as whole_id:
                return await client.erase(whole_id)

    return run(asked)
