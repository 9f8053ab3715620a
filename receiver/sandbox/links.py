"""Signed, expiring links: made once when a result is done, checked byte for byte when fetched.

Runware serves audio at paths such as /audio/ws/2/ai/<audioUUID>.mp3 (Runware docs, audio inference page). AIMLAPI
hands out links of the upstream's object store, with an encoded slash in the path and the signature in the query
(AIMLAPI docs, music-cover page, sample response). Rebuilding such a link, or decoding its path, breaks it.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from urllib.parse import quote

from receiver.sandbox.chance import Chance
from receiver.sandbox.generation import Generation, Provider, Result

_ACCESS_KEY_ID = "LTAI5sandboxNotAKey00"
_STORE_TIME_ZONE = timezone(timedelta(hours=8))


class Verdict(Enum):
    """What a link turned out to be."""

    GOOD = "good"
    FORGED = "forged"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Found:
    """A good link's result, and the draws of its generation."""

    provider: Provider
    chance: Chance
    result: Result


class Links:
    """Makes and checks the links below `base_url`; the signing key lives as long as the process."""

    def __init__(self, base_url: str) -> None:
        """Keep the base of all links, without a trailing slash."""
        self._base_url = base_url.rstrip("/")
        self._key = secrets.token_bytes(32)
        self._paths: dict[str, Found] = {}

    def make(self, generation: Generation, result: Result, expires_at: datetime) -> str:
        """Return the link of a finished result, good until `expires_at`."""
        provider = generation.order.provider
        path = _path(generation, result)
        self._paths[path] = Found(provider, generation.chance, result)
        return f"{self._base_url}{path}?{self._query(path, int(expires_at.timestamp()))}"

    def find(self, raw_path: str, raw_query: str) -> tuple[Verdict, Found | None]:
        """Return the verdict on a link as it came over the wire, and what it leads to when good."""
        expires = raw_query.removeprefix("Expires=").partition("&")[0]
        if not (expires.isascii() and expires.isdigit() and len(expires) <= len("9999999999")):
            return Verdict.FORGED, None
        genuine = self._query(raw_path, int(expires))
        if not hmac.compare_digest(genuine.encode(), raw_query.encode()):
            return Verdict.FORGED, None
        if datetime.now(UTC).timestamp() >= int(expires):
            return Verdict.EXPIRED, None
        found = self._paths.get(raw_path)
        return (Verdict.UNKNOWN, None) if found is None else (Verdict.GOOD, found)

    def _query(self, path: str, expires: int) -> str:
        """Return the query that makes a path good, in the shape of the documented link."""
        mac = hmac.new(self._key, f"GET\n{path}\n{expires}".encode(), hashlib.sha1).digest()
        signature = quote(base64.b64encode(mac).decode(), safe="")
        return f"Expires={expires}&OSSAccessKeyId={_ACCESS_KEY_ID}&Signature={signature}"


def _path(generation: Generation, result: Result) -> str:
    """Return the path of a result's file, as its provider would name it."""
    extension = result.encoding.format.value
    if generation.order.provider is Provider.RUNWARE:
        return f"/media/runware/audio/ws/2/ai/{result.id}.{extension}"
    stamp = generation.accepted_at.astimezone(_STORE_TIME_ZONE).strftime("%Y%m%d%H%M%S")
    name = generation.chance.word(16, "file name").replace("-", "x").replace("_", "y")
    return f"/media/aimlapi/moose/music%2Fprod%2Ftts-{stamp}-{name}.{extension}"
