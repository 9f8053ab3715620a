"""Keys that are made on the first start and kept in files only their owner can read."""

import base64
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from receiver.domain.token import SigningKey

_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700


class KeyFileError(Exception):
    """A key file cannot be used; the message says which and what to do."""


def private_folder(path: Path) -> None:
    """Make a folder that others cannot read, or accept one that exists."""
    try:
        path.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be made a folder ({error.strerror})") from None


def close_to_others(path: Path, *, ours: Iterable[str]) -> bool:
    """Take a data folder's permissions from everybody but its owner; return whether anything had to change.

    A folder of somebody else (a mounted volume) stays as it is: what we write into it only we can read. Raises
    KeyFileError for one that holds other things and none of the names in ``ours``: it is not ours to close.
    """
    state = path.stat()
    if not stat.S_IMODE(state.st_mode) & 0o077 or state.st_uid != os.geteuid():
        return False
    try:
        held = {entry.name for entry in path.iterdir()}
        if held and not held.intersection(ours):
            raise KeyFileError(
                f"{path}: others may read it, and it holds other things: give the receiver a folder of its own with "
                "--data-dir"
            )
        path.chmod(_PRIVATE_FOLDER)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be closed to others ({error.strerror})") from None
    return True


def read_or_make(path: Path, make: Callable[[], str]) -> tuple[str, bool]:
    """Return a key file's text and whether it was made just now.

    Raises KeyFileError for a file that others may read: what is in it is no secret any more.
    """
    try:
        return read(path), False
    except FileNotFoundError:
        write(path, make())
        return read(path), True


def write(path: Path, text: str) -> None:
    """Replace a key file whole, so that a crash leaves the old one or the new one."""
    private_folder(path.parent)
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be written ({error.strerror})") from None


def parse_signing_keys(text: str) -> tuple[SigningKey, ...]:
    """Read ``kid:base64`` pairs, comma or line separated; raise ValueError without quoting a secret."""
    keys = []
    for number, item in enumerate(filter(None, (part.strip() for part in text.replace("\n", ",").split(","))), 1):
        name, colon, encoded = item.partition(":")
        if not colon or not name:
            raise ValueError(f"signing key {number} is not of the form kid:base64")
        standard = encoded.replace("-", "+").replace("_", "/")
        try:
            secret = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
        except ValueError:
            raise ValueError(f"signing key {number} ({name}) is not base64") from None
        keys.append(SigningKey(name, secret))
    return tuple(keys)


def format_signing_key(name: str, secret: bytes) -> str:
    """Write a key the way ``parse_signing_keys`` reads it."""
    return f"{name}:{base64.b64encode(secret).decode()}"


def read(path: Path) -> str:
    """Return a key file's text. Raises FileNotFoundError, and KeyFileError when it is no secret or not readable."""
    try:
        with path.open(encoding="utf-8") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise KeyFileError(f"{path}: others may read it; make it yours alone: chmod 600 {path}")
            text = file.read().strip()
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path}: cannot be read ({type(error).__name__})") from None
    if not text:
        raise KeyFileError(f"{path}: is empty; delete it to have a new key made")
    return text
