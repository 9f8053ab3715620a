"""Randomness that repeats: every draw is a pure function of (seed, provider, ordinal, what is drawn).

So a run repeats whatever the timing, and raising one share leaves every other draw as it was.
"""

import base64
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

_Thing = TypeVar("_Thing")


@dataclass(frozen=True, slots=True)
class Chance:
    """The draws of one submit: `ordinal` counts a provider's accepted submits from 1."""

    seed: int
    provider: str
    ordinal: int

    def bits(self, name: str, *index: int) -> int:
        """Return 128 random bits for the draw `name`."""
        key = f"{self.seed}/{self.provider}/{self.ordinal}/{name}/{'/'.join(map(str, index))}"
        return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest(), "big")

    def share(self, name: str, *index: int) -> float:
        """Return a number from 0 (included) to 1 (excluded)."""
        return (self.bits(name, *index) >> 75) / (1 << 53)

    def hits(self, share: float, name: str, *index: int) -> bool:
        """Return True for the given share of draws."""
        return self.share(name, *index) < share

    def between(self, low: float, high: float, name: str, *index: int) -> float:
        """Return a number from `low` to `high`."""
        return low + (high - low) * self.share(name, *index)

    def pick(self, things: Sequence[_Thing], name: str, *index: int) -> _Thing:
        """Return one of the things, all equally likely."""
        return things[self.bits(name, *index) % len(things)]

    def uuid4(self, name: str, *index: int) -> str:
        """Return a UUID of version 4."""
        return str(uuid.UUID(int=self.bits(name, *index), version=4))

    def word(self, length: int, name: str, *index: int) -> str:
        """Return up to 43 URL-safe characters (letters, digits, `-`, `_`)."""
        both = self.bits(name, 0, *index).to_bytes(16, "big") + self.bits(name, 1, *index).to_bytes(16, "big")
        return base64.urlsafe_b64encode(both).decode()[:length]
