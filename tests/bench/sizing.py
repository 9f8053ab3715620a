"""What a run measured, written into the pages that tell of it: `python -m tests.bench.sizing [build/bench]`."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.report import number

_DEFAULT = Path("build/bench")
PICTURE = Path("infra/pictures/bench.svg")
#: A line of the table: what it tells, and for SQLite and PostgreSQL the measured line and the figure beside it, or
#: None for its own.
_ROWS: Sequence[tuple[str, tuple[str, str | None], tuple[str, str | None]]] = (
    ("callbacks taken a second", ("S1", "receiver/s"), ("S2", "receiver/s")),
    ("taken and settled a second", ("S1b", "settled/s"), ("S2b", "settled/s")),
    ("the slowest of 100 answers meanwhile, ms", ("S3", None), ("S2b", "acknowledged p99 ms")),
)
#: What the front page tells.
_TOLD = ("S1", "S1b", "S2", "S2b", "S5", "S13")


def sizes(document: Mapping[str, Any]) -> str:
    """Return what one core does as Markdown; what was not measured in that run stands as a dash."""
    measured = {line["name"]: line for line in _lines(document)}

    def cell(name: str, beside: str | None) -> str:
        line = measured.get(name)
        value = None if line is None else line["median"] if beside is None else line["beside"].get(beside)
        return "–" if value is None else f"{float(f'{value:.2g}'):,.0f}"

    rows = [f"| {what} | {cell(*sqlite)} | {cell(*postgresql)} |" for what, sqlite, postgresql in _ROWS]
    head = ["| one core of ours | SQLite | PostgreSQL |", "|---|---|---|"]
    bare = cell("S1", "starlette/s")
    yardstick = [
        f"A bare Starlette that reads the same body and answers took {bare} a second in that run:",
        "a machine that does more of those does more of these.",
    ]
    return "\n".join([*head, *rows, "", _machine(document), "", *yardstick, ""])


def told(document: Mapping[str, Any]) -> str:
    """Return what the front page tells, as Markdown."""
    rows = [f"| {line['what']} | {_value(line)} |" for line in _lines(document) if line["name"] in _TOLD]
    return "\n".join(["| | measured |", "|---|---|", *rows, "", _machine(document), ""])


def costs(document: Mapping[str, Any]) -> str:
    """Return every line beside its floor and its goal, as Markdown."""
    rows = [
        f"| {line['name']} | {line['what']} | {_value(line)} | {number(line['floor'])} | {number(line['goal'])} "
        f"| {_verdict(line)} |"
        for line in _lines(document)
    ]
    head = ["| line | what | measured | floor | goal | |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *rows, "", _machine(document), ""])


#: Which page has which of these between marks of that name.
PLACES: Sequence[tuple[Path, str, Callable[[Mapping[str, Any]], str]]] = (
    (Path("README.md"), "costs", told),
    (Path("infra/scale.md"), "costs", costs),
    (Path("infra/scale.md"), "sizing", sizes),
)


def main() -> None:
    """Write each into its page between its marks, and the plot beside the other pictures."""
    source = Path(sys.argv[1]) if sys.argv[1:] else _DEFAULT
    document = json.loads((source / "bench.json").read_text("utf-8"))
    for page, mark, made in PLACES:
        begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
        head, begun, rest = page.read_text("utf-8").partition(begin)
        _, ended, tail = rest.partition(end)
        if not (begun and ended):
            sys.exit(f"{page} has no place for it: {begin.strip()} and {end}")
        page.write_text(f"{head}{begin}{made(document)}{end}{tail}", "utf-8")
    shutil.copyfile(source / "bench.svg", PICTURE)


def _lines(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    lines = document["lines"]
    assert isinstance(lines, list)
    return lines


def _machine(document: Mapping[str, Any]) -> str:
    machine = document["machine"]
    assert isinstance(machine, dict)
    return f"Measured on {machine['processor']}, {machine['cores']} cores, Python {machine['python']}."


def _value(line: Mapping[str, Any]) -> str:
    return f"{number(line['median'])} {line['unit']}".replace(" ratio", "").replace(" times", " ×")


def _verdict(line: Mapping[str, Any]) -> str:
    return "goal reached" if line["reaches_goal"] else "holds" if line["holds"] else "falls short"


if __name__ == "__main__":
    main()
