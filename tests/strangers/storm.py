"""A storm of hostile requests against a running service, and what came of it.

Run with ``python -m tests.strangers.storm --attacks 500000`` for the whole of it; a test runs it in small.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from tests.strangers.hostile import Hostile, Knowledge, draw
from tests.strangers.house import House, Memory, attacked
from tests.strangers.wire import Door

AT_ONCE = 24
MIB = 1024 * 1024
#: A storm of 16,000 may leave this much behind: the database's cache, the tasks' reports, the allocator's slack. A
#: leak of 2 KiB for each attack would be more.
ALLOWED_GROWTH = 32 * MIB
_MOST_NAMED = 10


@dataclass
class Outcome:
    """What a storm found; ``wrong`` names the first answers that were not allowed."""

    attacks: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    seconds: float = 0.0

    def assert_fine(self) -> None:
        """Nothing but allowed answers, no secret in any, and memory that does not grow with the requests."""
        assert not self.wrong, "\n".join(self.wrong)
        assert not self.shown, self.shown
        assert max(self.answers) < 500, self.answers
        begin, middle, end = self.memory
        assert middle.now - begin.now < ALLOWED_GROWTH, self.memory
        assert end.now - middle.now < ALLOWED_GROWTH / 2, self.memory
        assert end.peak - begin.now < 2 * ALLOWED_GROWTH, self.memory


def storm(house: House, *, attacks: int, seed: int) -> Outcome:
    """Attack that often, some at once, in an order that the seed decides."""
    outcome = Outcome()
    known = Knowledge(tuple(house.targets.values()), random.Random(seed))
    secrets = [secret.encode() for secret in house.secrets()]
    began = time.monotonic()
    # What a first few requests leave behind, imported modules and warm caches, is not counted.
    for part in (attacks // 20, attacks // 2, attacks - attacks // 2 - attacks // 20):
        uvloop.run(_flood(house.door, known, secrets, part, outcome))
        outcome.memory.append(house.memory())
    outcome.seconds = time.monotonic() - began
    return outcome


async def _flood(door: Door, known: Knowledge, secrets: Sequence[bytes], attacks: int, outcome: Outcome) -> None:
    left = iter(range(attacks))

    async def attack() -> None:
        for _ in left:
            kind, hostile = draw(known)
            outcome.attacks += 1
            outcome.kinds[kind] += 1
            try:
                heard = await door.ask(hostile.ask)
            except TimeoutError:
                _note(outcome, kind, hostile, "neither answered nor closed")
                continue
            outcome.answers.update(heard.statuses)
            unexpected = set(heard.statuses) - hostile.expected
            if unexpected or not (heard.statuses or hostile.silence):
                _note(outcome, kind, hostile, f"{heard.statuses}: {heard.data[:100]!r}")
            outcome.shown += [kind for secret in secrets if secret in heard.data]

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(attack())


def _note(outcome: Outcome, kind: str, hostile: Hostile, what: str) -> None:
    if len(outcome.wrong) < _MOST_NAMED:
        outcome.wrong.append(f"{kind}: {what} for {b''.join(hostile.ask.pieces)[:160]!r}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--attacks", type=int, default=500_000)
    arguments.add_argument("--seed", type=int, default=1)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="receiver-storm-") as folder, attacked(Path(folder), targets=8) as house:
        outcome = storm(house, attacks=chosen.attacks, seed=chosen.seed)
        sys.stdout.write(f"{outcome}\n{outcome.attacks / outcome.seconds:.0f} attacks/s\n")
        outcome.assert_fine()
        house.assert_works()
        house.assert_silent()


if __name__ == "__main__":
    main()
