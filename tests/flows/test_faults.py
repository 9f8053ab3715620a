"""Faults of the sandbox that need a service of their own; test_each_fault.py has the others, one after another."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.harness import Stack, balance, running, wait_until


def submit_to_both(stack: Stack, tasks: int) -> list[str]:
    return [
        stack.submit("runware" if number % 2 else "aimlapi", **({"count": 2} if number % 4 == 1 else {}))["id"]
        for number in range(tasks)
    ]


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack on which a task is lost soon after it was submitted."""
    settings = {
        "RECEIVER_DEADLINE_SECONDS": "2",
        "RECEIVER_LOST_AFTER_SECONDS": "1",
        "RECEIVER_RUNWARE_FIRST_POLL_SECONDS": "0.5",
    }
    with running(tmp_path_factory.mktemp("impatient"), settings=settings) as stack:
        yield stack


@pytest.mark.parametrize(
    ("fault", "providers"),
    [
        ({"stall": 1.0}, ("runware", "aimlapi")),
        ({"no_file": 1.0}, ("aimlapi",)),
        ({"result_seconds": 0.0, "drop": 1.0}, ("runware",)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_generation_without_an_outcome_is_overdue_and_then_lost(
    impatient: Stack, fault: dict[str, object], providers: tuple[str, ...]
) -> None:
    impatient.faults(**{"seconds": [0.0, 0.2], **fault})
    for task_id in [impatient.submit(provider)["id"] for provider in providers]:
        task = impatient.wait_for(task_id)
        assert task["status"] == "lost"
        assert task["overdue"] is True
        types = [event["type"] for event in impatient.events(task_id)]
        assert types.index("task.overdue") < types.index("task.lost")
    # What the provider has made and does not give away is lost all the same.
    replace(balance(impatient), lost_but_made=[]).assert_exact()


def refused(stack: Stack, task_id: str) -> bool:
    waiting = stack.task(task_id)["waiting"]
    return waiting is not None and "searching the log of aimlapi did not work" in waiting["message"]


def test_a_log_that_is_asked_too_often_is_asked_again_later(tmp_path: Path) -> None:
    with running(tmp_path, settings={"RECEIVER_AIMLAPI_LOOKUP_SECONDS": "0.5,1"}) as stack:
        stack.faults(lose_submit_answer=1.0, logs_per_minute=0)
        ids = [stack.submit("aimlapi")["id"] for _ in range(2)]
        for task_id in ids:
            wait_until(partial(refused, stack, task_id), 20, "the log refused to answer")
        stack.faults()
        # That limit is the log's own: nothing else rests for it.
        assert stack.wait_for(stack.submit("aimlapi")["id"])["status"] == "succeeded"
        assert '"provider_paused"' not in stack.service.words()
        assert {task["status"] for task in stack.wait_for_all()} == {"succeeded"}
        balance(stack).assert_exact()


def test_a_link_that_stays_dead_is_asked_for_again_and_then_named_as_the_reason(tmp_path: Path) -> None:
    with running(tmp_path, settings={"RECEIVER_REFUSAL_SECONDS": "0.2"}) as stack:
        stack.faults(media_seconds=0)
        task = stack.wait_for(stack.submit("aimlapi")["id"])
        assert task["status"] == "failed"
        assert task["errors"][-1]["code"] == "artifact_unavailable"
        # AIMLAPI's links say when they die, and this one is dead at birth.
        assert task["results"][0]["artifact"]["status"] == "expired"
        assert "the link has expired" in task["errors"][-1]["message"]
        assert task["polls"] >= 4, "each refusal asks for a fresh link"
        balance(stack).assert_exact()


def test_all_faults_together_leave_the_balance_exact(tmp_path: Path) -> None:
    settings = {"RECEIVER_DEADLINE_SECONDS": "20", "RECEIVER_LOST_AFTER_SECONDS": "5"}
    with running(tmp_path, settings=settings) as stack:
        stack.faults(drop=0.3, duplicate=0.3, fail=0.2, lose_submit_answer=0.2, stall=0.1)
        submit_to_both(stack, 24)
        stack.wait_for_all(seconds=75)
        balance(stack).assert_exact()
