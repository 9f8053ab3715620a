"""The same door and routes over the SQLite store, so that the fake can not stand for what the real one does not."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from receiver.storage.store import open_store
from tests.web.fakes import World
from tests.web.support import client

COVER = {
    "provider": "runware",
    "prompt": "bossa nova, nylon guitar",
    "reference_audio": "https://files.example.org/in.mp3",
    "provider_options": {"settings": {"mood": ["calm", None, 1.5]}},
}


@pytest.fixture
async def http(world: World, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with open_store(tmp_path / "receiver.db") as store:
        world.ports = replace(world.ports, store=store)
        async with client(world) as opened:
            yield opened


async def test_a_task_reads_as_it_was_answered(http: httpx.AsyncClient) -> None:
    taken = await http.post("/v1/tasks", json={**COVER, "metadata": {"song": "42"}, "lyrics": "la\nlä 🎵"})
    assert taken.status_code == 202
    assert (await http.get(taken.headers["location"])).json() == taken.json()
    events = (await http.get(taken.headers["location"] + "/events")).json()["data"]
    assert [(event["seq"], event["type"]) for event in events] == [(1, "task.created")]
    assert (await http.get("/v1/events")).json()["data"] == events


async def test_pages_and_filters_find_what_was_asked_for(http: httpx.AsyncClient) -> None:
    ids = [
        (await http.post("/v1/tasks", json={**COVER, "metadata": {"song": str(number % 2)}})).json()["id"]
        for number in range(5)
    ]
    first = (await http.get("/v1/tasks?limit=3&provider=runware&status=queued")).json()
    second = (await http.get(f"/v1/tasks?limit=3&cursor={first['next_cursor']}")).json()
    assert [task["id"] for task in first["data"] + second["data"]] == ids[::-1]
    assert second["next_cursor"] is None
    found = (await http.get("/v1/tasks?metadata.song=1")).json()["data"]
    assert [task["id"] for task in found] == [ids[3], ids[1]]
    assert (await http.get("/v1/tasks?created_before=2026-11-21T12:00:00Z")).json()["data"] == []


async def test_a_callback_is_kept_once_and_handed_out_verbatim(world: World, http: httpx.AsyncClient) -> None:
    task_id = (await http.post("/v1/tasks", json=COVER)).json()["id"]
    task = await world.ports.store.task(UUID(task_id))
    assert task is not None
    url = f"/callbacks/runware/{world.token(task.key)}"
    assert (await http.post(url, content=b"\xff not json")).json() == {"status": "accepted"}
    assert (await http.post(url, content=b"\xff not json")).json() == {"status": "duplicate"}
    reports = (await http.get(f"/v1/tasks/{task_id}/reports")).json()["data"]
    assert [(report["bytes"], report["duplicate_of"]) for report in reports] == [(10, None), (10, reports[0]["id"])]
    for report in reports:
        assert (await http.get(f"/v1/reports/{report['id']}/raw")).content == b"\xff not json"


async def test_a_good_token_for_a_task_we_do_not_know_is_kept_all_the_same(
    world: World, http: httpx.AsyncClient
) -> None:
    url = f"/callbacks/runware/{world.token(uuid4())}"
    assert (await http.post(url, content=b"{}")).status_code == 200


async def test_an_oversized_callback_for_a_task_we_do_not_know_is_413(world: World, http: httpx.AsyncClient) -> None:
    url = f"/callbacks/runware/{world.token(UUID(int=1))}"
    answer = await http.post(url, content=b"x", headers={"Content-Length": str(10**9)})
    assert answer.status_code == 413


async def test_a_store_that_works_is_ready(http: httpx.AsyncClient) -> None:
    assert (await http.get("/readyz")).status_code == 200


async def test_every_filter_narrows_and_a_moment_belongs_to_the_time_after_it(
    world: World, http: httpx.AsyncClient
) -> None:
    ids = []
    for provider, metadata in (("runware", {"a": "1"}), ("aimlapi", {"a": "1", "b.c": "x y"}), ("runware", {})):
        answer = await http.post("/v1/tasks", json={**COVER, "provider": provider, "metadata": metadata})
        ids.append(answer.json()["id"])
        world.system.passed += 10
    await http.post(f"/v1/tasks/{ids[0]}/cancel")
    moment = "2026-11-21T12:00:10Z"
    for query, wanted in (
        ("", [2, 1, 0]),
        (f"created_after={moment}", [2, 1]),
        (f"created_before={moment}", [0]),
        (f"created_after={moment}&created_before=2026-11-21T14:00:20%2B02:00", [1]),
        ("status=cancelled", [0]),
        ("provider=runware", [2, 0]),
        ("metadata.a=1", [1, 0]),
        ("metadata.a=1&metadata.b.c=x%20y", [1]),
        ("metadata.a=1&metadata.b.c=x", []),
        ("metadata.a=1&provider=runware&status=queued", []),
        ("limit=1", [2]),
    ):
        found = (await http.get(f"/v1/tasks?{query}")).json()["data"]
        assert [task["id"] for task in found] == [ids[number] for number in wanted], query
