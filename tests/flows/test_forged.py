"""Somebody who knows a task's URL sends a result of their own before the genuine one; the provider's word wins."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.harness import TERMINAL, Stack, balance, running, wait_until


def entry_of(stack: Stack, task_id: str) -> dict[str, Any]:
    [entry] = [entry for entry in stack.ledger() if entry["provider_task_id"] == task_id]
    return entry


def test_a_forged_result_that_came_first_gives_way_to_the_genuine_one(tmp_path: Path) -> None:
    with running(tmp_path, settings={"RECEIVER_RUNWARE_FIRST_POLL_SECONDS": "60"}) as stack:
        other = stack.wait_for(stack.submit("runware")["id"])
        stack.faults(seconds=[4, 4])
        task_id = stack.submit("runware")["id"]
        stack.wait_for(task_id, "submitted")
        forged = {
            "taskType": "audioInference",
            "taskUUID": task_id,
            "audioUUID": str(uuid4()),
            "audioURL": other["results"][0]["url"],
        }
        answer = stack.http.post(str(entry_of(stack, task_id)["webhook_url"]), json={"data": [forged]})
        assert answer.status_code == 200
        ended = stack.wait_for(task_id)
        assert ended["status"] == "succeeded"
        assert ended["results"][0]["provider_result_id"] == forged["audioUUID"], "nothing speaks against it yet"

        def genuine() -> bool:
            made = {result["sha256"] for result in entry_of(stack, task_id)["results"]}
            held = {result["artifact"]["sha256"] for result in stack.task(task_id)["results"]}
            return bool(made) and held == made

        wait_until(genuine, 30, "the genuine audio has taken the place of the forged one")
        task = stack.task(task_id)
        assert (task["status"], task["completed_at"]) == ("succeeded", ended["completed_at"])
        assert [result["via"] for result in task["results"]] == ["poll"]
        types = [event["type"] for event in stack.events(task_id)]
        assert sum(kind.removeprefix("task.") in TERMINAL for kind in types) == 1
        assert types[-4:] == ["poll.answered", "result.failed", "result.received", "result.stored"]
        held = {result["artifact"]["sha256"] for each in stack.tasks() for result in each["results"]}
        wait_until(lambda: {path.stem for path in kept(stack)} == held, 10, "the forged audio is removed")
        balance(stack).assert_exact()


def kept(stack: Stack) -> list[Path]:
    return list((stack.folder / "data" / "artifacts" / "audio").glob("*/*"))
