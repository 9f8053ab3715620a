"""The reference audio of a request as the ledger shows it: a link as it came, a file as its hash and size.

Nothing is fetched. Sources: Runware docs, media storage page; AIMLAPI docs, music-cover page.
"""

import base64
import binascii
import hashlib
from typing import TypeAlias

# What stands in the ledger: a link or a UUID, or the hash and size of a file.
Reference: TypeAlias = str | dict[str, object]


def reference_of(text: str) -> Reference:
    """Return a link as it is, and of a data URI or base64 the hash and size of what it holds."""
    if "://" in text[:16]:
        return text
    audio = decoded(text)
    return text if audio is None else {"sha256": hashlib.sha256(audio).hexdigest(), "bytes": len(audio)}


def decoded(text: str) -> bytes | None:
    """Return the bytes of a data URI or of base64, None for what is neither."""
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode(encoded, validate=True) or None
    except (binascii.Error, ValueError):
        return None
