"""One receiver, the key that goes to its address and to no other, and what its answers mean."""

import ipaddress
import json
import re
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Self, TypeVar
from urllib.parse import quote, urljoin, urlsplit

import httpx

from receiver.sdk.errors import (
    AnswerLostError,
    ClientError,
    ConflictError,
    DownloadError,
    InvalidRequestError,
    NotFoundError,
    ProblemError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
    UnsafeAddressError,
)
from receiver.sdk.values import document_of, maybe, objects, remark_of

DEFAULT_URL = "http://127.0.0.1:8080"
NOTHING: Mapping[str, str] = MappingProxyType({})
#: What passes by itself: the service restarts, is busy, or the way to it is interrupted.
PASSING = (AnswerLostError, TooManyRequestsError, UnavailableError, UnreachableError)

_Read = TypeVar("_Read")
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_CONNECT_SECONDS = 5.0
_JSON = "application/json"
_SECONDS = re.compile(r"[0-9]{1,9}")


class Connection:
    """A connection to one receiver. The key travels over https, or over http within this machine; never elsewhere."""

    def __init__(self, url: str = DEFAULT_URL, *, api_key: str, timeout_seconds: float = 30.0) -> None:
        """Check address and key; raises UnsafeAddressError."""
        local = checked_address(url)
        # As it is read from a file: with the end of its line.
        api_key = api_key.strip()
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise UnsafeAddressError("the API key is empty or holds characters that no key has")
        self._address = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {api_key}", "Accept-Encoding": "identity"},
            follow_redirects=False,
            # Over http there is no TLS; a context that trusts nobody saves the reading of all authorities.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if _is_plain(url) else True,
            # A proxy named in the environment must not see what is meant for this machine.
            trust_env=not local,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._http.aclose()

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = NOTHING,
        headers: Mapping[str, str] = NOTHING,
        content: bytes | AsyncIterable[bytes] | None = None,
        patience_seconds: float = 0.0,
        silence_seconds: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """Send, and give the answer of a request that succeeded; raise what any other outcome means.

        ``silence_seconds`` is how long an answer may pause, in place of the time for a usual one.
        """
        seconds = silence_seconds or self._timeout_seconds + patience_seconds
        timeout = httpx.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))
        call = self._http.stream(
            method, path, params=dict(query) or None, content=content, headers=dict(headers), timeout=timeout
        )
        with self._told(seconds):
            async with call as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise _refusal(answer)
                yield answer

    @asynccontextmanager
    async def _bytes(self, path: str) -> AsyncIterator[httpx.Response]:
        """Give the answer to a GET of bytes; sent elsewhere by the service, go there once and without the key."""
        seconds = self._timeout_seconds
        timeout = httpx.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))
        with self._told(seconds):
            async with self._http.stream("GET", path, timeout=timeout) as answer:
                if answer.is_success:
                    yield answer
                    return
                await answer.aread()
            if answer.status_code != HTTPStatus.FOUND or "location" not in answer.headers:
                raise _refusal(answer)
        link = urljoin(str(answer.url), answer.headers["location"])
        if _is_plain(link) and not _is_plain(self._address):
            raise UnexpectedAnswerError("the audio lies behind a link without TLS; it is not followed")
        # The link is its own key. It must not be told: whoever has it has the audio.
        local = _is_this_machine(urlsplit(link).hostname or "")
        elsewhere = httpx.AsyncClient(headers={"Accept-Encoding": "identity"}, trust_env=not local)
        with self._told(seconds, urlsplit(link).netloc):
            async with elsewhere, elsewhere.stream("GET", link, timeout=timeout) as answer:
                if answer.is_server_error:
                    await answer.aread()
                    raise _refusal(answer)
                if not answer.is_success:
                    raise DownloadError(f"the artifact store answered with HTTP {answer.status_code}")
                yield answer

    @contextmanager
    def _told(self, seconds: float, address: str | None = None) -> Iterator[None]:
        """Turn the faults of a connection to the service, or to ``address``, into errors of ours."""
        try:
            yield
        except _NOTHING_SENT as error:
            raise UnreachableError(address or self._address, str(error) or type(error).__name__) from error
        except httpx.TimeoutException as error:
            raise AnswerLostError(f"no answer within {seconds:g} seconds") from error
        except httpx.TransportError as error:
            raise AnswerLostError(str(error) or type(error).__name__) from error
        except httpx.DecodingError as error:
            raise UnexpectedAnswerError("the answer came encoded by something in between, and damaged") from error

    async def _read(
        self,
        read: Callable[[Mapping[str, object]], _Read],
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = NOTHING,
        headers: Mapping[str, str] = NOTHING,
        content: bytes | AsyncIterable[bytes] | None = None,
        patience_seconds: float = 0.0,
    ) -> _Read:
        """Send, and return what ``read`` makes of the JSON object of the answer."""
        call = self._answer(
            method, path, query=query, headers=headers, content=content, patience_seconds=patience_seconds
        )
        async with call as answer:
            body = await answer.aread()
        try:
            return read(document_of(body))
        except (ValueError, RecursionError) as error:
            raise UnexpectedAnswerError(f"the answer is none that a receiver gives: {error}") from None

    async def _ask(
        self,
        read: Callable[[Mapping[str, object]], _Read],
        method: str,
        path: str,
        request: Mapping[str, object],
        headers: Mapping[str, str] = NOTHING,
    ) -> _Read:
        """Send a JSON object, and return what ``read`` makes of the one that comes back."""
        content = json.dumps(request).encode()
        return await self._read(read, method, path, headers={**headers, "Content-Type": _JSON}, content=content)


def segment(text: str) -> str:
    """Return a text as one segment of a path, whatever it holds."""
    return quote(text, safe="")


def given(**fields: object) -> dict[str, object]:
    """Return the fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def query_of(**fields: object) -> dict[str, str]:
    """Return the fields that are not None as they are written behind a question mark."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else str(value)
        for name, value in fields.items()
        if value is not None
    }


def checked_address(url: str) -> bool:
    """Return whether an address is on this machine; raise UnsafeAddressError when it is none to send a key to."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise UnsafeAddressError("the address cannot be read; it should look like https://receiver.example") from None
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment or not url.isprintable():
        raise UnsafeAddressError("the address should look like https://receiver.example")
    if parts.username is not None or parts.password is not None:
        raise UnsafeAddressError("the address must not hold a user name or a password")
    local = _is_this_machine(host)
    if parts.scheme == "http" and not local:
        raise UnsafeAddressError("over http a key is sent within this machine only; use https")
    return local


def _is_plain(url: str) -> bool:
    return urlsplit(url).scheme == "http"


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refusal(answer: httpx.Response) -> ClientError:
    """Return the error that an answer other than a success stands for."""
    status = answer.status_code
    if answer.is_redirect:
        target = answer.headers.get("location")
        if target is None:
            return UnexpectedAnswerError(f"the answer is HTTP {status}, a redirect that does not say where to")
        return UnexpectedAnswerError(f"the answer redirects to {target}; no key is sent there")
    document: Mapping[str, object] = {}
    try:
        document = document_of(answer.content)
        title, detail = maybe(document, "title", str), maybe(document, "detail", str)
        remarks = tuple(remark_of(item) for item in objects(document, "errors")) if document.get("errors") else ()
    except (ValueError, RecursionError):
        title, detail, remarks = None, None, ()
    kind = UnavailableError if answer.is_server_error else _PROBLEMS.get(status, ProblemError)
    if title is None and kind in {ProblemError, NotFoundError}:
        return UnexpectedAnswerError(f"the answer is HTTP {status}, which no receiver gives")
    wait = answer.headers.get("retry-after", "")
    return kind(
        status,
        title or f"HTTP {status}",
        detail if detail and detail != title else "",
        remarks=remarks,
        retry_after_seconds=int(wait) if _SECONDS.fullmatch(wait) else None,
        document=document,
    )


_PROBLEMS: Mapping[int, type[ProblemError]] = MappingProxyType(
    {
        HTTPStatus.BAD_REQUEST: InvalidRequestError,
        HTTPStatus.UNAUTHORIZED: UnauthorizedError,
        HTTPStatus.FORBIDDEN: UnauthorizedError,
        HTTPStatus.NOT_FOUND: NotFoundError,
        HTTPStatus.CONFLICT: ConflictError,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: InvalidRequestError,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: InvalidRequestError,
        HTTPStatus.UNPROCESSABLE_ENTITY: InvalidRequestError,
        HTTPStatus.TOO_MANY_REQUESTS: TooManyRequestsError,
    }
)
