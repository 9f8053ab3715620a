"""`receiver deliveries` and `receiver redrive`: what is on its way to your application, and sending it again."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer

from receiver.cli import options, screen
from receiver.cli.failures import CommandError, UsageError
from receiver.cli.running import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from rich.text import Text

    from receiver.cli.service import Service
    from receiver.cli.table import Row
    from receiver.sdk import Client, Deliveries, Delivery, Redriven

    _Outcome = TypeVar("_Outcome")

_FILTERS = "Which deliveries"
_STYLES = {"pending": "cyan", "sent": "green", "dead": "red"}


class Status(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"


_Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="ENDPOINT",
        help="To this one: its id, the beginning of that, or its URL.",
        rich_help_panel=_FILTERS,
    ),
]
_Task = Annotated[
    str | None,
    typer.Option("--task", metavar="ID", help="Of this task, by its id or its beginning.", rich_help_panel=_FILTERS),
]
_Error = Annotated[
    str | None,
    typer.Option(
        "--error",
        metavar="WORD",
        help="Whose last attempt failed so: status, timeout, name or another word.",
        rich_help_panel=_FILTERS,
    ),
]
_Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="WHEN", help="Of events since then: 2 h ago, or a moment.", rich_help_panel=_FILTERS
    ),
]
_Until = Annotated[
    str | None,
    typer.Option(
        "--until", metavar="WHEN", help="Of events before then, told in the same way.", rich_help_panel=_FILTERS
    ),
]


def deliveries(
    *,
    status: Annotated[
        Status | None,
        typer.Option("--status", metavar="STATUS", help="pending, sent or dead.", rich_help_panel=_FILTERS),
    ] = None,
    endpoint: _Endpoint = None,
    task: _Task = None,
    error: _Error = None,
    since: _Since = None,
    until: _Until = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="NUMBER", min=1, help="How many at most.", rich_help_panel=_FILTERS),
    ] = None,
    cursor: Annotated[
        str | None,
        typer.Option("--cursor", metavar="CURSOR", help="Go on where a list ended.", rich_help_panel=_FILTERS),
    ] = None,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """List what your application was told, newest first."""
    from receiver.cli.service import service

    which = _which(endpoint, task, error, since, until)

    async def listed(client: "Client", endpoint_id: str | None, task_id: str | None) -> "Deliveries":
        return await client.deliveries(
            status=status,
            endpoint_id=endpoint_id,
            task_id=task_id,
            error=error,
            created_after=which.since,
            created_before=which.until,
            limit=limit,
            cursor=cursor,
        )

    page = _asked(service(url, api_key, folder), which, listed)
    if as_json:
        screen.document(page.document)
        return
    if not page.deliveries:
        screen.line("No deliveries fit." if which.says_anything or status or cursor else "No deliveries.")
        return
    screen.lines(_list(page, screen.width()))
    if page.next_cursor is not None:
        screen.line("more with --cursor ", screen.foreign(page.next_cursor), error=True)


def redrive(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Deliveries, by their ids.", show_default=False)
    ] = None,
    *,
    endpoint: _Endpoint = None,
    task: _Task = None,
    error: _Error = None,
    since: _Since = None,
    until: _Until = None,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Have dead deliveries sent again, under their ids.

    Those that fit all that is said, or each that is named.
    """
    from receiver.cli.service import service

    which = _which(endpoint, task, error, since, until)
    if bool(ids) == which.says_anything:
        raise UsageError(
            "say which: the ID of a delivery, or --endpoint, --task, --error, --since, --until",
            "`receiver deliveries --status dead` lists them",
        )
    whole = [_whole(each) for each in ids or ()]
    speaking_with = service(url, api_key, folder)
    done = _asked(
        speaking_with,
        which,
        lambda client, endpoint_id, task_id: _redriven(client, whole, which, endpoint_id, task_id),
    )
    if as_json:
        screen.document({"count": done.count, "more": done.more, "withheld": done.withheld})
        return
    screen.line(
        f"{done.count} deliver{'y is' if done.count == 1 else 'ies are'} sent again."
        if done.count
        else "None fits; nothing is sent."
    )
    if done.detail is not None:
        screen.line(screen.foreign(done.detail), error=True)
    if done.more:
        screen.line("there may be more: the same once again", error=True)


@dataclass(frozen=True, slots=True)
class _Which:
    """Which deliveries are meant, as it was typed; the moments are read."""

    endpoint: str | None
    task: str | None
    error: str | None
    since: "datetime | None"
    until: "datetime | None"

    @property
    def says_anything(self) -> bool:
        return any(each is not None for each in (self.endpoint, self.task, self.error, self.since, self.until))


def _which(endpoint: str | None, task: str | None, error: str | None, since: str | None, until: str | None) -> _Which:
    from receiver.system import RealSystem

    now = RealSystem().now()
    return _Which(
        endpoint,
        task,
        error,
        None if since is None else options.moment(since, "--since", now),
        None if until is None else options.moment(until, "--until", now),
    )


def _asked(
    speaking_with: "Service",
    which: _Which,
    ask: "Callable[[Client, str | None, str | None], Awaitable[_Outcome]]",
) -> "_Outcome":
    """Ask, with the whole ids of the endpoint and the task that are meant, if any are."""
    from receiver.cli.naming import named, named_endpoint

    async def asked() -> "_Outcome":
        async with speaking_with.connect() as client:
            endpoint_id = None if which.endpoint is None else (await named_endpoint(client, which.endpoint)).id
            if which.task is None:
                return await ask(client, endpoint_id, None)
            async with named(client, which.task) as task_id:
                return await ask(client, endpoint_id, task_id)

    return run(asked)


def _whole(text: str) -> str:
    """Return the id of a delivery; it is not looked for by its beginning."""
    try:
        return str(UUID(text))
    except ValueError:
        raise UsageError(
            f"{text} is no whole id of a delivery", "give the whole id, as `receiver deliveries` shows it"
        ) from None


async def _redriven(
    client: "Client", ids: list[str], which: _Which, endpoint_id: str | None, task_id: str | None
) -> "Redriven":
    from receiver.sdk import Redriven

    if not ids:
        done = await client.redrive(
            endpoint_id=endpoint_id,
            task_id=task_id,
            error=which.error,
            created_after=which.since,
            created_before=which.until,
        )
        if done.withheld and not done.count:
            raise CommandError(done.detail or "they fit, but their endpoint is stopped")
        return done
    count = 0
    for delivery_id in ids:
        done = await client.redrive(delivery_id=delivery_id)
        if not done.count:
            before = [f"of those before it {count} are sent again"] if count else []
            raise CommandError(f"{delivery_id}: {done.detail or 'it is not sent again'}", *before)
        count += 1
    return Redriven(count, more=False)


def _list(page: "Deliveries", width: int | None) -> "list[Text]":
    from receiver.cli.table import Column, table
    from receiver.system import RealSystem

    columns = (
        Column("delivery"),
        Column("age", numbers=True),
        Column("status"),
        Column("tries", numbers=True),
        Column("what"),
    )
    now = RealSystem().now()
    return table(columns, [_row(each, now) for each in page.deliveries], long_title="task", width=width)


def _row(delivery: "Delivery", now: "datetime") -> "Row":
    from receiver.cli.table import Row
    from receiver.cli.words import age

    note = screen.foreign(delivery.task_id)
    if delivery.error is not None:
        answered = delivery.error == "status" and delivery.status_code is not None
        note.append_text(screen.foreign(f"  {f'HTTP {delivery.status_code}' if answered else delivery.error}", "red"))
    if delivery.status == "pending" and delivery.next_attempt_at is not None:
        note.append(f", next in {age((delivery.next_attempt_at - now).total_seconds())}", "dim")
    return Row(
        (
            screen.foreign(delivery.id),
            screen.ours(age((now - delivery.created_at).total_seconds())),
            screen.foreign(delivery.status, _STYLES.get(delivery.status, "")),
            screen.ours(str(delivery.attempts)),
            screen.foreign(delivery.type),
        ),
        note,
    )
