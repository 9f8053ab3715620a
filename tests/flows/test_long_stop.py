"""A stop that is longer than all that was planned: what went by meanwhile is made up for."""

from pathlib import Path

from tests.flows.weather import weather
from tests.harness import balance


def test_a_submit_sent_just_before_a_long_stop_is_found_once_it_is_made(tmp_path: Path) -> None:
    """The log names what is finished, and the first search after the stop comes before that."""
    with weather(tmp_path, settings={"RECEIVER_AIMLAPI_LOOKUP_SECONDS": "4,5,15"}) as sky:
        stack = sky.stack
        stack.faults(seconds=[8, 8], lose_submit_answer=1.0)
        task_id = stack.submit("aimlapi")["id"]
        stack.wait_for(task_id, "unknown")
        stack.service.kill()
        assert [entry["status"] for entry in stack.ledger()] == ["processing"]
        sky.pass_time(3600)
        stack.service.start()
        assert stack.wait_for(task_id, seconds=60)["status"] == "succeeded"
        assert "task.lost" not in [event["type"] for event in stack.events(task_id)]
        balance(stack).assert_exact()
