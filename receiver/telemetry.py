"""Logs and measures: structured lines without secrets, counters and durations named after the promises."""

import contextlib
import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TextIO
from urllib.parse import quote

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from receiver.domain.token import TOKEN_CHARACTERS

MASK = "[redacted]"
#: A callback URL's token, a signed link's query, a password in a URL, a bearer key, any token of ours: whatever looks
#: like one is cut from every line, in time that grows with its length only: it may hold what a stranger wrote.
_SECRETS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(/(?:callbacks/[^/\s\"']{1,64}|inputs)/)[A-Za-z0-9_\-%]{16,1024}"), rf"\1{MASK}"),
    (re.compile(r"([a-z+]{1,20}://)[^/\s@\"'?#]{1,256}@"), rf"\1{MASK}@"),
    (re.compile(r"(https?://[^\s\"'?]*)(\?[^\s\"']+)?"), lambda url: url[1] + (f"?{MASK}" if url[2] else "")),
    (re.compile(r"(?i)(bearer\s+)[^\s\"',]+"), rf"\1{MASK}"),
    (re.compile(rf"AQ[E-T][A-Za-z0-9_-]{{{TOKEN_CHARACTERS - 3}}}"), MASK),
)
#: A shorter secret would cut harmless words to pieces.
_SHORTEST_SECRET = 8
#: A label with more values than this, or a value of another form, tells of a mistake; it must not fill the memory.
_MOST_VALUES = 64
_LABEL = re.compile(r"[A-Za-z0-9_./{}:-]{1,64}", re.ASCII)
_OTHER = "other"
#: Lines of these would show request paths, and so tokens.
_SILENCED = ("httpx", "httpcore", "uvicorn.access", "sqlalchemy", "alembic")
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)


def configure_logs(level: str, stream: TextIO | None = None, *, secrets: Iterable[str] = ()) -> None:
    """Send every log line, ours and the libraries', as one JSON object a line to ``stream`` (standard error).

    ``secrets`` are cut out of every line, however a library or a provider came to repeat them.
    """
    redact = redaction(secrets)
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # locals hold keys and bodies
            ),
            lambda _, __, line: {redact(name): _without_secrets(value, redact) for name, value in line.items()},
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Strangers decide how often this logger speaks; what they send is counted, not told line by line.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def redaction(secrets: Iterable[str] = ()) -> Callable[[str], str]:
    """Return what cuts ``secrets``, in any of their spellings, and all that looks like one out of a text."""
    known = {
        spelling
        for secret in secrets
        if len(secret) >= _SHORTEST_SECRET
        for spelling in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""))
    }
    exact = re.compile("|".join(map(re.escape, sorted(known, key=len, reverse=True)))) if known else None

    def redact(text: str) -> str:
        if exact is not None:
            text = exact.sub(MASK, text)
        for pattern, replacement in _SECRETS:
            text = pattern.sub(replacement, text)
        return text

    return redact


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; one that cannot be written is given up, for Python's way to say so shows what was in it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name it has in the base class
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(json.dumps({"event": "log_line_lost", "logger": record.name}) + "\n")


def _without_secrets(value: object, redact: Callable[[str], str]) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {redact(str(name)): _without_secrets(item, redact) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_secrets(item, redact) for item in value]
    # What is no JSON value would be spelt out behind us.
    return redact(str(value))


class PrometheusMetrics:
    """Counters and histograms in a registry of their own; made when first used."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._values: dict[tuple[str, str], set[str]] = {}

    def page(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        counter = self._counters.get(name)
        if counter is None:
            counter = Counter(f"receiver_{name}", name.replace("_", " "), sorted(labels), registry=self.registry)
            self._counters[name] = counter
        (counter.labels(**self._closed(name, labels)) if labels else counter).inc(amount)

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        histogram = self._histograms.get(name)
        if histogram is None:
            histogram = Histogram(
                f"receiver_{name}", name.replace("_", " "), sorted(labels), buckets=_BUCKETS, registry=self.registry
            )
            self._histograms[name] = histogram
        (histogram.labels(**self._closed(name, labels)) if labels else histogram).observe(seconds)

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
