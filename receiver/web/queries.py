"""What stands behind the question mark: every parameter known, given once, and of its kind."""

import base64
import binascii
import re
from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

from starlette.datastructures import QueryParams

from receiver.domain.errors import FieldProblem
from receiver.web.documents import MOST_PROBLEMS, shown_name
from receiver.web.problems import invalid, invalid_fields
from receiver.web.schemas import LONGEST_METADATA_KEY, MOST_METADATA, did_you_mean

METADATA = "metadata."
_DIGITS = re.compile(r"[0-9]{1,19}")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
#: RFC 3339; the zone is required, or a moment would mean another one on every machine.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_MOMENT_EXAMPLE = "2026-11-21T09:30:00Z"


def read_query(query: QueryParams, known: Collection[str], *, metadata: bool = False) -> dict[str, str]:
    """Return the parameters by name; with ``metadata`` also ``metadata.KEY`` for any key.

    Raises ProblemError naming each that does not exist here, comes twice, or holds a control character.
    """
    found: dict[str, str] = {}
    wrong: list[FieldProblem] = []
    for name, value in query.multi_items():
        if len(wrong) >= MOST_PROBLEMS:
            break
        if name not in known and not (metadata and name.startswith(METADATA) and name != METADATA):
            names = [*known, "metadata.KEY"] if metadata else known
            wrong.append(FieldProblem(shown_name(name), f"is not a parameter here{did_you_mean(name, names)}"))
        elif name in found:
            wrong.append(FieldProblem(shown_name(name), "is given twice"))
        elif not (name + value).isprintable():
            wrong.append(FieldProblem(shown_name(name), "contains a control character"))
        found[name] = value
    if wrong:
        raise invalid_fields(wrong)
    return found


def whole_number(query: dict[str, str], name: str, *, default: int, least: int, most: int) -> int:
    """Return a parameter that is a whole number between two bounds."""
    text = query.get(name)
    if text is None:
        return default
    if not _DIGITS.fullmatch(text) or not least <= int(text) <= most:
        raise invalid(name, f"must be a whole number from {least} to {most}")
    return int(text)


def seconds(query: dict[str, str], name: str, *, most: float) -> float:
    """Return a parameter that is a duration in seconds, cut at ``most``; 0 when it is not given."""
    text = query.get(name)
    if text is None:
        return 0.0
    if not _SECONDS.fullmatch(text):
        raise invalid(name, "must be a number of seconds, such as 30")
    return min(float(text), most)


def moment(query: dict[str, str], name: str) -> datetime | None:
    """Return a parameter that is a moment, in UTC."""
    text = query.get(name)
    if text is None:
        return None
    # A plus sign that was not percent-encoded has become a space.
    text = text.replace(" ", "+")
    if not _MOMENT.fullmatch(text):
        raise invalid(name, f"must be a moment with its zone, such as {_MOMENT_EXAMPLE}")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid(name, f"must be a moment with its zone, such as {_MOMENT_EXAMPLE}") from None


def metadata_of(query: dict[str, str]) -> dict[str, str]:
    """Return the metadata that ``metadata.KEY`` parameters name, by key."""
    wanted = {name.removeprefix(METADATA): value for name, value in query.items() if name.startswith(METADATA)}
    for key in wanted:
        if len(key) > LONGEST_METADATA_KEY:
            raise invalid(shown_name("metadata", key), f"must have a name of 1 to {LONGEST_METADATA_KEY} characters")
    if len(wanted) > MOST_METADATA:
        raise invalid("metadata", f"has {len(wanted)} entries; a task has at most {MOST_METADATA}")
    return wanted


def cursor_for(key: UUID) -> str:
    """Return the cursor that continues a listing after the task with this key."""
    return base64.urlsafe_b64encode(key.bytes).rstrip(b"=").decode()


def cursor(query: dict[str, str], name: str) -> UUID | None:
    """Return the key that a cursor of ours names."""
    text = query.get(name)
    if text is None:
        return None
    try:
        key = UUID(bytes=base64.urlsafe_b64decode(text.encode("ascii") + b"=="))
    except (ValueError, binascii.Error):
        key = None
    if key is None or cursor_for(key) != text:
        raise invalid(name, "is no cursor of ours: use next_cursor of the page before")
    return key
