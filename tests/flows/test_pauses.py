"""A provider that takes nothing from us: the tasks wait, the provider rests, and everything goes on by itself."""

from pathlib import Path

import pytest

from tests.harness import balance, running


@pytest.mark.parametrize("status", [401, 402, 429])
def test_while_a_provider_refuses_everybody_tasks_wait_and_then_succeed(tmp_path: Path, status: int) -> None:
    with running(tmp_path) as stack:
        stack.faults(http_error=1.0, http_error_status=status, http_on="submit")
        tasks = [stack.submit("runware")["id"], stack.submit("aimlapi")["id"]]
        for task_id in tasks:
            assert stack.wait_for_attempt(task_id)["data"]["outcome"] == "paused"
            assert stack.task(task_id)["status"] == "queued"
        stack.faults()
        assert {task["status"] for task in stack.wait_for_all(seconds=90)} == {"succeeded"}
        balance(stack).assert_exact()


def test_a_provider_that_cannot_be_reached_costs_nothing_but_time(tmp_path: Path) -> None:
    with running(tmp_path, serve=False) as stack:
        stack.sandbox.kill()
        stack.service.start()
        tasks = [stack.submit("runware")["id"], stack.submit("aimlapi")["id"]]
        for task_id in tasks:
            assert stack.wait_for_attempt(task_id)["data"]["outcome"] == "not_sent"
            assert stack.task(task_id)["status"] == "queued"
        stack.sandbox.start()
        stack.faults()
        assert {task["status"] for task in stack.wait_for_all(seconds=90)} == {"succeeded"}
        exact = balance(stack)
        exact.assert_exact()
        assert exact.ledger_tasks == 2


def test_a_new_key_ends_the_pause_at_once(tmp_path: Path) -> None:
    with running(tmp_path, settings={"RUNWARE_API_KEY": "invalid"}) as stack:
        task_id = stack.submit("runware")["id"]
        assert stack.wait_for_attempt(task_id)["data"]["outcome"] == "paused"
        stack.service.stop()
        stack.service.environment = {**stack.service.environment, "RUNWARE_API_KEY": "replaced"}
        stack.service.start()
        assert stack.wait_for(task_id, seconds=20)["status"] == "succeeded"
        balance(stack).assert_exact()
