"""Whatever is sent, a server with the short way in answers as one without it, and closes when that one does."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from receiver.web.entrance import Answer, Plain
from receiver.web.server import GuardedProtocol
from tests.web.support import PATIENCE_SECONDS, Served, served, until

SAID = Answer(200, b"said", "text/plain")


class Told:
    """Answers every request in the same words by either way, with what it was asked."""

    beginning = b"POST /callbacks/"

    def __init__(self, *, has_entrance: bool) -> None:
        self.entrance = self if has_entrance else None
        self.came: list[tuple[bytes, bytes]] = []
        self.short = 0

    def enter(self, request: Plain, answer: Callable[[Answer], None]) -> bool:
        self.came.append((request.path, request.body))
        self.short += 1
        asyncio.get_running_loop().call_soon(answer, SAID)
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.came.append((scope["raw_path"], body))
        await send(SAID.start)
        await send(SAID.body)


LINES = st.sampled_from(
    [
        b"Host: x",
        b"Content-Type: application/json",
        b"content-type: text/plain",
        b"Content-Length: 2",
        b"Content-Length: 3",
        b"Content-Length: +2",
        b"Content-Length: 2, 2",
        b"Content-Length : 2",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding : chunked",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: Upgrade",
        b"Connection: close, upgrade",
        b"Upgrade: h2c",
        b"Trailer: A",
        b"X: \x00",
        b"X: \xff",
        b" folded",
        b"no colon",
        b"X:",
        b": nameless",
    ]
)
TARGETS = st.sampled_from(
    [
        b"POST /callbacks/a",
        b"POST /callbacks/a",
        b"POST /callbacks/",
        b"POST /callbacks/a?b=c",
        b"POST /callbacks/a#b",
        b"POST /callbacks/%61",
        b"POST /callbacks/\xc3\xa4",
        b"POST /callbacks/a b",
        b"POST http://x/callbacks/a",
        b"post /callbacks/a",
        b"PUT /callbacks/a",
        b"GET /other",
        b"CONNECT /callbacks/a",
    ]
)
VERSIONS = st.sampled_from([*[b"HTTP/1.1"] * 4, b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.11", b""])
BODIES = st.sampled_from(
    [b"{}", b"", b"{}\r\n", b"2\r\n{}\r\n0\r\n\r\n", b"2\r\n{}\r\n0\r\nA: b\r\n\r\n", b"{}POST", b"\0"]
)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"])


@st.composite
def a_request(draw: st.DrawFn) -> bytes:
    end = draw(ENDS)
    lines = [draw(TARGETS) + b" " + draw(VERSIONS), *draw(st.lists(LINES, max_size=4))]
    return draw(st.sampled_from([b"", b"", b"\r\n"])) + end.join([*lines, b"", b""]) + draw(BODIES)


PLAIN = b"POST /callbacks/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
REQUESTS = st.lists(st.one_of(st.just(PLAIN), a_request()), min_size=1, max_size=3)


async def _exchange(server: Served, reads: list[bytes]) -> tuple[bytes, bool]:
    """Send each part in a read of its own; return what came back, and whether the server closed by itself."""
    made = len(server.protocols)
    async with server.connect() as wire:
        await until(lambda: len(server.protocols) > made)
        protocol = server.protocols[-1]
        for part in reads:
            before = server.reads
            await wire.send(part)
            await until(partial(_has_read, server, before, protocol))
            await until(lambda: _is_at_rest(protocol))
            if protocol.transport.is_closing():
                break
        closed = protocol.transport.is_closing()
        # What is written by now is sent all the same.
        protocol.transport.close()
        return await asyncio.wait_for(wire.reader.read(), PATIENCE_SECONDS), closed


def _has_read(server: Served, before: int, protocol: GuardedProtocol) -> bool:
    return server.reads > before or protocol.transport.is_closing()


def _is_at_rest(protocol: GuardedProtocol) -> bool:
    """Tell whether nothing more is answered until more is sent."""
    if protocol.transport.is_closing():
        return True
    waits = not protocol._is_answering() or (not protocol._is_inside and protocol.cycle.more_body)
    return waits and not protocol.pipeline and not protocol._behind


async def _compare(
    servers: list[tuple[Told, Served]], requests: list[bytes], cuts: list[int], *, together: bool
) -> None:
    whole = b"".join(requests)
    places = sorted({cut % len(whole) for cut in cuts} - {0})
    reads = [whole[a:b] for a, b in pairwise([0, *places, len(whole)])] if together else requests
    found = []
    for app, server in servers:
        app.came.clear()
        found.append((*await _exchange(server, reads), list(app.came)))
    assert found[0] == found[1]


def test_the_two_ways_cannot_be_told_apart() -> None:
    short, long = Told(has_entrance=True), Told(has_entrance=False)
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        servers = [(app, runner.run(stack.enter_async_context(served(app)))) for app in (short, long)]

        @settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
        @given(requests=REQUESTS, cuts=st.lists(st.integers(1, 400), max_size=2), together=st.booleans())
        def cannot_be_told_apart(requests: list[bytes], cuts: list[int], *, together: bool) -> None:
            runner.run(_compare(servers, requests, cuts, together=together))

        try:
            cannot_be_told_apart()
        finally:
            runner.run(stack.aclose())
    assert short.short
    assert not long.short
