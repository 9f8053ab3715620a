from uuid import uuid4

import pytest

from tests.web.fakes import World
from tests.web.support import client


async def test_a_timeline_is_shown_in_order(world: World) -> None:
    task, other = world.task(), world.task()
    world.store.record(task.id, "task.created", {"provider": "runware"})
    world.store.record(other.id, "task.created", {})
    world.store.record(task.id, "task.submitted", {})
    async with client(world) as http:
        answer = await http.get(f"/v1/tasks/{task.id}/events")
    assert answer.json() == {
        "data": [
            {
                "id": 1,
                "task_id": str(task.id),
                "seq": 1,
                "type": "task.created",
                "at": "2026-11-21T12:00:00.000000Z",
                "data": {"provider": "runware"},
            },
            {
                "id": 3,
                "task_id": str(task.id),
                "seq": 2,
                "type": "task.submitted",
                "at": "2026-11-21T12:00:00.000000Z",
                "data": {},
            },
        ]
    }


async def test_the_events_of_all_tasks_are_read_on_from_the_last_one_seen(world: World) -> None:
    for task in (world.task(), world.task(), world.task()):
        world.store.record(task.id, "task.created", {})
    async with client(world) as http:
        answer = await http.get("/v1/events?after=1&limit=1")
        assert [event["id"] for event in answer.json()["data"]] == [2]
        assert (await http.get("/v1/events?after=9223372036854775807")).json() == {"data": []}


async def test_a_task_without_events_is_told_from_no_task(world: World) -> None:
    task = world.task()
    async with client(world) as http:
        assert (await http.get(f"/v1/tasks/{task.id}/events")).json() == {"data": []}
        assert (await http.get(f"/v1/tasks/{uuid4()}/events")).status_code == 404


@pytest.mark.parametrize("query", ["after=-1", "after=9223372036854775808", "limit=0", "limit=1001", "since=1"])
async def test_a_parameter_that_cannot_be_meant_is_422(world: World, query: str) -> None:
    async with client(world) as http:
        assert (await http.get(f"/v1/events?{query}")).status_code == 422


async def test_a_caller_who_would_like_a_stream_gets_json_for_now(world: World) -> None:
    async with client(world) as http:
        answer = await http.get("/v1/events", headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"] == "application/json"
