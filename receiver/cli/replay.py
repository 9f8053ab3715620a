"""`receiver replay`: have stored reports read again, to see what they mean today, or to let it count."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from receiver.cli import options, screen
from receiver.cli.failures import UsageError
from receiver.cli.running import run

if TYPE_CHECKING:
    from datetime import datetime

    from rich.text import Text

    from receiver.cli.service import Service
    from receiver.cli.table import Row
    from receiver.sdk import Client, Replayed

_WHICH = "Which reports"
_PAGE = 500
#: The end of an id: those that begin with the time begin alike.
_SHORT_ID = 8


def replay(
    task_id: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="Those of one task, by its id or its beginning.", show_default=False),
    ] = None,
    *,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="PROVIDER", help="Of this provider.", rich_help_panel=_WHICH)
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help=options.SINCE, rich_help_panel=_WHICH)
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Change tasks accordingly; without it nothing changes.")
    ] = False,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Read stored reports again.

    What they meant when they came, what they mean by today's reading; with --apply that counts.
    """
    from receiver.cli.service import service
    from receiver.system import RealSystem

    if task_id is None and provider is None and since is None:
        raise UsageError("say which reports: a task's ID, --provider or --since", "see `receiver replay --help`")
    if task_id is not None and (provider is not None or since is not None):
        raise UsageError("a task's ID stands alone: all its reports are read again")
    beginning = None if since is None else options.moment(since, "--since", RealSystem().now())
    lines = _replayed(service(url, api_key, folder), task_id, provider, beginning, apply=apply)
    if as_json:
        screen.document({"applied": apply, "data": [asdict(line) for line in lines]})
        return
    changed = [line for line in lines if line.before != line.after]
    if changed:
        screen.lines(_list(changed))
    screen.line(_summary(lines, changed, apply=apply))


def _replayed(
    speaking_with: "Service",
    task_id: str | None,
    provider: str | None,
    since: "datetime | None",
    *,
    apply: bool,
) -> "list[Replayed]":
    from receiver.cli.naming import named

    async def all_of(client: "Client", whole_id: str | None) -> "list[Replayed]":
        found: list[Replayed] = []
        cursor = None
        while True:
            page = await client.replay(
                task_id=whole_id, provider=provider, since=since, apply=apply, limit=_PAGE, cursor=cursor
            )
            found += page.lines
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def asked() -> "list[Replayed]":
        async with speaking_with.connect() as client:
            if task_id is None:
                return await all_of(client, None)
            async with named(client, task_id) as whole_id:
                return await all_of(client, whole_id)

    return run(asked)


def _list(changed: "list[Replayed]") -> "list[Text]":
    from receiver.cli.table import Column, table

    columns = (Column("task"), Column("report"), Column("before"), Column("now"))
    return table(columns, [_row(line) for line in changed], long_title="", width=screen.width())


def _row(line: "Replayed") -> "Row":
    from receiver.cli.table import Row
    from receiver.cli.words import money

    before, after = line.before, line.after
    told = [f"{before.verdict} → {after.verdict}"] if before.verdict != after.verdict else []
    if before.results != after.results:
        told.append(f"results {before.results} → {after.results}")
    if before.cost_usd != after.cost_usd:
        told.append(f"cost {money(before.cost_usd)} → {money(after.cost_usd)}")
    if after.reason is not None and after.reason != before.reason:
        told.append(after.reason)
    return Row(
        (
            screen.foreign(line.task_id or "of no task"),
            screen.foreign(line.report_id[-_SHORT_ID:]),
            _status(before.status),
            _status(after.status),
        ),
        screen.foreign(", ".join(told), "dim") if told else None,
        cut=True,
    )


def _status(status: str | None) -> "Text":
    return screen.foreign(status or "–", screen.status_style(status or ""))


def _summary(lines: "list[Replayed]", changed: "list[Replayed]", *, apply: bool) -> str:
    read = f"{len(lines)} report{'' if len(lines) == 1 else 's'} read again"
    if not changed:
        return f"{read}: all mean what they meant."
    applied = sum(line.applied for line in lines)
    if apply:
        return f"{read}, {len(changed)} with another meaning, {applied} applied."
    return f"{read}, {len(changed)} with another meaning. Nothing was changed: --apply lets it count."
