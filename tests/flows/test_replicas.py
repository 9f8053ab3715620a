"""Processes by role on one PostgreSQL: each may die at any moment, and what is about an account holds for all."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from tests.flows.replicas import ROLES, Replicas, replicas
from tests.harness import wait_until
from tests.postgresql import Server

SETTINGS = {"RECEIVER_LEASE_SECONDS": "3", "RECEIVER_RUNWARE_FIRST_POLL_SECONDS": "4"}
WORKERS = [name for name, role in ROLES.items() if role == "worker"]
INGRESS = [name for name, role in ROLES.items() if role == "callbacks"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, postgresql: Server) -> Iterator[Replicas]:
    with replicas(tmp_path_factory.mktemp("replicas"), postgresql.database(), settings=SETTINGS) as running:
        # All at once, on a database without a table.
        running.start(*ROLES)
        yield running


def test_every_process_serves_what_its_role_says_and_no_more(shared: Replicas) -> None:
    served = {
        name: {
            path for path in ("/v1/tasks", "/docs", "/metrics", "/healthz", "/readyz") if there(shared, name, path)
        }
        for name in ROLES
    }
    everybody = {"/metrics", "/healthz", "/readyz"}
    assert served == {
        name: everybody | ({"/v1/tasks", "/docs"} if role == "api" else set()) for name, role in ROLES.items()
    }
    ready = {name: httpx.get(f"{process.url}/readyz").json() for name, process in shared.processes.items()}
    assert {name: one.get("worker") for name, one in ready.items()} == {
        name: "running" if role == "worker" else None for name, role in ROLES.items()
    }


def there(shared: Replicas, name: str, path: str) -> bool:
    answer = httpx.get(shared.processes[name].url + path, headers=shared.stack.headers())
    assert answer.status_code in {200, 404}
    return answer.status_code == 200


def test_a_callback_that_comes_while_nobody_works_is_acknowledged_and_settled_later(shared: Replicas) -> None:
    stack = shared.stack
    shared.kill(*WORKERS)
    # From now on only a callback, or a start of who takes them, can bring a result in time.
    shared.start("worker-1", RECEIVER_RUNWARE_FIRST_POLL_SECONDS="600")
    stack.faults(seconds=[4, 4])
    task = stack.wait_for(stack.submit("runware")["id"], "submitted")
    shared.kill("worker-1")
    wait_until(lambda: calls(shared, task) == [200], 20, "the callback is acknowledged")
    assert stack.task(task["id"])["status"] == "submitted"
    assert all(httpx.get(f"{shared.processes[name].url}/readyz").status_code == 200 for name in (*INGRESS, "api"))
    # Whoever works needs nobody to take callbacks.
    shared.kill(*INGRESS)
    shared.start("worker-1")
    done = stack.wait_for(task["id"], "succeeded")
    assert [(result["via"], result["artifact"]["status"]) for result in done["results"]] == [("callback", "stored")]
    assert (done["polls"], done["callbacks"]) == (0, 1)


def test_without_ingress_work_goes_on_and_its_start_has_looked_at_what_it_may_have_missed(shared: Replicas) -> None:
    stack = shared.stack
    # A callback that is sent again might come once somebody listens, and be faster than the look.
    stack.faults(drop=1.0)
    asked, pushed = stack.submit("aimlapi"), stack.submit("runware")
    assert stack.wait_for(asked["id"])["status"] == "succeeded"
    wait_until(lambda: made(shared, pushed) == "success", 30, "it is made, and nobody says so")
    assert stack.task(pushed["id"])["status"] == "submitted"
    shared.start(*INGRESS)
    done = stack.wait_for(pushed["id"], "succeeded")
    assert done["results"][0]["via"] == "poll"
    assert done["polls"] >= 1


def made(shared: Replicas, task: dict[str, Any]) -> str | None:
    """Return what the sandbox says of a task, None before it has it."""
    found = [entry for entry in shared.stack.ledger() if entry["provider_task_id"] == task["id"]]
    return str(found[0]["status"]) if found else None


def calls(shared: Replicas, task: dict[str, Any]) -> list[int | None]:
    """Return what the sandbox was answered to the callbacks of a task."""
    [entry] = [entry for entry in shared.stack.ledger() if entry["provider_task_id"] == task["id"]]
    return [call["status_code"] for call in entry["callbacks"]]


def test_of_two_identical_callbacks_at_two_processes_at_one_moment_exactly_one_settles(shared: Replicas) -> None:
    stack = shared.stack
    shared.kill(*WORKERS)
    # Nothing but these callbacks is to bring the result.
    shared.start(*WORKERS, RECEIVER_RUNWARE_FIRST_POLL_SECONDS="600")
    stack.faults(drop=1.0)
    task = stack.submit("runware")
    wait_until(lambda: made(shared, task) == "success", 30, "it is made, and nobody says so")
    stack.wait_for(task["id"], "submitted")
    [entry] = [entry for entry in stack.ledger() if entry["provider_task_id"] == task["id"]]
    [result] = entry["results"]
    told = {
        "taskType": "audioInference",
        "taskUUID": task["id"],
        "audioUUID": result["id"],
        "audioURL": result["url"],
    }
    path, body = urlsplit(entry["webhook_url"]).path, json.dumps({"data": [told]}).encode()
    urls = [shared.processes[name].url + path for name in INGRESS]
    answers = asyncio.run(at_one_moment(stack.service.environment["RECEIVER_DATABASE_URL"], urls, body))
    assert answers == [200, 200]

    def counted() -> bool:
        return bool(stack.task(task["id"])["callbacks"] == 2)

    stack.wait_for(task["id"], "succeeded")
    wait_until(counted, 30, "both are counted")
    types = Counter(event["type"] for event in stack.events(task["id"]))
    once = ("task.settled", "result.received", "result.stored", "task.succeeded")
    assert {kind: types[kind] for kind in once} == dict.fromkeys(once, 1)
    # Neither process could know of the other's, so both are told as received.
    assert types["callback.received"] + types["callback.duplicate"] == 2
    assert [(each["via"], each["artifact"]["status"]) for each in stack.task(task["id"])["results"]] == [
        ("callback", "stored")
    ]


async def at_one_moment(database_url: str, urls: list[str], body: bytes) -> list[int]:
    """Post to each, and let none of them store it before all have found that nobody has."""
    connection = await asyncpg.connect(database_url)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'reports'::regclass"
    try:
        async with httpx.AsyncClient(timeout=60) as http:
            async with connection.transaction():
                # Reports can be read meanwhile, and not be written.
                await connection.execute("LOCK TABLE reports IN SHARE MODE")
                posts = [asyncio.create_task(http.post(url, content=body)) for url in urls]
                while await connection.fetchval(waiting) < len(urls):
                    assert not any(post.done() for post in posts)
                    await asyncio.sleep(0.02)
            return [(await post).status_code for post in posts]
    finally:
        await connection.close()


def test_all_who_work_keep_to_one_pace(shared: Replicas) -> None:
    """A second's calls may begin at once; all others come one after the other, whoever makes them."""
    stack, per_second, tasks = shared.stack, 2, 12
    shared.kill(*WORKERS)
    stack.faults(seconds=[60, 60])
    pace = {"RECEIVER_RUNWARE_REQUESTS_PER_SECOND": str(per_second), "RECEIVER_RUNWARE_FIRST_POLL_SECONDS": "600"}
    shared.start(*WORKERS, **pace)
    began = time.monotonic()
    sent = {stack.submit("runware")["id"] for _ in range(tasks)}

    def accepted() -> int:
        return sum(entry["provider_task_id"] in sent for entry in stack.ledger())

    wait_until(lambda: accepted() == tasks, 40, "all are sent")
    assert time.monotonic() - began >= (tasks - per_second) / per_second
