"""Single values from strangers: words and sentences made fit to show, money, and times in headers."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime

from receiver.domain.errors import UnreadableError
from receiver.domain.prose import ROOM, one_line
from receiver.providers.wire.strict_json import text

MICROS_PER_DOLLAR = 1_000_000
#: No generation costs this much; a figure beyond it is a forgery or a different unit.
MOST_DOLLARS = 10_000
# Made once: to compare and to multiply with whole numbers makes these of them every time.
_NOTHING, _MOST_DOLLARS, _MICROS_PER_DOLLAR = Decimal(0), Decimal(MOST_DOLLARS), Decimal(MICROS_PER_DOLLAR)
_LONGEST_WORD = 64
_LONGEST_SENTENCE = 500
#: The longest code seen has 40 characters.
_LONGEST_CODE = 200
_LONGEST_DATE = 64
# Without a scheme's first letter, and bounded before the colon: to look for a word's beginning at every dot of a long
# text takes quadratic time. What stands before the last @ of the host is a user and a password.
_LINK = re.compile(r"(?i)([a-z0-9+.-]{0,20}://)(?:[^\s/\"'<>]{0,2000}@)?([^\s/?#\"'<>]{0,2000})[^\s\"'<>]{0,2000}")
#: As long as a key, a token or a signature, and without a space: it may be one.
_SECRET = re.compile(r"[A-Za-z0-9+/_=.~-]{33,}")
_BETWEEN_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")
_AFTER_HOST = re.compile(r"[\s/\"'<>]")
_SHORTEST_REST = timedelta(seconds=1)
_LONGEST_REST = timedelta(hours=1)


#: Beyond it a number is a mistake.
_MOST_COUNTED = 10**15


def word(value: object) -> str:
    """Return a foreign word fit to show: printable, at most 64 characters, nothing that could be a secret.

    What is not a string is called by its kind.
    """
    if not isinstance(value, str):
        return _kind(value)
    value = value[: _LONGEST_WORD * ROOM]
    if "://" in value or _SECRET.fullmatch(value):
        return "(masked)"
    return one_line(value, _LONGEST_WORD)


def sentence(value: str) -> str:
    """Return foreign prose fit to keep: printable, at most 500 characters, links cut down to their host."""
    return one_line(_LINK.sub(r"\1\2/…", _cut(value, _LONGEST_SENTENCE * ROOM)), _LONGEST_SENTENCE)


def spaced(code: str) -> str:
    """Return ``providerRateLimitExceeded`` and ``provider_rate_limit.exceeded`` as the same lower-case words.

    No more than a sentence of them: see ``code_of``.
    """
    return _BETWEEN_WORDS.sub(" ", code[:_LONGEST_SENTENCE]).strip().lower()


def money(value: object) -> int | None:
    """Return dollars as whole micro-dollars; None for what is no number. Raises UnreadableError if absurd."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if not _NOTHING <= value <= _MOST_DOLLARS:
        raise UnreadableError("an absurd cost")
    return int((value * _MICROS_PER_DOLLAR).to_integral_value())


def number(value: object) -> float | None:
    """Return a number, negative ones too; None for what is none, and for one that nobody counts up to."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return float(value) if -_MOST_COUNTED <= value <= _MOST_COUNTED else None


def money_in_header(headers: Mapping[str, str], name: str) -> int | None:
    """Return dollars in a header as micro-dollars; None when absent, zero or absurd: a header refuses no report."""
    try:
        return money(Decimal(headers.get(name, "").strip())) or None
    except (InvalidOperation, UnreadableError):
        return None


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Return how long the answer asks us to rest, between a second and an hour (RFC 9110, 10.2.3).

    A date is compared with the answer's own ``Date``; without one it tells nothing, for no clock is at hand.
    """
    asked = headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        rest = timedelta(seconds=int(asked[:9]))
    else:
        until, now = _date(asked), _date(headers.get("date", ""))
        if until is None or now is None:
            return None
        rest = until - now
    return min(max(rest, _SHORTEST_REST), _LONGEST_REST)


def since_1970(seconds: str) -> datetime | None:
    """Return the moment that many seconds after 1970, if it lies before the year 2286."""
    plausible = seconds.isascii() and seconds.isdigit() and len(seconds) in range(9, 11)
    # Ten digits at most, so no clock and no calendar overflows.
    return datetime.fromtimestamp(int(seconds), UTC) if plausible else None


def first_text(*values: object) -> str | None:
    """Return the first string that is not empty."""
    return next((found for value in values if (found := text(value)) is not None), None)


def code_of(*values: object) -> str | None:
    """Return the first string that is not empty as a code: its beginning, where it is longer than codes are."""
    found = first_text(*values)
    return None if found is None else found[:_LONGEST_CODE]


def _cut(value: str, longest: int) -> str:
    """Return the beginning of a text, without the host that the cut goes through: its @ may be beyond."""
    if len(value) <= longest:
        return value
    kept = value[:longest]
    before, colon, after = kept.rpartition("://")
    return f"{before}{colon}…" if colon and not _AFTER_HOST.search(after) else kept


def _date(header: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(header[:_LONGEST_DATE])
    except (ValueError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | Decimal):
        return "a number"
    return "a list" if isinstance(value, list) else "an object"
