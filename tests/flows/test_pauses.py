"""A provider that takes nothing from us: the tasks wait, the provider rests, and everything goes on by itself."""

from collections import Counter
from pathlib import Path

import pytest

from tests.harness import Stack, balance, running, wait_until


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


@pytest.mark.parametrize("provider", ["runware", "aimlapi"])
def test_a_provider_that_only_breaks_costs_a_few_submits_and_the_others_wait(tmp_path: Path, provider: str) -> None:
    """What gets no clear answer may be lost where nothing may be sent twice: not each of a crowd finds that out."""
    alone = {"RECEIVER_SUBMIT_CONCURRENCY": "1", "RECEIVER_AIMLAPI_LOOKUP_SECONDS": "1,2"}
    with running(tmp_path, settings=alone) as stack:
        stack.faults(http_5xx=1.0, http_on="submit")
        tasks = [stack.submit(provider)["id"] for _ in range(20)]
        wait_until(lambda: _waiting_for_it(stack, tasks), 30, "the others wait for the provider")
        sent = [task for task in tasks if stack.task(task)["status"] != "queued"]
        assert len(sent) == 5
        stack.faults()
        ended = Counter(task["status"] for task in stack.wait_for_all(seconds=90))
        assert ended["succeeded"] >= 15
        assert ended["succeeded"] + ended["lost"] == 20
        balance(stack).assert_exact()


def _waiting_for_it(stack: Stack, tasks: list[str]) -> bool:
    waiting = [stack.task(task)["waiting"] for task in tasks]
    return sum(told is not None and "no clear answer" in told["message"] for told in waiting) == 15
