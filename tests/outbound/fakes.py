"""A network without wires: names resolve as a test says, connections are counted and served from a script."""

import ssl
from collections.abc import Iterable, Mapping, Sequence

import httpcore
import httpx

from receiver.outbound import AllowedHosts, HttpOutbound, Network

# Reading the certificates takes 50 ms each time, so all tests share them, as all connections of an outbound do.
SSL_CONTEXT = httpx.create_ssl_context(trust_env=False)
PUBLIC = "93.184.215.14"


class Names:
    """A resolver. A name maps to its answers, one list for each time it is asked; the last one stays."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers: dict[str, list[Sequence[str]]] = {name: list(lists) for name, lists in answers.items()}
        self.asked: list[str] = []

    def set(self, host: str, *answers: Sequence[str]) -> None:
        self.answers[host] = list(answers)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self.answers.get(host)
        if not answers:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]


class Wire(httpcore.AsyncNetworkStream):
    """A connection that gives prepared bytes and notes what it was asked for."""

    def __init__(self, data: bytes) -> None:
        self.rest = data
        self.written = b""
        self.server_names: list[str | None] = []

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        piece, self.rest = self.rest[:max_bytes], self.rest[max_bytes:]
        return piece

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.written += buffer

    async def aclose(self) -> None:
        pass

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        self.server_names.append(server_hostname)
        return self

    def get_extra_info(self, info: str) -> object:
        return None


class Wires(httpcore.AsyncNetworkBackend):
    """Counts every connection by its address; each is served the bytes for that address."""

    def __init__(self, served: Mapping[str, bytes] | None = None) -> None:
        self.served = dict(served or {})
        self.connected: list[tuple[str, int]] = []
        self.wires: list[Wire] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.connected.append((host, port))
        if host not in self.served:
            raise httpcore.ConnectError
        self.wires.append(Wire(self.served[host]))
        return self.wires[-1]


def outbound_on(
    names: Names,
    wires: Wires,
    *,
    allowed: str = "",
    provider_urls: Sequence[str] = ("https://api.example/v1",),
) -> HttpOutbound:
    """An outbound on such a network."""
    network = Network(resolve=names, backend=wires, quick=wires, ssl_context=SSL_CONTEXT)
    return HttpOutbound(allowed=AllowedHosts.parse(allowed), provider_urls=provider_urls, network=network)
