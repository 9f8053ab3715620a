"""`receiver settings`: every setting with its meaning, its value and where the value came from."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from receiver.cli import options, screen

if TYPE_CHECKING:
    from rich.text import Text

    from receiver.settings import Described

_INDENT = "    "


def settings(*, folder: options.DataFolder = None, as_json: options.Json = False) -> None:
    """Show every setting: meaning, value, source. Secrets are masked."""
    from receiver.cli.local import loaded_settings

    described = loaded_settings(folder).described
    if as_json:
        screen.document([asdict(setting) for setting in described])
        return
    width = screen.width()
    for setting in described:
        screen.lines(_told(setting, width))


def _told(setting: "Described", width: int | None) -> "list[Text]":
    """Return name and value, then the meaning below them."""
    import textwrap

    head = screen.ours(setting.name, "bold").append(" = ")
    if setting.source == "default":
        head.append_text(screen.foreign(setting.value or "(not set)", "dim"))
    else:
        head.append_text(screen.foreign(setting.value, "green"))
        default = f", default {setting.default}" if setting.default else ""
        head.append_text(screen.foreign(f"  ({setting.source}{default})", "dim"))
    meaning = [setting.meaning] if width is None else textwrap.wrap(setting.meaning, max(width - len(_INDENT), 20))
    return [head, *(screen.ours(_INDENT).append_text(screen.foreign(text)) for text in meaning)]
