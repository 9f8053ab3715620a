"""Figures about many tasks: how they ended, how long they took, how they became known, what they cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from receiver.domain.task import Status


@dataclass(frozen=True, slots=True)
class Statistics:
    """The figures of one model of one provider; ``model`` is empty where it is not known (adopted generations).

    ``polls`` and ``cost_micros`` are sums over all tasks; the latter is None where no cost was told. ``awaited``
    counts the tasks with results for which a callback was due, ``missed`` those of them of which at least one result
    became known by our own looking alone. ``seconds_p50`` and ``seconds_p99`` are from a submit to its audio in our
    storage, of the latest tasks that came so far; None without any.
    """

    provider: str
    model: str
    counts: Mapping[Status, int]
    polls: int
    awaited: int
    missed: int
    cost_micros: int | None
    seconds_p50: float | None
    seconds_p99: float | None

    @property
    def tasks(self) -> int:
        """How many tasks these are."""
        return sum(self.counts.values())

    @property
    def miss_rate(self) -> float | None:
        """The share of tasks whose callback did not come first, None where none was due."""
        return self.missed / self.awaited if self.awaited else None

    @property
    def polls_per_task(self) -> float | None:
        """How often a task was asked about on average, None without tasks."""
        return self.polls / self.tasks if self.tasks else None


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the least of the sorted ``values`` that at least ``share`` of them do not exceed (nearest rank)."""
    return values[max(0, math.ceil(share * len(values)) - 1)] if values else None
