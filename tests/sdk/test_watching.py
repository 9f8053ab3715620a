"""Watching events over the real client: none twice, none left out, whatever the connection does."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest

from receiver import sdk
from receiver.sdk import Client, ClientError
from receiver.sdk.watching import Position, events_in
from tests.cli.fake_service import KEY, TASK_ID, Answer, FakeService, problem, serving

EVENTS = "/v1/events"
OF_TASK = f"/v1/tasks/{TASK_ID}/events"


@pytest.fixture
def service() -> Iterator[FakeService]:
    with serving() as fake:
        yield fake


@pytest.fixture
async def client(service: FakeService) -> AsyncIterator[Client]:
    async with Client(service.url, api_key=KEY, timeout_seconds=5) as connected:
        yield connected


def told(number: int, kind: str = "poll.answered") -> bytes:
    at = "2026-11-20T10:00:00.000000Z"
    event = {"id": number, "task_id": TASK_ID, "seq": number, "type": kind, "at": at, "data": {}}
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(event)}\n\n".encode()


def stream(*pieces: bytes, broken: bool = False) -> Answer:
    body = b"retry: 2000\nid: 0\n\n" + b": nothing new\n\n".join(pieces)
    headers = {"content-type": "text/event-stream"}
    return Answer(200, body, {**headers, "content-length": str(len(body) + 10)} if broken else headers)


def resumed_behind(service: FakeService) -> list[str | None]:
    return [asked.headers.get("last-event-id") for asked in service.asked]


async def test_a_broken_connection_is_resumed_behind_the_last_whole_event(
    client: Client, service: FakeService
) -> None:
    half = told(3)[:-20]
    service.says("GET", OF_TASK, stream(told(1), told(2), half, broken=True), stream(told(3)), Answer(204, b""))
    troubles: list[ClientError] = []
    seen = [event.id async for event in client.watch(TASK_ID, on_trouble=troubles.append)]
    assert seen == [1, 2, 3]
    assert resumed_behind(service) == [None, "2", "3"]
    assert [type(trouble) for trouble in troubles] == [sdk.AnswerLostError]
    assert service.asked[0].headers["accept"] == "text/event-stream"


async def test_what_comes_from_now_on_is_resumed_where_it_began_before_any_event(
    client: Client, service: FakeService
) -> None:
    at_17 = Answer(200, b"retry: 2000\nid: 17\n\n", {"content-type": "text/event-stream"})
    service.says("GET", EVENTS, at_17, stream(told(18)))
    async with aclosing(client.watch(after="latest")) as events:
        assert (await anext(events)).id == 18
    assert [asked.query for asked in service.asked] == [{"after": ["latest"]}, {}]
    assert resumed_behind(service) == [None, "17"]


async def test_it_begins_behind_the_event_that_is_named(client: Client, service: FakeService) -> None:
    service.says("GET", OF_TASK, Answer(204, b""))
    assert [event async for event in client.watch(TASK_ID, after=41)] == []
    assert resumed_behind(service) == ["41"]


async def test_a_service_that_is_busy_is_asked_again_until_patience_ends(
    client: Client, service: FakeService
) -> None:
    service.says("GET", EVENTS, problem(503, "Later"), problem(429, "Too many streams"), stream(told(1)))
    troubles: list[ClientError] = []
    async with aclosing(client.watch(on_trouble=troubles.append)) as events:
        assert (await anext(events)).id == 1
    assert [type(trouble) for trouble in troubles] == [sdk.UnavailableError, sdk.TooManyRequestsError]
    service.says("GET", EVENTS, problem(503, "Later"))
    with pytest.raises(sdk.UnavailableError):
        await anext(client.watch(patience_seconds=-1))


@pytest.mark.parametrize(("status", "kind"), [(404, sdk.NotFoundError), (401, sdk.UnauthorizedError)])
async def test_a_no_is_a_no(client: Client, service: FakeService, status: int, kind: type[Exception]) -> None:
    service.says("GET", OF_TASK, problem(status, "No"))
    with pytest.raises(kind):
        await anext(client.watch(TASK_ID))
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    "data", [b"not JSON", b"[]", b'{"id": "1"}', b"[" * 100_000], ids=["text", "list", "id", "deep"]
)
async def test_what_is_no_event_is_said_to_be_none(client: Client, service: FakeService, data: bytes) -> None:
    service.says("GET", EVENTS, stream(b"data: " + data + b"\n\n"))
    with pytest.raises(sdk.UnexpectedAnswerError):
        await anext(client.watch())


async def pieces_of(text: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
async def test_events_are_whole_however_they_are_cut(size: int, end: bytes) -> None:
    text = (told(1) + b": nothing new\n\n" + told(2)).replace(b"\n", end)
    position = Position()
    assert [event.id async for event in events_in(pieces_of(text, size), position)] == [1, 2]
    assert position.last_id == "2"


async def test_a_line_without_an_end_is_not_gathered_for_ever() -> None:
    with pytest.raises(sdk.UnexpectedAnswerError):
        await anext(events_in(pieces_of(b"x" * (9 * 1024 * 1024), 256 * 1024), Position()))
