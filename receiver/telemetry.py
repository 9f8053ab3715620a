"""Logs and measures: structured lines without secrets, counters and durations named after the promises."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

#: A callback URL's token, a signed link's query, a bearer key: whatever looks like one is cut from every line.
_SECRETS = (
    (re.compile(r"(/(?:callbacks/[^/\s\"']+|inputs)/)[A-Za-z0-9_\-%]{16,}"), r"\1[redacted]"),
    (re.compile(r"(https?://[^\s\"'?]+)\?[^\s\"']+"), r"\1?[redacted]"),
    (re.compile(r"(?i)(bearer\s+)[^\s\"',]+"), r"\1[redacted]"),
)
#: Lines of these would show request paths, and so tokens.
_SILENCED = ("httpx", "httpcore", "uvicorn.access", "sqlalchemy", "alembic")
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)


def configure_logs(level: str, stream: TextIO | None = None) -> None:
    """Send every log line, ours and the libraries', as one JSON object a line to ``stream`` (standard error)."""
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
            _redact,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Strangers decide how often this logger speaks; what they send is counted, not told line by line.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def redact(text: str) -> str:
    """Cut what looks like a secret out of a text."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _redact(_: object, __: str, line: MutableMapping[str, object]) -> MutableMapping[str, object]:
    return {name: _without_secrets(value) for name, value in line.items()}


def _without_secrets(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: _without_secrets(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(item) for item in value]
    return value


class PrometheusMetrics:
    """Counters and histograms in a registry of their own; made when first used."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def page(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        counter = self._counters.get(name)
        if counter is None:
            counter = Counter(f"receiver_{name}", name.replace("_", " "), sorted(labels), registry=self.registry)
            self._counters[name] = counter
        (counter.labels(**labels) if labels else counter).inc(amount)

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        histogram = self._histograms.get(name)
        if histogram is None:
            histogram = Histogram(
                f"receiver_{name}", name.replace("_", " "), sorted(labels), buckets=_BUCKETS, registry=self.registry
            )
            self._histograms[name] = histogram
        (histogram.labels(**labels) if labels else histogram).observe(seconds)
