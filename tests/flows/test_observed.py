"""What a running service tells of itself: measures behind a key of their own, one id from submit to audio."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Stack, running, wait_until

METRICS_KEY = "metrics:fedcba9876543210fedcba9876543210"
SETTINGS = {"RECEIVER_METRICS_KEY": METRICS_KEY, "RECEIVER_LOG_LEVEL": "debug"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("observed"), settings=SETTINGS) as both:
        yield both


def scrape(stack: Stack) -> dict[str, float]:
    """Return every sample by its name and labels."""
    answer = stack.http.get(f"{stack.service.url}/metrics", headers={"Authorization": f"Bearer {METRICS_KEY}"})
    assert answer.status_code == 200
    return {name: float(value) for name, value in re.findall(r"^(receiver_\S+) (\S+)$", answer.text, re.MULTILINE)}


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.startswith("{")]


def test_a_task_is_measured_and_told_under_one_id_from_submit_to_audio(stack: Stack) -> None:
    before = scrape(stack)
    assert before['receiver_results_total{provider="runware",pushed="true",via="callback"}'] == 0
    assert before['receiver_events_total{provider="aimlapi",type="task.lost"}'] == 0
    task = stack.wait_for(stack.submit("runware")["id"])
    assert task["status"] == "succeeded"

    measured = scrape(stack)
    assert measured['receiver_results_total{provider="runware",pushed="true",via="callback"}'] == 1
    written = {
        kind: measured[f'receiver_events_total{{provider="runware",type="{kind}"}}']
        for kind in {event["type"] for event in stack.events(task["id"])}
    }
    assert sum(written.values()) == len(stack.events(task["id"]))
    for queue in ("submit", "settle", "collect"):
        assert measured[f'receiver_due_lateness_seconds_count{{queue="{queue}"}}'] == 1
        assert measured[f'receiver_due_lateness_seconds_bucket{{le="10.0",queue="{queue}"}}'] == 1
    assert measured["receiver_ready"] == 1
    assert measured["receiver_connections_open"] >= 1

    told = [line["event"] for line in lines(stack.service.log) if line.get("task_id") == task["id"]]
    milestones = ("task_created", "task_submitted", "callback_received", "result_received", "task_settled")
    assert [told.count(name) for name in milestones] == [1] * len(milestones)
    assert told[-2:] == ["result_stored", "task_ended"]
    [end] = [line for line in lines(stack.service.log) if line["event"] == "task_ended"]
    assert (end["task_id"], end["status"], end["via"], end["level"]) == (task["id"], "succeeded", "callback", "info")
    of_tasks = [line for line in lines(stack.service.log) if line["logger"] == "receiver.task"]
    assert {line["task_id"] for line in of_tasks} == {task["id"]}


def test_a_submit_without_an_answer_is_seen_as_unknown_and_counted_when_the_log_does_not_know_it(
    stack: Stack,
) -> None:
    # It is in the log only when it is done, long after the last look.
    stack.faults(lose_submit_answer=1.0, seconds=[60, 60])
    task = stack.submit("aimlapi")
    unknown = 'receiver_tasks_open{provider="aimlapi",status="unknown"}'
    wait_until(lambda: scrape(stack)[unknown] == 1, 20, "the gauge shows it", every_seconds=0.5)
    stack.wait_for(task["id"], "lost")
    measured = scrape(stack)
    assert measured['receiver_events_total{provider="aimlapi",type="task.unknown"}'] == 1
    assert measured['receiver_events_total{provider="aimlapi",type="task.lost"}'] == 1
    [end] = [line for line in lines(stack.service.log) if line["event"] == "task_ended" and line["status"] == "lost"]
    assert (end["task_id"], end["level"]) == (task["id"], "warning")


def test_the_key_of_the_metrics_opens_nothing_else_and_is_not_told(stack: Stack) -> None:
    for path in ("/v1/tasks", "/openapi.json", "/docs"):
        answer = stack.http.get(f"{stack.service.url}{path}", headers={"Authorization": f"Bearer {METRICS_KEY}"})
        assert answer.status_code == 401
    assert METRICS_KEY.partition(":")[2] not in stack.service.words()
