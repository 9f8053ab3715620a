"""What a caller adds to the wire by itself: bounded, kept off the fields that are ours, merged in depth."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from receiver.providers.wire.checks import Findings
from receiver.providers.wire.values import word

DEEPEST = 8
MOST_BYTES = 64 * 1024
_FIELD = "provider_options"
#: Beyond this many reserved names one answer tells no more.
_MOST_NAMED = 20
_SECRETS = ("apikey",)
_ADDRESSES = ("callback", "webhook")


@dataclass(frozen=True, slots=True)
class _Member:
    """One member somewhere inside the options: its path in words, and as keys when no list is on the way."""

    shown: str
    keys: tuple[str, ...] | None
    name: str
    value: object


def check_options(options: Mapping[str, object], ours: Sequence[str], findings: Findings) -> None:
    """Refuse options that are too deep, too large, no JSON, or that reach for what is ours.

    ``ours`` are the paths, joined by dots, that our own fields can produce for this provider.
    """
    if not options:
        return
    try:
        depth = _depth(options)
        size = len(json.dumps(plain(options), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())
    except (TypeError, ValueError, RecursionError):
        findings.refuse(_FIELD, "must be a JSON object of strings, finite numbers, booleans, null, lists and objects")
        return
    if depth > DEEPEST:
        findings.refuse(_FIELD, f"is nested {depth} deep; up to {DEEPEST} is allowed")
        return
    if size > MOST_BYTES:
        findings.refuse(_FIELD, f"is {size:,} bytes of JSON; up to {MOST_BYTES:,} is allowed")
    owned = [tuple(path.casefold().split(".")) for path in ours]
    reserved = ((member.shown, _reserved(member, owned)) for member in _members(options, _FIELD, ()))
    for shown, reason in islice((found for found in reserved if found[1] is not None), _MOST_NAMED):
        findings.refuse(shown, reason or "")


def plain(value: object) -> object:
    """Return a JSON value made of plain dicts and lists only; raises TypeError for what is no JSON value."""
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("a name that is not a string")
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number that is not finite")
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError("not a JSON value")


def merged(ours: Mapping[str, object], options: Mapping[str, object]) -> dict[str, object]:
    """Return ``ours`` with ``options`` laid into it; objects are merged, and what is ours wins."""
    result = {name: plain(value) for name, value in options.items()}
    for name, value in ours.items():
        theirs = result.get(name)
        if isinstance(value, Mapping) and isinstance(theirs, Mapping):
            result[name] = merged(value, theirs)
        else:
            result[name] = value
    return result


def _reserved(member: _Member, owned: Sequence[tuple[str, ...]]) -> str | None:
    letters = member.name.casefold().replace("_", "").replace("-", "")
    if letters in _SECRETS or letters.startswith(_ADDRESSES):
        return "is ours to set: keys and addresses to call back do not come from a request"
    if member.keys is None:
        return None
    path = tuple(key.casefold() for key in member.keys)
    if path in owned:
        return "is ours to set; use the request's own field where there is one"
    above = any(mine[: len(path)] == path for mine in owned)
    if above and not isinstance(member.value, Mapping):
        return "must be an object: fields of ours are written into it"
    return None


def _members(value: object, shown: str, keys: tuple[str, ...] | None) -> Iterator[_Member]:
    if isinstance(value, Mapping):
        for name, member in value.items():
            path = f"{shown}.{word(name)}"
            inner = None if keys is None else (*keys, str(name))
            yield _Member(path, inner, str(name), member)
            yield from _members(member, path, inner)
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            yield from _members(member, f"{shown}[{index}]", None)


def _depth(value: object) -> int:
    if isinstance(value, Mapping):
        return 1 + max((_depth(member) for member in value.values()), default=0)
    if isinstance(value, list | tuple):
        return 1 + max((_depth(member) for member in value), default=0)
    return 0
