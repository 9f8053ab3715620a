"""What went wrong on the wire, in words that hold no URL, no header and nothing of what was sent or received."""

import ssl
from collections.abc import Iterator

import anyio
import httpcore
import httpx

from receiver.outbound.network import NoAddressError

#: Everything that the network and the libraries for it raise, from the name's resolution to the last byte.
FAULTS: tuple[type[Exception], ...] = (
    httpx.HTTPError,
    httpx.StreamError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    OSError,  # TimeoutError and ssl.SSLError among them
    ValueError,  # a header that is no ASCII; UnicodeError among them
)

# The first that fits counts: a time-out in a TLS handshake has an ssl.SSLError among its reasons.
_WORDS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (NoAddressError, "the name has no address"),
    (httpx.PoolTimeout, "no connection became free in time"),
    (httpx.ConnectTimeout, "connecting took too long"),
    ((TimeoutError, httpx.TimeoutException), "took too long"),
    (ssl.SSLCertVerificationError, "the certificate was not accepted"),
    (ssl.SSLError, "TLS failed"),
    (httpx.ConnectError, "no connection"),
    (httpx.RemoteProtocolError, "the answer broke off or is not HTTP"),
    (httpx.LocalProtocolError, "the request cannot be written as HTTP"),
    ((httpx.NetworkError, anyio.BrokenResourceError, ConnectionError), "the connection broke"),
)


def in_words(fault: Exception) -> str:
    """Describe a fault; its own text is never used, because h11 quotes headers and httpx may quote URLs."""
    chain = tuple(chain_of(fault))
    for kinds, words in _WORDS:
        if any(isinstance(link, kinds) for link in chain):
            return words
    return "the exchange failed"


def chain_of(fault: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it came of."""
    seen: BaseException | None = fault
    while seen is not None:
        yield seen
        # httpcore drops the cause when it raises again, the context stays.
        seen = seen.__cause__ or seen.__context__
