"""A link that dies before its audio is here: the provider is asked for another, and the task says how it ended."""

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from tests.harness import API_KEY, Stack, balance, running, wait_until

BOTH = ("runware", "aimlapi")
LIFE_SECONDS = 5


def told_by_command(stack: Stack, task_id: str) -> str:
    """Return what `receiver task` prints."""
    ended = subprocess.run(
        [sys.executable, "-m", "receiver", "task", task_id, "--url", stack.service.url],
        env={**os.environ, "RECEIVER_API_KEY": API_KEY.partition(":")[2], "COLUMNS": "200", "NO_COLOR": "1"},
        cwd=stack.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return ended.stdout


def signed_anew(stack: Stack) -> bool:
    """Tell whether every link that the provider has given last lives longer than its first one could."""
    lives = [
        datetime.fromisoformat(result["url_expires_at"]) - datetime.fromisoformat(result["finished_at"])
        for entry in stack.ledger()
        for result in entry["results"]
    ]
    return len(lives) == len(BOTH) and all(life.total_seconds() > LIFE_SECONDS + 1 for life in lives)


def test_audio_whose_link_dies_after_five_seconds_comes_by_the_link_that_the_provider_signs_anew(
    tmp_path: Path,
) -> None:
    with running(tmp_path, settings={"RECEIVER_REFUSAL_SECONDS": "2"}) as stack:
        # No answer is ever whole, so that nothing but time decides about the first link.
        stack.faults(media="overstated", media_seconds=LIFE_SECONDS, fresh_links=True)
        ids = [stack.submit(provider)["id"] for provider in BOTH]
        wait_until(lambda: signed_anew(stack), 60, "every link was signed anew")
        stack.faults(fresh_links=True)
        for task_id in ids:
            task = stack.wait_for(task_id, seconds=150)
            assert (task["status"], task["errors"]) == ("succeeded", [])
        balance(stack).assert_exact()


def test_a_task_whose_link_died_says_so_wherever_it_is_looked_at(tmp_path: Path) -> None:
    with running(tmp_path, settings={"RECEIVER_REFUSAL_SECONDS": "0.05"}) as stack:
        stack.faults(media="overstated", media_seconds=LIFE_SECONDS)
        ids = [stack.submit(provider)["id"] for provider in BOTH]
        for task_id in ids:
            task = stack.wait_for(task_id)
            # Only AIMLAPI's links say when they die.
            status, before = (
                ("failed", "") if task["provider"] == "runware" else ("expired", "the link has expired; last: ")
            )
            reason = f"{before}127.0.0.1: answered 403"
            assert task["status"] == "failed"
            assert [(error["code"], error["message"]) for error in task["errors"]] == [
                ("artifact_unavailable", reason)
            ]
            [result] = task["results"]
            assert result["artifact"]["status"] == status
            assert reason in told_by_command(stack, task_id)
        balance(stack).assert_exact()
