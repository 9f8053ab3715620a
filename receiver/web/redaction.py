"""What no answer may show: our own tokens and keys, wherever a provider or a caller repeats them to us."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from receiver.domain.token import TOKEN_CHARACTERS, Purpose, TokenSigner

MASK = "[redacted]"
#: A shorter secret would cut harmless words to pieces.
_SHORTEST_SECRET = 8
#: Base64 audio holds a few look-alikes of a token in every megabyte, which their MAC tells apart; beyond this many in
#: one text they are all taken for tokens, or a hostile text would keep us busy for minutes.
_MOST_CHECKS = 2000
#: Before every token's expiry: an expired one is not shown either.
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
#: Every token begins with its version and its purpose. Looked for at every place: any letter may precede it.
_LOOKALIKE = re.compile(rb"AQ[E-T](?=([A-Za-z0-9_-]{%d}))" % (TOKEN_CHARACTERS - 3))
_WHOLE_LOOKALIKE = re.compile(rb"AQ[E-T][A-Za-z0-9_-]{%d}" % (TOKEN_CHARACTERS - 3))
#: A callback URL gives its token away by its place, whichever key signed it; slashes may be escaped.
_IN_PLACE = re.compile(
    rb"(callbacks(?:/|\\/|%%2[Ff])[a-z0-9_]+(?:/|\\/|%%2[Ff]))[A-Za-z0-9_-]{%d}" % TOKEN_CHARACTERS
)
#: What tokens, the URLs around them and most keys are made of.
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_/%+=.:~-"
#: JSON may spell any of them as an escape, also within a text that holds JSON itself: a run from its first escape on.
_ESCAPED_RUN = re.compile(
    rb"(?:\\(?:/|\\?u00(?:2[5bBdDeEfF]|3[0-9aAdD]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE]))"
    rb"[A-Za-z0-9_/%+=.:~-]*+)++"
)
#: How far before its first escape a secret may begin.
_BEFORE_ESCAPE = 1024


class Redactor:
    """Cuts our tokens and the given secrets out of texts, bytes and JSON values."""

    def __init__(self, tokens: TokenSigner, providers: Iterable[str], secrets: Iterable[str]) -> None:
        """Prepare the spellings of each secret; ``providers`` are the names tokens may carry."""
        self._tokens = tokens
        self._providers = ("", *providers)
        spellings = {
            spelling.encode()
            for secret in secrets
            if len(secret) >= _SHORTEST_SECRET
            for spelling in (secret, json.dumps(secret)[1:-1], secret.replace("/", r"\/"), quote(secret, safe=""))
        }
        longest_first = sorted(spellings, key=len, reverse=True)
        self._secrets = re.compile(b"|".join(map(re.escape, longest_first))) if spellings else None

    def data(self, data: bytes) -> bytes:
        """Return the bytes without our tokens and secrets."""
        data = self._without_plain(data)
        return self._without_escaped(data) if b"\\u00" in data else data

    def _without_escaped(self, data: bytes) -> bytes:
        """Cut out what is spelt with escapes; of a run of letters that holds any, the escapes are resolved."""
        found: list[tuple[int, int]] = []
        done = 0
        for run in _ESCAPED_RUN.finditer(data):
            before = data[max(done, run.start() - _BEFORE_ESCAPE) : run.start()]
            start, done = run.start() - (len(before) - len(before.rstrip(_LETTERS))), run.end()
            if done - start >= _SHORTEST_SECRET and b"\\u00" in run[0]:
                found.append((start, done))
        plain = [_unescaped(data[start:end]) for start, end in found]
        # All of them at once: what is checked is bounded for the whole.
        clean = self._without_plain(b"\n".join(plain)).split(b"\n")
        kept: list[bytes] = []
        done = 0
        for (start, end), spelt, cut in zip(found, plain, clean, strict=True):
            if cut != spelt:
                kept += [data[done:start], cut]
                done = end
        return b"".join((*kept, data[done:])) if kept else data

    def _without_plain(self, data: bytes) -> bytes:
        mask = MASK.encode()
        if self._secrets is not None:
            data = self._secrets.sub(mask, data)
        if b"AQ" not in data:
            return data
        data = _IN_PLACE.sub(rb"\1" + mask, data)
        kept: list[bytes] = []
        done = at = 0
        for _ in range(_MOST_CHECKS):
            found = _LOOKALIKE.search(data, at)
            if found is None:
                return b"".join((*kept, data[done:])) if kept else data
            at = found.end()
            if self._is_ours(found[0] + found[1]):
                kept += [data[done : found.start()], mask]
                done = at = found.start() + TOKEN_CHARACTERS
        return b"".join((*kept, data[done:at], _WHOLE_LOOKALIKE.sub(mask, data[at:])))

    def text(self, text: str) -> str:
        """Return the text without our tokens and secrets."""
        data = text.encode("utf-8", "replace")
        clean = self.data(data)
        return text if clean is data or clean == data else clean.decode()

    def value(self, value: object) -> object:
        """Return a JSON value whose every string, names too, is clean."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(name)): self.value(item) for name, item in value.items()}
            case list() | tuple():
                return [self.value(item) for item in value]
            case _:
                return value

    def _is_ours(self, token: bytes) -> bool:
        return any(
            self._tokens.verify(purpose, provider, token.decode("ascii"), _LONG_AGO) is not None
            for purpose in Purpose
            for provider in self._providers
        )


def _unescaped(run: bytes) -> bytes:
    return run.replace(rb"\\u00", rb"\u00").decode("raw_unicode_escape").encode("ascii")
