"""JSON from strangers: bounded before it is parsed, refused where it holds what we could not store or compare."""

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from receiver.domain.errors import UnreadableError

#: 24 MiB of ``{},`` become 667 MiB of objects, so brackets and commas are counted first.
MOST_BRACKETS_AND_COMMAS = 100_000
#: The longest string that is not known to be inline audio.
MOST_CHARACTERS = 65_536
DEEPEST = 64
_MOST_DIGITS = 64
#: What nearly every document begins with.
_OPENINGS = ("{", "[")
#: Space between values (RFC 8259, 2).
_BLANK = " \t\n\r"
_INT64 = range(-(2**63), 2**63)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(body: bytes, *, inline: frozenset[str] = frozenset()) -> object:
    """Return the JSON value of ``body``; numbers with a fraction or an exponent become Decimal.

    ``inline`` names the members whose strings may be of any length. Raises UnreadableError for anything that is not
    UTF-8 JSON of reasonable size: NaN, Infinity, NUL, half a surrogate pair, integers beyond 64 bit, long strings.
    """
    openings = body.count(b"[") + body.count(b"{")
    # A short body has no room for so many.
    if len(body) > MOST_BRACKETS_AND_COMMAS and openings + body.count(b",") > MOST_BRACKETS_AND_COMMAS:
        raise UnreadableError("more brackets and commas than a report has")
    try:
        text = body.decode()
        value: object = _decoded(text)
    except RecursionError:
        raise UnreadableError("nested too deeply") from None
    except UnicodeDecodeError as error:
        raise UnreadableError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        # The error holds the whole document, which must not travel on: it is replaced, not chained.
        raise UnreadableError(f"not JSON: {error.msg} at character {error.pos}") from None
    # Only an escape can bring in what UTF-8 and the grammar keep out, so most bodies need no second look.
    # A single character is looked for in a tenth of the time.
    if ("\\" in text and "\\u" in text) or len(text) > MOST_CHARACTERS or openings > DEEPEST:
        _inspect(value, inline)
    return value


def dump(value: object) -> bytes:
    """Return ``value`` as compact JSON that parses to the same value again, Decimals digit for digit."""
    try:
        return _ENCODER.encode(value).encode()
    except TypeError:
        # It holds a Decimal, which the library can only write as a float.
        return _text(value).encode()


def mapping(value: object) -> Mapping[str, object]:
    """Return ``value`` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> Sequence[object]:
    """Return ``value`` if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str | None:
    """Return ``value`` if it is a string that is not empty."""
    return value if isinstance(value, str) and value else None


def integer(value: object) -> int | None:
    """Return ``value`` if it is a whole number, however it is written, that fits 64 bit."""
    if isinstance(value, Decimal):
        # Compared before it is converted: 1e999999 must not become a million digits.
        return int(value) if _INT64[0] <= value <= _INT64[-1] and value == value.to_integral_value() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _decoded(text: str) -> object:
    """Return what a document holds; most have no space around it, and to look for that is a fifth of the time."""
    if text[:1] not in _OPENINGS:
        return _DECODER.decode(text)
    value, end = _DECODER.raw_decode(text)
    # Where more follows, that says what is wrong with it.
    return _DECODER.decode(text) if text[end:].strip(_BLANK) else value


def _integer(digits: str) -> int:
    if len(digits) <= _MOST_DIGITS and (value := int(digits)) in _INT64:
        return value
    raise UnreadableError("an integer beyond 64 bit")


def _decimal(digits: str) -> Decimal:
    if len(digits) > _MOST_DIGITS:
        raise UnreadableError("a number with too many digits")
    try:
        return Decimal(digits)
    except ArithmeticError:
        raise UnreadableError("a number with an absurd exponent") from None


def _refuse(constant: str) -> object:
    raise UnreadableError(f"{constant} is no JSON number")


# Made once: json.loads would make one for every body.
_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_decimal, parse_constant=_refuse)
#: For what holds no Decimal: a twentieth of the time that ``_text`` takes, and the same text.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _inspect(value: object, inline: frozenset[str]) -> None:
    """Look at every string and at the depth, without recursion."""
    waiting: list[tuple[object, str | None, int]] = [(value, None, 1)]
    while waiting:
        current, name, depth = waiting.pop()
        if isinstance(current, str):
            _inspect_string(current, bounded=name not in inline)
        elif isinstance(current, dict | list) and depth > DEEPEST:
            raise UnreadableError("nested too deeply")
        elif isinstance(current, dict):
            for key, member in current.items():
                _inspect_string(key, bounded=True)
                waiting.append((member, key, depth + 1))
        elif isinstance(current, list):
            waiting.extend((member, None, depth + 1) for member in current)


def _inspect_string(string: str, *, bounded: bool) -> None:
    if bounded and len(string) > MOST_CHARACTERS:
        raise UnreadableError(f"a string of more than {MOST_CHARACTERS} characters")
    if "\0" in string:
        raise UnreadableError("a NUL character")
    if not string.isascii() and _LONE_SURROGATE.search(string):
        raise UnreadableError("half a surrogate pair")


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_text(str(name))}:{_text(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text(member) for member in value) + "]"
    if isinstance(value, Decimal):
        return str(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
