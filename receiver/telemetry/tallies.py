"""What was counted and measured since the page was last made: plain numbers, reckoned up when they are asked for.

The library takes a lock for every number, and looks for the bucket of every duration by itself. A callback is counted
and measured four times, which cost more than to verify it; a page is made every few seconds at most. Not for several
threads: whoever counts and whoever asks are the event loop.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum

from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

#: So many durations are kept until they are reckoned up.
MOST_KEPT = 4096


class Registry(CollectorRegistry):
    """A registry in which ``tallies`` are reckoned up before anything is told."""

    def __init__(self) -> None:
        super().__init__()
        self.tallies: list[Tally] = []

    def collect(self) -> Iterable[Metric]:
        for tally in self.tallies:
            tally.reckon()
        return super().collect()


@dataclass(slots=True)
class Tally:
    """What is to be added to a counter of certain labels."""

    counter: Counter
    amount: int = 0

    def reckon(self) -> None:
        """Add it."""
        if self.amount:
            self.counter.inc(self.amount)
            self.amount = 0


@dataclass(slots=True)
class Spans:
    """Durations in seconds of certain labels: how many lie below each of the ``bounds``, and how many there are."""

    bounds: Sequence[float]
    kept: list[float] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    count: int = 0
    total: float = 0.0

    def add(self, seconds: Sequence[float]) -> None:
        self.kept += seconds
        if len(self.kept) >= MOST_KEPT:
            self.reckon()

    def reckon(self) -> None:
        """Sort what is kept into the buckets."""
        kept = sorted(self.kept)
        self.kept.clear()
        counted = self.below or [0] * len(self.bounds)
        self.below = [before + bisect_right(kept, bound) for before, bound in zip(counted, self.bounds, strict=True)]
        self.count += len(kept)
        self.total += fsum(kept)


class Durations(Collector):
    """One histogram: the durations of every combination of labels that was seen."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        """Take the names of the ``labels``."""
        self._name = name
        self._meaning = meaning
        self._labels = sorted(labels)
        self._bounds = bounds
        self._spans: dict[tuple[str, ...], Spans] = {}

    def of(self, labels: Mapping[str, str]) -> Spans:
        """Return the durations of these labels, none at first; raises ValueError for other labels than its own."""
        if sorted(labels) != self._labels:
            raise ValueError(f"{self._name} has the labels {self._labels}, not {sorted(labels)}")
        return self._spans.setdefault(tuple(labels[name] for name in self._labels), Spans(self._bounds))

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._meaning, labels=self._labels)
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for values, spans in self._spans.items():
            spans.reckon()
            family.add_metric(values, list(zip(names, [*spans.below, spans.count], strict=True)), spans.total)
        yield family
