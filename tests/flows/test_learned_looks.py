"""A service that has seen some tasks looks at the next when they are likely to be done, and says so."""

from pathlib import Path
from statistics import fmean
from typing import Any

from tests.harness import Stack, balance, running, wait_until


def several(stack: Stack, count: int) -> list[dict[str, Any]]:
    ids = [stack.submit("aimlapi")["id"] for _ in range(count)]
    return [stack.wait_for(task_id) for task_id in ids]


def test_after_a_few_tasks_the_next_are_asked_about_less_often(tmp_path: Path) -> None:
    with running(tmp_path, settings={"RECEIVER_AIMLAPI_POLL_SECONDS": "0.4"}) as stack:
        stack.faults(seconds=[2.0, 2.0])
        cold = several(stack, 22)
        assert {task["status"] for task in cold} == {"succeeded"}
        # What was learned lies in the tasks themselves, and is known again as soon as the service is.
        stack.service.stop()
        stack.service.start()
        told = figures(stack)["looks"]
        assert told["tasks"] == 22
        assert 0 < told["first_look_seconds"] <= told["nearly_all_seconds"]
        assert told["nearly_all_seconds"] >= 2.0
        learned = several(stack, 6)
        assert {task["status"] for task in learned} == {"succeeded"}
        assert fmean(task["polls"] for task in learned) < fmean(task["polls"] for task in cold) - 1
        stack.faults(seconds=[60.0, 60.0])
        task_id = stack.submit("aimlapi")["id"]
        wait_until(lambda: reason(stack, task_id).endswith("timed by its last 22 tasks"), 10, "the reason is told")
        stack.post(f"/v1/tasks/{task_id}/cancel", {})
        balance(stack).assert_exact()


def figures(stack: Stack) -> dict[str, Any]:
    [row] = stack.get("/v1/stats").json()["data"]
    return dict(row)


def reason(stack: Stack, task_id: str) -> str:
    waiting = stack.task(task_id)["waiting"]
    return "" if waiting is None else str(waiting["message"])
