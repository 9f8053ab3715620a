"""`receiver tasks`: a list of tasks, newest first."""

from typing import TYPE_CHECKING, Annotated

import typer

from receiver.cli import options, screen
from receiver.cli.running import run

if TYPE_CHECKING:
    from datetime import datetime

    from rich.text import Text

    from receiver.cli.table import Row
    from receiver.sdk import Page, Task

_FILTERS = "Which tasks"
#: A narrower terminal shows the beginnings of ids, which every command takes: a row is 75 columns wide and more.
_WHOLE_IDS_FROM = 76
_SHORT_ID = 8


def tasks(
    status: Annotated[
        str | None,
        typer.Option("--status", metavar="STATUS", help="Only with this status.", rich_help_panel=_FILTERS),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option("--provider", metavar="PROVIDER", help="Only of this provider.", rich_help_panel=_FILTERS),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            "--metadata", metavar="NAME=VALUE", help="Only with this note; repeatable.", rich_help_panel=_FILTERS
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="NUMBER", min=1, help="How many at most.", rich_help_panel=_FILTERS),
    ] = None,
    cursor: Annotated[
        str | None,
        typer.Option("--cursor", metavar="CURSOR", help="Go on where a list ended.", rich_help_panel=_FILTERS),
    ] = None,
    *,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """List tasks, newest first."""
    from receiver.cli.service import service
    from receiver.system import RealSystem

    notes = options.pairs(metadata, "--metadata")
    speaking_with = service(url, api_key, folder)

    async def asked() -> "Page":
        async with speaking_with.connect() as client:
            return await client.tasks(status=status, provider=provider, metadata=notes, limit=limit, cursor=cursor)

    page = run(asked)
    if as_json:
        screen.document(page.document)
        return
    if not page.tasks:
        filtered = status or provider or notes or cursor
        screen.line("No task fits." if filtered else "No tasks.")
        return
    screen.lines(_list(page, RealSystem().now(), screen.width()))
    if any(_late(task) for task in page.tasks):
        screen.line(screen.ours("! overdue: past its deadline, and still looked for", "yellow"), error=True)
    if page.next_cursor is not None:
        screen.line("more with --cursor ", screen.foreign(page.next_cursor), error=True)


def _list(page: "Page", now: "datetime", width: int | None) -> "list[Text]":
    from receiver.cli.table import Column, table

    shown = _SHORT_ID if width is not None and width < _WHOLE_IDS_FROM else None
    columns = (
        Column("task"),
        Column("provider"),
        Column("status"),
        Column("age", numbers=True),
        Column("stored", numbers=True),
        Column("cost", numbers=True),
    )
    return table(columns, [_row(task, now, shown) for task in page.tasks], long_title="note", width=width)


def _row(task: "Task", now: "datetime", shown: int | None) -> "Row":
    from receiver.cli.table import Row
    from receiver.cli.words import age, money

    status = screen.foreign(task.status, screen.status_style(task.status))
    if _late(task):
        status.append("!", "yellow")
    return Row(
        (
            screen.foreign(task.id[:shown]),
            screen.foreign(task.provider),
            status,
            screen.ours(age((now - task.created_at).total_seconds())),
            # Of an erased task it is not known any more.
            screen.ours("–" if task.erased_at is not None else f"{task.stored}/{task.expected}"),
            screen.ours(money(task.cost_usd)),
        ),
        _note(task, now),
        cut=True,
    )


def _note(task: "Task", now: "datetime") -> "Text | None":
    """Return that it was erased, its first error, or what it waits for."""
    from receiver.cli.awaited import awaited

    if task.erased_at is not None:
        return screen.ours("erased", "dim")
    if task.errors:
        return screen.foreign(f"{task.errors[0].code}: {task.errors[0].message}", "red")
    if task.waiting is None or task.ended:
        return None
    return screen.foreign(awaited(task.waiting, now).removeprefix("for "), "dim")


def _late(task: "Task") -> bool:
    return task.overdue and not task.ended
