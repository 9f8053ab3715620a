"""Reads README.md, and writes the parts of it that follow from the code: `python -m tests.readme`."""

import re
from pathlib import Path

from tests.infra.env_example import described

README = Path(__file__).resolve().parents[1] / "README.md"
_BEGIN, _END = "<!-- settings -->\n", "<!-- /settings -->"
_BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def text() -> str:
    return README.read_text("utf-8")


def blocks(language: str) -> list[str]:
    """Return the code blocks of one language, in order."""
    return [block["text"] for block in _BLOCK.finditer(text()) if block["language"] == language]


def with_settings(readme: str) -> str:
    """Return the text with its table of settings made anew."""
    rows = [
        f"| `{each.name}` | {each.default and f'`{each.default}`'} | {_cell(each.meaning)} |" for each in described()
    ]
    table = "\n".join(["| setting | default | |", "|---|---|---|", *rows, ""])
    head, _, rest = readme.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    return f"{head}{_BEGIN}{table}{_END}{tail}"


def _cell(meaning: str) -> str:
    return meaning.replace("|", "\\|")


if __name__ == "__main__":
    README.write_text(with_settings(text()), "utf-8")
