"""What one core does, for infra/scale.md, from the figures of a run: `python -m tests.bench.sizing [bench.json]`."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PAGE = Path("infra/scale.md")
BEGIN, END = "<!-- sizing -->\n", "<!-- /sizing -->"
_DEFAULT = Path("build/bench/bench.json")
#: A line of the table: what it tells, and for SQLite and PostgreSQL the measured line and the figure beside it, or
#: None for its own.
_ROWS: Sequence[tuple[str, tuple[str, str | None], tuple[str, str | None]]] = (
    ("callbacks taken a second", ("S1", "receiver/s"), ("S2", "receiver/s")),
    ("taken and settled a second", ("S1b", "settled/s"), ("S2b", "settled/s")),
    ("the slowest of 100 answers meanwhile, ms", ("S3", None), ("S2b", "acknowledged p99 ms")),
)


def table(document: Mapping[str, object]) -> str:
    """Return the table as Markdown; what was not measured in that run stands as a dash."""
    lines = document["lines"]
    assert isinstance(lines, list)
    measured = {line["name"]: line for line in lines}
    machine = document["machine"]
    assert isinstance(machine, dict)

    def cell(name: str, beside: str | None) -> str:
        line = measured.get(name)
        value = None if line is None else line["median"] if beside is None else line["beside"].get(beside)
        return "–" if value is None else f"{float(f'{value:.2g}'):,.0f}"

    rows = [f"| {what} | {cell(*sqlite)} | {cell(*postgresql)} |" for what, sqlite, postgresql in _ROWS]
    on = f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}"
    return "\n".join(
        ["| one core of ours | SQLite | PostgreSQL |", "|---|---|---|", *rows, "", f"Measured on {on}.", ""]
    )


def main() -> None:
    """Write the table into the page between its marks."""
    source = Path(sys.argv[1]) if sys.argv[1:] else _DEFAULT
    head, begin, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{PAGE} has no place for the table: {BEGIN.strip()} and {END}")
    PAGE.write_text(f"{head}{begin}{table(json.loads(source.read_text('utf-8')))}{end}{tail}", "utf-8")


if __name__ == "__main__":
    main()
