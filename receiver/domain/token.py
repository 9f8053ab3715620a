"""Tokens that name one thing for one purpose until one moment: what stands in a callback URL.

A token is base64url of ``version(1) purpose(1) key id(4) subject(16) provider(8) expiry(6) mac(16)``. The MAC is
HMAC-SHA256, truncated to 128 bits, over these fields and the installation's id, under a key derived for the purpose
by HKDF (RFC 5869). Every field has a fixed width, so no two different tokens share an input. Tokens are derived
when needed and never stored.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from functools import lru_cache
from uuid import UUID

from receiver.domain.identity import uuid_of

_VERSION = 1
_MAC_BYTES = 16
_BODY_BYTES = 1 + 1 + 4 + 16 + 8 + 6
#: 52 bytes in base64url without padding; anything longer or shorter is no token of ours.
TOKEN_CHARACTERS = 70
_KEY_BYTES_AT_LEAST = 16
_PADDING = b"=" * (-TOKEN_CHARACTERS % 4)
#: base64url written in the alphabet of base64; the two characters that only base64 has are none of a token.
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


class Purpose(IntEnum):
    """What a token opens; each purpose has a key of its own, so no token serves another's route."""

    CALLBACK = 1
    INPUT = 2
    DOWNLOAD = 3
    DOCTOR = 4
    SESSION = 5

    # An enumeration's own asks for the name, in Python; a token is looked up by its purpose twice.
    __hash__ = int.__hash__


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A named secret; ``name`` appears in no token, only a digest of it does."""

    name: str
    secret: bytes = field(repr=False)


class TokenSigner:
    """Issues tokens with the first key and verifies with all of them."""

    def __init__(self, keys: Sequence[SigningKey], installation: bytes) -> None:
        """Derive the keys; raise ValueError when there is none, one is short, or two share a name."""
        if not keys:
            message = "at least one signing key is needed"
            raise ValueError(message)
        if len({key.name for key in keys}) < len(keys):
            message = "two signing keys share a name"
            raise ValueError(message)
        if any(len(key.secret) < _KEY_BYTES_AT_LEAST for key in keys):
            message = f"a signing key has fewer than {_KEY_BYTES_AT_LEAST} bytes"
            raise ValueError(message)
        self._installation = installation
        self._first = _key_id(keys[0])
        self._derived = {
            (_key_id(key), purpose): _keyed(
                hkdf_sha256(key.secret, salt=b"receiver", info=f"token {purpose.name}".encode())
            )
            for key in keys
            for purpose in Purpose
        }

    def issue(self, purpose: Purpose, provider: str, subject: UUID, expires_at: datetime) -> str:
        """Return a token for ``subject`` (a task's key, an input, a result, a caller) that dies at ``expires_at``."""
        body = b"".join(
            (
                bytes((_VERSION, purpose)),
                self._first,
                subject.bytes,
                _provider_field(provider),
                int(expires_at.timestamp()).to_bytes(6, "big"),
            )
        )
        return base64.urlsafe_b64encode(body + self._mac(self._first, purpose, body)).rstrip(b"=").decode()

    def verify(self, purpose: Purpose, provider: str, token: str, now: datetime) -> UUID | None:
        """Return the subject, or None for a token that is forged, re-encoded, expired or for something else."""
        raw = _decode(token)
        if raw is None:
            return None
        body, mac = raw[:_BODY_BYTES], raw[_BODY_BYTES:]
        key_id = named = body[2:6]
        if (named, purpose) not in self._derived:
            key_id = self._first
        genuine = hmac.compare_digest(mac, self._mac(key_id, purpose, body))
        fits = body[0] == _VERSION and body[1] == purpose and named == key_id
        fits = fits and body[22:30] == _provider_field(provider)
        fresh = int.from_bytes(body[30:36], "big") > now.timestamp()
        return uuid_of(int.from_bytes(body[6:22], "big")) if genuine and fits and fresh else None

    def issued(self, token: str) -> bool:
        """Tell whether a token was made with one of these keys, whatever it opens or opened: never for letting in."""
        raw = _decode(token)
        if raw is None:
            return False
        body, mac = raw[:_BODY_BYTES], raw[_BODY_BYTES:]
        known = next((purpose for purpose in Purpose if purpose == body[1]), None)
        if known is None or (body[2:6], known) not in self._derived:
            return False
        return hmac.compare_digest(mac, self._mac(body[2:6], known, body))

    def _mac(self, key_id: bytes, purpose: Purpose, body: bytes) -> bytes:
        inner, outer = self._derived[key_id, purpose]
        told, sealed = inner.copy(), outer.copy()
        told.update(body + self._installation)
        sealed.update(told.digest())
        return sealed.digest()[:_MAC_BYTES]


def hkdf_sha256(secret: bytes, *, salt: bytes, info: bytes, length: int = 32) -> bytes:
    """Derive ``length`` bytes from ``secret`` (RFC 5869, SHA-256)."""
    pseudo_random_key = hmac.digest(salt, secret, "sha256")
    blocks, block = b"", b""
    counter = 1
    while len(blocks) < length:
        block = hmac.digest(pseudo_random_key, block + info + bytes((counter,)), "sha256")
        blocks += block
        counter += 1
    return blocks[:length]


def _keyed(key: bytes) -> tuple["hashlib._Hash", "hashlib._Hash"]:
    """Return the inner and the outer hash of HMAC (RFC 2104) with the key taken in, to be copied for each message.

    A third of the time of ``hmac.digest``, which besides lets another thread go first, for every single callback.
    """
    block = key.ljust(hashlib.sha256().block_size, b"\0")
    return (
        hashlib.sha256(bytes(byte ^ 0x36 for byte in block)),
        hashlib.sha256(bytes(byte ^ 0x5C for byte in block)),
    )


def _key_id(key: SigningKey) -> bytes:
    return hashlib.sha256(key.name.encode()).digest()[:4]


@lru_cache(maxsize=64)
def _provider_field(provider: str) -> bytes:
    return hashlib.sha256(provider.encode()).digest()[:8]


def _decode(token: str) -> bytes | None:
    """Return the bytes of a canonical token: base64 has several spellings of one value, only ours is taken."""
    if len(token) != TOKEN_CHARACTERS or not token.isascii() or "+" in token or "/" in token:
        return None
    # The library's own functions for this alphabet pass every token through five more of its own.
    padded = token.encode().translate(_TO_STANDARD) + _PADDING
    try:
        raw = binascii.a2b_base64(padded)
    except binascii.Error:
        return None
    return raw if binascii.b2a_base64(raw, newline=False) == padded else None
