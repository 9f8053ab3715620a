"""A URL taken apart for a call, with the request target exactly as it was written."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self
from urllib.parse import urljoin

import httpx

from receiver.domain.values import quick

#: A query that goes on the wire as it is.
_PLAIN = re.compile('[!-"$-~]+')
_LONGEST_HOST_NAME = 253
_HIGHEST_PORT = 65535
_DEFAULT_PORTS = {"http": 80, "https": 443}


class ForbiddenError(Exception):
    """A link or an address we do not call; the message names the host at most, never path or query."""


@quick
@dataclass(frozen=True, slots=True)
class Link:
    """Where a call goes. ``target`` is path and query as they stand on the wire: a signature covers their bytes."""

    url: httpx.URL = field(repr=False)
    host: str
    port: int
    secure: bool
    target: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a URL apart; raise ForbiddenError for what is no http(s) URL or carries a user name."""
        try:
            url = httpx.URL(text)
            host = url.raw_host.decode("ascii").rstrip(".")
        except (httpx.InvalidURL, ValueError):
            raise ForbiddenError("the link is not a URL") from None
        if url.scheme not in _DEFAULT_PORTS:
            raise ForbiddenError("the link is neither https nor http")
        if not 0 < len(host) <= _LONGEST_HOST_NAME:
            raise ForbiddenError("the link names no host")
        authority, target = _split(text)
        if "@" in authority:
            raise ForbiddenError(f"{host}: the link carries a user name")
        port = _DEFAULT_PORTS[url.scheme] if url.port is None else url.port
        if not 0 < port <= _HIGHEST_PORT:
            raise ForbiddenError(f"{host}: the link has an impossible port")
        # httpx drops dot segments and escapes some characters; only what cannot go on the wire is left to it.
        visible = all("!" <= letter <= "~" for letter in target)
        return cls(url, host, port, url.scheme == "https", target.encode("ascii") if visible else url.raw_path)

    @classmethod
    def again(cls, text: str) -> Self:
        """The same for the URLs of an API, of which only the query differs: ``url`` has none, ``target`` has it.

        To take a URL apart was a quarter of all that a look at a task took.
        """
        base, question, query = text.partition("?")
        if not (question and query.isascii() and _PLAIN.fullmatch(query)):
            return cls.parse(text)
        link = _known(base)
        return cls(link.url, link.host, link.port, link.secure, link.target + b"?" + query.encode("ascii"))

    def next(self, location: str) -> str:
        """Return where a redirect leads, an absolute location byte for byte; raise ForbiddenError for nonsense."""
        if location.lower().startswith(("http://", "https://")):
            return location
        try:
            return urljoin(str(self.url), location)
        except ValueError:
            raise ForbiddenError(f"{self.host}: redirects to what is not a URL") from None


@lru_cache(maxsize=64)
def _known(text: str) -> Link:
    return Link.parse(text)


def hosts_of(urls: Iterable[str]) -> frozenset[str]:
    """Return the hosts of configured URLs; raise ValueError for one that is no URL."""
    try:
        return frozenset(Link.parse(url).host for url in urls)
    except ForbiddenError as error:
        message = f"a provider's URL cannot be called: {error}"
        raise ValueError(message) from None


def _split(text: str) -> tuple[str, str]:
    """Return authority and target of an absolute URL as written, the fragment left out."""
    _, _, rest = text.partition("//")
    rest, _, _ = rest.partition("#")
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    target = rest[end:]
    return rest[:end], target if target.startswith("/") else f"/{target}"
