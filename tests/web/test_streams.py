"""Event streams over real sockets and the real store: in order, nothing skipped, nothing twice, and they end."""

import asyncio
import contextlib
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from receiver.domain.errors import UnavailableError
from receiver.domain.event import Event, EventType
from receiver.domain.task import Change, Status
from receiver.lifecycle.ports import Decision, RecordedEvent
from receiver.storage.store import SqlStore, open_store
from receiver.system import RealSystem
from receiver.web import create_app, problems
from receiver.web.streams import PAGE, Bell, News
from tests.web.fakes import BEARER, NOON, MemoryStore, World
from tests.web.support import config, request, served

STREAM = {**BEARER, "Accept": "text/event-stream"}
PATIENCE = httpx.Timeout(10)
COVER = {
    "provider": "runware",
    "prompt": "bossa nova, nylon guitar",
    "reference_audio": "https://files.example.org/in.mp3",
}


@dataclass
class Running:
    """The application over a SQLite store, behind a real server."""

    url: str
    port: int
    store: SqlStore
    stopping: asyncio.Event
    http: httpx.AsyncClient
    world: World

    async def new_task(self) -> str:
        answer = await self.http.post("/v1/tasks", json=COVER, headers=BEARER)
        assert answer.status_code == 202
        task_id: str = answer.json()["id"]
        return task_id

    async def happens(self, task_id: str, *kinds: EventType, status: Status | None = None, word: str = "") -> None:
        """Write events into a task's timeline, and its status with them, as a step would."""
        task = await self.store.task(UUID(task_id))
        assert task is not None
        events = tuple(Event(kind, NOON, {"word": word}) for kind in kinds)
        decision = Decision(
            task.key,
            lambda held: Change(replace(held, status=status or held.status, work=None, due_at=None), events),
        )
        [done] = await self.store.apply([decision])
        assert done is not None

    async def all_ids(self, task_id: str | None = None) -> list[int]:
        ids: list[int] = []
        while True:
            page = await self.store.events(UUID(task_id) if task_id else None, after=ids[-1] if ids else 0)
            ids += [event.id for event in page]
            if not page:
                return ids

    @asynccontextmanager
    async def stream(self, path: str, last: int | None = None) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Open a stream and give its events as they come; ``id`` and ``event`` must fit the data."""
        headers = STREAM if last is None else {**STREAM, "Last-Event-ID": str(last)}
        async with self.http.stream("GET", path, headers=headers) as answer:
            assert answer.status_code == 200, answer.status_code
            assert answer.headers["content-type"] == "text/event-stream"
            yield told(answer)


async def told(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        elif "data" in fields:
            event = json.loads(fields["data"])
            assert (fields["id"], fields["event"]) == (str(event["id"]), event["type"])
            yield event
            fields = {}


@asynccontextmanager
async def serving(world: World, tmp_path: Path, **fields: Any) -> AsyncIterator[Running]:  # noqa: ANN401 - of WebConfig
    bell, stopping = Bell(), asyncio.Event()
    async with open_store(tmp_path / "receiver.db", on_commit=lambda _: bell.ring()) as store:
        world.ports = replace(world.ports, store=store, system=RealSystem())
        app = create_app(world.ports, config(bell=bell, draining=stopping.is_set, **fields))
        async with served(app) as server:
            url = f"http://127.0.0.1:{server.port}"
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=5)
            async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, limits=limits) as http:
                try:
                    yield Running(url, server.port, store, stopping, http, world)
                finally:
                    stopping.set()


@pytest.fixture
async def running(world: World, tmp_path: Path) -> AsyncIterator[Running]:
    async with serving(world, tmp_path) as opened:
        yield opened


async def pour(running: Running, tasks: int) -> None:
    for _ in range(tasks):
        await running.happens(await running.new_task(), EventType.ATTEMPT_MADE, EventType.TASK_SUBMITTED)


async def test_what_happens_is_told_at_once_and_in_order(running: Running) -> None:
    await running.new_task()
    async with running.stream("/v1/events?after=latest") as events:
        pouring = asyncio.gather(*(pour(running, 10) for _ in range(4)))
        seen = [(await anext(events))["id"] for _ in range(120)]
        await pouring
    assert seen == (await running.all_ids())[1:]


async def test_a_reader_that_comes_again_and_again_misses_nothing_and_hears_nothing_twice(running: Running) -> None:
    seen: list[int] = []
    # One who stays: who comes again finds the newest lines in memory, or has to be served from the store.
    async with running.stream("/v1/events?after=latest"):
        pouring = asyncio.gather(*(pour(running, 20) for _ in range(4)))
        turn = 0
        while len(seen) < 240:
            turn += 1
            async with running.stream("/v1/events", last=seen[-1] if seen else None) as events:
                for _ in range(min(turn, 240 - len(seen))):
                    seen.append((await anext(events))["id"])  # noqa: PERF401 - what was seen counts when it breaks off
        await pouring
    assert seen == await running.all_ids()


async def test_the_stream_of_a_task_ends_with_the_task_and_tells_of_no_other(running: Running) -> None:
    task_id = await running.new_task()
    async with running.stream(f"/v1/tasks/{task_id}/events") as events:
        assert (await anext(events))["type"] == "task.created"
        await pour(running, 3)
        await running.happens(task_id, EventType.TASK_SUBMITTED, status=Status.SUBMITTED)
        assert (await anext(events))["type"] == "task.submitted"
        await running.happens(task_id, EventType.TASK_FAILED, status=Status.FAILED)
        rest = [event["type"] async for event in events]
    assert rest == ["task.failed"]


async def test_the_stream_of_a_lost_task_that_was_found_goes_on_to_its_second_end(running: Running) -> None:
    task_id = await running.new_task()
    await running.happens(task_id, EventType.TASK_LOST, EventType.TASK_FOUND, status=Status.COLLECTING)
    async with running.stream(f"/v1/tasks/{task_id}/events") as events:
        for _ in range(3):
            await anext(events)
        await running.happens(task_id, EventType.TASK_SUCCEEDED, status=Status.SUCCEEDED)
        assert [event["type"] async for event in events] == ["task.succeeded"]


async def test_streams_and_waits_end_as_soon_as_the_service_is_about_to_stop(running: Running) -> None:
    task_id = await running.new_task()
    waiting = asyncio.create_task(running.http.get(f"/v1/tasks/{task_id}?wait=60", headers=BEARER))
    async with running.stream("/v1/events") as all_events, running.stream(f"/v1/tasks/{task_id}/events") as events:
        for stream in (all_events, events):
            await anext(stream)
        running.stopping.set()
        async with asyncio.timeout(30):
            # The end is a whole one: a chunked answer that is cut off would raise.
            for stream in (all_events, events):
                assert [event async for event in stream] == []
            assert (await waiting).status_code == 200


async def test_streams_beyond_the_most_are_429_and_one_that_ends_makes_room(world: World, tmp_path: Path) -> None:
    async with serving(world, tmp_path, max_streams=64) as running:
        await running.new_task()
        async with contextlib.AsyncExitStack() as stack:
            held = [await stack.enter_async_context(running.stream("/v1/events")) for _ in range(63)]
            for events in held:
                await anext(events)
            async with running.stream("/v1/events") as last:
                await anext(last)
                refused = await running.http.get("/v1/events", headers=STREAM)
                assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
                assert refused.json()["type"] == problems.TOO_MANY_STREAMS.type
                # A list takes nobody's place.
                assert (await running.http.get("/v1/events", headers=BEARER)).status_code == 200
            async with asyncio.timeout(60):
                status = 429
                while status == 429:
                    async with running.http.stream("GET", "/v1/events", headers=STREAM) as again:
                        status = again.status_code
                assert status == 200


async def test_a_reader_that_takes_nothing_is_let_go(world: World, tmp_path: Path) -> None:
    async with serving(world, tmp_path, max_streams=1, slow_reader_seconds=0.3) as running:
        taker = socket.socket()
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        taker.setblocking(False)
        await asyncio.get_running_loop().sock_connect(taker, ("127.0.0.1", running.port))
        reader, writer = await asyncio.open_connection(sock=taker, limit=1024)
        writer.write(request("GET", "/v1/events", *(f"{name}: {value}" for name, value in STREAM.items())))
        await reader.readuntil(b"\r\n\r\n")
        task_id = await running.new_task()
        async with asyncio.timeout(60):
            # More than fits between the two ends.
            while not running.world.metrics.counts[("streams_too_slow",)]:
                await running.happens(task_id, *[EventType.POLL_ANSWERED] * 20, word="la " * 20_000)
        async with running.stream("/v1/events?after=latest"):
            pass
        writer.close()


async def test_a_stream_in_which_nothing_happens_says_so(world: World, tmp_path: Path) -> None:
    async with (
        serving(world, tmp_path, heartbeat_seconds=0.05) as running,
        running.http.stream("GET", "/v1/events", headers=STREAM) as answer,
    ):
        lines = answer.aiter_lines()
        seen = [await anext(lines) for _ in range(6)]
    assert seen == ["retry: 2000", "id: 0", "", ": nothing new", "", ": nothing new"]


class Troubled(MemoryStore):
    """Tells of the first events and of none behind them."""

    async def events(self, task_id: UUID | None, *, after: int = 0, limit: int = 1000) -> list[RecordedEvent]:
        found = await super().events(task_id, after=after, limit=limit)
        if after:
            raise UnavailableError("the database is away")
        return found


async def test_a_fault_of_the_store_ends_a_stream_whole_and_who_comes_again_goes_on() -> None:
    store = Troubled()
    world = World(store=store)
    task = world.task()
    for _ in range(PAGE + 5):
        store.record(task.id, "poll.answered", {})
    async with (
        served(create_app(world.ports, config())) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=PATIENCE) as http,
    ):
        answer = await http.get("/v1/events", headers=STREAM)
    assert answer.text.count("data: ") == PAGE


async def test_what_was_erased_is_not_told_from_memory_either() -> None:
    world, bell = World(), Bell()
    erased, other = world.task(), world.task()
    news = News(world.ports.store, lambda event: {"data": dict(event.data)}, bell, lambda: False)
    async with news.listening() as newest:
        for task in (erased, other):
            world.store.record(task.id, "task.unknown", {"message": f"the prompt of {task.id}"})
        bell.ring()
        await news.rest(1, 10)
        assert str(erased.id) in str((await news.batch(None, newest)).lines)
        world.store.record(erased.id, "task.erased", {})
        bell.ring()
        await news.rest(2, 10)
        for task_id in (None, erased.id):
            told = [line.text.decode() for line in (await news.batch(task_id, newest)).lines]
            assert told[0] == 'id: 1\nevent: task.unknown\ndata: {"data":{}}\n\n'
            assert not any("the prompt of" in text and str(erased.id) in text for text in told)
        [kept] = (await news.batch(other.id, newest)).lines
        assert f"the prompt of {other.id}".encode() in kept.text


@pytest.mark.parametrize("kept", [1, 7, 50])
async def test_from_wherever_a_listener_goes_on_it_gets_the_same_as_the_store_has(kept: int) -> None:
    world, bell = World(), Bell()
    ours, other = world.task(), world.task()
    news = News(world.ports.store, lambda event: {"id": event.id}, bell, lambda: False, kept=kept)
    async with news.listening() as newest:
        assert newest == 0
        for number in range(40):
            world.store.record((ours if number % 3 else other).id, "poll.answered", {})
            if number % 4 == 0:
                bell.ring()
                while (await news.batch(None, newest)).position < len(world.store.recorded):
                    await asyncio.sleep(0)
        bell.ring()
        await news.rest(39, 10)
        for task_id in (None, ours.id):
            wanted = [event.id for event in world.store.recorded if task_id in {None, event.task_id}]
            for after in range(41):
                batch = await news.batch(task_id, after)
                assert [line.event.id for line in batch.lines] == [one for one in wanted if one > after]
                assert (batch.position, batch.complete) == (40, True)


class Aside(MemoryStore):
    """A store that reads beside the event loop, as a real one does."""

    async def events(self, task_id: UUID | None, *, after: int = 0, limit: int = 1000) -> list[RecordedEvent]:
        await asyncio.sleep(0)
        return await super().events(task_id, after=after, limit=limit)


async def test_many_who_begin_far_back_leave_moments_to_others_and_end_when_the_process_stops() -> None:
    world, stopping = World(store=Aside()), asyncio.Event()
    task = world.task()
    for _ in range(2 * PAGE):
        world.store.record(task.id, "poll.answered", {})
    moment = 0
    shown: Counter[int] = Counter()

    def show(event: RecordedEvent) -> dict[str, object]:
        shown[moment] += 1
        return {"id": event.id}

    news = News(world.ports.store, show, Bell(), stopping.is_set)
    async with news.listening():
        reading = asyncio.gather(*(news.batch(None, 0) for _ in range(20)))
        while not reading.done():
            await asyncio.sleep(0)
            moment += 1
        assert {len(batch.lines) for batch in reading.result()} == {PAGE}
        # Callbacks, too, are answered between one page and the next.
        assert set(shown.values()) == {PAGE}
        late = asyncio.gather(*(news.batch(None, 0) for _ in range(20)))
        stopping.set()
        assert {(len(batch.lines), batch.complete) for batch in await late} == {(0, False)}


async def test_an_id_from_before_a_backup_was_restored_begins_anew(world: World, tmp_path: Path) -> None:
    """The ids of the restored database are lower: to wait for higher ones would be to miss everything until then."""
    async with serving(world, tmp_path) as running:
        task_id = await running.new_task()
        for path in ("/v1/events", f"/v1/tasks/{task_id}/events"):
            async with running.stream(path, last=10**6) as events:
                assert (await anext(events))["type"] == "task.created"
