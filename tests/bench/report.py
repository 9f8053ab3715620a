"""What a run prints and keeps: a table, a JSON document, a plot."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from tests.bench.lines import Figure

_STYLE = (
    "text{font-family:system-ui,sans-serif;fill:#333}.bar{fill:#3d7f6d}.short{fill:#b4552d}"
    ".floor{stroke:#888;stroke-dasharray:3 3}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.bar{fill:#6db7a2}.short{fill:#e08a60}}"
)
_WIDTH, _ROW, _LEFT, _RIGHT = 780, 34, 350, 150
#: So many have room before the bars.
_LETTERS = 44


def table(figures: Sequence[Figure]) -> str:
    """Return the figures in columns, with the absolute rates they were made of below."""
    rows = [("", "what", "median", "spread", "floor", "goal", "")]
    rows += [
        (
            figure.name,
            figure.what,
            f"{number(figure.median)} {figure.unit}",
            _spread(figure.values),
            number(figure.floor),
            number(figure.goal),
            _verdict(figure),
        )
        for figure in figures
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    beside = dict.fromkeys(
        f"  {figure.name}: " + ", ".join(f"{name} {number(value)}" for name, value in figure.beside.items())
        for figure in figures
        if figure.beside
    )
    return "\n".join([*lines, "", *beside])


def document(figures: Sequence[Figure], machine: Mapping[str, str]) -> str:
    """Return everything as JSON, every round included."""
    lines = [
        {
            "name": figure.name,
            "what": figure.what,
            "unit": figure.unit,
            "median": figure.median,
            "rounds": list(figure.values),
            "floor": figure.floor,
            "goal": figure.goal,
            "holds": figure.holds,
            "reaches_goal": figure.reaches,
            "beside": dict(figure.beside),
        }
        for figure in figures
    ]
    return json.dumps({"machine": dict(machine), "lines": lines}, indent=2, ensure_ascii=False) + "\n"


def plot(figures: Sequence[Figure]) -> str:
    """Return an SVG: each line as a bar against its floor, where 1 is the floor exactly and longer is better."""
    scores = [_score(figure) for figure in figures]
    longest = max([*scores, 1.2])
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    height = _ROW * len(figures) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" font-size="13">',
        "<title>Each measured line against its floor</title>",
        f"<style>{_STYLE}</style>",
    ]
    for at, (figure, score) in enumerate(zip(figures, scores, strict=True)):
        top = 20 + at * _ROW
        parts.append(f'<text x="{_LEFT - 10}" y="{top + 15}" text-anchor="end">{escape(_short(figure))}</text>')
        kind = "bar" if figure.holds else "short"
        parts.append(f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{score * scale:.1f}" height="20" rx="3"/>')
        value = f"{number(figure.median)} {figure.unit}"
        parts.append(f'<text x="{_LEFT + score * scale + 8:.1f}" y="{top + 15}">{escape(value)}</text>')
    floor = _LEFT + scale
    parts.append(f'<line class="floor" x1="{floor:.1f}" x2="{floor:.1f}" y1="10" y2="{height - 30}"/>')
    parts.append(f'<text x="{floor:.1f}" y="{height - 12}" text-anchor="middle">floor</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def machine() -> dict[str, str]:
    """Return what the figures were taken on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    load = os.getloadavg()[0]
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load before": f"{load:.2f}",
    }


def _score(figure: Figure) -> float:
    """How far beyond its floor a line is, cut where the others would vanish."""
    score = figure.median / figure.floor if figure.rising else figure.floor / max(figure.median, 1e-9)
    return min(score, 4.0)


def _short(figure: Figure) -> str:
    text = f"{figure.name} {figure.what}"
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"


def _verdict(figure: Figure) -> str:
    return "goal reached" if figure.reaches else "holds" if figure.holds else "FALLS SHORT"


def _spread(values: Sequence[float]) -> str:
    if len(values) == 1:
        return "one run"
    share = statistics.stdev(values) / max(statistics.median(values), 1e-9)
    return f"{number(min(values))} … {number(max(values))} (±{share:.0%})"


def number(value: float) -> str:
    """Return a figure to three digits, large ones whole."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
