"""What /metrics tells of now, and which key opens it."""

import asyncio
from datetime import timedelta

import httpx
import pytest

from receiver.domain.errors import ErrorCode, TaskError, UnavailableError
from receiver.domain.task import Status
from receiver.lifecycle.ports import Pause, Queue
from receiver.web.gauges import FRESH_SECONDS
from tests.web.fakes import BEARER, NOON, World
from tests.web.support import PATIENCE_SECONDS, client

METRICS_KEY = "metrics:0123456789abcdef0123456789abcdef"
FOR_METRICS = {"Authorization": f"Bearer {METRICS_KEY}"}


def scraping(world: World) -> httpx.AsyncClient:
    return client(world, metrics_page=bytes)


async def test_tasks_under_way_are_told_by_provider_and_status_and_the_overdue_apart(world: World) -> None:
    world.task(status=Status.UNKNOWN)
    world.task(status=Status.SUBMITTED, overdue=True)
    world.task(status=Status.SUBMITTED)
    world.task(status=Status.SUCCEEDED)
    async with scraping(world) as http:
        assert (await http.get("/metrics")).status_code == 200
    told = world.metrics.gauges
    assert {status: told["tasks_open", "runware", status] for status in ("queued", "submitted", "unknown")} == {
        "queued": 0,
        "submitted": 2,
        "unknown": 1,
    }
    assert told["tasks_open", "aimlapi", "unknown"] == 0
    assert ("tasks_open", "runware", "succeeded") not in told
    assert (told["tasks_overdue", "runware"], told["tasks_overdue", "aimlapi"]) == (1, 0)


async def test_how_long_the_oldest_work_is_due_is_told_by_queue(world: World) -> None:
    world.store.due = {Queue.POLL: NOON - timedelta(seconds=90), Queue.COLLECT: NOON + timedelta(days=1)}
    async with scraping(world) as http:
        await http.get("/metrics")
    told = {queue: world.metrics.gauges["oldest_due_seconds", queue.value] for queue in Queue}
    assert told[Queue.POLL] == pytest.approx(90, abs=1)
    assert {told[queue] for queue in Queue if queue is not Queue.POLL} == {0}


async def test_links_that_die_before_their_audio_is_fetched_are_told(world: World) -> None:
    world.store.dying = 3
    async with scraping(world) as http:
        await http.get("/metrics")
    assert world.metrics.gauges["links_dying",] == 3


async def test_a_provider_that_rests_is_told_with_the_reason_until_it_does_not(world: World) -> None:
    until = NOON + timedelta(seconds=60)
    world.store.paused = {"runware": Pause("runware", until, TaskError(ErrorCode.BALANCE, "no credit"))}
    async with scraping(world) as http:
        await http.get("/metrics")
        assert world.metrics.gauges["provider_paused", "balance", "runware"] == 1
        assert world.metrics.gauges["provider_paused", "auth", "runware"] == 0
        assert world.metrics.gauges["provider_paused", "balance", "aimlapi"] == 0
        # A reason that is not among those there may be.
        world.store.paused = {"runware": Pause("runware", until, TaskError(ErrorCode.PROVIDER, "busy"))}
        world.system.passed += FRESH_SECONDS
        await http.get("/metrics")
        assert world.metrics.gauges["provider_paused", "provider", "runware"] == 1
        world.store.paused = {"runware": Pause("runware", NOON, TaskError(ErrorCode.PROVIDER, "busy"))}
        world.system.passed += FRESH_SECONDS
        await http.get("/metrics")
    assert world.metrics.gauges["provider_paused", "balance", "runware"] == 0
    assert ("provider_paused", "provider", "runware") not in world.metrics.gauges


async def test_of_a_store_that_is_away_nothing_is_told_but_that(world: World) -> None:
    async with scraping(world) as http:
        await http.get("/metrics")
        assert world.metrics.gauges["ready",] == 1
        assert world.metrics.gauges["database_write_trouble",] == 0
        world.store.fault, world.store.trouble = UnavailableError("the database is away"), "it is away"
        world.system.passed += FRESH_SECONDS
        assert (await http.get("/metrics")).status_code == 200
    told = world.metrics.gauges
    assert (told["ready",], told["database_write_trouble",]) == (0, 1)
    assert {name for name, *_ in told} == {"ready", "database_write_trouble", "streams_open", "waits_open"}


async def test_the_store_is_asked_once_in_a_while_however_many_ask(world: World) -> None:
    async with scraping(world) as http:
        await http.get("/metrics")
        world.task(status=Status.UNKNOWN)
        world.system.passed += FRESH_SECONDS / 2
        await http.get("/metrics")
        assert (world.store.pings, world.metrics.gauges["tasks_open", "runware", "unknown"]) == (1, 0)
        world.system.passed += FRESH_SECONDS / 2
        await http.get("/metrics")
    assert (world.store.pings, world.metrics.gauges["tasks_open", "runware", "unknown"]) == (2, 1)


async def test_the_key_of_the_metrics_opens_the_metrics(world: World) -> None:
    async with client(world, headers=FOR_METRICS, metrics_page=bytes, metrics_key=METRICS_KEY) as http:
        assert (await http.get("/metrics")).status_code == 200
        secret = {"Authorization": f"Bearer {METRICS_KEY.partition(':')[2]}"}
        assert (await http.get("/metrics", headers=secret)).status_code == 200
        assert (await http.get("/metrics", headers=BEARER)).status_code == 200
        assert (await http.get("/metrics", headers={"Authorization": f"Bearer {METRICS_KEY}x"})).status_code == 401
        assert (await http.get("/metrics", headers={"Authorization": ""})).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/tasks"),
        ("POST", "/v1/tasks"),
        ("GET", "/v1/stats"),
        ("GET", "/v1/events"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
    ],
)
async def test_the_key_of_the_metrics_opens_nothing_else(world: World, method: str, path: str) -> None:
    async with client(world, headers=FOR_METRICS, metrics_page=bytes, metrics_key=METRICS_KEY) as http:
        assert (await http.request(method, path)).status_code == 401


async def test_without_a_key_of_their_own_an_empty_one_opens_no_metrics(world: World) -> None:
    async with client(world, headers={"Authorization": "Bearer "}, metrics_page=bytes) as http:
        assert (await http.get("/metrics")).status_code == 401
    async with client(world, headers={"Authorization": "Bearer None"}, metrics_page=bytes) as http:
        assert (await http.get("/metrics")).status_code == 401


async def test_public_metrics_need_no_key_and_what_is_not_public_still_does(world: World) -> None:
    async with client(world, headers={}, metrics_page=bytes, metrics_public=True) as http:
        assert (await http.get("/metrics")).status_code == 200
        assert (await http.get("/v1/tasks")).status_code == 401


async def test_who_waits_for_a_task_is_counted_as_long_as_that_takes() -> None:
    world = World()
    world.system.still = True
    task = world.task(status=Status.SUBMITTED)
    async with scraping(world) as http:
        waiting = asyncio.create_task(http.get(f"/v1/tasks/{task.id}?wait=30"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while world.metrics.gauges.get(("waits_open",)) != 1:
                await http.get("/metrics")
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await http.get("/metrics")
    assert (world.metrics.gauges["waits_open",], world.metrics.gauges["streams_open",]) == (0, 0)
