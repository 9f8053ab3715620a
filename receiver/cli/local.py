"""What the commands of this machine share: its settings, and the refusals of the service's own parts in words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from receiver.cli.failures import CommandError

if TYPE_CHECKING:
    from receiver.settings import Loaded


def loaded_settings(folder: Path | None = None) -> "Loaded":
    """Read the settings of this machine; ``folder`` overrides the data folder. Raises CommandError."""
    from receiver import bootstrap
    from receiver.settings import SettingsError

    overrides = {} if folder is None else {"RECEIVER_DATA_DIR": str(folder)}
    try:
        return bootstrap.load_settings(overrides)
    except SettingsError as error:
        first, *rest = str(error).splitlines() or ["unknown"]
        raise CommandError("the settings cannot be used", first, *rest) from None


#: How the storage says that another process holds the database.
_HELD = re.compile(r"(?P<path>.+) is in use by process (?P<process>\w+)")


@contextmanager
def refusals() -> Iterator[None]:
    """Turn a refusal to start into a command's failure."""
    from receiver.bootstrap import StartError

    try:
        yield
    except StartError as error:
        raise _refusal(str(error)) from None


def _refusal(text: str) -> CommandError:
    held = _HELD.match(text)
    if held is None:
        return CommandError(text)
    holder = f"process {held['process']}" if held["process"].isdigit() else "another process"
    return CommandError(
        f"{holder} already serves the data folder {Path(held['path']).absolute().parent}",
        "stop it first, or give this one a folder of its own with --data-dir",
    )
