"""Endpoints and deliveries as routes, over the real store."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest

from receiver.domain.delivery import DeliveryError, Told, concluded, read_secret
from receiver.domain.endpoint import CONFIGURED_ID, failed
from receiver.domain.event import Event, EventType
from receiver.domain.task import Change, Task
from receiver.lifecycle.ports import Decision, Queue, Room
from receiver.lifecycle.sealing import keys_of
from receiver.storage.store import SqlStore, open_store
from receiver.web.deliveries import MOST_REDRIVES
from receiver.web.endpoints import MOST_TRIALS
from tests.storage.making import LEASE, given, submitted
from tests.web.fakes import Calls, World
from tests.web.support import client

URL = "https://app.example.org/hooks?of=covers"
OWN = "whsec_" + "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"


@pytest.fixture
async def http(world: World, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with open_store(tmp_path / "receiver.db") as store:
        world.ports = replace(world.ports, store=store)
        async with client(world) as opened:
            yield opened


async def added(http: httpx.AsyncClient, **fields: object) -> dict[str, Any]:
    answer = await http.post("/v1/endpoints", json={"url": URL, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def dead(world: World, endpoint_id: str, kind: EventType = EventType.TASK_FAILED) -> Task:
    """Let an event of a new task be refused for good."""
    store = world.ports.store
    task = submitted()
    await given(cast("SqlStore", store), task)
    happened = Event(kind, world.system.now())
    await store.apply([Decision(task.key, lambda same: Change(same, (happened,)))])
    rooms = {UUID(endpoint_id): Room(9, 9)}
    [notice] = await store.outbox.lease_deliveries(rooms, now=world.system.now(), lease=LEASE)
    told = Told(DeliveryError.GONE, 410, seconds=0.25)
    ended, event = concluded(notice.delivery, told, world.system.now(), jitter=0.5)
    await store.apply([Decision(task.key, lambda same: Change(same, (event,), delivered=(ended,)))])
    return task


async def test_an_endpoint_shows_its_secret_once(world: World, http: httpx.AsyncClient) -> None:
    made = await added(http, types=["task.succeeded"])
    assert len(read_secret(made.pop("secret"))) == 32
    assert made["types"] == ["task.succeeded"]
    assert (await http.get(f"/v1/endpoints/{made['id']}")).json() == made
    assert (await http.get("/v1/endpoints")).json() == {"data": [made]}
    second = await http.post("/v1/endpoints", json={"url": URL})
    assert (second.status_code, second.json()["type"]) == (409, "urn:receiver:problem:endpoint-taken")


async def test_a_secret_of_ones_own_signs_and_lies_unreadable(
    world: World, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    made = await added(http, secret=OWN)
    assert made["secret"] == OWN
    kept = await world.ports.store.outbox.endpoint(UUID(made["id"]))
    assert kept is not None
    assert keys_of(world.ports, kept, world.system.now()) == (bytes(range(24)),)
    stored = (tmp_path / "receiver.db").read_bytes() + (tmp_path / "receiver.db-wal").read_bytes()
    assert kept.sealed is not None
    assert kept.sealed.encode() in stored
    assert bytes(range(24)).hex().encode() not in stored
    # Sealed for this endpoint: put into another one's row it opens nothing.
    other = await world.ports.store.outbox.change_endpoint(kept.id, lambda same: replace(same, reason="by_hand"))
    assert other is not None
    assert keys_of(world.ports, replace(kept, id=uuid4()), world.system.now()) == ()


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"url": "http://app.example.org"}, "url"),
        ({"url": "https://user@app.example.org"}, "url"),
        ({"url": "https://app.example.org/#a"}, "url"),
        ({"url": "https://app.example.org\\@evil.example/"}, "url"),
        ({"url": "https://app.example.org:0/"}, "url"),
        ({"url": "https://\N{KELVIN SIGN}.example.org/"}, "url"),
        ({"url": "https://app.example.org/" + "a" * 2048}, "url"),
        ({"types": []}, "types"),
        ({"types": ["task.created"]}, "types"),
        ({"secret": "short"}, "secret"),
        ({"secret": "whsec_AAAA"}, "secret"),
        ({"kind": "x"}, "kind"),
    ],
)
async def test_what_is_wrong_with_an_endpoint_is_named(
    http: httpx.AsyncClient, fields: dict[str, object], wrong: str
) -> None:
    answer = await http.post("/v1/endpoints", json={"url": URL, **fields})
    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["errors"]] == [wrong]
    assert (await http.get("/v1/endpoints")).json() == {"data": []}


async def test_after_a_rotation_both_secrets_sign_until_the_overlap_ends(
    world: World, http: httpx.AsyncClient
) -> None:
    made = await added(http, secret=OWN)
    path = f"/v1/endpoints/{made['id']}"

    async def keys() -> tuple[bytes, ...]:
        kept = await world.ports.store.outbox.endpoint(UUID(made["id"]))
        assert kept is not None
        return keys_of(world.ports, kept, world.system.now())

    renewed = (await http.post(f"{path}/rotate", json={"overlap_seconds": 60})).json()
    assert await keys() == (read_secret(renewed["secret"]), read_secret(OWN))
    again = (await http.post(f"{path}/rotate", json={"overlap_seconds": 600})).json()
    assert len(await keys()) == 3
    # What was to end earlier still does.
    world.system.passed += 61
    assert await keys() == (read_secret(again["secret"]), read_secret(renewed["secret"]))
    for _ in range(2):
        assert (await http.post(f"{path}/rotate", json={"overlap_seconds": 600})).status_code == 200
    kept = await keys()
    assert len(kept) == 4
    # None ends before its time because there are many.
    refused = await http.post(f"{path}/rotate", json={"overlap_seconds": 600})
    assert (refused.status_code, [problem["field"] for problem in refused.json()["errors"]]) == (
        422,
        ["overlap_seconds"],
    )
    assert "4 secrets of this endpoint sign already" in refused.json()["errors"][0]["message"]
    assert await keys() == kept
    last = (await http.post(f"{path}/rotate", json={"overlap_seconds": 0})).json()
    assert await keys() == (read_secret(last["secret"]),)
    assert (await http.post(f"{path}/rotate", json={"overlap_seconds": 1e9})).status_code == 422


async def test_an_endpoint_is_paused_resumed_tried_and_removed(world: World, http: httpx.AsyncClient) -> None:
    path = f"/v1/endpoints/{(await added(http))['id']}"
    paused = (await http.post(f"{path}/pause")).json()
    assert (paused["status"], paused["reason"]) == ("paused", "by_hand")
    assert paused["since"] is not None
    resumed = (await http.post(f"{path}/resume")).json()
    assert (resumed["status"], resumed["reason"], resumed["since"]) == ("active", None, None)
    assert Queue.NOTIFY in world.woken
    tried = (await http.post(f"{path}/test")).json()
    assert (tried["delivered"], tried["status_code"], tried["error"]) == (True, 200, None)
    assert (await http.delete(path)).json() == {"count": 1}
    for method, route in (("GET", path), ("DELETE", path), ("POST", f"{path}/pause"), ("POST", f"{path}/test")):
        assert (await http.request(method, route)).status_code == 404


async def test_the_endpoint_of_the_settings_is_shown_and_not_to_be_changed_here(
    world: World, http: httpx.AsyncClient
) -> None:
    await world.ports.store.outbox.configure(URL, world.system.now())
    [shown] = (await http.get("/v1/endpoints")).json()["data"]
    assert (shown["id"], shown["configured"], shown["url"]) == (str(CONFIGURED_ID), True, URL)
    path = f"/v1/endpoints/{CONFIGURED_ID}"
    for answer in (await http.delete(path), await http.post(f"{path}/rotate", json={})):
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:receiver:problem:endpoint-configured")
    assert (await http.post(f"{path}/pause")).json()["status"] == "paused"


async def test_deliveries_are_listed_page_by_page_with_what_came_of_them(
    world: World, http: httpx.AsyncClient
) -> None:
    endpoint = (await added(http))["id"]
    tasks = []
    for _ in range(3):
        tasks.append(await dead(world, endpoint))
        world.system.passed += 1
    first = (await http.get("/v1/deliveries?limit=2")).json()
    second = (await http.get(f"/v1/deliveries?limit=2&cursor={first['next_cursor']}")).json()
    found = first["data"] + second["data"]
    assert [each["task_id"] for each in found] == [str(task.id) for task in reversed(tasks)]
    assert second["next_cursor"] is None
    assert (found[0]["status"], found[0]["error"], found[0]["attempts"]) == ("dead", "gone", 1)
    [outcome] = found[0]["outcomes"]
    assert (outcome["status_code"], outcome["seconds"], outcome["next_attempt_at"]) == (410, 0.25, None)

    async def ids(query: str) -> list[str]:
        listed = (await http.get(f"/v1/deliveries?{query}")).json()["data"]
        return [each["task_id"] for each in listed]

    assert await ids(f"task_id={tasks[1].id}") == [str(tasks[1].id)]
    assert len(await ids(f"endpoint_id={endpoint}&status=dead&error=gone")) == 3
    assert await ids(f"endpoint_id={uuid4()}") == await ids("status=sent") == await ids("error=timeout") == []
    assert await ids("created_after=2026-11-21T12:00:01Z&created_before=2026-11-21T12:00:02Z") == [str(tasks[1].id)]
    [shown] = (await http.get("/v1/endpoints")).json()["data"]
    assert (shown["pending"], shown["dead"]) == (0, 3)


@pytest.mark.parametrize(
    ("criteria", "count"),
    [
        ({"id": "{delivery}"}, 1),
        ({"endpoint_id": "{endpoint}"}, 3),
        ({"task_id": "{task}"}, 1),
        ({"error": "gone"}, 3),
        ({"error": "timeout"}, 0),
        ({"endpoint_id": "{endpoint}", "status": "sent"}, 0),
        ({"created_after": "2026-11-21T12:00:01Z"}, 2),
        ({"created_before": "2026-11-21T12:00:01Z", "error": "gone"}, 1),
    ],
)
async def test_what_fits_is_sent_again(
    world: World, http: httpx.AsyncClient, criteria: dict[str, str], count: int
) -> None:
    endpoint = (await added(http))["id"]
    task = await dead(world, endpoint)
    delivery = (await http.get("/v1/deliveries")).json()["data"][0]["id"]
    for _ in range(2):
        world.system.passed += 1
        await dead(world, endpoint)
    names = {"delivery": delivery, "endpoint": endpoint, "task": str(task.id)}
    asked = {name: value.format(**names) for name, value in criteria.items()}
    answer = await http.post("/v1/deliveries/redrive", json=asked)
    assert answer.json() == {"count": count, "more": False, "withheld": 0, "detail": None}
    assert len((await http.get("/v1/deliveries?status=pending")).json()["data"]) == count
    assert (Queue.NOTIFY in world.woken) == (count > 0)
    assert (await http.post("/v1/deliveries/redrive", json=asked)).json()["count"] == 0


async def test_what_is_dead_at_a_stopped_endpoint_says_so_and_what_sends_it(
    world: World, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = (await added(http))["id"]
    for _ in range(2):
        await dead(world, endpoint)
        world.system.passed += 1
    delivery = (await http.get("/v1/deliveries")).json()["data"][0]["id"]
    gone = Told(DeliveryError.GONE, 410)
    await world.ports.store.outbox.change_endpoint(
        UUID(endpoint), lambda each: failed(each, gone, world.system.now())
    )

    async def redriven(**asked: str) -> tuple[int, int, str | None]:
        answer = await http.post("/v1/deliveries/redrive", json=asked)
        assert answer.status_code == 200
        document = answer.json()
        return document["count"], document["withheld"], document["detail"]

    stopped = f"endpoint is stopped (410): resume it first, `receiver endpoints resume {endpoint}`"
    with monkeypatch.context() as few:
        few.setattr("receiver.web.withheld.MOST_COUNTED", 2)
        assert (await redriven(created_after="2026-11-21T12:00:00Z"))[
            2
        ] == f"2 or more dead ones fit, but their {stopped}"
    assert await redriven(created_after="2026-11-21T12:00:00Z") == (0, 2, f"2 dead ones fit, but their {stopped}")
    assert await redriven(created_after="2026-11-21T12:00:01Z") == (0, 1, f"1 dead one fits, but its {stopped}")
    assert await redriven(id=delivery) == (0, 1, f"it is dead, but its {stopped}")
    assert await redriven(id=str(uuid4())) == (0, 0, "no delivery has this id")
    assert await redriven(error="timeout") == (0, 0, None)
    await http.post(f"/v1/endpoints/{endpoint}/resume")
    assert await redriven(id=delivery) == (1, 0, None)
    assert await redriven(id=delivery) == (0, 0, "it is on its way already")


async def test_endpoints_that_hang_are_tried_few_at_once_so_that_notifications_have_connections(
    world: World, http: httpx.AsyncClient
) -> None:
    path = f"/v1/endpoints/{(await added(http))['id']}/test"
    calls = cast("Calls", world.ports.outbound)
    calls.answers.clear()
    async with asyncio.TaskGroup() as group:
        under_way = [group.create_task(http.post(path)) for _ in range(MOST_TRIALS)]
        while calls.asked < MOST_TRIALS:
            await asyncio.sleep(0.01)
        refused = await http.post(path)
        calls.answers.set()
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (429, "too-many-trials")
    assert {each.result().status_code for each in under_way} == {200}
    assert (await http.post(path)).status_code == 200


async def test_what_is_sent_again_is_asked_for_few_at_once_so_that_callbacks_need_not_wait(
    world: World, http: httpx.AsyncClient
) -> None:
    endpoint = (await added(http))["id"]
    await dead(world, endpoint)
    answers = await asyncio.gather(
        *(http.post("/v1/deliveries/redrive", json={"endpoint_id": endpoint}) for _ in range(MOST_REDRIVES + 3))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * MOST_REDRIVES + [429] * 3
    assert sum(answer.json()["count"] for answer in answers if answer.status_code == 200) == 1


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        ({}, "id"),
        ({"id": "x"}, "id"),
        ({"id": str(CONFIGURED_ID), "error": "gone"}, "id"),
        ({"error": "odd"}, "error"),
        ({"task_id": "x", "status": "pending"}, "status"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"endpoint": "x"}, "endpoint"),
    ],
)
async def test_a_wish_to_send_again_that_says_too_little_or_nonsense_is_refused(
    http: httpx.AsyncClient, asked: dict[str, object], wrong: str
) -> None:
    answer = await http.post("/v1/deliveries/redrive", json=asked)
    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["errors"]] == [wrong]


COVER = {
    "provider": "runware",
    "prompt": "bossa nova, nylon guitar",
    "reference_audio": "https://files.example.org/in.mp3",
}


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://app.example.org/elsewhere?key=1", True),
        ("https://APP.example.org:443/", True),
        ("https://app.example.org./", True),
        ("https://app.example.org../", False),
        ("https://app..example.org/", False),
        (f"https://app.example.org/{'a' * 2100}", False),
        ("https://app.example.org:8443/", False),
        ("http://app.example.org/", False),
        ("https://evil.example.org/", False),
        ("https://app.example.org@evil.example.org/", False),
        ("https://app.example.org\\@evil.example.org/", False),
        ("app.example.org/hooks", False),
    ],
)
@pytest.mark.parametrize("adopted", [False, True])
async def test_a_tasks_own_url_has_the_origin_of_an_endpoint(
    http: httpx.AsyncClient, url: str, taken: bool, adopted: bool
) -> None:
    await added(http)
    asked = {"provider": "runware", "provider_task_id": str(uuid4())} if adopted else COVER
    answer = await http.post("/v1/tasks", json={**asked, "notify_url": url})
    assert answer.status_code == (202 if taken else 422), answer.text
    if taken:
        assert answer.json()["request"]["notify_url"].startswith(url.partition("?")[0])
    else:
        assert [problem["field"] for problem in answer.json()["errors"]] == ["notify_url"]
