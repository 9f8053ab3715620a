"""Links: which have a form that can be used, which lie on a provider's own hosts, when a signed one dies."""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

from receiver.providers.wire.values import since_1970

#: Signed links with a session token reach 2,000 characters and more.
LONGEST_LINK = 8192
#: What a caller gives us is shorter: the longest URL that every client and proxy takes.
LONGEST_GIVEN = 2048
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
_PATTERN = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_FOREIGN = re.compile(r"""[\s\\"<>]""")
_EXPIRES = re.compile(r"(?:^|&)Expires=(\d+)(?=&|$)", re.ASCII)
#: What nearly every link looks like; it has none of the problems below, and its host stands for itself.
_PLAIN = re.compile(r"https://([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)/[!#-;=?-\[\]-~]*")
_PORTS = {"http": 80, "https": 443}
#: Names that lead nowhere, or to the asking machine, outside of one's own network (RFC 6761, 6762, 8375 and ICANN).
_AT_HOME = (".localhost", ".local", ".internal", ".home.arpa", ".lan")


def problem_with(url: str, *, longest: int = LONGEST_GIVEN) -> str | None:
    """Say what keeps ``url`` from being an http(s) URL with a host and without a user; None when nothing does."""
    if len(url) > longest:
        return f"is longer than {longest} characters"
    if _PLAIN.fullmatch(url):
        return None
    # Several parsers drop tabs and line breaks and read a backslash as a slash: none of them belongs in a URL.
    if _FOREIGN.search(url) or not url.isprintable():
        return "holds spaces, control characters or others that do not belong in a URL"
    parts = _split(url)
    if parts is None or parts.scheme not in _PORTS or not parts.hostname:
        return "is not a URL that begins with http:// or https:// and names a host"
    if "@" in parts.netloc:
        return "must not carry a user name or a password"
    return None


def private_host(url: str) -> str | None:
    """Return the host of a link that leads nowhere from elsewhere: this machine, a private network; None for others.

    Only the link is looked at: a public name may still have a private address.
    """
    host = ((parts.hostname if (parts := _split(url)) else None) or "").rstrip(".")
    try:
        address = ip_address(host)
    except ValueError:
        return host if host and ("." not in host or host.endswith(_AT_HOME)) else None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return None if address.is_global else host


def link(value: object) -> str | None:
    """Return a provider's link byte for byte, or None for what is not a link we could fetch."""
    if isinstance(value, str) and problem_with(value, longest=LONGEST_LINK) is None:
        return value
    return None


def identity_of(found: str) -> str:
    """Name the object behind a link; a fresh signature in the query is no difference."""
    return hashlib.sha256(found.partition("#")[0].partition("?")[0].encode()).hexdigest()


def expiry(found: str) -> datetime | None:
    """Return when a link signed in the manner of OSS and S3 (query ``Expires``, seconds since 1970) dies."""
    expires = _EXPIRES.search(urlsplit(found).query) if "Expires=" in found else None
    return None if expires is None else since_1970(expires[1])


def host_patterns(option: str, value: str) -> tuple[str, ...]:
    """Read a comma-separated list of hosts, ``*.example.org`` for every host below; raises ValueError."""
    patterns = tuple(pattern.strip().lower() for pattern in value.split(",") if pattern.strip())
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise ValueError(f"{option}: {pattern!r} is not a host name or *.host name")
    return patterns


def trusted(found: str, hosts: Sequence[str], own_url: str) -> bool:
    """Tell whether a link is https on one of ``hosts``, or lies at the very origin of ``own_url``."""
    plain = _PLAIN.fullmatch(found) if len(found) <= LONGEST_LINK else None
    if plain is not None and _on(plain[1], hosts):
        return True
    if plain is None and problem_with(found, longest=LONGEST_LINK) is not None:
        return False
    origin = ("https", plain[1], 443) if plain else _origin(found)
    host = origin[1] or ""
    if not plain and not _HOST.fullmatch(host if ":" not in host else f"[{host}]"):
        return False
    if origin == _origin(own_url):
        return True
    return origin[::2] == ("https", 443) and _on(host, hosts)


def _on(host: str, patterns: Sequence[str]) -> bool:
    for pattern in patterns:  # noqa: SIM110 - a generator would cost what all the rest does
        if host.endswith(pattern[1:]) if pattern[:2] == "*." else host == pattern:
            return True
    return False


@lru_cache(maxsize=64)
def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return None if port == 0 else parts
