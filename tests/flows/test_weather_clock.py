"""The wall clock jumps by an hour, while running and across a restart: every plan keeps its distance from now."""

from datetime import datetime
from pathlib import Path

import pytest

from tests.flows.weather import Weather, weather
from tests.harness import balance, basic, wait_until

HOUR = 3600.0
#: No task has so long to wait for anything, and an hour is far beyond it.
SOON = 30.0


def jumps(sky: Weather) -> list[float]:
    return [float(str(line["seconds"])) for line in sky.log() if line.get("event") == "clock_jumped"]


def assert_in_order(sky: Weather, task_id: str) -> None:
    """The timeline is told by its numbers, whatever the clock said."""
    events = sky.stack.events(task_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    types = [event["type"] for event in events]
    assert types.index("task.created") < types.index("task.submitted") < types.index("task.succeeded")


def test_a_clock_that_is_set_while_tasks_are_in_flight(tmp_path: Path) -> None:
    with weather(tmp_path) as sky:
        for by in (HOUR, -HOUR):
            set_in_flight(sky, by)
            if by > 0:
                lose_an_answer(sky)
        sky.cli("tasks")
        assert jumps(sky) == [pytest.approx(HOUR, abs=1), pytest.approx(-HOUR, abs=1)]
        exact = balance(sky.stack)
        exact.assert_exact()
        assert exact.ledger_tasks == 7
        sky.assert_calm_log()


def lose_an_answer(sky: Weather) -> None:
    """A submit whose answer is lost is found in the provider's log, whose clock is right while ours is not."""
    sky.stack.faults(lose_submit_answer=1.0, only="aimlapi")
    lost = sky.stack.submit("aimlapi")["id"]
    assert sky.stack.wait_for(lost, seconds=SOON)["status"] == "succeeded"
    assert "task.unknown" in [event["type"] for event in sky.stack.events(lost)]


def set_in_flight(sky: Weather, by: float) -> None:
    """Set the clock while one task is waited for by each provider and one waits for the end of a pause."""
    stack = sky.stack
    # Nobody calls: all that comes is asked for.
    stack.faults(drop=1.0, seconds=[3, 3])
    named = {"Idempotency-Key": f"the one before {by}"}
    flying = [stack.post("/v1/tasks", basic("runware"), named).json()["id"], stack.submit("aimlapi")["id"]]
    for task_id in flying:
        stack.wait_for(task_id, "submitted")
    [url] = [entry["webhook_url"] for entry in stack.ledger() if entry["provider_task_id"] == flying[0]]
    stack.faults(drop=1.0, http_429=1.0, retry_after=3, http_on="submit")
    paused = stack.submit("aimlapi")
    assert stack.wait_for_attempt(paused["id"])["data"]["outcome"] == "paused"
    sky.set_clock(by)
    stack.faults(drop=1.0)
    for task_id in (*flying, paused["id"]):
        assert stack.wait_for(task_id, seconds=SOON)["status"] == "succeeded"
        assert_in_order(sky, task_id)
    # A token and an idempotency key from before hold.
    assert stack.http.head(url).status_code == 204
    again = stack.post("/v1/tasks", basic("runware"), named)
    assert (again.json()["id"], again.headers["Idempotent-Replayed"]) == (flying[0], "true")
    ended = stack.task(paused["id"])["completed_at"]
    waited = datetime.fromisoformat(ended) - datetime.fromisoformat(paused["created_at"])
    assert abs(waited.total_seconds() - by) < SOON


def test_a_clock_that_is_set_while_the_service_is_down(tmp_path: Path) -> None:
    with weather(tmp_path) as sky:
        stack = sky.stack
        for by in (HOUR, -HOUR):
            stack.faults(drop=1.0, seconds=[2, 2])
            flying = [stack.submit("runware")["id"], stack.submit("aimlapi")["id"]]
            for task_id in flying:
                stack.wait_for(task_id, "submitted")
            # Killed, so that leases are left over too.
            stack.service.kill()
            wait_until(lambda: all(entry["status"] == "success" for entry in stack.ledger()), 20, "both are made")
            sky.set_clock(by)
            stack.service.start()
            for task_id in flying:
                assert stack.wait_for(task_id, seconds=SOON)["status"] == "succeeded"
                assert_in_order(sky, task_id)
        sky.cli("tasks")
        balance(stack).assert_exact()
        sky.assert_calm_log()
