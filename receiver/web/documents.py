"""JSON bodies, read strictly: what parsers read differently, or no database can store, is refused by name."""

import json
import math
import re
from collections.abc import Iterator
from functools import partial

from anyio import to_thread

from receiver.domain.errors import FieldProblem
from receiver.web import problems
from receiver.web.problems import ProblemError, invalid, invalid_fields

#: Deeper than any request of ours, shallower than what exhausts a stack.
DEEPEST = 16
#: Members of one object, at any depth: the vocabulary is small, and so are the providers' own.
MOST_MEMBERS = 256
#: How many fields at fault are named.
MOST_PROBLEMS = 50
#: Names in answers are cut here: they may be a caller's own.
_LONGEST_NAME = 80
_LARGEST_INTEGER = 2**63
#: Digits of a 64-bit integer, its sign included; a longer number is not worth computing.
_MOST_DIGITS = 20
#: A larger body is read in a thread, and its text looked through in slices: 64 MiB take half a second.
_READ_AT_ONCE = 1024 * 1024
#: Text that may have several lines; all other text has one.
_MANY_LINES = frozenset({"prompt", "lyrics", "metadata", "provider_options"})
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTROL_IN_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class _NotJsonError(ValueError):
    """The text has the form of JSON for Python alone, or says one thing twice."""


async def read_aside(body: bytes, *, most_values: int) -> dict[str, object]:
    """Return what ``read_document`` does, without holding up everybody else over a large body."""
    if len(body) <= _READ_AT_ONCE:
        return read_document(body, most_values=most_values)
    return await to_thread.run_sync(partial(read_document, body, most_values=most_values))


def read_document(body: bytes, *, most_values: int) -> dict[str, object]:
    """Return the object that a body holds. Raises ProblemError, which says where the body is at fault."""
    if body.count(b"{") + body.count(b"[") + body.count(b",") > most_values:
        raise invalid("body", f"holds more than {most_values} values")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProblemError(problems.INVALID_JSON, f"the body is not UTF-8 at byte {error.start}") from None
    document = _parse(text)
    if not isinstance(document, dict):
        raise invalid("body", "must be a JSON object")
    found = list(_first(_problems_in(document, ()), MOST_PROBLEMS))
    if found:
        raise invalid_fields(found)
    return document


def shown_name(*path: object) -> str:
    """Return the name of a field as answers show it: dotted, printable, not too long."""
    name = ".".join(str(part) for part in path)
    printable = "".join(
        letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in name[:_LONGEST_NAME]
    )
    return printable + ("…" if len(name) > _LONGEST_NAME else "")


def _parse(text: str) -> object:
    try:
        document: object = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ProblemError(problems.INVALID_JSON, f"the body is not JSON at {where}: {error.msg}") from None
    except _NotJsonError as error:
        raise ProblemError(problems.INVALID_JSON, str(error)) from None
    except RecursionError:
        raise ProblemError(problems.INVALID_JSON, "the body is nested too deeply") from None
    return document


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(pairs) > MOST_MEMBERS:
        raise invalid("body", f"holds an object with more than {MOST_MEMBERS} members")
    read: dict[str, object] = {}
    for name, value in pairs:
        if name in read:
            raise _NotJsonError(f"the body says {shown_name(name)!r} twice in one object")
        read[name] = value
    return read


def _integer(digits: str) -> int:
    return int(digits) if len(digits) <= _MOST_DIGITS else _LARGEST_INTEGER


def _constant(word: str) -> object:
    raise _NotJsonError(f"the body is not JSON: {word} is no JSON number")


def _first(found: Iterator[FieldProblem], most: int) -> Iterator[FieldProblem]:
    for problem, _ in zip(found, range(most), strict=False):
        yield problem


def _problems_in(value: object, path: tuple[object, ...]) -> Iterator[FieldProblem]:
    """Name every value, at any depth, that could not be stored or sent on as it is."""
    if isinstance(value, dict | list):
        if len(path) >= DEEPEST:
            yield FieldProblem(shown_name(*path), f"is nested deeper than {DEEPEST} levels")
        else:
            yield from _problems_within(value, path)
        return
    message = _problem_of(value, many_lines=bool(path) and path[0] in _MANY_LINES)
    if message is not None:
        yield FieldProblem(shown_name(*path), message)


def _problems_within(value: dict[str, object] | list[object], path: tuple[object, ...]) -> Iterator[FieldProblem]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        message = _text_problem(name, many_lines=False) if isinstance(name, str) else None
        if message is not None:
            yield FieldProblem(shown_name(*path, name), f"has a name that {message}")
        else:
            yield from _problems_in(item, (*path, name))


def _problem_of(value: object, *, many_lines: bool) -> str | None:
    match value:
        case str():
            return _text_problem(value, many_lines=many_lines)
        case bool():
            return None
        case int() if not -_LARGEST_INTEGER <= value < _LARGEST_INTEGER:
            return "is an integer beyond 64 bits"
        case float() if not math.isfinite(value):
            return "is a number too large to keep"
        case _:
            return None


def _text_problem(text: str, *, many_lines: bool) -> str | None:
    # The quick answer for base64 of many megabytes.
    if all(text[at : at + _READ_AT_ONCE].isprintable() for at in range(0, len(text), _READ_AT_ONCE)):
        return None
    found = (_CONTROL_IN_LINES if many_lines else _CONTROL).search(text)
    if found is None:
        return None
    code = ord(found[0])
    kind = "half of a surrogate pair" if code >= 0xD800 else "a control character"  # noqa: PLR2004 - Unicode's own number
    return f"contains {kind} (U+{code:04X})"
