"""Counters, gauges and durations in Prometheus' text format, their labels from closed sets."""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import product

from prometheus_client import Counter, Gauge, generate_latest

from receiver.telemetry.catalogue import CATALOGUE, Kind, Measure
from receiver.telemetry.tallies import Durations, Registry, Spans, Tally

#: A label with more values than this, or a value of another form, tells of a mistake; it must not fill the memory.
_MOST_VALUES = 64
_LABEL = re.compile(r"[A-Za-z0-9_./{}:-]{1,64}", re.ASCII)
_OTHER = "other"

#: A measure with its labels, as it is counted again and again.
_Key = tuple[str, tuple[tuple[str, str], ...]]


class PrometheusMetrics:
    """The measures of the catalogue, and any other when it is first used, in a registry of their own.

    For one thread alone, the event loop's.
    """

    def __init__(self, providers: Sequence[str] = ()) -> None:
        """Let every counter and histogram stand at 0 for the words that it may hold."""
        self.registry = Registry()
        self._counters: dict[str, Counter] = {}
        self._labels: dict[str, list[str]] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Durations] = {}
        self._values: dict[tuple[str, str], set[str]] = {}
        #: Found without a look at the labels.
        self._counted: dict[_Key, Tally] = {}
        self._observed: dict[_Key, Spans] = {}
        for name, measure in CATALOGUE.items():
            self._begin(name, measure, providers)

    def page(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        tally = self._counted.get((name, tuple(labels.items()))) or self._tally(name, labels)
        tally.amount += amount

    def observe(self, name: str, *seconds: float, **labels: str) -> None:
        spans = self._observed.get((name, tuple(labels.items()))) or self._spans(name, labels)
        spans.add(seconds)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        gauge = self._gauge(name, labels)
        (gauge.labels(**self._closed(name, labels)) if labels else gauge).set(value)

    def forget(self, name: str) -> None:
        """Let a gauge with labels have no values, until it is set again."""
        gauge = self._gauges.get(name)
        if gauge is not None:
            gauge.clear()

    def follow(self, name: str, value: Callable[[], float]) -> None:
        """Have a gauge without labels asked for whenever the page is made."""
        self._gauge(name, {}).set_function(value)

    def _begin(self, name: str, measure: Measure, providers: Sequence[str]) -> None:
        if measure.kind is Kind.GAUGE:
            # What is true now is not known before somebody looks.
            self._gauge(name, measure.labels)
            return
        if measure.kind is Kind.HISTOGRAM:
            self._histogram(name, measure.labels)
        else:
            self._counter(name, measure.labels)
        words = measure.words(providers)
        for values in product(*words.values()):
            labels = dict(zip(words, values, strict=True))
            if measure.kind is Kind.HISTOGRAM:
                self._spans(name, labels)
            else:
                self._tally(name, labels)

    def _tally(self, name: str, labels: Mapping[str, str]) -> Tally:
        """Return what counts these labels, and remember it where they are words of ours."""
        closed = self._closed(name, labels)
        of = (name, tuple(closed.items()))
        tally = self._counted.get(of)
        if tally is None:
            counter = self._counter(name, labels)
            if sorted(labels) != self._labels[name]:
                # Here, not when the page is made: that would then show nothing at all.
                raise ValueError(f"{name} has the labels {self._labels[name]}, not {sorted(labels)}")
            tally = self._counted[of] = Tally(counter.labels(**closed) if labels else counter)
            self.registry.tallies.append(tally)
        return tally

    def _spans(self, name: str, labels: Mapping[str, str]) -> Spans:
        """Return what holds the durations of these labels, and remember it where they are words of ours."""
        closed = self._closed(name, labels)
        spans = self._histogram(name, labels).of(closed)
        self._observed[name, tuple(closed.items())] = spans
        return spans

    def _counter(self, name: str, labels: Mapping[str, object]) -> Counter:
        if name not in self._counters:
            self._labels[name] = sorted(labels)
            self._counters[name] = Counter(f"receiver_{name}", _meaning(name), sorted(labels), registry=self.registry)
        return self._counters[name]

    def _gauge(self, name: str, labels: Mapping[str, object]) -> Gauge:
        if name not in self._gauges:
            self._gauges[name] = Gauge(f"receiver_{name}", _meaning(name), sorted(labels), registry=self.registry)
        return self._gauges[name]

    def _histogram(self, name: str, labels: Mapping[str, object]) -> Durations:
        if name not in self._histograms:
            measure = CATALOGUE.get(name) or Measure(Kind.HISTOGRAM, "")
            made = Durations(f"receiver_{name}", _meaning(name), sorted(labels), measure.buckets)
            self.registry.register(made)
            self._histograms[name] = made
        return self._histograms[name]

    def _closed(self, name: str, labels: Mapping[str, str]) -> dict[str, str]:
        """Return the labels; a value that belongs to no small set of our own words is ``other``."""
        return {label: self._known(name, label, value) for label, value in labels.items()}

    def _known(self, name: str, label: str, value: str) -> str:
        values = self._values.setdefault((name, label), set())
        if value not in values:
            if len(values) >= _MOST_VALUES or not _LABEL.fullmatch(value):
                return _OTHER
            values.add(value)
        return value


def _meaning(name: str) -> str:
    measure = CATALOGUE.get(name)
    return measure.meaning if measure else name.replace("_", " ")
