"""`receiver watch [ID]`: what happens, as it happens: to one task until it has ended, or to all."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from receiver.cli import options, screen
from receiver.cli.failures import CommandError, InterruptedByPersonError, UsageError
from receiver.cli.running import ended_with_reader, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.sdk import Client, ClientError, Event

_WHERE = "Where to begin"


def watch(
    task_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]", help="One task, by its id or its beginning; without it all of them.", show_default=False
        ),
    ] = None,
    *,
    from_the_first: Annotated[
        bool, typer.Option("--all", help="Begin with the oldest event there is.", rich_help_panel=_WHERE)
    ] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="WHEN", help=options.SINCE, rich_help_panel=_WHERE),
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(
            "--after", metavar="EVENT", min=0, help="Begin behind the event with this id.", rich_help_panel=_WHERE
        ),
    ] = None,
    as_json: options.JsonLines = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Show events as they happen.

    Of one task from its first event to its end, of all from now on.
    """
    from receiver.cli.service import service
    from receiver.system import RealSystem

    if sum((from_the_first, since is not None, after is not None)) > 1:
        raise UsageError("--all, --since and --after say three different things: give one")
    beginning = None if since is None else options.moment(since, "--since", RealSystem().now())
    plan = _Plan(task_id, None if from_the_first else after, beginning, from_the_first=from_the_first)
    speaking_with = service(url, api_key, folder)
    show = _json if as_json else _Lines(with_task=task_id is None).show

    async def watched() -> "str | None":
        async with speaking_with.connect() as client:
            with ended_with_reader():
                return await _watch(client, plan, show)

    try:
        status = run(watched)
    except InterruptedByPersonError:
        if task_id is None:  # there is no other end
            if sys.stderr.isatty():
                screen.line("", error=True)
            return
        raise CommandError(
            "no longer watching; the task goes on", f"look at it with `receiver task {task_id}`"
        ) from None
    if status not in {None, "succeeded"}:
        raise CommandError(f"the task has ended as {status}", f"see `receiver task {task_id}`")


class _Plan:
    """What to watch and where to begin."""

    def __init__(
        self, task_id: str | None, after: int | None, since: datetime | None, *, from_the_first: bool
    ) -> None:
        self.task_id = task_id
        # Of one task everything is told: it is short.
        begins_early = from_the_first or since is not None or task_id is not None
        self.after: int | None = after if after is not None else 0 if begins_early else None
        self.since = since or datetime.min.replace(tzinfo=UTC)


async def _watch(client: "Client", plan: _Plan, show: "Callable[[Event], None]") -> str | None:
    """Show what comes; return how the task ended, None when all were watched."""
    from contextlib import aclosing

    from receiver.cli.naming import named

    after: int | Literal["latest"] = "latest" if plan.after is None else plan.after
    troubles = _Troubles()

    async def follow(task_id: str | None) -> None:
        async with aclosing(client.watch(task_id, after=after, on_trouble=troubles.say)) as events:
            async for event in events:
                troubles.are_over()
                if event.at >= plan.since:
                    show(event)

    if plan.task_id is None:
        await follow(None)
        return None
    async with named(client, plan.task_id) as whole_id:
        await follow(whole_id)
        return (await client.task(whole_id)).status


def _json(event: "Event") -> None:
    screen.json_line(dict(event.document))


class _Lines:
    """Shows each event as one line, cut where a terminal ends."""

    def __init__(self, *, with_task: bool) -> None:
        from receiver.cli.portrait import outcome_style

        self._with_task = with_task
        self._style_of = outcome_style
        self._results: dict[str, str] = {}

    def show(self, event: "Event") -> None:
        """Show one."""
        from receiver.cli.phrases import phrase
        from receiver.cli.words import clock

        result, index = event.data.get("result_id"), event.data.get("index")
        if isinstance(result, str) and isinstance(index, int):
            self._results[result] = f"result {index}"
        width = screen.width()
        line = screen.ours(f"{clock(event.at)}  ", "dim")
        if self._with_task:
            # A terminal has room for the beginning, which every command takes for the whole.
            name = event.task_id if width is None else event.task_id[: options.SHORTEST_ID]
            line.append_text(screen.foreign(f"{name}  "))
        kind = screen.escaped(event.type)
        line.append_text(screen.foreign(kind, self._style_of(event.type)))
        # Where we chose the provider's id it is the task's own.
        told = {name: value for name, value in event.data.items() if value != event.task_id}
        words = screen.foreign(phrase(told, self._results))
        if words:
            line.append(" " * max(_TYPE_WIDTH - len(kind), 0) + "  ").append_text(words)
        if width is not None:
            line.truncate(width, overflow="ellipsis")
        screen.line(line)


#: The longest type of event.
_TYPE_WIDTH = len("callback.quarantined")


class _Troubles:
    """Says on standard error that the service is away: once for each time that it is."""

    def __init__(self) -> None:
        self._said = False

    def are_over(self) -> None:
        """Take note that something is heard again."""
        self._said = False

    def say(self, error: "ClientError") -> None:
        """Say it."""
        from receiver.sdk import UnreachableError

        if self._said:
            return
        self._said = True
        away = "is away" if isinstance(error, UnreachableError) else "does not answer"
        screen.line(screen.ours(f"the service {away}; trying again", "yellow"), error=True)
