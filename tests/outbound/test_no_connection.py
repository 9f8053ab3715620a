"""L9 on real sockets: whatever address a stranger names, nobody is connected to, by any way that a link can come in.

Every connection, whichever address it is for, is led to one listener of ours, which counts it: what is forbidden
must never reach it, and what is allowed must, or the count would prove nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpcore
import pytest

from receiver.domain.delivery import DeliveryError
from receiver.domain.errors import MediaError, NotSentError
from receiver.domain.exchange import HttpRequest
from receiver.outbound import AllowedHosts, HttpOutbound, Network
from receiver.outbound.network import resolve
from tests.outbound.fakes import PUBLIC, SSL_CONTEXT

PUBLIC_V6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
ADDRESSES = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"),
    *("169.254.1.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1"),
    *("192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255"),
    *("240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::7f00:1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::"),
    *("3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "ff0e::1"),
]
#: Spellings that mean such an address to somebody: to us, to the operating system, or to nobody.
SPELLINGS = [
    *("2130706433", "0x7f000001", "0x7f.0.0.1", "017700000001", "0177.0.0.1", "127.1", "127.0.1", "0", "0x0"),
    *("127.0.0.1.", "localhost", "localhost.", "LOCALHOST", "%6cocalhost", "%31%32%37.0.0.1", "127。0。0。1"),
    *("①②⑦.⓪.⓪.①", "\uff11\uff12\uff17.0.0.1", "127.0.0.1%00.cdn.example", "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]"),
    *("[fe80::1%25lo]", "[::1%25lo]", "cdn.example@127.0.0.1", "127.0.0.1@cdn.example", "u:p@cdn.example"),
    *("127.0.0.1\\@cdn.example", "cdn.example\\@127.0.0.1", "127.0.0.1#@cdn.example", "[127.0.0.1]", "127.0.0.1:443"),
]
HOSTS = [*(f"[{one}]" if ":" in one else one for one in ADDRESSES), *SPELLINGS]
#: What a name may answer: one such address, or a public one beside it, in either order and family.
ANSWERS = [
    *([one] for one in ADDRESSES),
    [PUBLIC, "10.0.0.1"],
    ["10.0.0.1", PUBLIC],
    [PUBLIC, "fd00::1"],
    [PUBLIC_V6, "127.0.0.1"],
    [PUBLIC, PUBLIC_V6, "::ffff:169.254.169.254"],
]


@dataclass
class Counter(httpcore.AsyncNetworkBackend):
    """Leads every connection to one real listener, which answers with ``answers`` and counts."""

    answers: list[bytes] = field(default_factory=list)
    accepted: int = 0
    meant: list[str] = field(default_factory=list)
    port: int = 0

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.meant.append(host)
        return await httpcore.AnyIOBackend().connect_tcp("127.0.0.1", self.port, timeout, None, socket_options)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            if await reader.read(1) == b"\x16":  # the first byte of TLS, which is not spoken here
                return
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answers.pop(0) if self.answers else b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()


@dataclass
class Names:
    """Names as a test says, one list of answers for each time; others as this machine knows them."""

    answers: dict[str, list[Sequence[str]]] = field(default_factory=dict)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        known = self.answers.get(host)
        if known is not None:
            return known.pop(0) if len(known) > 1 else known[0]
        if host.endswith(".example"):
            raise OSError("no such name")
        return await resolve(host, port)


@dataclass
class Place:
    outbound: HttpOutbound
    counter: Counter
    names: Names
    folder: Path

    async def fetch(self, link: str) -> None:
        with pytest.raises(MediaError):
            await self.outbound.fetch(link, self.folder / "x", max_bytes=100, timeout_seconds=10)

    async def every_way(self, link: str) -> None:
        """Try a link as media, as the place a redirect leads to, and as an endpoint."""
        await self.fetch(link)
        before = self.counter.accepted
        self.counter.answers.append(
            f"HTTP/1.1 302 Found\r\nLocation: {link}\r\nContent-Length: 0\r\n\r\n".encode("utf-8", "replace")
        )
        await self.fetch("http://cdn.example/song.mp3")
        assert self.counter.accepted == before + 1, "only whoever redirected was asked"
        self.counter.accepted, self.counter.meant = before, self.counter.meant[:-1]
        told = await self.outbound.notify(HttpRequest("POST", link, {}, b"{}", 10.0))
        assert told.error in {DeliveryError.FORBIDDEN, DeliveryError.NAME}
        refusal = await self.outbound.refusal_to_notify(link)
        assert refusal is not None
        assert "RECEIVER_ALLOWED_PRIVATE_HOSTS=notify=" in refusal or told.error is DeliveryError.NAME


@asynccontextmanager
async def place(
    folder: Path, allowed: str = "", urls: Sequence[str] = ("https://api.example/v1",)
) -> AsyncIterator[Place]:
    counter, names = Counter(), Names({"cdn.example": [[PUBLIC]], "api.example": [[PUBLIC]]})
    server = await asyncio.start_server(counter.serve, "127.0.0.1", 0)
    counter.port = server.sockets[0].getsockname()[1]
    network = Network(resolve=names, backend=counter, quick=counter, ssl_context=SSL_CONTEXT)
    async with (
        server,
        HttpOutbound(allowed=AllowedHosts.parse(allowed), provider_urls=urls, network=network) as outbound,
    ):
        yield Place(outbound, counter, names, folder)


#: The one host that speaks http here, so that it can redirect.
REDIRECTS = "media=cdn.example:80"


async def test_no_spelling_of_an_address_that_is_not_public_is_connected_to(tmp_path: Path) -> None:
    async with place(tmp_path, REDIRECTS) as here:
        for host in HOSTS:
            for link in (f"https://{host}/a", f"http://{host}/a", f"https://{host}:8443/a"):
                await here.every_way(link)
                assert (here.counter.accepted, here.counter.meant) == (0, []), link


async def test_no_name_leads_to_an_address_that_is_not_public(tmp_path: Path) -> None:
    async with place(tmp_path, REDIRECTS) as here:
        for number, answer in enumerate(ANSWERS):
            here.names.answers["stranger.example"] = [answer]
            await here.every_way("https://stranger.example/a")
            assert (here.counter.accepted, here.counter.meant) == (0, []), (number, answer)


async def test_a_name_that_changes_between_the_check_and_the_connection_gains_nothing(tmp_path: Path) -> None:
    async with place(tmp_path, REDIRECTS) as here:
        here.names.answers["stranger.example"] = [[PUBLIC], ["127.0.0.1"]]
        await here.fetch("https://stranger.example/a")
        assert (here.counter.accepted, here.counter.meant) == (1, [PUBLIC])
        await here.every_way("https://stranger.example/a")
        assert here.counter.meant == [PUBLIC]


#: An entry, and who may then speak http with that address: provider, media, endpoint.
PREFIXES = [
    ("", (0, 0, 0)),
    ("provider=10.1.2.3", (1, 0, 0)),
    ("media=10.1.2.3", (0, 1, 0)),
    ("notify=10.1.2.3", (0, 0, 1)),
    ("10.1.2.3", (1, 0, 1)),
    ("10.0.0.0/8", (1, 0, 1)),
    ("media=10.0.0.0/8, notify=10.1.2.3:80", (0, 1, 1)),
    ("10.1.2.3:81", (0, 0, 0)),
    ("10.1.2.4", (0, 0, 0)),
]


async def ways(here: Place, address: str) -> tuple[int, int, int]:
    """Count the connections that a provider's call, a download and a notification make."""
    link, counts = f"http://{address}/a", []
    with suppress(NotSentError):
        await here.outbound.send("runware", HttpRequest("POST", link, {}, b"{}", 10.0))
    counts.append(here.counter.accepted)
    with suppress(MediaError):
        await here.outbound.fetch(link, here.folder / "got", max_bytes=100, timeout_seconds=10)
    counts.append(here.counter.accepted)
    await here.outbound.notify(HttpRequest("POST", link, {}, b"{}", 10.0))
    counts.append(here.counter.accepted)
    return counts[0], counts[1] - counts[0], counts[2] - counts[1]


@pytest.mark.parametrize(("allowed", "counts"), PREFIXES)
async def test_an_allowed_host_is_reached_for_its_purpose_alone(
    tmp_path: Path, allowed: str, counts: tuple[int, int, int]
) -> None:
    async with place(tmp_path, allowed) as here:
        assert await ways(here, "10.1.2.3") == counts


async def test_an_entry_without_a_purpose_is_for_media_where_the_host_is_a_providers(tmp_path: Path) -> None:
    async with place(tmp_path, "10.1.2.3", urls=["http://10.1.2.3/v1"]) as here:
        assert await ways(here, "10.1.2.3") == (1, 1, 1)


@pytest.mark.parametrize(("allowed", "counts"), [("169.254.0.0/16", (0, 0, 0)), ("169.254.169.254", (1, 0, 1))])
async def test_a_link_local_address_needs_an_entry_of_its_own(
    tmp_path: Path, allowed: str, counts: tuple[int, int, int]
) -> None:
    async with place(tmp_path, allowed) as here:
        assert await ways(here, "169.254.169.254") == counts
