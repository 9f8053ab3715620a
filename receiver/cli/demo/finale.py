"""The table at the end of the demo: each result, how it arrived, and where its audio is."""

from collections.abc import Sequence
from pathlib import Path

from rich.style import Style
from rich.text import Text

from receiver.cli import screen
from receiver.cli.demo.proof import Exhibit
from receiver.cli.screen import foreign, ours
from receiver.cli.table import Column, Row, table
from receiver.cli.words import money, span

_COLUMNS = (
    Column("task"),
    Column("provider"),
    Column("status"),
    Column("via"),
    Column("after", numbers=True),
    Column("cost", numbers=True),
)


def finale(exhibits: Sequence[Exhibit], audio: Path, *, width: int | None) -> list[Text]:
    """Return the table. Where space is short the files stand below their rows, relative to the folder ``audio``."""
    return table(_COLUMNS, [_row(exhibit, audio) for exhibit in exhibits], long_title="file", width=width)


def _row(exhibit: Exhibit, audio: Path) -> Row:
    task, result = exhibit.task, exhibit.result
    arrived = result.received_at if result is not None else task.completed_at
    cost = task.cost_usd
    if result is not None and (result.cost_usd is not None or len(task.results) > 1):
        cost = result.cost_usd
    cells = (
        foreign(task.id),
        foreign(task.provider),
        foreign(task.status, screen.status_style(task.status)),
        foreign(result.via if result is not None else "–"),
        ours("–" if arrived is None else span((arrived - task.created_at).total_seconds())),
        ours(money(cost)),
    )
    if exhibit.file is None:
        return Row(cells, ours("no file", "red"))
    return Row(cells, _link(exhibit.file, exhibit.file), _link(exhibit.file, exhibit.file.relative_to(audio)))


def _link(file: Path, shown: Path) -> Text:
    """Return a path that a terminal opens when it is clicked."""
    text = foreign(shown)
    text.stylize(Style(link=file.as_uri()))
    return text
