"""The short way in: the same answers as the long way, in the same order, and nothing that it should not take."""

import asyncio
from uuid import UUID

import pytest
from starlette.types import Receive, Scope, Send

from receiver.web import Application, create_app
from receiver.web.bodies import SMALL_BYTES
from receiver.web.entrance import Answer
from tests.web.fakes import World
from tests.web.support import PATIENCE_SECONDS, config, request, served

TASK_KEY = UUID("01900000-0000-7000-8000-000000000001")
SHORT = Answer(200, b"the short way", "text/plain")


class App:
    """An application with an entrance of its own; each notes what came by it."""

    prefix = b"/short/"

    def __init__(self) -> None:
        self.short: list[bytes] = []
        self.long: list[bytes] = []
        self.has_an_answer = True
        self.breaks = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    @property
    def entrance(self) -> "App":
        return self

    async def enter(self, scope: Scope, body: bytes) -> Answer | None:
        self.short.append(scope["raw_path"] + b" " + body)
        await self.may_answer.wait()
        if self.breaks:
            raise RuntimeError("broken")
        return SHORT if self.has_an_answer else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.long.append(scope["raw_path"] + b" " + body)
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
        pytest.param(
            [request("POST", "/short/1", body=b"x" * (SMALL_BYTES + 1))], b"x" * (SMALL_BYTES + 1), id="a large body"
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
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while not server.reads:
                        await asyncio.sleep(0.005)
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
    app.may_answer.clear()
    async with served(app) as server:
        async with server.connect() as wire:
            await wire.send(request("POST", "/short/1", body=b"{}"))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not app.short:
                    await asyncio.sleep(0.005)
        app.may_answer.set()
        async with server.connect() as wire:
            await wire.send(request("POST", "/short/2", body=b"{}"))
            assert (await wire.answer()).body == b"the short way"


async def test_a_request_that_ends_in_nonsense_is_taken_and_the_connection_closed() -> None:
    app = App()
    async with served(app) as server, server.connect() as wire:
        await wire.send(request("POST", "/short/1", body=b"{}") + b"\0\0\0 nonsense\r\n\r\n")
        assert await wire.is_closed()


async def test_nobody_waits_for_an_entrance_that_broke() -> None:
    app = App()
    app.breaks = True
    async with served(app) as server, server.connect() as wire:
        await wire.send(request("POST", "/short/1", body=b"{}"))
        assert (await wire.answer()).status == 500
        assert await wire.is_closed()
    assert app.long == []


class Counted:
    """The application; ``calls`` counts what went the long way."""

    def __init__(self, app: Application) -> None:
        self.app, self.entrance, self.calls = app, app.entrance, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        await self.app(scope, receive, send)


async def test_a_callback_is_told_the_same_by_either_way(world: World) -> None:
    app = Counted(create_app(world.ports, config()))
    target = f"/callbacks/runware/{world.token(TASK_KEY)}"
    answers = []
    async with served(app) as server:
        for together in (True, False):
            for body in (b'{"together":%d}' % together, b'{"together":%d}' % together):
                async with server.connect() as wire:
                    whole = request("POST", target, "Content-Type: application/json", body=body)
                    head = len(whole) - len(body)
                    reads = server.reads
                    await wire.send(whole if together else whole[:head])
                    if not together:
                        async with asyncio.timeout(PATIENCE_SECONDS):
                            while server.reads == reads:
                                await asyncio.sleep(0.005)
                        await wire.send(body)
                    answer = await wire.answer()
                    answer.headers.pop("date")
                    answers.append((answer.status, answer.headers, answer.body))
    assert answers[:2] == answers[2:]
    assert [body for _, _, body in answers[:2]] == [b'{"status":"accepted"}', b'{"status":"duplicate"}']
    assert world.metrics.counts["callbacks", "accepted", "runware"] == 2
    assert world.metrics.counts["callbacks", "duplicate", "runware"] == 2
    assert [report.content_type for report in world.store.appended] == ["application/json"] * 2
    assert app.calls == 2
