"""Each fault of the sandbox alone: nothing lost, nothing paid twice, and the balance exact against the ledger."""

from pathlib import Path

import pytest

from tests.harness import Stack, balance, running

#: Enough tasks that a share of them meets the fault, few enough for two slow cores.
TASKS = 6


def submit_to_both(stack: Stack, tasks: int = TASKS) -> list[str]:
    return [
        stack.submit("runware" if number % 2 else "aimlapi", **({"count": 2} if number % 4 == 1 else {}))["id"]
        for number in range(tasks)
    ]


def test_with_every_callback_dropped_every_task_succeeds_by_poll(tmp_path: Path) -> None:
    with running(tmp_path) as stack:
        stack.faults(drop=1.0)
        submit_to_both(stack)
        tasks = stack.wait_for_all()
        assert {task["status"] for task in tasks} == {"succeeded"}
        assert {result["via"] for task in tasks for result in task["results"]} == {"poll"}
        assert sum(task["callbacks"] for task in tasks) == 0
        balance(stack).assert_exact()


def test_repeated_callbacks_are_counted_and_change_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as stack:
        stack.faults(duplicate=1.0, only="runware")
        task = stack.wait_for(stack.submit("runware", count=2)["id"])
        assert task["status"] == "succeeded"
        assert len(task["results"]) == 2
        types = [event["type"] for event in stack.events(task["id"])]
        assert types.count("task.succeeded") == 1
        balance(stack).assert_exact()


@pytest.mark.parametrize("body", ["wrapped", "flat"])
def test_both_forms_of_a_callback_are_understood(tmp_path: Path, body: str) -> None:
    with running(tmp_path) as stack:
        stack.faults(body=body)
        task = stack.wait_for(stack.submit("runware", count=2)["id"])
        assert task["status"] == "succeeded"
        assert {result["via"] for result in task["results"]} == {"callback"}
        balance(stack).assert_exact()


@pytest.mark.parametrize("error_body", ["errors", "flat", "error"])
def test_a_failure_in_any_form_is_confirmed_by_a_poll_and_fails_the_task(tmp_path: Path, error_body: str) -> None:
    with running(tmp_path) as stack:
        stack.faults(fail=1.0, error_body=error_body, fail_code="contentPolicyViolation")
        task = stack.wait_for(stack.submit("runware")["id"])
        assert task["status"] == "failed"
        assert task["errors"][0]["code"] == "moderation"
        assert task["errors"][0]["provider_code"] == "contentPolicyViolation"
        assert task["polls"] >= 1, "a callback alone must not fail a task"
        other = stack.wait_for(stack.submit("aimlapi")["id"])
        assert other["status"] == "failed"
        assert other["errors"]
        balance(stack).assert_exact()


def test_a_lost_submit_answer_is_found_again_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    with running(tmp_path) as stack:
        stack.faults(lose_submit_answer=1.0)
        ids = submit_to_both(stack)
        for task_id in ids:
            stack.wait_for(task_id, "unknown", "submitted", "collecting", "succeeded")
        stack.faults()
        tasks = stack.wait_for_all()
        assert {task["status"] for task in tasks} == {"succeeded"}
        assert all("task.unknown" in [event["type"] for event in stack.events(task_id)] for task_id in ids)
        exact = balance(stack)
        exact.assert_exact()
        assert exact.ledger_tasks == len(ids)


def test_a_generation_that_never_finishes_is_marked_overdue_and_then_lost(tmp_path: Path) -> None:
    settings = {"RECEIVER_DEADLINE_SECONDS": "1", "RECEIVER_LOST_AFTER_SECONDS": "2"}
    with running(tmp_path, settings=settings) as stack:
        stack.faults(stall=1.0)
        ids = submit_to_both(stack, 2)
        for task_id in ids:
            task = stack.wait_for(task_id)
            assert task["status"] == "lost"
            assert task["overdue"] is True
            types = [event["type"] for event in stack.events(task_id)]
            assert types.index("task.overdue") < types.index("task.lost")
        balance(stack).assert_exact()


def test_a_link_that_stays_dead_is_asked_for_again_and_then_named_as_the_reason(tmp_path: Path) -> None:
    with running(tmp_path, settings={"RECEIVER_REFUSAL_SECONDS": "0.2"}) as stack:
        stack.faults(media_seconds=0)
        task = stack.wait_for(stack.submit("aimlapi")["id"])
        assert task["status"] == "failed"
        assert task["errors"][-1]["code"] == "artifact_unavailable"
        assert task["results"][0]["artifact"]["status"] == "failed"
        assert task["polls"] >= 4, "each refusal asks for a fresh link"
        balance(stack).assert_exact()


def test_all_faults_together_leave_the_balance_exact(tmp_path: Path) -> None:
    settings = {"RECEIVER_DEADLINE_SECONDS": "20", "RECEIVER_LOST_AFTER_SECONDS": "5"}
    with running(tmp_path, settings=settings) as stack:
        stack.faults(drop=0.3, duplicate=0.3, fail=0.2, lose_submit_answer=0.2, stall=0.1)
        submit_to_both(stack, 24)
        stack.wait_for_all(seconds=75)
        balance(stack).assert_exact()
