"""The socket side against a real server: heads, connections, and how it stops."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from receiver.web.server import Connections, DrainingServer, guarded

#: What the scope of every request held once its body had been read.
seen_headers: list[list[tuple[bytes, bytes]]] = []


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = b""
    if scope["path"] == "/early":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    seen_headers.append(list(scope["headers"]))
    if scope["path"] == "/poll":
        for _ in range(50):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    if (await receive())["type"] == "http.disconnect":
                        return
    if scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"12345", "more_body": True})
        await asyncio.sleep(1)
        await send({"type": "http.response.body", "body": b"67890"})
        return
    if scope["path"].startswith(("/many-pieces", "/large")):
        await answer_at_length(scope["path"], send)
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def answer_at_length(path: str, send: Send) -> None:
    """Answer with as many bytes as the path says, or with pieces of an answer of no announced length."""
    if path == "/many-pieces":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 20_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    size = int(path.partition("-")[2])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
    await send({"type": "http.response.body", "body": b"x" * size})


@dataclass
class Running:
    port: int
    server: DrainingServer
    task: asyncio.Task[None]
    draining: asyncio.Event
    counted: Connections

    async def talk(self, *pieces: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
            return await asyncio.wait_for(reader.read(), 10)
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with serving(Connections(most=20)) as running:
        yield running


@contextlib.asynccontextmanager
async def serving(counted: Connections, *, system_buffer: int | None = None) -> AsyncIterator[Running]:
    listening, draining = asyncio.Event(), asyncio.Event()
    config = uvicorn.Config(
        echo,
        http=guarded(counted, head_seconds=0.5, write_seconds=0.5),
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=3,
    )
    server = DrainingServer(config, on_listening=listening.set, draining=draining)
    door = socket.create_server(("127.0.0.1", 0))
    if system_buffer is not None:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, system_buffer)
    task = asyncio.create_task(server.serve(sockets=[door]))
    await asyncio.wait_for(listening.wait(), 60)
    port = door.getsockname()[1]
    seen_headers.clear()
    yield Running(port, server, task, draining, counted)
    server.should_exit = True
    await asyncio.wait_for(task, 60)


CLOSE = b"host: a\r\nconnection: close\r\n"


async def test_an_ordinary_request_is_answered(running: Running) -> None:
    answer = await running.talk(b"POST / HTTP/1.1\r\n" + CLOSE + b"content-length: 2\r\n\r\n", b"ok")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"ok")


async def test_a_head_over_the_limit_is_refused_whether_it_comes_in_pieces_or_at_once(running: Running) -> None:
    line = b"x-pad: " + b"a" * 1000 + b"\r\n"
    for pieces in ([line * 40], [line] * 200):
        answer = await running.talk(b"GET / HTTP/1.1\r\n" + CLOSE, *pieces, b"\r\n")
        assert b"200 OK" not in answer
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431")


async def test_a_head_that_does_not_end_is_closed(running: Running) -> None:
    answer = await running.talk(b"GET / HTTP/1.1\r\nhost: a\r\n")
    assert answer.startswith(b"HTTP/1.1 408")


async def test_a_connection_that_says_nothing_is_closed(running: Running) -> None:
    assert (await running.talk()).startswith(b"HTTP/1.1 408")


async def test_a_second_head_on_a_kept_connection_is_bounded_too(running: Running) -> None:
    first = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
    answer = await running.talk(first, b"GET / HTTP/1.1\r\nhost: a\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in answer


async def test_connections_beyond_the_most_are_turned_away_and_those_that_leave_make_room(running: Running) -> None:
    held = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(20)]
    answer = await running.talk(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 503")
    for _, writer in held:
        writer.close()
        await writer.wait_closed()
    while running.counted.total:
        await asyncio.sleep(0.01)
    assert (await running.talk(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")).startswith(b"HTTP/1.1 200")
    assert not running.counted.by_peer


async def test_garbage_is_answered_with_400_and_hurts_nobody(running: Running) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01",
        b"GET\r\n\r\n",
        b"A" * 100_000,
        b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
    ):
        answer = await running.talk(garbage)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4",)), garbage[:20]
    assert (await running.talk(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")).startswith(b"HTTP/1.1 200")


async def test_sigterm_lets_an_answer_under_way_end_and_does_not_kill_the_process(running: Running) -> None:
    asking = asyncio.create_task(running.talk(b"GET /slow HTTP/1.1\r\n" + CLOSE + b"\r\n"))
    await asyncio.sleep(0.2)
    os.kill(os.getpid(), signal.SIGTERM)
    assert (await asking).startswith(b"HTTP/1.1 200")
    await asyncio.wait_for(running.task, 60)
    assert running.draining.is_set()


CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_trailers_are_dropped(running: Running) -> None:
    last = b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n"
    answer = await running.talk(CHUNKED + b"2\r\nok\r\n0\r\nx-evil: b\r\nexpect: 100-continue\r\n\r\n" + last)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert [name for name, _ in seen_headers[0]] == [b"host", b"transfer-encoding"]


@pytest.mark.parametrize("line", [b"x-aaa: b\r\n" * 100, b"x" * 1000, b"x-aaa: " + b"b" * 1000])
async def test_trailers_without_end_close_the_connection(running: Running, line: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(CHUNKED + b"2\r\nok\r\n0\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(60):
            writer.write(line)
            await writer.drain()
            await asyncio.sleep(0.005)
        assert await asyncio.wait_for(reader.read(), 0.3) == b""
    while running.counted.total:
        await asyncio.sleep(0.01)
    writer.close()


async def test_a_long_body_of_many_chunks_is_not_taken_for_trailers(running: Running) -> None:
    # Each read ends behind the head of a chunk.
    pieces = [b"1388\r\n", *[b"x" * 5000 + b"\r\n1388\r\n"] * 20, b"x" * 5000 + b"\r\n0\r\n\r\n"]
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(CHUNKED)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.005)
    assert b"content-length: 105000" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.close()


async def test_a_body_in_front_of_a_head_is_not_counted_as_head(running: Running) -> None:
    body = b"x" * 60_000
    first = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n"
    answer = await running.talk(first + body + b"GET / HTTP/1.1\r\n", CLOSE + b"\r\n")
    assert answer.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"\r\n"),
        (b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n", b"x"),
    ],
    ids=["blank lines", "a slow body"],
)
async def test_after_an_answer_only_a_new_request_keeps_the_connection_open(
    running: Running, first: bytes, more: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(first)

    async def trickle() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(0.1)
                writer.write(more)
                await writer.drain()

    trickling = asyncio.create_task(trickle())
    with contextlib.suppress(ConnectionResetError):
        answer = await asyncio.wait_for(reader.read(), 3)
        assert answer.count(b"HTTP/1.1") == 1
    trickling.cancel()
    writer.close()


async def test_a_kept_connection_has_the_whole_time_for_each_head(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    for _ in range(3):
        await asyncio.sleep(0.3)
        writer.write(b"GET / HTTP/1.1\r\n")
        await asyncio.sleep(0.3)
        writer.write(b"host: a\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_only_so_many_requests_wait_on_one_connection(running: Running) -> None:
    get = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
    last = b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n"
    assert (await running.talk(get * 16 + last)).count(b"HTTP/1.1 200") == 17
    seen_headers.clear()
    await running.talk(get * 5000)
    await asyncio.sleep(0.1)
    assert len(seen_headers) <= 17


@pytest.mark.parametrize(
    "more",
    [
        [b"GET / HTTP/1.1\r\n"],
        [b"GET / HTTP/1.1\r\n" + b"x-pad: " + b"a" * 1000 + b"\r\n", *[b"a" * 9000] * 4],
        [b"\x16\x03"],
    ],
    ids=["too slow", "too large", "garbage"],
)
async def test_no_refusal_is_written_into_an_answer_under_way(running: Running, more: list[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"GET /stream HTTP/1.1\r\nhost: a\r\n\r\n")
    await reader.readuntil(b"12345")
    rest = b""
    with contextlib.suppress(ConnectionError):
        for piece in more:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        rest = await asyncio.wait_for(reader.read(), 5)
    assert rest in {b"", b"67890"}
    writer.close()


async def test_a_fault_in_a_body_is_told_while_nothing_else_is_answered(running: Running) -> None:
    assert (await running.talk(CHUNKED + b"zz\r\n")).startswith(b"HTTP/1.1 400")


def test_an_ipv6_network_counts_as_one_peer_and_loopback_as_everybody() -> None:
    counted = Connections(most=100, most_per_peer=2)
    entered = [counted.enter(f"2001:db8::{n}") for n in range(1, 4)]
    assert entered == [True, True, False]
    assert counted.enter("2001:db8:0:1::1")
    assert all(counted.enter("::1") for _ in range(5))
    for n in range(1, 4):
        counted.leave(f"2001:db8::{n}")
    assert counted.enter("2001:db8::9")


async def test_the_body_of_a_request_that_waits_is_bounded(running: Running) -> None:
    # Who asks whether its caller is still there lets more be read, also of what nobody reads yet.
    first = b"GET /poll HTTP/1.1\r\nhost: a\r\n\r\n"
    second = b"POST / HTTP/1.1\r\n" + CLOSE + b"content-length: 4000000\r\n\r\n"
    assert b"200 OK" not in await running.talk(first, second, b"x" * 4_000_000)


@contextlib.asynccontextmanager
async def asked_with_a_small_window(running: Running, request: bytes) -> AsyncIterator[socket.socket]:
    """Send a request on a connection whose receiver takes next to nothing by itself; its answer is unread."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        held.setblocking(False)
        await asyncio.get_running_loop().sock_connect(held, ("127.0.0.1", running.port))
        await asyncio.get_running_loop().sock_sendall(held, request)
        yield held


@pytest.mark.parametrize("ending", ["keep-alive", "close"])
@pytest.mark.parametrize("size", [20_000_000, 8_000_000])
async def test_who_never_reads_the_answer_is_let_go(running: Running, size: int, ending: str) -> None:
    request = f"GET /large-{size} HTTP/1.1\r\nhost: a\r\nconnection: {ending}\r\n\r\n".encode()
    async with asked_with_a_small_window(running, request), asyncio.timeout(60):
        while running.counted.total == 0:
            await asyncio.sleep(0.01)
        while running.counted.total:
            await asyncio.sleep(0.01)


async def test_who_stops_reading_an_answer_that_is_still_made_is_let_go(running: Running) -> None:
    request = b"GET /many-pieces HTTP/1.1\r\nhost: a\r\n\r\n"
    async with asked_with_a_small_window(running, request), asyncio.timeout(60):
        while running.counted.total == 0:
            await asyncio.sleep(0.01)
        while running.counted.total:
            await asyncio.sleep(0.01)


async def test_the_rest_of_an_answer_that_nobody_reads_keeps_no_closing_connection() -> None:
    # Little enough that no writer ever has to wait, more than the system takes.
    request = b"GET /large-40000 HTTP/1.1\r\n" + CLOSE + b"\r\n"
    serving_little = serving(Connections(), system_buffer=4096)
    async with serving_little as running, asked_with_a_small_window(running, request), asyncio.timeout(60):
        while running.counted.total == 0:
            await asyncio.sleep(0.01)
        while running.counted.total:
            await asyncio.sleep(0.01)


async def test_who_asks_on_and_on_and_never_reads_is_let_go(running: Running) -> None:
    loop = asyncio.get_running_loop()
    asked = 0
    async with asked_with_a_small_window(running, b"") as held:
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(60):
                while True:
                    await loop.sock_sendall(held, b"GET /large-20000 HTTP/1.1\r\nhost: a\r\n\r\n")
                    asked += 1
                    await asyncio.sleep(0.001)
    assert asked < 100_000
    assert running.counted.total == 0


async def test_a_slow_reader_who_reads_gets_it_all(running: Running) -> None:
    size = 4_500_000
    request = b"GET /large-%d HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" % size
    loop = asyncio.get_running_loop()
    got = 0
    async with asked_with_a_small_window(running, request) as held:
        began = loop.time()
        while data := await loop.sock_recv(held, 60_000):
            got += len(data)
            await asyncio.sleep(0.002)
    assert got > size
    assert loop.time() - began > 1.0  # twice as long as a reader may stand still


async def test_each_peer_has_only_so_many_connections() -> None:
    async with serving(Connections(most=100, most_per_peer=3, speaks_for_all=lambda _: False)) as running:
        held = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(3)]
        request = b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n"
        answer = await running.talk(request)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 503")
        for _, writer in held:
            writer.close()
        while running.counted.total:
            await asyncio.sleep(0.01)
        assert (await running.talk(request)).startswith(b"HTTP/1.1 200")
