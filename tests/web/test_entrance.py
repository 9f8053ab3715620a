"""The short way in: the same answers as the long way, in the same order, and nothing that it should not take."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from uuid import UUID

import pytest
from starlette.types import Receive, Scope, Send

from receiver.domain.errors import UnavailableError
from receiver.lifecycle.ports import BodyLimits
from receiver.web import Application, create_app
from receiver.web.entrance import PLAIN_BYTES, Answer, Plain, PlainReader
from tests.web.fakes import World
from tests.web.support import PATIENCE_SECONDS, Served, config, request, served, until

TASK_KEY = UUID("01900000-0000-7000-8000-000000000001")
SHORT = Answer(200, b"the short way", "text/plain")
CLOSING = Answer(200, b"the short way", "text/plain", closes=True)


class App:
    """An application with an entrance of its own; each notes what came by it."""

    beginning = b"POST /short/"

    def __init__(self) -> None:
        self.short: list[bytes] = []
        self.long: list[bytes] = []
        self.has_an_answer = True
        self.closes = False
        self.said = SHORT
        #: Requests that came the short way are answered by this, when it is called; at once while it is None.
        self.held: list[Callable[[], None]] | None = None
        #: Requests of the long way are answered once this is set.
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    @property
    def entrance(self) -> "App":
        return self

    def enter(self, request: Plain, answer: Callable[[Answer], None]) -> bool:
        self.short.append(request.path + b" " + request.body)
        if not self.has_an_answer:
            return False
        said = CLOSING if self.closes else self.said
        if self.held is None:
            asyncio.get_running_loop().call_soon(answer, said)
        else:
            self.held.append(lambda: answer(said))
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.long.append(scope["raw_path"] + b" " + body)
        await self.may_answer.wait()
        length = (b"content-length", b"12")
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": b"the long way"})


async def test_what_came_whole_goes_the_short_way_time_after_time() -> None:
    app = App()
    async with served(app) as server, server.connect() as wire:
        for number in range(3):
            await wire.send(request("POST", f"/short/{number}", body=b"{}"))
            answer = await wire.answer()
            assert (answer.status, answer.body) == (200, b"the short way")
            assert "date" in answer.headers
            assert "connection" not in answer.headers
    assert (app.short, app.long) == ([b"/short/0 {}", b"/short/1 {}", b"/short/2 {}"], [])


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        pytest.param([request("POST", "/other", body=b"{}")], b"{}", id="another path"),
        pytest.param([request("POST", "/short/1", "Content-Length: 2"), b"{}"], b"{}", id="the body after the head"),
        pytest.param([request("POST", "/short/1", body=b"x" * PLAIN_BYTES)], b"x" * PLAIN_BYTES, id="a large body"),
        pytest.param([request("GET", "/short/1")], b"", id="another method"),
        pytest.param([request("POST", "/short/1?a=b", body=b"{}")], b"{}", id="a query"),
        pytest.param(
            [request("POST", "/short/1", "A: 1", "a: 2", body=b"{}")], b"{}", id="a header that comes twice"
        ),
        pytest.param(
            [request("POST", "/short/1", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\nA: b\r\n\r\n"],
            b"{}",
            id="in chunks, with trailers",
        ),
        pytest.param(
            [request("POST", "/short/1", "Connection: Upgrade", "Upgrade: h2c", body=b"{}")], b"{}", id="an upgrade"
        ),
        pytest.param(
            [request("POST", "/short/1", "Expect: 100-continue", body=b"{}")], b"{}", id="one that asks first"
        ),
    ],
)
async def test_whatever_is_not_as_plain_goes_the_long_way(pieces: list[bytes], body: bytes) -> None:
    app = App()
    async with served(app) as server, server.connect() as wire:
        for number, piece in enumerate(pieces):
            if number:
                # By now the head has been read by itself.
                await until(lambda: bool(server.reads))
            await wire.send(piece)
        assert (await wire.answer()).body == b"the long way"
    assert app.short == []
    assert [came.partition(b" ")[2] for came in app.long] == [body]


async def test_what_the_entrance_has_no_answer_for_goes_the_long_way_with_its_body() -> None:
    app = App()
    app.has_an_answer = False
    async with served(app) as server, server.connect() as wire:
        await wire.send(request("POST", "/short/1", body=b"{}"))
        assert (await wire.answer()).body == b"the long way"
    assert app.short == app.long == [b"/short/1 {}"]


async def test_requests_sent_together_are_answered_in_their_order_whichever_way_each_goes() -> None:
    app = App()
    asked = ["/short/1", "/long/2", "/short/3", "/short/4", "/long/5"]
    async with served(app) as server, server.connect() as wire:
        await wire.send(b"".join(request("POST", path, body=path.encode()) for path in asked))
        told = [(await wire.answer()).body for _ in asked]
    assert len(app.short) + len(app.long) == len(asked)
    assert told[1] == told[4] == b"the long way"
    assert [told[0], told[2], told[3]] == [b"the short way" if came in _paths(app.short) else b"the long way"
                                           for came in ("/short/1", "/short/3", "/short/4")]  # fmt: skip


def _paths(came: list[bytes]) -> list[str]:
    return [line.partition(b" ")[0].decode() for line in came]


@pytest.mark.parametrize("says", ["Connection: close", "of HTTP/1.0"])
async def test_a_connection_that_is_to_end_ends_with_the_answer(says: str) -> None:
    whole = request("POST", "/short/1", *([] if says == "of HTTP/1.0" else [says]), body=b"{}")
    if says == "of HTTP/1.0":
        whole = whole.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    app = App()
    async with served(app) as server, server.connect() as wire:
        await wire.send(whole)
        answer = await wire.answer()
        assert (answer.body, answer.headers["connection"]) == (b"the short way", "close")
        assert await wire.is_closed()
    assert app.long == []


async def test_who_goes_before_the_answer_harms_nobody() -> None:
    app = App()
    app.held = []
    async with served(app) as server:
        async with server.connect() as wire:
            await wire.send(request("POST", "/short/1", body=b"{}"))
            await until(lambda: bool(app.short))
        await asyncio.sleep(0.05)
        app.held[0]()
        app.held = None
        async with server.connect() as wire:
            await wire.send(request("POST", "/short/2", body=b"{}"))
            assert (await wire.answer()).body == b"the short way"


async def test_what_comes_behind_waits_for_its_turn_whichever_way_it_goes() -> None:
    app = App()
    app.held = []
    async with served(app) as server, server.connect() as wire:
        await wire.send(request("POST", "/short/1", body=b"{}"))
        await until(lambda: bool(app.short))
        reads = server.reads
        await wire.send(request("POST", "/long/2", body=b"{}"), request("POST", "/short/3", body=b"[]"))
        await until(lambda: server.reads > reads)
        await asyncio.sleep(0.05)
        assert (app.long, len(app.short)) == ([], 1)
        first, app.held = app.held[0], None
        first()
        told = [(await wire.answer()).body for _ in range(3)]
    assert told[:2] == [b"the short way", b"the long way"]
    assert app.long[0] == b"/long/2 {}"
    assert [*app.short, *app.long][1:] in ([b"/short/3 []", b"/long/2 {}"], [b"/long/2 {}", b"/short/3 []"])


async def test_what_looks_like_a_request_within_a_body_is_none() -> None:
    app = App()
    inner = request("POST", "/short/inner", body=b"{}")
    async with served(app) as server, server.connect() as wire:
        await wire.send(request("POST", "/long/1", f"Content-Length: {len(inner)}"))
        await until(lambda: bool(server.reads))
        await wire.send(inner)
        assert (await wire.answer()).body == b"the long way"
    assert (app.short, app.long) == ([], [b"/long/1 " + inner])


async def test_what_looks_like_a_request_within_a_head_is_none() -> None:
    app = App()
    async with served(app) as server, server.connect() as wire:
        await wire.send(b"POST /long/1 HTTP/1.1\r\nHost: x\r\nX: ")
        await until(lambda: bool(server.reads))
        await wire.send(request("POST", "/short/inner", body=b"{}"))
        assert (await wire.answer()).body == b"the long way"
    assert (app.short, app.long) == ([], [b"/long/1 {}"])


async def test_a_plain_request_waits_for_the_answer_of_the_one_before_it() -> None:
    app = App()
    app.may_answer.clear()
    async with served(app) as server, server.connect() as wire:
        await wire.send(request("POST", "/long/1", body=b"{}"))
        await until(lambda: bool(app.long))
        reads = server.reads
        await wire.send(request("POST", "/short/2", body=b"{}"))
        await until(lambda: server.reads > reads)
        assert not app.short
        app.may_answer.set()
        assert [(await wire.answer()).body for _ in range(2)] == [b"the long way"] * 2
    assert app.long == [b"/long/1 {}", b"/short/2 {}"]


async def test_a_server_that_stops_lets_a_request_of_the_short_way_be_answered_and_closes_then() -> None:
    app = App()
    app.held = []
    async with served(app) as server, server.connect() as wire:
        await wire.send(request("POST", "/short/1", body=b"{}"))
        await until(lambda: bool(app.short))
        for protocol in server.protocols:
            protocol.shutdown()
        app.held[0]()
        answer = await wire.answer()
        assert (answer.body, answer.headers["connection"]) == (b"the short way", "close")
        assert await wire.is_closed()


async def test_an_answer_that_closes_closes() -> None:
    app = App()
    app.closes = True
    async with served(app) as server, server.connect() as wire:
        await wire.send(request("POST", "/short/1", body=b"{}"))
        answer = await wire.answer()
        assert (answer.body, answer.headers["connection"]) == (b"the short way", "close")
        assert await wire.is_closed()


async def test_a_request_that_ends_in_nonsense_is_taken_and_the_connection_closed() -> None:
    app = App()
    async with served(app) as server, server.connect() as wire:
        await wire.send(request("POST", "/short/1", body=b"{}") + b"\0\0\0 nonsense\r\n\r\n")
        assert await wire.is_closed()
    assert [*app.short, *app.long] == [b"/short/1 {}"]


async def test_an_idle_connection_of_the_short_way_is_closed_without_a_word() -> None:
    app = App()
    async with served(app, head_seconds=0.3) as server, server.connect() as wire:
        await wire.send(request("POST", "/short/1", body=b"{}"))
        assert (await wire.answer()).body == b"the short way"
        assert await asyncio.wait_for(wire.reader.read(), PATIENCE_SECONDS) == b""


async def test_a_connection_may_send_more_than_a_head_by_many_requests_of_the_short_way() -> None:
    app = App()
    whole = request("POST", "/short/1", "X: " + "x" * 8000, body=b"{}")
    async with served(app) as server, server.connect() as wire:
        for _ in range(10):
            await wire.send(whole)
            assert (await wire.answer()).body in {b"the short way", b"the long way"}
    assert app.short


async def test_a_timer_of_the_long_way_does_not_end_a_request_of_the_short_way() -> None:
    app = App()
    async with served(app, keep_alive=1) as server, server.connect() as wire:
        await wire.send(request("POST", "/long/1", body=b"{}"))
        assert (await wire.answer()).body == b"the long way"
        app.held = []
        await wire.send(request("POST", "/short/2", body=b"{}"))
        await until(lambda: bool(app.short))
        await asyncio.sleep(1.5)
        app.held[0]()
        assert (await wire.answer()).body == b"the short way"


def test_the_reader_is_ready_for_the_next_whatever_it_was_given() -> None:
    reader = PlainReader()
    plain = request("POST", "/a", body=b"{}")
    odd = [
        plain[:-1],
        plain + b"P",
        plain + plain,
        plain + b"\0",
        b"POST nonsense",
        request("POST", "/a", "Connection: close", body=b"{}"),
        plain.replace(b"HTTP/1.1", b"HTTP/1.0"),
        request("CONNECT", "/a"),
        request("POST", "/a", "Connection: Upgrade", "Upgrade: h2c", body=b"{}"),
        request("POST", "/a", "Content-Length: 2", "Content-Length: 3") + b"{}",
        request("POST", "/a", "Content-Length: 2", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
    ]
    for data in odd:
        found = reader.read(data)
        assert found is None or not found.keeps_alive
        again = reader.read(plain)
        assert again == Plain(b"/a", {b"host": b"x", b"content-length": b"2"}, b"{}", keeps_alive=True)


async def test_who_sends_no_more_and_takes_nothing_is_let_go() -> None:
    app = App()
    app.said = Answer(200, b"x" * 20_000, "text/plain")
    async with served(app, head_seconds=0.5, write_seconds=0.5) as server:
        caller = socket.socket()
        with contextlib.closing(caller):
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            await asyncio.to_thread(caller.connect, ("127.0.0.1", server.port))
            await until(lambda: bool(server.protocols))
            [protocol] = server.protocols
            while not protocol.transport.get_write_buffer_size():
                reads = server.reads
                caller.sendall(request("POST", "/short/1", body=b"{}"))
                await until(partial(_has_read_more, server, reads))
                await until(lambda: not protocol._is_inside)
            app.held = []
            caller.sendall(request("POST", "/short/2", body=b"{}"))
            await until(lambda: bool(app.held))
            caller.shutdown(socket.SHUT_WR)
            await until(protocol.transport.is_closing)
            app.held[0]()
            await until(lambda: not server.connections)


def _has_read_more(server: Served, reads: int) -> bool:
    return server.reads > reads


class Counted:
    """The application; ``calls`` counts what went the long way."""

    def __init__(self, app: Application) -> None:
        self.app, self.entrance, self.calls = app, app.entrance, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        await self.app(scope, receive, send)


async def _told(server: Served, target: str, body: bytes, *, together: bool) -> tuple[int, dict[str, str], bytes]:
    """Return what a callback is answered that comes in one read, or in two."""
    whole = request("POST", target, "Content-Type: application/json", body=body)
    # Within the head: who is turned away by it is not read any further.
    cut = len(whole) if together else 20
    async with server.connect() as wire:
        reads = server.reads
        await wire.send(whole[:cut])
        if not together:
            await until(lambda: server.reads > reads)
            await wire.send(whole[cut:])
        answer = await wire.answer()
    answer.headers.pop("date")
    return answer.status, answer.headers, answer.body


async def test_a_callback_is_told_the_same_by_either_way(world: World) -> None:
    app = Counted(create_app(world.ports, config()))
    target = f"/callbacks/runware/{world.token(TASK_KEY)}"
    async with served(app) as server:
        answers = [
            await _told(server, target, b'{"together":%d}' % together, together=together)
            for together in (True, True, False, False)
        ]
    assert answers[:2] == answers[2:]
    assert [body for _, _, body in answers[:2]] == [b'{"status":"accepted"}', b'{"status":"duplicate"}']
    assert world.metrics.counts["callbacks", "accepted", "runware"] == 2
    assert world.metrics.counts["callbacks", "duplicate", "runware"] == 2
    assert [report.content_type for report in world.store.appended] == ["application/json"] * 2
    assert app.calls == 2


async def test_a_callback_that_cannot_be_stored_is_told_the_same_by_either_way(world: World) -> None:
    app = Counted(create_app(world.ports, config()))
    target = f"/callbacks/runware/{world.token(TASK_KEY)}"
    async with served(app) as server:
        for number in range(BodyLimits(size=0).bodies):
            await _told(server, target, b"%d" % number, together=True)
        too_many = [await _told(server, target, b"one more", together=together) for together in (True, False)]
        looked_at = list(world.store.looked_at)
        world.store.fault = UnavailableError("it is away")
        failing = [await _told(server, target, b"later", together=together) for together in (True, False)]
    assert app.calls == 2
    assert too_many[0] == too_many[1]
    assert too_many[0][0] == 429
    assert looked_at == [TASK_KEY, TASK_KEY]
    assert failing[0] == failing[1]
    assert (failing[0][0], failing[0][1]["retry-after"]) == (503, "5")
    assert world.metrics.counts["callbacks", "too_many", "runware"] == 2
    assert world.metrics.counts["callbacks", "fault", "runware"] == 2


async def test_a_callback_of_the_short_way_that_is_too_large_for_its_row_goes_the_long_way(world: World) -> None:
    ports = replace(world.ports, limits=replace(world.ports.limits, spool_bytes=10))
    app = Counted(create_app(ports, config()))
    target = f"/callbacks/runware/{world.token(TASK_KEY)}"
    async with served(app) as server:
        assert (await _told(server, target, b'{"more": "than ten"}', together=True))[0] == 200
    assert app.calls == 1
    assert [report.object_key is not None for report in world.store.appended] == [True]


@pytest.mark.parametrize("what", ["wake", "metrics"])
async def test_whatever_breaks_once_a_callback_is_stored_its_caller_is_answered(world: World, what: str) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    ports = replace(world.ports, wake=broken) if what == "wake" else world.ports
    if what == "metrics":
        world.metrics.observe = broken  # type: ignore[method-assign]
    complained: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complained.append(context))
    target = f"/callbacks/runware/{world.token(TASK_KEY)}"
    async with served(Counted(create_app(ports, config()))) as server:
        told = await _told(server, target, b"{}", together=True)
    assert told[0] == {"wake": 503, "metrics": 200}[what]
    assert len(complained) == {"wake": 0, "metrics": 1}[what]


async def test_who_has_no_token_of_ours_is_turned_away_as_ever(world: World) -> None:
    app = Counted(create_app(world.ports, config()))
    async with served(app) as server:
        answers = [
            await _told(server, "/callbacks/runware/" + "A" * 70, b"{}", together=together)
            for together in (True, False)
        ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert app.calls == 2


def test_an_answer_has_the_date_that_the_server_has_by_then() -> None:
    answer = Answer(200, b"said", "text/plain")
    one, two = [(b"date", b"one")], [(b"date", b"two")]
    first = answer.written(one, closes=False)
    assert first == b"".join(
        (b"HTTP/1.1 200 OK\r\ndate: one\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n",
         b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n\r\nsaid")
    )  # fmt: skip
    assert answer.written(one, closes=False) == first
    assert answer.written(one, closes=True) == first.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    for now in (two, one, one):
        assert answer.written(now, closes=False) == first.replace(b"one", now[0][1])
