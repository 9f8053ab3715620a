"""`receiver stats`: figures about all tasks, by provider and model."""

from typing import TYPE_CHECKING, Annotated

import typer

from receiver.cli import options, screen
from receiver.cli.running import run

if TYPE_CHECKING:
    from rich.text import Text

    from receiver.cli.table import Row
    from receiver.sdk import Statistics

#: In the order of a task's life.
_STATUSES = (
    "queued",
    "submitted",
    "unknown",
    "collecting",
    "succeeded",
    "partial",
    "failed",
    "lost",
    "cancelled",
)
_NOT_KNOWN = "–"
_LEGEND = "p50, p99: submit to audio stored; missed: callbacks due; polls: per task"
#: In a narrower terminal a model stands below its figures, with the statuses.
_MODELS_BESIDE_FROM = 76


def stats(
    *,
    since: Annotated[str | None, typer.Option("--since", metavar="WHEN", help=options.SINCE)] = None,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Show figures by provider and model.

    Of tasks under way, and of those that ended.
    """
    from receiver.cli.service import service
    from receiver.system import RealSystem

    beginning = None if since is None else options.moment(since, "--since", RealSystem().now())
    speaking_with = service(url, api_key, folder)

    async def asked() -> "tuple[Statistics, ...]":
        async with speaking_with.connect() as client:
            return await client.stats(since=beginning)

    found = run(asked)
    if as_json:
        screen.document({"data": [dict(figures.document) for figures in found]})
        return
    screen.lines(_list(found))


def _list(found: "tuple[Statistics, ...]") -> "list[Text]":
    from receiver.cli.table import Column, table

    if not found:
        return [screen.ours("No tasks.")]
    width = screen.width()
    beside = width is None or width >= _MODELS_BESIDE_FROM
    columns = (
        Column("provider"),
        *([Column("model")] if beside else []),
        Column("tasks", numbers=True),
        Column("p50", numbers=True),
        Column("p99", numbers=True),
        Column("missed", numbers=True),
        Column("polls", numbers=True),
        Column("cost", numbers=True),
    )
    return [
        *table(columns, [_row(figures, beside=beside) for figures in found], long_title="by status", width=width),
        *(screen.ours(line, "dim") for line in ([_LEGEND] if beside else _LEGEND.split("; "))),
    ]


def _row(figures: "Statistics", *, beside: bool) -> "Row":
    from receiver.cli.table import Row
    from receiver.cli.words import money

    rate = figures.callback_miss_rate
    model = screen.foreign(figures.model or "adopted")
    return Row(
        (
            screen.foreign(figures.provider),
            *([model] if beside else []),
            screen.ours(str(figures.tasks)),
            screen.ours(_span(figures.seconds_p50)),
            screen.ours(_span(figures.seconds_p99)),
            screen.ours(_NOT_KNOWN if rate is None else f"{rate:.1%}"),
            screen.ours(_NOT_KNOWN if figures.polls_per_task is None else f"{figures.polls_per_task:.1f}"),
            screen.ours(money(figures.cost_usd)),
        ),
        _statuses(figures) if beside else model.append(": ").append_text(_statuses(figures)),
    )


def _statuses(figures: "Statistics") -> "Text":
    """Return how many there are of each status that any has, in the order of a task's life; words not known last."""
    known = [status for status in _STATUSES if figures.statuses.get(status)]
    others = [status for status in figures.statuses if status not in _STATUSES]
    whole = screen.ours("")
    for status in (*known, *others):
        whole.append(", " if whole else "")
        told = f"{figures.statuses[status]} {status}"
        whole.append_text(screen.foreign(told, screen.status_style(status)))
    return whole


def _span(seconds: float | None) -> str:
    from receiver.cli.words import span

    return _NOT_KNOWN if seconds is None else span(seconds)
