"""What the commands of this machine share: its settings, and the refusals of the service's own parts in words."""

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


@contextmanager
def refusals() -> Iterator[None]:
    """Turn a refusal to start into a command's failure."""
    from receiver.bootstrap import StartError

    try:
        yield
    except StartError as error:
        raise CommandError(str(error)) from None


def uses_sqlite(loaded: "Loaded") -> bool:
    """Tell whether the embedded database is used."""
    address = loaded.settings.database_url
    return address is None or address.startswith("sqlite")
