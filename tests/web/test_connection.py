"""One connection: what an upgrade is asked for beside, and who learns that it is lost."""

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from tests.web.support import PATIENCE_SECONDS, request, served

UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what was asked."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    names = b",".join(name for name, _ in scope["headers"])
    said = b" ".join((scope["method"].encode(), scope["raw_path"], scope["query_string"], names, body))
    headers = [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


WHOLE = request("POST", "/first?a=b", *UPGRADE, body=b"POST /forged HTTP/1.1\r\n\r\n")
CHUNKED = request("POST", "/first?a=b", "Transfer-Encoding: chunked", *UPGRADE) + b"2\r\n{}\r\n0\r\n\r\n"
NEXT = request("POST", "/next", body=b"next")


@pytest.mark.parametrize("cut", [None, len(WHOLE) - 25, len(WHOLE) - 5, 40])
@pytest.mark.parametrize("first", [WHOLE, CHUNKED], ids=["whole", "chunked"])
async def test_a_body_beside_an_upgrade_is_a_body_and_never_the_next_request(first: bytes, cut: int | None) -> None:
    names, body = ("content-length,", "POST /forged HTTP/1.1\r\n\r\n") if first is WHOLE else ("", "{}")
    coding = "" if first is WHOLE else "transfer-encoding,"
    together = first + NEXT + first
    async with served(echo) as server, server.connect() as wire:
        if cut is not None:
            await wire.send(together[:cut])
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not server.reads:
                    await asyncio.sleep(0.005)
        await wire.send(together[cut or 0 :])
        said = [(await wire.answer()).body.decode() for _ in range(3)]
    asked = f"POST /first a=b host,{names}{coding}connection,http2-settings {body}"
    assert said == [asked, "POST /next  host,content-length next", asked]


async def test_what_comes_with_an_upgrade_without_a_body_is_read_too() -> None:
    async with served(echo) as server, server.connect() as wire:
        await wire.send(request("GET", "/first", *UPGRADE) + NEXT)
        said = [(await wire.answer()).body.decode() for _ in range(2)]
    assert said == ["GET /first  host,connection,http2-settings ", "POST /next  host,content-length next"]


@pytest.mark.parametrize(
    "asked",
    [
        request("POST", "/first", *UPGRADE, body=b"{}").replace(b"HTTP/1.1", b"HTTP/1.0"),
        request("POST", "/first", "Connection: close", *UPGRADE, body=b"{}"),
        request("GET", "/first", "Connection: close, upgrade", "Upgrade: h2c"),
    ],
)
async def test_who_asks_for_an_upgrade_and_for_the_end_is_answered_and_let_go(asked: bytes) -> None:
    async with served(echo) as server, server.connect() as wire:
        await wire.send(asked)
        assert (await wire.answer()).status == 200
        assert await wire.is_closed()


async def test_a_request_learns_that_its_connection_is_lost_though_others_wait_behind_it() -> None:
    learned, begun = asyncio.Event(), asyncio.Event()

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        begun.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        learned.set()

    async with served(app) as server:
        async with server.connect() as wire:
            await wire.send(NEXT + NEXT)
            await asyncio.wait_for(begun.wait(), PATIENCE_SECONDS)
        await asyncio.wait_for(learned.wait(), PATIENCE_SECONDS)
