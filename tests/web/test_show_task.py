import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from receiver.domain.errors import UnavailableError
from receiver.domain.task import Status
from receiver.web import create_app, problems
from receiver.web.streams import Bell
from receiver.web.tasks import LONGEST_WAIT_SECONDS
from tests.web.fakes import BEARER, World
from tests.web.support import client, config, request, served

#: An id of nothing; always the same, for it names a test.
NOBODY = UUID("5f0c3a6e-7c5d-4a44-9b6e-0d9d3f1f6a11")


@pytest.mark.parametrize("name", [str(NOBODY), "nonsense", "0", "%2e%2e", NOBODY.hex, f"{{{NOBODY}}}"])
async def test_an_id_that_is_not_there_is_404(world: World, name: str) -> None:
    async with client(world) as http:
        answer = await http.get(f"/v1/tasks/{name}")
    assert (answer.status_code, answer.json()["type"]) == (404, problems.NOT_FOUND.type)


async def test_a_task_is_shown_at_once_without_wait(world: World) -> None:
    task = world.task()
    async with client(world) as http:
        answer = await http.get(f"/v1/tasks/{task.id}")
    assert (answer.status_code, answer.json()["id"]) == (200, str(task.id))
    assert world.system.passed == 0


async def test_waiting_ends_when_the_task_ends_and_looks_only_when_something_happened(world: World) -> None:
    task, bell, waits = world.task(), Bell(), asyncio.Event()
    world.system.still, world.system.on_sleep = True, waits.set
    async with client(world, bell=bell) as http:
        asking = asyncio.create_task(http.get(f"/v1/tasks/{task.id}?wait=30"))
        await asyncio.wait_for(waits.wait(), 10)
        world.store.record(world.task().id, "task.created", {})
        for kind, status in (("task.submitted", Status.SUBMITTED), ("task.succeeded", Status.SUCCEEDED)):
            world.store.put(replace(task, status=status))
            world.store.record(task.id, kind, {})
            bell.ring()
        answer = await asyncio.wait_for(asking, 60)
    assert answer.json()["status"] == "succeeded"
    # At first, when it began to listen, and for each of the two events at most.
    assert world.store.looks <= 4


async def test_waiting_ends_when_the_seconds_have_passed_and_that_is_200_too(world: World) -> None:
    task = world.task()
    async with client(world) as http:
        answer = await http.get(f"/v1/tasks/{task.id}?wait=7.5")
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
    assert world.system.passed == pytest.approx(7.5)


async def test_a_long_wait_is_cut(world: World) -> None:
    task = world.task()
    async with client(world) as http:
        await http.get(f"/v1/tasks/{task.id}?wait=999999999")
    assert world.system.passed == pytest.approx(LONGEST_WAIT_SECONDS)


async def test_nobody_waits_for_a_task_that_has_ended(world: World) -> None:
    task = world.task(status=Status.FAILED)
    async with client(world) as http:
        await http.get(f"/v1/tasks/{task.id}?wait=30")
    assert world.system.passed == 0


async def test_nobody_waits_while_the_process_is_about_to_stop(world: World) -> None:
    task = world.task()
    async with client(world, draining=lambda: world.system.passed > 2) as http:
        assert (await http.get(f"/v1/tasks/{task.id}?wait=30")).status_code == 200
    assert world.system.passed < 3


@pytest.mark.parametrize("wait", ["-1", "soon", "nan", "inf", "1e3", "", "1&wait=2"])
async def test_a_wait_that_is_no_number_of_seconds_is_422(world: World, wait: str) -> None:
    task = world.task()
    async with client(world) as http:
        answer = await http.get(f"/v1/tasks/{task.id}?wait={wait}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "wait")


async def test_more_waits_than_are_allowed_are_429(world: World) -> None:
    task = world.task()
    async with client(world, max_waits=1) as http:
        answers = await asyncio.gather(*(http.get(f"/v1/tasks/{task.id}?wait=5") for _ in range(3)))
        assert sorted(answer.status_code for answer in answers) == [200, 429, 429]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert (refused.json()["type"], refused.headers["retry-after"]) == (problems.TOO_MANY_WAITS.type, "5")
        assert (await http.get(f"/v1/tasks/{task.id}?wait=5")).status_code == 200


async def test_a_fault_while_waiting_is_503(world: World) -> None:
    task = world.task()

    def break_down() -> None:
        world.store.fault = UnavailableError("the database is away")

    world.system.on_sleep = break_down
    async with client(world) as http:
        assert (await http.get(f"/v1/tasks/{task.id}?wait=5")).status_code == 503


async def test_who_hangs_up_is_no_longer_waited_for(world: World) -> None:
    task = world.task()
    system = world.system
    looks = 0

    def stand_still() -> None:
        # Time does not pass for this caller: only its going away can end the wait.
        nonlocal looks
        looks += 1
        system.passed = 0

    system.on_sleep = stand_still
    async with served(create_app(world.ports, config())) as server:
        async with server.connect() as wire:
            await wire.send(
                request("GET", f"/v1/tasks/{task.id}?wait=60", f"Authorization: {BEARER['Authorization']}")
            )
            async with asyncio.timeout(50):
                while looks < 3:
                    await asyncio.sleep(0.005)
        async with asyncio.timeout(50):
            while not world.metrics.counts["requests", "/v1/tasks/{id}", "none"]:
                await asyncio.sleep(0.005)
