"""HTTP to providers and to media, through checked addresses, within limits of time and size."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import httpx

from receiver.domain.delivery import Told
from receiver.domain.errors import AnswerLostError, MediaInterruptedError, MediaRefusedError, NotSentError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.lifecycle.ports import Fetched
from receiver.outbound import notices
from receiver.outbound.addresses import AllowedHosts, Purpose, refusal_before_resolving
from receiver.outbound.exchanges import Exchanges, written
from receiver.outbound.faults import FAULTS, in_words
from receiver.outbound.files import NewFile
from receiver.outbound.links import ForbiddenError, Link, hosts_of
from receiver.outbound.network import CheckedBackend, Network, Pool, Rules

_MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Refusals that pass: the same link may work in a moment.
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
#: Why a notification got no answer.
_UNTOLD: tuple[type[Exception], ...] = (ForbiddenError, *FAULTS)
_OUR_HEADERS = {"user-agent": "receiver", "accept": "*/*"}


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How much of everything. ``connections`` are per provider; times are within a call's own deadline."""

    connections: int = 128
    media_connections: int = 32
    notice_connections: int = 320
    answer_bytes: int = 96 * 1024 * 1024
    connect_seconds: float = 10.0
    silence_seconds: float = 30.0

    def of(self, purpose: Purpose) -> int:
        """Return how many connections there may be for a purpose."""
        match purpose:
            case Purpose.MEDIA:
                return self.media_connections
            case Purpose.NOTIFY:
                return self.notice_connections
            case Purpose.PROVIDER:
                return self.connections


@dataclass(slots=True)
class _Departure:
    """Whether a request may have left. One that failed has certainly not arrived if no connection was given it."""

    begun: bool = False

    def begin(self) -> None:
        """Note that the first byte is about to be handed to a connection."""
        self.begun = True


class HttpOutbound:
    """The port ``Outbound``, and an asynchronous context manager that closes all connections."""

    def __init__(
        self,
        *,
        allowed: AllowedHosts,
        provider_urls: Iterable[str],
        limits: CallLimits | None = None,
        network: Network | None = None,
    ) -> None:
        """``provider_urls`` are the configured ones; raise ValueError for one that is no URL."""
        self._rules = Rules(allowed, hosts_of(provider_urls))
        self._limits = limits or CallLimits()
        self._network = network or Network()
        self._pools: dict[tuple[Purpose, bool], Pool] = {}
        self._exchanges: dict[tuple[str, bool], Exchanges] = {}
        self._troubles: dict[str, str] = {}
        #: Where providers were found to be called at by what is allowed: host, port, and whether by TLS.
        self._providers: set[tuple[str, int, bool]] = set()

    async def __aenter__(self) -> Self:
        """Return itself; connections are opened when they are needed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections."""
        while self._pools:
            _, pool = self._pools.popitem()
            await pool.aclose()
        while self._exchanges:
            _, exchanges = self._exchanges.popitem()
            await exchanges.aclose()

    async def send(self, provider: str, request: HttpRequest) -> HttpAnswer:
        """Send to a provider's API and return its whole answer, redirects included.

        Raises NotSentError only when no byte can have left: address refused, no name, no connection, no TLS, no free
        connection, or a request that cannot be written. Everything after that is AnswerLostError.
        """
        departure = _Departure()
        host = "the provider's URL"
        seconds = request.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                link = self._checked(request.url, Purpose.PROVIDER)
                host = link.host
                wire = written(link, request.method, _all_headers(request.headers), request.body)
                patience = min(self._limits.connect_seconds, seconds)
                answer = await self._asking(provider, link).ask(
                    link, wire, patience=patience, safe=request.method == "GET", leaving=departure.begin
                )
        except AnswerLostError as lost:
            self._troubles[provider] = str(lost)
            raise
        except ForbiddenError as refusal:
            self._troubles[provider] = str(refusal)
            raise NotSentError(str(refusal)) from None
        except FAULTS as fault:
            message = self._troubles[provider] = f"{host}: {in_words(fault)}"
            if departure.begun:
                raise AnswerLostError(message) from None
            raise NotSentError(message) from None
        self._note(provider, host, answer.status)
        return answer

    async def notify(self, request: HttpRequest) -> Told:
        """Send a notification and tell what came of it, all within the time that the request names.

        Redirects are not followed, and nothing of the answer but its status is kept.
        """
        began = anyio.current_time()
        try:
            with anyio.fail_after(request.timeout_seconds):
                link = self._checked(request.url, Purpose.NOTIFY)
                wire = self._wire(
                    Purpose.NOTIFY,
                    link,
                    request.timeout_seconds,
                    method=request.method,
                    headers=request.headers,
                    body=request.body,
                )
                told = await notices.told(self._pool(Purpose.NOTIFY, link), wire)
        except _UNTOLD as fault:
            told = notices.untold(fault)
        return replace(told, seconds=anyio.current_time() - began)

    def refusal_of(self, url: str, purpose: Purpose) -> str | None:
        """Say why a URL must not be called whatever the addresses of its host are, None when it may."""
        try:
            self._checked(url, purpose)
        except ForbiddenError as refusal:
            return str(refusal)
        return None

    async def refusal_to_notify(self, url: str) -> str | None:
        """Say why nothing can be sent to a URL: what it is, where it leads now, or that its host has no address."""
        try:
            with anyio.fail_after(self._limits.connect_seconds):
                link = self._checked(url, Purpose.NOTIFY)
                await CheckedBackend(self._network, self._rules, Purpose.NOTIFY, secure=link.secure).check(
                    link.host, link.port
                )
        except ForbiddenError as refusal:
            return f"{refusal}; one of your own is allowed by RECEIVER_ALLOWED_PRIVATE_HOSTS=notify=HOST:PORT"
        except FAULTS as fault:
            return in_words(fault)
        return None

    def trouble(self, provider: str) -> str | None:
        """Return why the last call to a provider's API got no answer of use, None when it got one."""
        return self._troubles.get(provider)

    async def fetch(self, link: str, into: Path, *, max_bytes: int, timeout_seconds: float) -> Fetched:
        """Download media into a new file, durable on return; on any failure no file is left.

        At most three redirects are followed, each judged like the first link. Raises MediaRefusedError for what
        another try cannot mend: forbidden address, 4xx, encoded or too large. Else MediaInterruptedError.
        """
        host = "the link"
        try:
            # The file is the outermost: what fails after the last byte must remove it too.
            async with NewFile(into) as file:
                with anyio.fail_after(timeout_seconds):
                    for _ in range(1 + _MOST_REDIRECTS):
                        hop = self._checked(link, Purpose.MEDIA)
                        host = hop.host
                        wire = self._wire(Purpose.MEDIA, hop, timeout_seconds)
                        async with self._pool(Purpose.MEDIA, hop).answer(wire) as response:
                            location = _location(response)
                            if location is None:
                                await _receive(response, host, file, max_bytes)
                        if location is None:
                            return await file.finish()
                        link = hop.next(location)
        except ForbiddenError as refusal:
            raise MediaRefusedError(str(refusal)) from None
        except FAULTS as fault:
            raise MediaInterruptedError(f"{host}: {in_words(fault)}") from None
        raise MediaRefusedError(f"{host}: more than {_MOST_REDIRECTS} redirects")

    def _note(self, provider: str, host: str, status: int) -> None:
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            self._troubles[provider] = f"{host}: answered {status}"
        else:
            self._troubles.pop(provider, None)

    def _checked(self, url: str, purpose: Purpose) -> Link:
        """Take a URL apart and refuse what no address could make right, before anybody's name is looked up."""
        if purpose is not Purpose.PROVIDER:
            return self._permitted(Link.parse(url), purpose)
        link = Link.again(url)
        place = link.host, link.port, link.secure
        if place not in self._providers:
            self._permitted(link, purpose)
            # They are few, and what is allowed does not change.
            self._providers.add(place)
        return link

    def _permitted(self, link: Link, purpose: Purpose) -> Link:
        entries = self._rules.allowed.for_call(purpose, link.host, self._rules.provider_hosts)
        reason = refusal_before_resolving(entries, link.host, link.port, secure=link.secure)
        if reason is not None:
            raise ForbiddenError(f"{link.host}: {reason}")
        return link

    def _wire(
        self,
        purpose: Purpose,
        link: Link,
        timeout_seconds: float,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> httpx.Request:
        connecting = min(self._limits.connect_seconds, timeout_seconds)
        # A submit may be silent until its deadline; media that stop flowing are better asked for again.
        silence = min(self._limits.silence_seconds, timeout_seconds) if purpose is Purpose.MEDIA else timeout_seconds
        timeout = httpx.Timeout(timeout_seconds, connect=connecting, pool=connecting, read=silence)
        together = _all_headers(headers or {})
        extensions = {"timeout": timeout.as_dict(), "target": link.target}
        return httpx.Request(method, link.url, headers=together, content=body, extensions=extensions)

    def _pool(self, purpose: Purpose, link: Link) -> Pool:
        key = (purpose, link.secure)
        if key not in self._pools:
            backend = CheckedBackend(self._network, self._rules, purpose, secure=link.secure)
            self._pools[key] = Pool(self._network, backend, self._limits.of(purpose))
        return self._pools[key]

    def _asking(self, provider: str, link: Link) -> Exchanges:
        """Return the connections to a provider's API."""
        key = (provider, link.secure)
        if key not in self._exchanges:
            backend = CheckedBackend(self._network, self._rules, Purpose.PROVIDER, secure=link.secure)
            limits = self._limits
            self._exchanges[key] = Exchanges(self._network, backend, limits.connections, limits.answer_bytes)
        return self._exchanges[key]


def _all_headers(given: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a request, by name in lower case, ours among them."""
    together = {**_OUR_HEADERS, **{name.lower(): value for name, value in given.items()}}
    together["accept-encoding"] = "identity"
    return together


def _location(response: httpx.Response) -> str | None:
    """Return where a redirect leads, None for every other answer."""
    return response.headers.get("location") if response.status_code in _REDIRECTS else None


async def _receive(response: httpx.Response, host: str, file: NewFile, max_bytes: int) -> None:
    status = response.status_code
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise MediaInterruptedError(f"{host}: answered {status}")
    if status != HTTPStatus.OK:
        raise MediaRefusedError(f"{host}: answered {status}")
    if _is_encoded(response):
        raise MediaRefusedError(f"{host}: sent an encoding we did not ask for")
    announced = _announced_size(response)
    too_large = MediaRefusedError(f"{host}: sent more than {max_bytes} bytes")
    if announced is not None and announced > max_bytes:
        raise too_large
    await file.create()
    async for chunk in response.aiter_raw():
        if file.size + len(chunk) > max_bytes:
            raise too_large
        await file.write(chunk)
    if announced is not None and file.size != announced:
        raise MediaInterruptedError(f"{host}: sent {file.size} of {announced} bytes")


def _is_encoded(response: httpx.Response) -> bool:
    return response.headers.get("content-encoding", "").strip().lower() not in {"", "identity"}


def _announced_size(response: httpx.Response) -> int | None:
    """Return Content-Length where it counts: beside a transfer coding it is to be ignored (RFC 9112, 6.3)."""
    size = response.headers.get("content-length", "")
    if "transfer-encoding" in response.headers or not (size.isascii() and size.isdigit()):
        return None
    return int(size)
