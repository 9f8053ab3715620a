"""What a person sees: one way to print, and the one function that every foreign string passes.

rich is imported where something is printed, so that `receiver --help` does without it.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.text import Text

#: Unicode categories that a terminal may act upon instead of showing them: controls (ESC, the C1 codes), format
#: characters (bidi marks, zero width, tags), surrogates, private and unassigned ones, line and paragraph separators.
_ACTED_UPON = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

_STYLES = {
    "queued": "cyan",
    "submitted": "cyan",
    "collecting": "cyan",
    "unknown": "yellow",
    "succeeded": "green",
    "partial": "yellow",
    "failed": "red",
    "lost": "red",
    "cancelled": "dim",
}


def foreign(value: object, style: str = "") -> Text:
    """Return a value that is not ours (from the service, a provider, a file) as text that a terminal only shows.

    Whatever a terminal could act upon is written as an escape (a backslash and its number); markup is not read.
    """
    from rich.text import Text

    return Text("", end="").append(escaped(value), style)


def escaped(value: object) -> str:
    """Return the characters behind ``foreign``, for places that take plain strings."""
    return "".join(
        character
        if unicodedata.category(character) not in _ACTED_UPON
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in str(value)
    )


def ours(text: str, style: str = "") -> Text:
    """Return words of our own as text."""
    from rich.text import Text

    return Text("", end="").append(text, style)


def status_style(status: str) -> str:
    """Return the colour of a task's status; none for a word that is not known here."""
    return _STYLES.get(status, "")


def console(*, error: bool = False) -> Console:
    """Return standard output, or standard error, as rich prints on it: no markup, no emoji codes, no guessing."""
    from rich.console import Console

    class _Console(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to whoever runs the command, as any other way of printing does."""
            raise BrokenPipeError

    return _Console(stderr=error, markup=False, emoji=False, highlight=False)


def line(*parts: Text | str, error: bool = False) -> None:
    """Print one line; strings are words of our own. Never broken by us: a terminal wraps it, a pipe keeps it."""
    from rich.text import Text

    whole = Text("", end="")
    for part in parts:
        whole.append_text(part if isinstance(part, Text) else Text(part))
    console(error=error).print(whole, soft_wrap=True)


def lines(texts: Sequence[Text], *, error: bool = False) -> None:
    """Print ready lines."""
    for text in texts:
        line(text, error=error)


def width(*, error: bool = False) -> int | None:
    """Return the columns of the terminal; None for a pipe or a file, where lines may be as long as they are."""
    target = console(error=error)
    return target.width if target.is_terminal else None


class Told:
    """What this command has told already; ``json``: there is something for programs on standard output."""

    json = False


def document(value: object) -> None:
    """Print a JSON document as the last thing on standard output: one line, or indented for a person's eyes.

    Everything beyond ASCII is escaped, so that nothing in it can act on a terminal.
    """
    _write(json.dumps(value, indent=2 if sys.stdout.isatty() else None))


def json_line(value: object) -> None:
    """Print a JSON value on one line, of many to come, as ``document`` does."""
    _write(json.dumps(value))


def _write(text: str) -> None:
    Told.json = True
    sys.stdout.write(text.replace("\x7f", "\\u007f") + "\n")
    sys.stdout.flush()
