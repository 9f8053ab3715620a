"""Which words of a report made its adapter refuse it: the reason names them, the body holds them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Shorter ones would be found anywhere.
_SHORTEST = 2
_MOST_PLACES = 20
_PLACE = re.compile(r"at (character|byte) (\d{1,9})")
#: What parts one statement of a reason from the next, and its subject from the words it is about.
_STATEMENT = re.compile(r"; |: ")
_AROUND = 1
#: Marks that turn the direction of a text, and those that draw nothing: shown as what they are.
_UNSEEN = re.compile("[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a text; ``differs`` when it is what the reason speaks of."""

    text: str
    differs: bool = False


def parts(body: bytes, reason: str | None) -> Sequence[Part]:
    """Return a body as text, cut where what differs begins and ends; what could not be seen is spelt out."""
    text = body.decode("utf-8", "backslashreplace")
    found = sorted(_places(text, reason or ""))[:_MOST_PLACES]
    shown: list[Part] = []
    reached = 0
    for start, end in found:
        if start < reached:
            continue
        if start > reached:
            shown.append(Part(_spelt(text[reached:start])))
        shown.append(Part(_spelt(text[start:end]), differs=True))
        reached = end
    return [*shown, Part(_spelt(text[reached:]))] if reached < len(text) or not shown else shown


def _places(text: str, reason: str) -> Iterator[tuple[int, int]]:
    for what, digits in _PLACE.findall(reason):
        at = int(digits)
        if what == "byte":
            # Every byte before it was good UTF-8.
            at = len(text.encode("utf-8", "replace")[:at].decode("utf-8", "ignore"))
        if text and at <= len(text):
            yield max(0, min(at, len(text) - _AROUND)), min(len(text), at + _AROUND)
    for statement in _STATEMENT.split(reason):
        yield from _named(text, statement)


def _named(text: str, statement: str) -> Iterator[tuple[int, int]]:
    """Yield where the longest end of a statement that the body holds as a string of its own stands."""
    words = statement.split(" ")
    for first in range(len(words)):
        name = " ".join(words[first:]).rstrip("…")
        if len(name) < _SHORTEST:
            continue
        quoted = f'"{name}"'
        if quoted in text:
            at = text.find(quoted)
            while at >= 0:
                yield at, at + len(quoted)
                at = text.find(quoted, at + len(quoted))
            return


def _spelt(text: str) -> str:
    return _UNSEEN.sub(lambda letter: f"\\u{ord(letter[0]):04x}", text)
