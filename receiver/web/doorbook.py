"""What came to the callback door of this process since it started: counts, and a few of those who were turned away.

Nothing that a stranger wrote is kept: a path may hold a token, of ours or of somebody else's.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from starlette.types import Scope

from receiver.domain.token import TOKEN_CHARACTERS
from receiver.lifecycle.ports import Ports
from receiver.web.auth import peer_of

#: Of those who were turned away so many are shown, at most one in so many seconds: a storm is one line, not all.
MOST_SHOWN = 20
SHOWN_EVERY_SECONDS = 1.0
_PARTS = 4
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Stranger(StrEnum):
    """Why an address leads nowhere, as far as that can be told without believing it."""

    NO_ADDRESS = "no callback address at all"
    NO_PROVIDER = "names no provider of ours"
    NO_TOKEN = "ends with no token of ours: cut off, or added to"  # noqa: S105 - words about one
    FORGED = "a token that none of our keys made: guessed, or from another installation"
    OUTDATED = "a token of ours that has expired, or that opens something else"


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """One request that was turned away; ``peer`` is its address, ``provider`` one of ours or None."""

    at: datetime
    why: Stranger
    method: str
    provider: str | None
    peer: str


class DoorBook:
    """Kept by the door, read by people. ``outcomes`` counts by provider and by the words of the metrics."""

    def __init__(self, ports: Ports) -> None:
        """Begin to count."""
        self._ports = ports
        self._shown: deque[TurnedAway] = deque(maxlen=MOST_SHOWN)
        self._next_shown = 0.0
        self.began = ports.system.now()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.strangers: Counter[Stranger] = Counter()

    @property
    def shown(self) -> Sequence[TurnedAway]:
        """Some of those who were turned away, the last first."""
        return tuple(reversed(self._shown))

    def came(self, provider: str, outcome: str) -> None:
        """Note what became of a callback."""
        self.outcomes[provider, outcome] += 1

    def turned_away(self, scope: Scope) -> None:
        """Note somebody who came with no address of ours, after the answer: what is found out here delays none."""
        provider, why = self._why(scope["raw_path"])
        self.strangers[why] += 1
        now = self._ports.system.monotonic()
        if now < self._next_shown:
            return
        self._next_shown = now + SHOWN_EVERY_SECONDS
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._shown.append(TurnedAway(self._ports.system.now(), why, method, provider, peer_of(scope)))

    def _why(self, raw_path: bytes) -> tuple[str | None, Stranger]:
        parts = raw_path.decode("latin-1").split("/")
        if len(parts) != _PARTS or parts[:2] != ["", "callbacks"]:
            return None, Stranger.NO_ADDRESS
        provider, token = parts[2], parts[3]
        if provider not in self._ports.providers:
            return None, Stranger.NO_PROVIDER
        if len(token) != TOKEN_CHARACTERS:
            return provider, Stranger.NO_TOKEN
        return provider, Stranger.OUTDATED if self._ports.tokens.issued(token) else Stranger.FORGED
