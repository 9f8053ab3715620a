"""The log: one JSON object a line, and nothing in it that opens anything."""

import contextlib
import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TextIO
from urllib.parse import quote

import structlog

from receiver.domain.token import TOKEN_CHARACTERS

MASK = "[redacted]"
#: A callback URL's token, a signed link's query, a password in a URL, a bearer key, any token of ours: whatever looks
#: like one is cut from every line, in time that grows with its length only: it may hold what a stranger wrote.
#: Each of them needs a slash, "AQ", "bearer" or "basic": ``redact`` looks for these first.
_SECRETS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(/(?:callbacks/[^/\s\"']{1,64}|inputs)/)[A-Za-z0-9_\-%]{16,1024}"), rf"\1{MASK}"),
    (re.compile(r"([a-z+]{1,20}://)[^/\s@\"'?#]{1,256}@"), rf"\1{MASK}@"),
    (re.compile(r"(https?://[^\s\"'?]*)(\?[^\s\"']+)?"), lambda url: url[1] + (f"?{MASK}" if url[2] else "")),
    (re.compile(r"(?i)((?:bearer|basic)\s+)[^\s\"',]+"), rf"\1{MASK}"),
    (re.compile(rf"AQ[E-X][A-Za-z0-9_-]{{{TOKEN_CHARACTERS - 3}}}"), MASK),
)
#: A shorter secret would cut harmless words to pieces.
_SHORTEST_SECRET = 8
#: Lines of these would show request paths, and so tokens.
_SILENCED = ("httpx", "httpcore", "uvicorn.access", "sqlalchemy", "alembic")


def configure_logs(level: str, stream: TextIO | None = None, *, secrets: Iterable[str] = ()) -> None:
    """Send every log line, ours and the libraries', as one JSON object a line to ``stream`` (standard error).

    ``secrets`` are cut out of every line, however a library or a provider came to repeat them.
    """
    redact = redaction(secrets)
    # The same few names in every line; of more than these, somebody makes them up.
    name_of = lru_cache(256)(redact)
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
            lambda _, __, line: {name_of(name): _without_secrets(value, redact) for name, value in line.items()},
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
        # Most of what is logged has none of these marks, and the patterns cost ten times as much as this look.
        if "/" in text or "AQ" in text or "bearer" in (lower := text.lower()) or "basic" in lower:
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
    if isinstance(value, str):
        return redact(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {redact(str(name)): _without_secrets(item, redact) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_secrets(item, redact) for item in value]
    # What is no JSON value would be spelt out behind us.
    return redact(str(value))
