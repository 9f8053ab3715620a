"""What no answer may show: our own tokens and keys, wherever a provider or a caller repeats them to us."""

import json
import re
from bisect import bisect_right
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from urllib.parse import quote

from anyio import Lock

from receiver.domain.token import TOKEN_CHARACTERS, TokenSigner

MASK = "[redacted]"
#: A shorter secret would cut harmless words to pieces.
_SHORTEST_SECRET = 8
#: Base64 audio holds a few look-alikes of a token in every megabyte, which their MAC tells apart; beyond this many in
#: one text they are all taken for tokens, or a hostile text would keep us busy for minutes.
_MOST_CHECKS = 2000
#: Every token begins with its version and its purpose. Looked for at every place: any letter may precede it.
_LOOKALIKE = re.compile(rb"AQ[E-X](?=([A-Za-z0-9_-]{%d}))" % (TOKEN_CHARACTERS - 3))
_WHOLE_LOOKALIKE = re.compile(rb"AQ[E-X][A-Za-z0-9_-]{%d}" % (TOKEN_CHARACTERS - 3))
#: The URL of a callback or of an uploaded file gives its token away by its place, whichever key signed it; slashes
#: may be escaped.
_IN_PLACE = re.compile(
    rb"(?:callbacks(?:/|\\/|%%2[Ff])[a-z0-9_]+|inputs)(?:/|\\/|%%2[Ff])([A-Za-z0-9_-]{%d})" % TOKEN_CHARACTERS
)
#: What tokens, the URLs around them and most keys are made of.
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_/%+=.:~-"
#: JSON may spell any of them as an escape, also within a text that holds JSON itself: a run from its first escape on.
_ESCAPED_RUN = re.compile(
    rb"(?:\\(?:/|\\?u00(?:2[5bBdDeEfF]|3[0-9aAdD]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE]))"
    rb"[A-Za-z0-9_/%+=.:~-]*+)++"
)
_ESCAPE = re.compile(rb"\\\\?u00[0-9a-fA-F]{2}")
#: The longest spelling of one letter: an escape with two backslashes.
_LONGEST_LETTER = 7
#: A text is searched in pieces of this size: one search, of a millisecond, holds up all that goes on beside it.
_PIECE = 64 * 1024
#: And then nothing is searched for so long: a callback needs several turns of the loop until it is answered, and with
#: a piece in each of them 125 readers of large bodies made the slowest of 100 answers take 200 ms instead of 5.
REST_SECONDS = 0.003
#: Before and behind each piece so much more is looked at, or what lies across its ends would not be seen. A URL of
#: ours with every letter escaped is shorter.
_LEAST_MARGIN = 4096

_Span = tuple[int, int]


class Redactor:
    """Cuts our tokens and the given secrets out of texts, bytes and JSON values."""

    def __init__(
        self, tokens: TokenSigner, secrets: Iterable[str], sleep: Callable[[float], Awaitable[object]]
    ) -> None:
        """Prepare the spellings of each secret; ``sleep`` lets all else go on for so many seconds."""
        self._tokens = tokens
        self._sleep = sleep
        self._turn = Lock()
        spellings = {
            spelling.encode()
            for secret in secrets
            if len(secret) >= _SHORTEST_SECRET
            for spelling in (secret, json.dumps(secret)[1:-1], secret.replace("/", r"\/"), quote(secret, safe=""))
        }
        longest_first = sorted(spellings, key=len, reverse=True)
        self._secrets = re.compile(b"|".join(map(re.escape, longest_first))) if spellings else None
        self._margin = max(_LEAST_MARGIN, *(_LONGEST_LETTER * len(spelling) for spelling in spellings), 0)

    def data(self, data: bytes) -> bytes:
        """Return the bytes without our tokens and secrets; the same object when there are none."""
        checks = _Checks(self._tokens)
        clean: list[bytes] = []
        found, reached = False, 0
        for start in range(0, len(data), _PIECE):
            first = max(0, start - self._margin)
            piece = _Piece(data[first : start + _PIECE + self._margin], start - first, _PIECE, reached - first)
            spans = self._spans(piece, checks)
            found = found or bool(spans)
            clean.append(piece.without(spans))
            reached = max(reached, first + (spans[-1][1] if spans else 0))
        return b"".join(clean) if found else data

    async def stream(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Yield the bytes of a stream without our tokens and secrets, a piece at a time.

        Of all streams only one is searched at a time, and then all else goes on for a while.
        """
        checks = _Checks(self._tokens)
        held, lead, reached = bytearray(), 0, 0

        async def cut(size: int) -> bytes:
            nonlocal lead, reached
            piece = _Piece(bytes(held[: lead + size + self._margin]), lead, size, reached)
            async with self._turn:
                spans = self._spans(piece, checks)
                await self._sleep(REST_SECONDS)
            gone = max(0, lead + size - self._margin)
            lead, reached = lead + size - gone, (spans[-1][1] if spans else reached) - gone
            del held[:gone]
            return piece.without(spans)

        async for chunk in chunks:
            held += chunk
            while len(held) >= lead + _PIECE + self._margin:
                yield await cut(_PIECE)
        while len(held) > lead:
            yield await cut(min(_PIECE, len(held) - lead))

    def text(self, text: str) -> str:
        """Return the text without our tokens and secrets."""
        data = text.encode("utf-8", "replace")
        clean = self.data(data)
        return text if clean is data else clean.decode()

    def value(self, value: object) -> object:
        """Return a JSON value whose every string, names too, is clean."""
        strings: list[str] = []
        plain = _plain_value(value, strings)
        # All of them at once: most values hold no secret, and a caller's options may be thousands of short strings.
        together = "\n".join(strings)
        return plain if self.text(together) is together else self._cleaned(plain)

    def _cleaned(self, value: object) -> object:
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(name): self._cleaned(item) for name, item in value.items()}
            case list():
                return [self._cleaned(item) for item in value]
            case _:
                return value

    def _spans(self, piece: "_Piece", checks: "_Checks") -> list[_Span]:
        """Return where secrets that begin in the piece itself stand, in order and apart from each other."""
        spans: list[_Span] = []
        done = piece.reached
        for start, end in sorted(_found(piece.data, self._secrets, checks)):
            # What begins outside is found, whole, with the neighbour.
            if piece.lead <= start < piece.lead + piece.size and end > done:
                spans.append((max(start, done), end))
                done = end
        return spans


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of a text between its margins, behind ``lead`` bytes; up to ``reached`` it has been cut out already."""

    data: bytes
    lead: int
    size: int
    reached: int

    def without(self, spans: Iterable[_Span]) -> bytes:
        """Return what is left of the piece itself."""
        kept: list[bytes] = []
        done = max(self.lead, self.reached)
        for start, end in spans:
            kept += (self.data[done:start], MASK.encode())
            done = end
        return b"".join((*kept, self.data[done : self.lead + self.size]))


class _Checks:
    """Tells tokens from look-alikes, for as many as one text is worth."""

    __slots__ = ("_tokens", "left")

    def __init__(self, tokens: TokenSigner) -> None:
        self._tokens = tokens
        self.left = _MOST_CHECKS

    def is_ours(self, lookalike: bytes) -> bool:
        self.left -= 1
        return self._tokens.issued(lookalike.decode("ascii"))


def _plain_value(value: object, strings: list[str]) -> object:
    """Return a JSON value made of plain dicts and lists, its strings noted on the way."""
    match value:
        case str():
            strings.append(value)
            return value
        case Mapping():
            names = [str(name) for name in value]
            strings += names
            return {name: _plain_value(item, strings) for name, item in zip(names, value.values(), strict=True)}
        case list() | tuple():
            return [_plain_value(item, strings) for item in value]
        case _:
            return value


def _found(data: bytes, secrets: re.Pattern[bytes] | None, checks: _Checks) -> Iterator[_Span]:
    """Yield where secrets stand, in any order: as they are, and spelt with escapes."""
    yield from _plain(data, secrets, checks)
    if b"\\u00" in data:
        yield from _escaped(data, secrets, checks)


def _plain(data: bytes, secrets: re.Pattern[bytes] | None, checks: _Checks) -> Iterator[_Span]:
    if secrets is not None:
        yield from (found.span() for found in secrets.finditer(data))
    if b"AQ" not in data:
        return
    yield from (found.span(1) for found in _IN_PLACE.finditer(data))
    at = 0
    while checks.left:
        found = _LOOKALIKE.search(data, at)
        if found is None:
            return
        at = found.end()
        if checks.is_ours(found[0] + found[1]):
            at = found.start() + TOKEN_CHARACTERS
            yield found.start(), at
    yield from (found.span() for found in _WHOLE_LOOKALIKE.finditer(data, at))


def _escaped(data: bytes, secrets: re.Pattern[bytes] | None, checks: _Checks) -> Iterator[_Span]:
    """Yield what is found once the escapes are resolved, at the places where it is spelt."""
    runs: list[_Span] = []
    done = 0
    for run in _ESCAPED_RUN.finditer(data):
        if b"\\u00" in run[0]:
            # A secret may begin before its first escape.
            before = data[max(done, run.start() - _LEAST_MARGIN) : run.start()]
            runs.append((run.start() - (len(before) - len(before.rstrip(_LETTERS))), run.end()))
        done = run.end()
    plain = [_unescaped(data[start:end]) for start, end in runs]
    # All of them at once: there may be thousands.
    begins = list(accumulate((len(run) + 1 for run in plain), initial=0))
    number, places = -1, _Places(b"")
    for begin, end in sorted(_plain(b"\n".join(plain), secrets, checks)):
        at = bisect_right(begins, begin) - 1
        start, stop = runs[at]
        if at != number:
            number, places = at, _Places(data[start:stop])
        yield start + places.of(begin - begins[at]), min(start + places.of(end - begins[at]), stop)


class _Places:
    """Where in a run the letters stand that its escapes mean."""

    __slots__ = ("_behind", "_shrunk")

    def __init__(self, run: bytes) -> None:
        escapes = list(_ESCAPE.finditer(run))
        #: By how much the text has shrunk behind each escape, and where, once resolved, that is.
        self._shrunk = list(accumulate((len(escape[0]) - 1 for escape in escapes), initial=0))
        self._behind = [escape.end() - less for escape, less in zip(escapes, self._shrunk[1:], strict=True)]

    def of(self, letter: int) -> int:
        """Return where the letter of that number begins."""
        return letter + self._shrunk[bisect_right(self._behind, letter)]


def _unescaped(run: bytes) -> bytes:
    return run.replace(rb"\\u00", rb"\u00").decode("raw_unicode_escape").encode("ascii")
