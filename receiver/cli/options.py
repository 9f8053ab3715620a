"""The options that several commands share, spelt once."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

_SERVICE = "Which service"

Url = Annotated[
    str,
    typer.Option(
        "--url", metavar="URL", envvar="RECEIVER_URL", help="Address of the service.", rich_help_panel=_SERVICE
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        envvar="RECEIVER_API_KEY",
        help="Its key. For a service on this machine the default is the key file in its data folder.",
        rich_help_panel=_SERVICE,
        show_default=False,
    ),
]
KeyFolder = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        envvar="RECEIVER_DATA_DIR",
        help="Data folder of a service on this machine, for its key file.",
        rich_help_panel=_SERVICE,
    ),
]
DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", metavar="DIR", help="Folder for database, audio and keys; overrides RECEIVER_DATA_DIR."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON document for programs.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON object on each line for programs.")]
TaskId = Annotated[
    str,
    typer.Argument(metavar="ID", help="The task's id, or its first 8 or more characters.", show_default=False),
]
_AFTER = "After that"
Wait = Annotated[bool, typer.Option("--wait", help="Follow the task until it has ended.", rich_help_panel=_AFTER)]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", min=0.0, help="Seconds to follow it at most.", rich_help_panel=_AFTER
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="Put the audio into this folder; implies --wait.", rich_help_panel=_AFTER
    ),
]
# How a program that started us, such as the demo, makes sure that we end with it, whatever ends it.
UntilInputEnds = Annotated[bool, typer.Option("--until-input-ends", hidden=True)]

#: The shortest beginning of an id that stands for the whole.
SHORTEST_ID = 8
SINCE = "Only since then: 30 s, 10 min, 2 h, 7 d ago, or a moment with its zone."
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_AGO = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(s|m|min|h|d)")

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_FOLDER = Path("var")


def pairs(texts: list[str] | None, option: str, form: str = "NAME=VALUE") -> dict[str, str]:
    """Read ``NAME=VALUE`` texts; raises typer.BadParameter for any other, which names ``form``."""
    found: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{text!r} is not of the form {form}", param_hint=option)
        found[name] = value
    return found


def moment(text: str, option: str, now: datetime) -> datetime:
    """Read a moment, told by how long ago it was or as it is; raises typer.BadParameter for any other text."""
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago is not None:
            return now - timedelta(seconds=float(ago[1]) * _UNITS[ago[2]])
        found = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        found = None
    if found is None or found.tzinfo is None:
        form = "30s, 10min, 2h, 7d, or a moment with its zone such as 2026-11-21T09:30:00Z"
        raise typer.BadParameter(f"{text!r} is not of the form {form}", param_hint=option)
    return found
