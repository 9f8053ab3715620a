"""Processes by role on one PostgreSQL: each may die at any moment, and what is about an account holds for all."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from typing import Any

import httpx
import pytest

from receiver.drill.account import conclude
from receiver.drill.load import Load
from receiver.drill.sides import wait_for_rest
from tests.flows.replicas import ROLES, Replicas, replicas
from tests.harness import basic, wait_until
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


def test_with_each_process_killed_under_load_nothing_is_lost_or_done_twice(shared: Replicas) -> None:
    stack = shared.stack
    stack.faults(seconds=[0.2, 1.5], drop=0.1, duplicate=0.1, lose_submit_answer=0.05)
    requests = cycle([{**basic("runware"), "count": 2}, basic("aimlapi"), basic("runware")])
    began = time.monotonic()
    load = Load(stack.sides, iter(()), threads=2, pause_seconds=0.1)
    for name in ROLES:
        load.requests = islice(requests, 6)
        with ThreadPoolExecutor(1) as pool:
            submitting = pool.submit(load.run)
            some_taken(load, len(load.acknowledged) + 2)
            shared.kill(name)
            shared.start(name)
            submitting.result()
    last = time.monotonic()
    wait_for_rest(stack.sides, 120)
    outcome = conclude("each process killed", load, began, last, time.monotonic())
    assert outcome.exact, list(outcome.must_be_none())
    assert outcome.acknowledged == 6 * len(ROLES)
    done = set(outcome.balance.statuses)
    assert done <= {"succeeded", "lost"}
    assert all(task["provider"] == "aimlapi" for task in outcome.books.ours if task["status"] == "lost")
    for provider in ("runware", "aimlapi"):
        assert any(task["provider"] == provider and task["status"] == "succeeded" for task in outcome.books.ours)


def some_taken(load: Load, least: int) -> None:
    wait_until(lambda: len(load.acknowledged) >= least, 60, "some tasks are taken")


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
