"""Tables that keep every id and path whole: what does not fit beside its row goes below it."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

#: A text that may be cut stands beside its row only where this much of it is seen.
_LEAST = 40
_INDENT = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """The title of a column and whether it holds numbers, which stand right."""

    title: str
    numbers: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of a row, and a long text that belongs to it.

    ``short`` replaces that text where it stands below the row; ``cut`` lets a terminal show only its beginning.
    """

    cells: tuple[Text, ...]
    long: Text | None = None
    short: Text | None = None
    cut: bool = False


def table(columns: Sequence[Column], rows: Sequence[Row], *, long_title: str, width: int | None) -> list[Text]:
    """Return the lines of a table for a terminal of ``width`` columns; None: for a pipe, never broken.

    The long texts are the last column where all of them fit or may be cut, else each stands below its row.
    """
    widths = [
        max(len(column.title), *(row.cells[at].cell_len for row in rows), 0) for at, column in enumerate(columns)
    ]
    gap = 2 if width is None or sum(widths) + 2 * (len(columns) - 1) <= width else 1
    beside = _beside(rows, sum(widths) + gap * len(columns), width)
    titles = [Text(column.title, style="bold") for column in columns]
    any_long = any(row.long is not None for row in rows)
    head = _joined(titles, columns, widths, gap)
    if beside and any_long:
        head.append(" " * gap).append(long_title, style="bold")
    lines = [_trimmed(head)]
    for row in rows:
        text = _joined(row.cells, columns, widths, gap)
        if beside and row.long is not None:
            text.append(" " * gap).append_text(_cut(row, row.long, width, text.cell_len + gap))
        lines.append(_trimmed(text))
        if not beside and row.long is not None:
            lines.append(Text(_INDENT).append_text(_cut(row, row.short or row.long, width, len(_INDENT))))
    return lines


def _beside(rows: Sequence[Row], used: int, width: int | None) -> bool:
    if width is None:
        return True
    needed = (
        min(row.long.cell_len, _LEAST if row.cut else row.long.cell_len) for row in rows if row.long is not None
    )
    return width - used >= max(needed, default=0)


def _cut(row: Row, text: Text, width: int | None, used: int) -> Text:
    if row.cut and width is not None:
        text = text.copy()
        text.truncate(max(width - used, 1), overflow="ellipsis")
    return text


def _joined(cells: Sequence[Text], columns: Sequence[Column], widths: Sequence[int], gap: int) -> Text:
    whole = Text("")
    for at, (cell, column, cell_width) in enumerate(zip(cells, columns, widths, strict=True)):
        padding = " " * (cell_width - cell.cell_len)
        whole.append(" " * gap if at else "")
        if column.numbers:
            whole.append(padding)
        whole.append_text(cell)
        if not column.numbers:
            whole.append(padding)
    return whole


def _trimmed(text: Text) -> Text:
    text.rstrip()
    return text
