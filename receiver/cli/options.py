"""The options that several commands share, spelt once."""

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
