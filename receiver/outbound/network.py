"""Connections to checked addresses only: a name is resolved once and judged whole, and what was judged is used."""

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

import anyio
import httpcore
import httpx

from receiver.outbound.addresses import Address, AllowedHosts, Purpose, refusal
from receiver.outbound.direct import DirectBackend
from receiver.outbound.links import ForbiddenError

#: Returns the addresses of a host, most preferred first; raises OSError when there are none.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

# httpx's pool is quadratic in its connections (100 in flight: a tenth of the speed), so it is kept in small parts.
_CONNECTIONS_PER_PART = 4
# Shorter than what servers grant (uvicorn 5 s): a request on a connection that is just being closed may be lost.
KEEP_ALIVE_SECONDS = 3.0
# uvloop receives up to 250 KiB at once; with this, 200 MB take 0.5 s instead of 0.8.
_READ_BYTES = 256 * 1024


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the operating system for the addresses of a host."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(sockaddr[0] for _, _, _, _, sockaddr in found))


class NoAddressError(OSError):
    """The name of a host could not be resolved."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may be called: what the user allows, and the hosts of the providers' configured URLs."""

    allowed: AllowedHosts
    provider_hosts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Network:
    """What connections are made of; tests hand in their own."""

    resolve: Resolve = resolve
    backend: httpcore.AsyncNetworkBackend = field(default_factory=httpcore.AnyIOBackend)
    #: For questions to providers: thousands a second, each with a short answer.
    quick: httpcore.AsyncNetworkBackend = field(default_factory=DirectBackend)
    ssl_context: ssl.SSLContext = field(default_factory=lambda: httpx.create_ssl_context(trust_env=False))


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Opens TCP connections for one purpose, to addresses that the rules permit."""

    def __init__(self, network: Network, rules: Rules, purpose: Purpose, *, secure: bool) -> None:
        """``secure`` tells that TLS follows; without it every address needs an entry of the user."""
        self._network = network
        self._backend = network.quick if purpose is Purpose.PROVIDER else network.backend
        self._rules = rules
        self._purpose = purpose
        self._secure = secure

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check every address, then try them in order; TLS is asked for the host's name by the caller."""
        try:
            with anyio.fail_after(timeout):
                addresses = await self._checked(host.rstrip("."), port)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        patience = None if timeout is None else max(1.0, timeout / len(addresses))
        failure: Exception = httpcore.ConnectError()
        for address in addresses:
            try:
                stream = await self._backend.connect_tcp(str(address), port, patience, local_address, socket_options)
                return stream if self._purpose is Purpose.PROVIDER else _Stream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def check(self, host: str, port: int) -> None:
        """Raise ForbiddenError where nothing would be connected to, NoAddressError for a name without an address."""
        await self._checked(host.rstrip("."), port)

    async def _checked(self, host: str, port: int) -> list[Address]:
        addresses = await self._resolved(host, port)
        entries = self._rules.allowed.for_call(self._purpose, host, self._rules.provider_hosts)
        for address in addresses:
            reason = refusal(entries, host, port, secure=self._secure, address=address)
            if reason is not None:
                # One bad address condemns the host: whoever mixes them is probing us.
                raise ForbiddenError(f"{host}: {reason}")
        return addresses

    async def _resolved(self, host: str, port: int) -> list[Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        try:
            addresses = [ip_address(text) for text in await self._network.resolve(host, port)]
        except (OSError, ValueError):
            raise NoAddressError from None
        if not addresses:
            raise NoAddressError
        return addresses


class _Stream(httpcore.AsyncNetworkStream):
    """A connection that is read in larger pieces than httpcore asks for: each costs 100 µs in the layers above."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109 the signature is httpcore's
    ) -> bytes:
        return await self._stream.read(max(max_bytes, _READ_BYTES), timeout)

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 the signature is httpcore's
    ) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 the signature is httpcore's
    ) -> httpcore.AsyncNetworkStream:
        try:
            return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            # httpcore forgets the connection when a deadline ends the handshake; it would stay open.
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
            raise

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


class _Transport(httpx.AsyncHTTPTransport):
    """httpx's transport on a pool that connects through our backend; httpx has no parameter for it."""

    def __init__(self, network: Network, backend: CheckedBackend, connections: int) -> None:
        super().__init__(verify=network.ssl_context, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=network.ssl_context,
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
            http1=True,
            http2=False,
            network_backend=backend,
        )


class Pool:
    """Connections for one purpose, in parts that do not slow each other down.

    Requests go straight to the transport: httpx's client would keep cookies of strangers, look at redirects, and log
    URLs with their signatures.
    """

    def __init__(self, network: Network, backend: CheckedBackend, connections: int) -> None:
        """``connections`` is the most there are at a time, in all parts together."""
        sizes = [_CONNECTIONS_PER_PART] * (connections // _CONNECTIONS_PER_PART)
        sizes += [connections % _CONNECTIONS_PER_PART] if connections % _CONNECTIONS_PER_PART else []
        self._parts = [_Transport(network, backend, size) for size in sizes]
        self._busy = [0] * len(sizes)

    @asynccontextmanager
    async def answer(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """Send a request on the least busy part and hold its answer open; an unread rest closes the connection."""
        part = self._busy.index(min(self._busy))
        self._busy[part] += 1
        try:
            response = await self._parts[part].handle_async_request(request)
            try:
                yield response
            finally:
                await response.aclose()
        finally:
            self._busy[part] -= 1

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._parts:
            await transport.aclose()
