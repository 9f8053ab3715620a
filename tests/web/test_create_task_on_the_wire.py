import asyncio
import json
import logging

import pytest

from receiver.web import create_app
from tests.web.fakes import BEARER, World
from tests.web.support import config, request, served

COVER = json.dumps(
    {
        "provider": "runware",
        "prompt": "bossa nova, nylon guitar",
        "reference_audio": "https://files.example.org/in.mp3",
    }
).encode()


def head(*headers: str) -> bytes:
    return request("POST", "/v1/tasks", f"Authorization: {BEARER['Authorization']}", *headers)


async def test_a_good_key_is_told_to_go_on_and_its_task_is_taken(world: World) -> None:
    async with served(create_app(world.ports, config())) as server, server.connect() as wire:
        await wire.send(head(f"Content-Length: {len(COVER)}", "Expect: 100-continue"))
        assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.send(COVER)
        assert (await wire.answer()).status == 202


async def test_a_body_that_stops_half_way_is_408(world: World) -> None:
    app = create_app(world.ports, config(request_body_seconds=0.1))
    async with served(app) as server, server.connect() as wire:
        await wire.send(head(f"Content-Length: {len(COVER)}"), COVER[:-1])
        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert world.store.by_id == {}


async def test_a_chunked_body_over_the_limit_is_413_while_it_is_still_being_sent(world: World) -> None:
    app = create_app(world.ports, config(max_request_bytes=1_000_000))
    async with served(app) as server, server.connect() as wire:
        chunk = b"%x\r\n%s\r\n" % (100_000, b" " * 100_000)
        sending = asyncio.create_task(wire.send(head("Transfer-Encoding: chunked"), *[chunk] * 60, b"0\r\n\r\n"))
        assert (await wire.answer()).status == 413
        await sending


async def test_nothing_is_created_for_a_caller_who_goes_away_half_way(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with served(create_app(world.ports, config())) as server:
        async with server.connect() as wire:
            await wire.send(head(f"Content-Length: {len(COVER)}"), COVER[:-1])
        async with asyncio.timeout(60):
            while not world.metrics.counts["requests", "/v1/tasks", "none"]:
                await asyncio.sleep(0.005)
    assert world.store.by_id == {}
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_large_bodies_beyond_the_room_for_all_of_them_are_asked_to_come_again(world: World) -> None:
    app = create_app(world.ports, config(max_request_bytes=150_000, request_room_bytes=150_000))
    async with served(app) as server, server.connect() as first, server.connect() as second:
        await first.send(head("Content-Length: 100000"), b" " * 99_999)
        await second.send(head("Content-Length: 100000"), b" " * 99_999)
        # Whichever the server came to first has the room; the other is told to come again.
        done, waiting = await asyncio.wait(
            [asyncio.create_task(wire.answer()) for wire in (first, second)], return_when=asyncio.FIRST_COMPLETED
        )
        assert [(task.result().status, task.result().headers["retry-after"]) for task in done] == [(503, "5")]
        for task in waiting:
            task.cancel()
