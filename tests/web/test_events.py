import json
from uuid import uuid4

import pytest

from receiver.domain.errors import UnavailableError
from receiver.domain.task import Status
from tests.web.fakes import World
from tests.web.support import client

STREAM = {"Accept": "text/event-stream"}


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


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "text/*",
        "application/json",
        "text/event-stream;q=0",
        "text/event-stream;q=0.4, application/json;q=0.5",
        "text/event-streams",
    ],
)
async def test_who_does_not_ask_for_a_stream_gets_a_list(world: World, accept: str | None) -> None:
    async with client(world) as http:
        answer = await http.get("/v1/events", headers={} if accept is None else {"Accept": accept})
    assert (answer.headers["content-type"], answer.headers["vary"]) == ("application/json", "Accept")


@pytest.mark.parametrize("last", ["", "-1", "1.5", "x", "٣", "9223372036854775808", "1, 2"])
async def test_an_id_to_resume_from_that_cannot_be_meant_is_422(world: World, last: str) -> None:
    task = world.task()
    headers = [(b"Accept", b"text/event-stream"), (b"Last-Event-ID", last.encode())]
    async with client(world) as http:
        for path in ("/v1/events", f"/v1/tasks/{task.id}/events"):
            answer = await http.get(path, headers=headers)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Last-Event-ID")
            assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("query", "field"), [("limit=5", "limit"), ("after=-1", "after"), ("since=1", "since")])
async def test_what_a_stream_does_not_take_is_422(world: World, query: str, field: str) -> None:
    async with client(world) as http:
        answer = await http.get(f"/v1/events?{query}", headers=STREAM)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_only_a_stream_begins_with_the_latest(world: World) -> None:
    async with client(world) as http:
        assert (await http.get("/v1/events?after=latest")).status_code == 422


async def test_the_head_of_a_stream_can_be_asked_for_alone(world: World) -> None:
    async with client(world) as http:
        answer = await http.head("/v1/events", headers=STREAM)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")


async def test_a_stream_of_no_task_is_404(world: World) -> None:
    async with client(world) as http:
        assert (await http.get(f"/v1/tasks/{uuid4()}/events", headers=STREAM)).status_code == 404


async def test_a_stream_that_cannot_begin_is_503(world: World) -> None:
    world.store.fault = UnavailableError("the database is away")
    async with client(world) as http:
        assert (await http.get("/v1/events", headers=STREAM)).status_code == 503


async def test_the_stream_of_a_task_that_has_ended_tells_all_of_it_and_ends(world: World) -> None:
    task = world.task(status=Status.SUCCEEDED)
    for kind in ("task.created", "task.submitted", "task.succeeded", "delivery.sent"):
        world.store.record(task.id, kind, {"word": "ä\n🎵"})
    async with client(world) as http:
        answer = await http.get(f"/v1/tasks/{task.id}/events", headers=STREAM)
        listed = (await http.get(f"/v1/tasks/{task.id}/events")).json()["data"]
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    told = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n") if line.startswith("data: ")]
    assert told == listed
    assert "id: 3\nevent: task.succeeded\n" in answer.text


async def test_who_resumes_where_a_task_has_ended_is_told_not_to_come_again(world: World) -> None:
    task = world.task(status=Status.FAILED)
    for kind in ("task.created", "task.failed"):
        world.store.record(task.id, kind, {})
    async with client(world) as http:
        answers = [
            await http.get(f"/v1/tasks/{task.id}/events", headers={**STREAM, "Last-Event-ID": last}) for last in "12"
        ]
    assert [answer.status_code for answer in answers] == [200, 204]
    assert answers[0].text.count("data: ") == 1
