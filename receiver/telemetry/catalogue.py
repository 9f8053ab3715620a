"""Every measure there is: what it promises to tell, and which words its labels may hold.

A counter whose words are all known stands at 0 from the start: Prometheus sees no increase in a series that begins
at 1, so the first loss ever would raise no alert.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from receiver.domain.delivery import DeliveryError
from receiver.domain.endpoint import EndpointStatus
from receiver.domain.event import EventType
from receiver.domain.report import Via
from receiver.lifecycle.ports import Queue

#: Stands for the names of the providers, which are known when the measures are made.
PROVIDERS = ("{providers}",)
#: Words of our own that are not listed here, such as the templates of routes.
OURS: tuple[str, ...] = ()

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
#: For what may wait for hours.
_LATENESS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)


class Kind(StrEnum):
    """What Prometheus is told of a measure."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure: what it tells, and the words of each label, ``OURS`` where they are not listed.

    ``buckets`` are the upper bounds of a histogram, in seconds.
    """

    kind: Kind
    meaning: str
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    buckets: Sequence[float] = _SECONDS

    def words(self, providers: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the words of each label with the providers filled in."""
        return {name: providers if known is PROVIDERS else known for name, known in self.labels.items()}


def _counter(meaning: str, **labels: Sequence[str]) -> Measure:
    return Measure(Kind.COUNTER, meaning, labels)


def _gauge(meaning: str, **labels: Sequence[str]) -> Measure:
    return Measure(Kind.GAUGE, meaning, labels)


def _histogram(meaning: str, **labels: Sequence[str]) -> Measure:
    return Measure(Kind.HISTOGRAM, meaning, labels)


_QUEUES = tuple(queue.value for queue in Queue)
_OUTCOMES = (
    "accepted",
    "duplicate",
    "fault",
    "no_room",
    "too_large",
    "too_many",
    "too_slow",
    "broken_off",
)

#: By name, without the prefix ``receiver_`` and the endings that Prometheus gives them.
CATALOGUE: Mapping[str, Measure] = {
    # Durable before acknowledged.
    "callbacks": _counter("callbacks by what became of them", provider=PROVIDERS, outcome=_OUTCOMES),
    "callback_seconds": _histogram("from a callback's head to its answer", provider=PROVIDERS),
    "callbacks_bad_token": _counter("requests to the callback door with a token that is not ours"),
    "callbacks_too_large": _counter("callbacks refused for their size, their tasks polled", provider=PROVIDERS),
    "database_write_trouble": _gauge("1 while the last change could not be written"),
    "ready": _gauge("1 when a write would be taken now"),
    # Two channels, one truth.
    "results": _counter(
        "results by the channel that told of them first; pushed: a callback was to come",
        provider=PROVIDERS,
        pushed=("true", "false"),
        via=tuple(via.value for via in Via),
    ),
    "settle_lag_seconds": _histogram("from a report's arrival to its settling", via=tuple(via.value for via in Via)),
    "reports_quarantined": _counter("reports kept and not understood or not believed", provider=PROVIDERS),
    "reports_replayed": _counter("reports settled anew on an operator's wish"),
    "looks_moved_forward": _gauge(
        "1 while tasks are looked at sooner because callbacks fail to come", provider=PROVIDERS
    ),
    "polls_answered": _counter("looks at a task that the provider answered", provider=PROVIDERS),
    "polls_failed": _counter("looks at a task that brought no answer of use", provider=PROVIDERS),
    # Intent first.
    "tasks_created": _counter("tasks whose intent was made durable", provider=PROVIDERS),
    "tasks_adopted": _counter("generations started elsewhere and taken over", provider=PROVIDERS),
    "tasks_erased": _counter("tasks erased"),
    "submit_seconds": _histogram("from an attempt's opening to its outcome on record", provider=PROVIDERS),
    "submits_not_built": _counter(
        "submits that broke while they were made, before anything left", provider=PROVIDERS
    ),
    "tasks_open": _gauge(
        "tasks under way by status; unknown: sent, the answer lost",
        provider=PROVIDERS,
        status=("queued", "submitted", "unknown", "collecting"),
    ),
    # Our timeout is not their failure.
    "tasks_overdue": _gauge("tasks past their deadline and still looked at", provider=PROVIDERS),
    "events": _counter(
        "lines written to the timelines of tasks, each once it is durable",
        provider=PROVIDERS,
        type=tuple(kind.value for kind in EventType),
    ),
    "provider_paused": _gauge(
        "1 while a provider rests, by the reason", provider=PROVIDERS, code=("auth", "balance", "rate")
    ),
    # Work on time.
    "due_lateness_seconds": Measure(
        Kind.HISTOGRAM,
        "from when work fell due to when it was taken up, for looks sent; of reports settled together, the oldest",
        {"queue": _QUEUES},
        _LATENESS,
    ),
    "oldest_due_seconds": _gauge("how long the oldest work that nobody has taken up is due", queue=_QUEUES),
    # Audio that stays.
    "links_dying": _gauge("results not fetched for a minute or more, whose link dies within 15 minutes"),
    "collect_seconds": _histogram("to fetch, check and keep the audio of a result", provider=PROVIDERS),
    "media_refused": _counter("definite refusals of audio: links gone, no audio, not whole", provider=PROVIDERS),
    "media_interrupted": _counter("downloads broken off, tried again", provider=PROVIDERS),
    "media_broke_us": _counter("files that broke our own checks", provider=PROVIDERS),
    # Told to the user's application.
    "deliveries": _counter(
        "attempts to notify by what came of them: sent, failed and tried again, dead; and why",
        outcome=("sent", "failed", "dead"),
        error=("none", *(error.value for error in DeliveryError)),
    ),
    "notify_seconds": _histogram("from an event to its arrival at an endpoint, retries included"),
    "endpoints": _gauge("endpoints by how they stand", status=tuple(EndpointStatus)),
    "oldest_delivery_seconds": _gauge("since when the oldest event is on its way to an endpoint, paused ones too"),
    "endpoint_changes": _counter(
        "endpoints paused or stopped for their answers, and taken up again by one", status=tuple(EndpointStatus)
    ),
    # Those who ask.
    "requests": _counter("answers of the private side", route=OURS, status=OURS),
    "request_seconds": _histogram("from a request's head to the end of its answer", route=OURS),
    "inputs_taken": _counter("files that callers uploaded and we keep"),
    "inputs_known": _counter("uploads of a file that we have already"),
    "inputs_given": _counter("times that a provider fetched one of them"),
    "inputs_bad_token": _counter("links to uploaded files with a token that is not ours"),
    "downloads_bad_token": _counter("download links that do not open anything"),
    "streams_open": _gauge("event streams open"),
    "streams_too_slow": _counter("event streams ended because nobody read them"),
    "waits_open": _gauge("callers waiting for a task"),
    "connections_open": _gauge("connections open"),
}
