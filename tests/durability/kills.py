"""kill -9 at random moments while tasks are submitted, called back, polled and collected."""

from collections.abc import Callable
from pathlib import Path

from receiver.drill.account import Account
from receiver.drill.ground import Stage
from receiver.drill.play import Plan, Progress, play
from tests.harness import running

SETTINGS = {"RECEIVER_AIMLAPI_LOOKUP_SECONDS": "2,5,10,20,30", "RECEIVER_LEASE_SECONDS": "10"}


def random_kills(
    folder: Path, *, kills: int, seed: int, pause: float = 0.1, say: Callable[[str], None] | None = None
) -> Account:
    """Kill the service at random moments under load and return the account once every task has ended."""
    plan = Plan(
        name=f"{kills} kills under load",
        kills=kills,
        seed=seed,
        threads=1,
        pause_seconds=pause,
        kill_gap_seconds=(0.05, 2.0),
    )
    told = 0

    def watch(progress: Progress) -> None:
        nonlocal told
        if say is not None and progress.kills > told:
            told = progress.kills
            say(f"kill {told} of {kills}: {progress.acknowledged} tasks acknowledged")

    with running(folder, settings=SETTINGS, seed=seed) as stack:
        return play(Stage(stack.sandbox, [stack.service], stack.sides), plan, watch)
