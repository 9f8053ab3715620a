"""The keys of this installation: made on the first start, read at each, never shown."""

import base64
import logging
from pathlib import Path

from receiver.bootstrap.failure import StartError
from receiver.domain.delivery import spell_secret
from receiver.domain.token import SigningKey, TokenSigner
from receiver.settings import LEAST_KEY_CHARACTERS, Loaded
from receiver.storage import keyfiles
from receiver.system import new_secret

_log = logging.getLogger("receiver")


def api_key_path(loaded: Loaded) -> Path:
    """Return where the key of the /v1 routes lies when none is configured."""
    return loaded.settings.data_dir / "api_key"


def api_key(loaded: Loaded) -> str:
    """Return a key that the local service takes, without making one. Raises StartError."""
    if loaded.settings.api_keys:
        return loaded.settings.api_keys.split(",")[0].strip()
    try:
        return keyfiles.read(api_key_path(loaded))
    except FileNotFoundError:
        raise StartError(
            f"{api_key_path(loaded)} is not there: `receiver serve` makes it on its first start"
        ) from None
    except keyfiles.KeyFileError as error:
        raise StartError(str(error)) from error


def new_keys() -> dict[str, str]:
    """Return a fresh signing key, a fresh API key and a fresh secret of notifications as they stand in settings."""
    name = f"k{new_secret(4).hex()}"
    return {
        "signing_key": keyfiles.format_signing_key(name, new_secret()),
        "api_key": f"{name}:{new_secret(24).hex()}",
        "notify_secret": spell_secret(new_secret()),
    }


def rotate_signing_key(loaded: Loaded) -> str:
    """Put a new signing key first in the key file, keep the old ones for running tasks, and return its name."""
    if loaded.settings.signing_keys:
        raise StartError("RECEIVER_SIGNING_KEYS is set: put the new key first there yourself (`receiver keys new`)")
    path = _signing_key_path(loaded)
    try:
        old, _ = keyfiles.read_or_make(path, lambda: new_keys()["signing_key"])
        fresh = new_keys()["signing_key"]
        keyfiles.write(path, f"{fresh}\n{old}")
    except keyfiles.KeyFileError as error:
        raise StartError(str(error)) from error
    return fresh.partition(":")[0]


def _signing_key_path(loaded: Loaded) -> Path:
    return loaded.settings.data_dir / "signing_keys"


def signing_keys(loaded: Loaded) -> tuple[SigningKey, ...]:
    """Return the keys that sign callback URLs, made on the first start. Raises StartError."""
    text = loaded.settings.signing_keys
    try:
        if text is None:
            text, _ = keyfiles.read_or_make(_signing_key_path(loaded), lambda: new_keys()["signing_key"])
        return keyfiles.parse_signing_keys(text)
    except (keyfiles.KeyFileError, ValueError) as error:
        raise StartError(f"signing keys: {error}") from error


def signer(keys: tuple[SigningKey, ...], installation: bytes) -> TokenSigner:
    """Return what issues and verifies the tokens of this installation. Raises StartError."""
    try:
        return TokenSigner(keys, installation)
    except ValueError as error:
        raise StartError(f"signing keys: {error}") from error


def api_keys(loaded: Loaded) -> tuple[str, ...]:
    """Return the keys that open /v1, one made on the first start. Raises StartError."""
    text = loaded.settings.api_keys
    try:
        if text is None:
            text, made = keyfiles.read_or_make(api_key_path(loaded), lambda: new_keys()["api_key"])
            if made:
                _log.info("api_key_made", extra={"path": str(api_key_path(loaded))})
    except keyfiles.KeyFileError as error:
        raise StartError(str(error)) from error
    return _long_enough(text)


def check_given_keys(loaded: Loaded) -> None:
    """Look at the keys that are set, before one that is not is made. Raises StartError."""
    if loaded.settings.signing_keys is not None:
        signing_keys(loaded)
    if loaded.settings.api_keys is not None:
        api_keys(loaded)


def _long_enough(text: str) -> tuple[str, ...]:
    """Return the keys of /v1 in a text. Raises StartError for one that can be guessed."""
    given = tuple(filter(None, (key.strip() for key in text.replace("\n", ",").split(","))))
    for number, key in enumerate(given, 1):
        if len(key.rpartition(":")[2]) < LEAST_KEY_CHARACTERS:
            raise StartError(
                f"RECEIVER_API_KEYS: the secret of key {number} has fewer than {LEAST_KEY_CHARACTERS} characters; "
                "`receiver keys new` makes one"
            )
    return given


def spelled(signing: tuple[SigningKey, ...], opening: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys in use as they are spelled, wherever they came from: nothing that is written may show them."""
    return (
        *(base64.b64encode(key.secret).decode() for key in signing),
        *(key.rpartition(":")[2] for key in opening),
    )
