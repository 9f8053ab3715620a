"""Every callback dropped: every task succeeds, and how much later than the provider was done."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from receiver.drill.account import Account, conclude
from receiver.drill.load import Load
from receiver.drill.sides import wait_for_rest
from tests.harness import Books, basic, running

#: As shipped: an empty setting takes its default.
SHIPPED: Mapping[str, str] = {
    "RECEIVER_RUNWARE_FIRST_POLL_SECONDS": "",
    "RECEIVER_RUNWARE_POLL_SECONDS": "",
    "RECEIVER_AIMLAPI_POLL_SECONDS": "",
}
#: As long as a generation of the sandbox takes by default.
USUAL_SECONDS = (20.0, 40.0)


def silence(
    folder: Path,
    *,
    tasks: int,
    seed: int,
    settings: Mapping[str, str] = SHIPPED,
    seconds: tuple[float, float] = USUAL_SECONDS,
) -> Account:
    """Drop every callback and return the account, whose notes tell the delay."""
    with running(folder, settings=settings, seed=seed) as stack:
        stack.faults(seconds=list(seconds), tune_seconds=[0.1, 0.2], drop=1.0)
        began = time.monotonic()
        load = Load(stack.sides, iter([basic("aimlapi" if number % 2 else "runware") for number in range(tasks)]))
        load.run()
        last = time.monotonic()
        wait_for_rest(stack.sides, 600)
        account = conclude(f"{tasks} tasks with every callback dropped", load, began, last, time.monotonic())
        return replace(account, notes=tuple(delays(account.books)))


def delays(books: Books) -> Iterator[str]:
    """Say for each provider how long after its last result was made a task was settled."""
    for provider in ("runware", "aimlapi"):
        late = [
            (datetime.fromisoformat(task["settled_at"]) - _made_at(entry)).total_seconds()
            for entry, task in books.pairs()
            if task is not None and task["settled_at"] and entry["provider"] == provider and entry["results"]
        ]
        yield f"{provider}: settled after it was made, {spread(late)}"


def spread(seconds: list[float]) -> str:
    """Return median and p99 of durations."""
    if len(seconds) < 2:
        return "too few to say"
    return f"median {median(seconds):.2f} s, p99 {quantiles(seconds, n=100, method='inclusive')[98]:.2f} s"


def _made_at(entry: Mapping[str, Any]) -> datetime:
    return max(datetime.fromisoformat(result["finished_at"]) for result in entry["results"])
