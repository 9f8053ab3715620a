"""The socket side against a real server: heads, connections, and how it stops."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from receiver.web.server import Connections, DrainingServer, guarded


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


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
    listening, draining, counted = asyncio.Event(), asyncio.Event(), Connections(most=20)
    config = uvicorn.Config(
        echo,
        port=0,
        http=guarded(counted, head_seconds=0.5),
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=3,
    )
    server = DrainingServer(config, on_listening=listening.set, draining=draining)
    task = asyncio.create_task(server.serve())
    await asyncio.wait_for(listening.wait(), 10)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Running(port, server, task, draining, counted)
    server.should_exit = True
    await asyncio.wait_for(task, 10)


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
    await asyncio.wait_for(running.task, 10)
    assert running.draining.is_set()
