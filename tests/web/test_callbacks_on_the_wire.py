import asyncio
import logging
from uuid import UUID

import pytest

from receiver.web import create_app
from tests.web.fakes import World
from tests.web.support import Served, config, request, served

TASK_KEY = UUID("01900000-0000-7000-8000-000000000001")


@pytest.fixture
def target(world: World) -> str:
    return f"/callbacks/runware/{world.token(TASK_KEY)}"


async def eventually(world: World, outcome: str) -> None:
    """Wait until a callback has ended that way."""
    async with asyncio.timeout(60):
        while not world.metrics.counts["callbacks", outcome, "runware"]:
            await asyncio.sleep(0.005)


def head(target: str, *headers: str) -> bytes:
    return request("POST", target, *headers)


async def test_several_callbacks_share_one_connection(world: World, target: str) -> None:
    async with served(create_app(world.ports, config())) as server, server.connect() as wire:
        for status in ("accepted", "duplicate"):
            await wire.send(request("POST", target, body=b'{"data":[]}'))
            answer = await wire.answer()
            assert (answer.status, answer.body) == (200, b'{"status":"%s"}' % status.encode())
        await wire.send(request("HEAD", target))
        assert (await wire.answer()).status == 204


async def test_a_bad_token_is_refused_before_its_body_is_sent(world: World, target: str) -> None:
    async with served(create_app(world.ports, config())) as server, server.connect() as wire:
        await wire.send(head(target[:-1] + "!", "Content-Length: 1000000"))
        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        assert await wire.is_closed()


@pytest.mark.parametrize(("spoil", "status"), [(False, 200), (True, 404)], ids=["good", "bad"])
async def test_who_asks_first_is_told_to_go_on_only_with_a_good_token(
    world: World, target: str, spoil: bool, status: int
) -> None:
    async with served(create_app(world.ports, config())) as server, server.connect() as wire:
        await wire.send(head(target + ("x" if spoil else ""), "Content-Length: 2", "Expect: 100-continue"))
        if not spoil:
            assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await wire.send(b"{}")
        assert (await wire.answer()).status == status
        assert wire.before == []


async def test_a_percent_encoded_token_is_not_the_token(world: World, target: str) -> None:
    provider, _, token = target.rpartition("/")
    encoded = "".join(f"%{ord(letter):02X}" for letter in token)
    async with served(create_app(world.ports, config())) as server:
        for path in (
            f"{provider}/{encoded}",
            f"{provider}%2f{token}",
            f"{provider}/{token}%20",
            f"{target}/",
            f"/{target}",
        ):
            async with server.connect() as wire:
                await wire.send(request("POST", path, body=b"{}"))
                assert (await wire.answer()).status == 404
    assert world.store.appended == []


async def test_a_body_that_stops_half_way_is_408(world: World, target: str) -> None:
    app = create_app(world.ports, config(callback_body_seconds=0.1))
    async with served(app) as server, server.connect() as wire:
        await wire.send(head(target, "Content-Length: 100"), b"half")
        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert world.store.appended == []


async def test_a_trickle_does_not_stretch_the_time_a_body_has(world: World, target: str) -> None:
    app = create_app(world.ports, config(callback_body_seconds=0.2))
    async with served(app) as server, server.connect() as wire:
        await wire.send(head(target, "Content-Length: 100000"))

        async def trickle() -> None:
            while True:
                await wire.send(b"x")
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        answer = await wire.answer()
        trickling.cancel()
        assert answer.status == 408
    assert world.store.appended == []


async def test_an_announced_length_over_the_limit_is_413_without_a_byte_of_the_body(
    world: World, target: str
) -> None:
    async with served(create_app(world.ports, config(max_callback_bytes=1000))) as server:
        for length in ("1001", "9" * 18):
            async with server.connect() as wire:
                await wire.send(head(target, f"Content-Length: {length}", "Expect: 100-continue"))
                assert (await wire.answer()).status == 413
                assert wire.before == []
    assert world.store.looked_at == [TASK_KEY, TASK_KEY]


async def test_a_chunked_body_over_the_limit_is_413_while_it_is_still_being_sent(world: World, target: str) -> None:
    app = create_app(world.ports, config(max_callback_bytes=1_000_000))
    async with served(app) as server, server.connect() as wire:
        await wire.send(head(target, "Transfer-Encoding: chunked"))
        chunk = b"%x\r\n%s\r\n" % (100_000, b"x" * 100_000)
        sending = asyncio.create_task(wire.send(*[chunk] * 60, b"0\r\n\r\n"))
        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        await sending
        assert await wire.is_closed()
    assert world.store.appended == []
    assert world.store.looked_at == [TASK_KEY]


async def test_an_announcement_alone_takes_no_room(world: World, target: str) -> None:
    app = create_app(world.ports, config(max_callback_bytes=200_000, callback_room_bytes=200_000))
    async with served(app) as server, server.connect() as announcing, server.connect() as wire:
        await announcing.send(head(target, "Content-Length: 200000"), b"x")
        await asyncio.sleep(0.1)
        await wire.send(request("POST", target, body=b"y" * 150_000))
        assert (await wire.answer()).status == 200


async def test_what_follows_a_body_is_no_header(world: World, target: str) -> None:
    async with served(create_app(world.ports, config())) as server, server.connect() as wire:
        await wire.send(head(target, "Transfer-Encoding: chunked", "Content-Type: text/plain"), b"1\r\na\r\n")
        await asyncio.sleep(0.1)
        await wire.send(b"0\r\nContent-Type: text/evil\r\n\r\n")
        assert (await wire.answer()).status == 200
    assert world.store.appended[0].content_type == "text/plain"


async def test_a_chunked_body_is_put_together(world: World, target: str) -> None:
    async with served(create_app(world.ports, config())) as server, server.connect() as wire:
        await wire.send(head(target, "Transfer-Encoding: chunked"), b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n")
        assert (await wire.answer()).status == 200
    assert world.store.appended[0].body == b"abcde"


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_nothing_is_stored_of_a_caller_who_goes_away_half_way(
    world: World, target: str, framing: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with served(create_app(world.ports, config())) as server:
        async with server.connect() as wire:
            await wire.send(head(target, framing), b"4\r\nhalf")
        await eventually(world, "broken_off")
    assert world.store.appended == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_malformed_chunks_store_nothing(world: World, target: str) -> None:
    async with served(create_app(world.ports, config())) as server, server.connect() as wire:
        await wire.send(head(target, "Transfer-Encoding: chunked"), b"3\r\nabc\r\n", b"zz\r\n")
        assert await wire.is_closed()
        await eventually(world, "broken_off")
    assert world.store.appended == []


async def test_odd_methods_and_heads_get_an_answer_below_500(world: World, target: str) -> None:
    odd = [
        request("BREW", target),
        request("OPTIONS", "*"),
        request("POST", "http://example.org" + target, body=b"{}"),
        request("POST", target, "Content-Length: -1"),
        request("POST", target, "Content-Length: 2", "Transfer-Encoding: chunked"),
        request("GET", "/callbacks/\xff"),
        request("GET", "/callbacks/runware/" + "A" * 30_000),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ]
    async with served(create_app(world.ports, config())) as server:
        statuses = [await _status(server, data) for data in odd]
    assert [status for status in statuses if status >= 500] == []
    assert world.metrics.counts["callbacks", "fault", "runware"] == 0


async def _status(server: Served, data: bytes) -> int:
    async with server.connect() as wire:
        await wire.send(data)
        return (await wire.answer()).status
