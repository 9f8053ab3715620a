"""What a user does to a task under way, through the real service."""

from collections.abc import Iterator

import pytest

from tests.harness import Stack, balance, basic, running, wait_until


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("operate")) as both:
        yield both


def test_a_cancelled_task_stays_cancelled_and_what_comes_late_is_kept_and_marked(stack: Stack) -> None:
    stack.faults(seconds=[1.5, 1.6])
    task = stack.wait_for(stack.submit("runware")["id"], "submitted")
    first = stack.post(f"/v1/tasks/{task['id']}/cancel", None)
    assert (first.status_code, first.json()["status"]) == (200, "cancelled")
    assert stack.post(f"/v1/tasks/{task['id']}/cancel", None).status_code == 200
    assert stack.post(f"/v1/tasks/{task['id']}/refresh", None).status_code == 409

    def kept() -> bool:
        results = stack.task(task["id"])["results"]
        return bool(results) and results[0]["artifact"]["status"] == "stored"

    wait_until(kept, 20, "the late result is kept")
    after = stack.task(task["id"])
    assert after["status"] == "cancelled"
    assert after["results"][0]["late"] is True
    assert after["cost_usd"] > 0
    types = [event["type"] for event in stack.events(task["id"])]
    assert types.count("task.cancelled") == 1


def test_a_refresh_looks_at_once_instead_of_at_the_planned_time(stack: Stack) -> None:
    stack.faults(seconds=[0.4, 0.5], drop=1.0)
    task = stack.wait_for(stack.submit("runware")["id"], "submitted")
    wait_until(lambda: stack.ledger()[-1]["status"] == "success", 10, "the provider is done")
    answer = stack.post(f"/v1/tasks/{task['id']}/refresh", None)
    assert answer.status_code == 200
    done = stack.wait_for(task["id"], seconds=10)
    assert done["status"] == "succeeded"
    assert done["polls"] == 1
    assert stack.post(f"/v1/tasks/{task['id']}/cancel", None).status_code == 409


def test_operating_on_what_does_not_exist_is_a_404(stack: Stack) -> None:
    for action in ("cancel", "refresh"):
        answer = stack.post(f"/v1/tasks/0b0f7a52-1f3c-4d6e-9a55-0d7d3b1c9e01/{action}", None)
        assert answer.status_code == 404


def test_the_balance_is_exact(stack: Stack) -> None:
    stack.wait_for_all()
    balance(stack).assert_exact()


def test_a_submit_repeated_under_one_key_is_one_generation(stack: Stack) -> None:
    stack.faults()
    before = len(stack.ledger())
    headers = {"Idempotency-Key": "order-17"}
    first = stack.post("/v1/tasks", basic("aimlapi"), headers)
    again = stack.post("/v1/tasks", basic("aimlapi"), headers)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert stack.post("/v1/tasks", {**basic("aimlapi"), "prompt": "another prompt"}, headers).status_code == 422
    stack.wait_for(first.json()["id"])
    assert len(stack.ledger()) == before + 1
