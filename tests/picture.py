"""Draws the picture in README.md from a real run of the demo: `make picture`."""

import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

PICTURE = Path(__file__).resolve().parents[1] / "infra" / "pictures" / "demo.svg"
_COLUMNS = 112
#: A plain frame: no fonts from elsewhere, so that the picture asks nobody for anything.
_FRAME = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>The demo: three tasks, four audio files, each with the way it arrived</title>
<style>.{unique_id}-matrix{{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:{char_height}px;\
line-height:{line_height}px}}{styles}</style>
<rect width="100%" height="100%" rx="8" fill="#191919"/>
<defs>{lines}</defs>
<g transform="translate({terminal_x}, {terminal_y})">{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""


def main() -> int:
    """Run the demo as in a terminal, and draw its end."""
    command = [sys.executable, "-m", "receiver", "demo"]
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(_COLUMNS)}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    # What went before was drawn over while it ran.
    table = re.split(r"(?=^\x1b\[1mtask)", said, flags=re.MULTILINE)[-1]
    console = Console(record=True, width=_COLUMNS, file=Path(os.devnull).open("w"), force_terminal=True)  # noqa: SIM115 - lives as long as the process
    console.print(Text("$ make demo\n", "bold"))
    # The folder has another name each time.
    console.print(Text.from_ansi(re.sub(r"/\S*/receiver-demo-\w+", "/tmp/receiver-demo", _without_links(table))))  # noqa: S108 - shown, not used
    PICTURE.parent.mkdir(exist_ok=True)
    svg = console.export_svg(title="", theme=DIMMED_MONOKAI, code_format=_FRAME, unique_id="demo")
    PICTURE.write_text(svg, "utf-8")
    return 0


def _without_links(text: str) -> str:
    return re.sub(r"\x1b\]8;[^\x1b]*\x1b\\", "", text)


if __name__ == "__main__":
    sys.exit(main())
