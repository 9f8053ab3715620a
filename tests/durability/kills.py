"""kill -9 at random moments while tasks are submitted, called back, polled and collected."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tests.durability.load import Load
from tests.durability.outcome import Outcome, conclude, wait_for_rest
from tests.harness import basic, running

#: Everything at once, each often enough to meet every kind of work.
FAULTS: Mapping[str, object] = {
    "seconds": [0.2, 2.0],
    "tune_seconds": [0.2, 0.4],
    "drop": 0.1,
    "duplicate": 0.2,
    "reorder": 0.2,
    "early": 0.1,
    "malformed": 0.05,
    "fail": 0.05,
    "lose_submit_answer": 0.05,
    "http_5xx": 0.05,
}
SETTINGS = {"RECEIVER_AIMLAPI_LOOKUP_SECONDS": "2,5,10,20,30", "RECEIVER_LEASE_SECONDS": "10"}
MOST_SECONDS_TO_END = 60.0


def random_kills(
    folder: Path, *, kills: int, seed: int, pause: float = 0.1, say: Callable[[str], None] | None = None
) -> Outcome:
    """Kill the service at random moments under load and return the outcome once every task has ended."""
    chance = random.Random(seed)
    with running(folder, settings=SETTINGS, seed=seed) as stack:
        stack.faults(**FAULTS)
        began = time.monotonic()
        load = Load(stack, _requests(random.Random(seed + 1)), pause_seconds=pause)
        with ThreadPoolExecutor(1) as pool:
            submitting = pool.submit(load.run)
            try:
                for number in range(kills):
                    time.sleep(chance.uniform(0.05, 2.0))
                    stack.service.kill()
                    stack.service.start()
                    if say is not None:
                        say(f"kill {number + 1} of {kills}: {len(load.acknowledged)} tasks acknowledged")
            finally:
                load.stop()
            submitting.result()
        last_kill = time.monotonic()
        wait_for_rest(stack, 2 * MOST_SECONDS_TO_END)
        outcome = conclude(f"{kills} kills under load", load, began, last_kill, time.monotonic())
        return replace(outcome, most_seconds_to_end=MOST_SECONDS_TO_END)


def _requests(chance: random.Random) -> Iterator[Mapping[str, object]]:
    while True:
        provider = chance.choice(["runware", "aimlapi"])
        fields = {"count": chance.randint(1, 3)} if provider == "runware" else {}
        yield {**basic(provider), **fields}
