import asyncio

import pytest

from receiver.domain.errors import UnavailableError
from tests.web.fakes import World
from tests.web.support import client


async def test_alive_and_ready_need_no_key(world: World) -> None:
    async with client(world, headers={}) as http:
        alive, ready = await http.get("/healthz"), await http.get("/readyz")
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "worker": "running"})


@pytest.mark.parametrize("fault", [UnavailableError("dsn: postgresql://user:pw@host"), RuntimeError("my-password")])
async def test_a_store_that_takes_nothing_is_not_ready_and_says_no_more(world: World, fault: Exception) -> None:
    world.store.fault = fault
    async with client(world, headers={}) as http:
        alive, ready = await http.get("/healthz"), await http.get("/readyz")
    assert alive.status_code == 200
    assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", "worker": "running"})
    assert ready.headers["retry-after"] == "5"


async def test_the_store_is_asked_once_a_second_however_many_ask(world: World) -> None:
    async with client(world, headers={}) as http:
        await asyncio.gather(*(http.get("/readyz") for _ in range(20)))
        assert world.store.pings == 1
        world.system.passed += 1
        world.store.fault = UnavailableError("the database is away")
        assert (await http.get("/readyz")).status_code == 503
        world.store.fault = None
        assert (await http.get("/readyz")).status_code == 503
        world.system.passed += 1
        assert (await http.get("/readyz")).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_is_only_to_be_read(world: World, path: str) -> None:
    async with client(world, headers={}) as http:
        answer = await http.post(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
        assert (await http.head(path)).status_code == 200
        assert (await http.get(path + "/")).status_code == 404


@pytest.mark.parametrize("roles", [{"callbacks"}, {"api"}, {"worker"}])
async def test_every_role_serves_health(world: World, roles: set[str]) -> None:
    async with client(world, headers={}, roles=frozenset(roles)) as http:
        assert (await http.get("/healthz")).status_code == 200


@pytest.mark.parametrize("role", ["callbacks", "api"])
async def test_without_a_worker_of_its_own_a_process_is_ready_when_the_store_is(world: World, role: str) -> None:
    async with client(world, headers={}, roles=frozenset({role}), works=lambda: False) as http:
        answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


async def test_a_worker_that_does_not_run_is_not_ready(world: World) -> None:
    works = False
    async with client(world, headers={}, roles=frozenset({"worker"}), works=lambda: works) as http:
        stopped = await http.get("/readyz")
        works = True
        running = await http.get("/readyz")
    assert (stopped.status_code, stopped.json()) == (503, {"status": "unavailable", "worker": "stopped"})
    assert (running.status_code, running.json()) == (200, {"status": "ready", "worker": "running"})


async def test_metrics_need_a_key(world: World) -> None:
    async with client(world, headers={}, metrics_page=lambda: b"up 1\n") as http:
        assert (await http.get("/metrics")).status_code == 401
    async with client(world, metrics_page=lambda: b"up 1\n") as http:
        answer = await http.get("/metrics")
    assert (answer.content, answer.headers["content-type"]) == (b"up 1\n", "text/plain; version=0.0.4; charset=utf-8")
