"""A provider that is down for an hour, or takes our key no more: said clearly, waited for, and nothing is lost."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.flows.relay import Relay
from tests.flows.weather import Weather, weather
from tests.harness import Stack, balance, wait_until

PROVIDERS = {"runware": "Runware", "aimlapi": "AIMLAPI"}
#: The longest rest between two tries, by their jitter at its most, and a little for the machine.
LONGEST_BACK_OFF = 62.0


@contextmanager
def behind_a_wire(folder: Path) -> Iterator[tuple[Weather, Relay]]:
    """Run both with a relay between the service and the providers' API; callbacks and media go around it."""
    relay = Relay()
    settings = {
        "RECEIVER_RUNWARE_URL": f"{relay.url}/runware/v1",
        "RECEIVER_AIMLAPI_URL": f"{relay.url}/aimlapi",
        # The relay's host as a provider's, everything of the sandbox for the media.
        "RECEIVER_ALLOWED_PRIVATE_HOSTS": "127.0.0.0/8",
    }
    with weather(folder, settings=settings) as sky:
        relay.lead_to(sky.stack.sandbox.url)
        try:
            yield sky, relay
        finally:
            relay.turn("cut")


def in_flight(stack: Stack) -> list[str]:
    ids = [stack.submit(provider)["id"] for provider in PROVIDERS]
    for task_id in ids:
        stack.wait_for(task_id, "submitted")
    return ids


def made(stack: Stack) -> None:
    """Wait until the provider has made all it was asked for: what is overdue is looked at every five minutes only."""
    wait_until(lambda: all(entry["status"] == "success" for entry in stack.ledger()), 20, "all is made")


def looks_failed(stack: Stack, task_id: str) -> bool:
    waiting = stack.task(task_id)["waiting"]
    return waiting is not None and waiting["message"].startswith("asking ")


def searched(relay: Relay, times: int) -> bool:
    return sum(b"/v2/logs" in line for line in relay.asked) >= times


def an_hour(sky: Weather, task_ids: list[str]) -> None:
    """Let an hour go by in steps, each of which sees every task tried again and planned within a minute."""
    for _ in range(3):
        planned = {task_id: due(sky.stack, task_id) for task_id in task_ids}
        sky.pass_time(1200)
        for task_id in task_ids:
            wait_until(partial(_replanned, sky.stack, task_id, planned[task_id]), 20, f"{task_id} is tried")
    now = sky.now()
    for task_id in task_ids:
        assert (due(sky.stack, task_id) - now).total_seconds() < LONGEST_BACK_OFF


def _replanned(stack: Stack, task_id: str, before: datetime) -> bool:
    return due(stack, task_id) > before


def due(stack: Stack, task_id: str) -> datetime:
    waiting = stack.task(task_id)["waiting"]
    return datetime.fromisoformat(waiting["until"]) if waiting else datetime.min.replace(tzinfo=UTC)


def rows(listed: str) -> dict[str, str]:
    """Return the lines of `receiver tasks` by the ids they begin with."""
    return {line.split()[0]: line for line in listed.splitlines()[1:] if line}


def assert_all_well(stack: Stack, tasks: int) -> None:
    assert Counter(task["status"] for task in stack.wait_for_all(seconds=40)) == {"succeeded": tasks}
    exact = balance(stack)
    exact.assert_exact()
    assert exact.ledger_tasks == tasks


def test_a_provider_that_cannot_be_reached_for_an_hour(tmp_path: Path) -> None:
    with behind_a_wire(tmp_path) as (sky, relay):
        stack = sky.stack
        # Made while nobody can be asked.
        stack.faults(drop=1.0, seconds=[4, 4])
        flying = in_flight(stack)
        relay.turn("cut")
        queued = [stack.submit(provider)["id"] for provider in PROVIDERS]
        for task_id in queued:
            assert stack.wait_for_attempt(task_id)["data"]["outcome"] == "not_sent"
        for task_id in flying:
            wait_until(partial(looks_failed, stack, task_id), 20, "a look has failed")
        an_hour(sky, [*queued, *flying])
        shown = rows(sky.cli("tasks"))
        for provider, task_id in zip(PROVIDERS, queued, strict=True):
            assert " queued " in shown[task_id]
            assert (
                f"sending it to {provider} did not work (127.0.0.1: no connection); it is tried again"
                in shown[task_id]
            )
        for provider, task_id in zip(PROVIDERS, flying, strict=True):
            # Ours, not theirs: late is no failure.
            assert " submitted! " in shown[task_id]
            assert f"asking {provider} about it did not work (127.0.0.1: no connection)" in shown[task_id]
            assert "task.overdue" in sky.cli("task", task_id)
        made(stack)
        relay.turn("open")
        sky.pass_time(LONGEST_BACK_OFF)
        assert_all_well(stack, 4)
        sky.assert_calm_log()


def test_a_provider_that_swallows_every_answer_for_an_hour(tmp_path: Path) -> None:
    """What is asked arrives, and is billed: the one thing not to do is to ask again."""
    with behind_a_wire(tmp_path) as (sky, relay):
        stack = sky.stack
        relay.turn("mute")
        ids = [stack.submit(provider)["id"] for provider in PROVIDERS]
        wait_until(lambda: len(stack.ledger()) == 2, 20, "both submits have arrived")
        wait_until(lambda: all(entry["status"] == "success" for entry in stack.ledger()), 20, "both are made")
        assert {stack.task(task_id)["status"] for task_id in ids[1:]} == {"queued"}
        sky.pass_time(61)
        stack.wait_for(ids[1], "unknown")
        for searches in range(1, 4):
            # No time passes while one is connecting: that would be another fault.
            wait_until(partial(searched, relay, searches), 20, f"the log is searched {searches} times")
            planned = due(stack, ids[1])
            sky.pass_time(1200)
            wait_until(partial(_replanned, stack, ids[1], planned), 20, "a search has failed")
            if searches < 3:
                sky.pass_time(LONGEST_BACK_OFF)
        shown = rows(sky.cli("tasks"))
        assert " unknown! " in shown[ids[1]]
        assert (
            "its answer was lost; searching the log of aimlapi did not work (127.0.0.1: took too long)"
            in (shown[ids[1]])
        )
        relay.turn("open")
        sky.pass_time(LONGEST_BACK_OFF)
        assert_all_well(stack, 2)
        sky.assert_calm_log()


def test_a_provider_that_answers_nothing_but_errors_for_an_hour(tmp_path: Path) -> None:
    with weather(tmp_path) as sky:
        stack = sky.stack
        stack.faults(drop=1.0, seconds=[4, 4])
        ids = in_flight(stack)
        stack.faults(drop=1.0, http_error=1.0, http_error_status=503)
        for task_id in ids:
            wait_until(partial(looks_failed, stack, task_id), 20, "a look has failed")
        an_hour(sky, ids)
        shown = rows(sky.cli("tasks"))
        for provider, task_id in zip(PROVIDERS, ids, strict=True):
            assert " submitted! " in shown[task_id]
            assert (
                f"asking {provider} about it did not work ({PROVIDERS[provider]} answered with HTTP 503"
                in shown[task_id]
            )
        made(stack)
        stack.faults(drop=1.0)
        sky.pass_time(LONGEST_BACK_OFF)
        assert_all_well(stack, 2)


def test_keys_that_are_revoked_and_replaced(tmp_path: Path) -> None:
    with weather(tmp_path) as sky:
        stack = sky.stack
        good = stack.service.environment
        stack.faults(drop=1.0, seconds=[6, 6])
        flying = in_flight(stack)
        stack.service.stop()
        stack.service.environment = {**good, **{f"{provider.upper()}_API_KEY": "invalid" for provider in PROVIDERS}}
        stack.service.start()
        queued = [stack.submit(provider)["id"] for provider in PROVIDERS]
        for task_id in queued:
            assert stack.wait_for_attempt(task_id)["data"]["outcome"] == "paused"
        shown = rows(sky.cli("tasks"))
        for provider, task_id in zip(PROVIDERS, queued, strict=True):
            assert " queued " in shown[task_id]
            assert f"{provider} takes nothing from us: " in shown[task_id]
        for provider, task_id in zip(PROVIDERS, flying, strict=True):
            assert " submitted " in shown[task_id]
            assert f"{provider} tells us nothing: " in shown[task_id]
        for line in shown.values():
            assert "invalid API key" in line.replace("Invalid", "invalid")
            # Due or nearly so: the machine decides which of the two a look finds.
            assert re.search("next try (in [0-9]+ s|now)", line), line
        stack.service.stop()
        stack.service.environment = {**good, **{f"{provider.upper()}_API_KEY": "replaced" for provider in PROVIDERS}}
        stack.service.start()
        assert_all_well(stack, 4)
        sky.assert_calm_log()
