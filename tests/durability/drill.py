"""The loss proof: load, faults and kill -9 at random moments, then the balance against the sandbox's ledger.

Run with ``make drill`` (100 kills), or ``python -m tests.durability.drill --kills N --seed S``.
"""

import argparse
import json
import random
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.harness import TERMINAL, Balance, Stack, balance, basic, running, wait_until

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


@dataclass
class Submitter:
    """Submits all the time, each task under a key of its own until it is acknowledged, as a careful caller does."""

    stack: Stack
    pause: float
    chance: random.Random
    acknowledged: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        number = 0
        with httpx.Client(timeout=5) as http:
            while not self.stopping.is_set():
                number += 1
                provider = self.chance.choice(["runware", "aimlapi"])
                fields = {"count": self.chance.randint(1, 3)} if provider == "runware" else {}
                self._submit(http, {**basic(provider), **fields}, f"drill-{number}")
                self.stopping.wait(self.pause)

    def _submit(self, http: httpx.Client, body: Mapping[str, object], name: str) -> None:
        while not self.stopping.is_set():
            try:
                answer = http.post(
                    f"{self.stack.service.url}/v1/tasks",
                    json=body,
                    headers={**self.stack.headers(), "Idempotency-Key": name},
                )
            except httpx.TransportError:
                self.stopping.wait(0.05)
                continue
            if answer.status_code == httpx.codes.ACCEPTED:
                self.acknowledged.append(answer.json()["id"])
                return
            assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
            self.stopping.wait(0.1)


@dataclass(frozen=True)
class Outcome:
    """What a drill found."""

    kills: int
    seconds_to_end: float
    acknowledged: int
    missing: list[str]
    balance: Balance

    def assert_nothing_lost(self) -> None:
        assert not self.missing, f"acknowledged and gone: {self.missing}"
        self.balance.assert_exact()


def random_kills(folder: Path, *, kills: int, seed: int, pause: float = 0.1, say: bool = False) -> Outcome:
    """Kill the service at random moments under load and return the balance once every task has ended."""
    chance = random.Random(seed)
    with running(folder, settings=SETTINGS, seed=seed) as stack:
        stack.faults(**FAULTS)
        submitter = Submitter(stack, pause, random.Random(seed + 1))
        thread = threading.Thread(target=submitter.run, daemon=True)
        thread.start()
        for number in range(kills):
            time.sleep(chance.uniform(0.05, 2.0))
            stack.service.kill()
            stack.service.start()
            if say:
                print(f"kill {number + 1} of {kills}: {len(submitter.acknowledged)} tasks acknowledged", flush=True)
        submitter.stopping.set()
        thread.join(10)
        last_kill = time.monotonic()
        wait_until(lambda: not _open(stack), 120, "every task has ended after the last kill")
        seconds = time.monotonic() - last_kill
        known = {task["id"] for task in stack.tasks()}
        missing = [task_id for task_id in submitter.acknowledged if task_id not in known]
        return Outcome(kills, seconds, len(submitter.acknowledged), missing, balance(stack))


def _open(stack: Stack) -> list[str]:
    return [task["id"] for task in stack.tasks() if task["status"] not in TERMINAL]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--kills", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=1)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="receiver-drill-") as folder:
        outcome = random_kills(Path(folder), kills=chosen.kills, seed=chosen.seed, say=True)
    print(json.dumps({**vars(outcome), "balance": vars(outcome.balance)}, indent=2))
    outcome.assert_nothing_lost()
    print(f"nothing lost: {outcome.kills} kills, all ended {outcome.seconds_to_end:.1f} s after the last")


if __name__ == "__main__":
    main()
