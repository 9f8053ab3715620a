"""Secrets unreadable at rest: Fernet (github.com/fernet/spec), its keys derived from the signing keys.

The first key seals, all of them open; a key that has gone from the settings opens nothing any more.
"""

import base64
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from receiver.domain.token import SigningKey, hkdf_sha256

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

#: Apart from the keys of tokens, which come from the same secrets.
_INFO = b"secrets of endpoints"


class FernetVault:
    """``receiver.lifecycle.ports.Vault``."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        """Derive a key from each signing key."""
        self._keys = [base64.urlsafe_b64encode(hkdf_sha256(key.secret, salt=b"receiver", info=_INFO)) for key in keys]

    def seal(self, secret: bytes) -> str:
        return self._all.encrypt(secret).decode()

    def unseal(self, sealed: str) -> bytes | None:
        return _opened(self._all, sealed)

    def is_fresh(self, sealed: str) -> bool:
        return _opened(self._first, sealed) is not None

    # The library takes 50 ms to import: only those wait for it who have a secret to keep.
    @cached_property
    def _all(self) -> "MultiFernet":
        from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - see above

        return MultiFernet([Fernet(key) for key in self._keys])

    @cached_property
    def _first(self) -> "MultiFernet":
        from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - see above

        return MultiFernet([Fernet(self._keys[0])])


def _opened(fernet: "MultiFernet", sealed: str) -> bytes | None:
    from cryptography.fernet import InvalidToken  # noqa: PLC0415 - see above

    try:
        return fernet.decrypt(sealed)
    except InvalidToken:
        return None
