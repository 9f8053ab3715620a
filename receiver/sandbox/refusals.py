"""Requests turned away at the door: too many, the server's fault, or any status that a test wants to see."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from receiver.sandbox.chance import Chance
from receiver.sandbox.faults import Faults
from receiver.sandbox.generation import Provider
from receiver.sandbox.state import State

Phase: TypeAlias = Literal["submit", "poll"]

_TOO_MANY = 429
_SERVER_FAULTS = (500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request turned away: its status, whether `http_error` chose it, and a Retry-After in seconds if any."""

    status: int
    chosen: bool = False
    retry_after: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that go with it."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def refuse_submit(state: State, provider: Provider) -> Refusal | None:
    """Return why the next submit request is turned away, or None; submits are drawn by their own count."""
    state.doors[provider] += 1
    chance = Chance(state.config.seed, f"{provider.value} door", state.doors[provider])
    return _draw(state.faults_for(provider), chance, "submit", 0)


def refuse_look(faults: Faults, chance: Chance, look: int) -> Refusal | None:
    """Return why the `look`-th question about a generation (or of the logs) is turned away, or None."""
    return _draw(faults, chance, "poll", look)


def _draw(faults: Faults, chance: Chance, phase: Phase, index: int) -> Refusal | None:
    if faults.http_on not in {"all", phase}:
        return None
    if chance.hits(faults.http_429, "http_429", index):
        return Refusal(_TOO_MANY, retry_after=faults.retry_after)
    if chance.hits(faults.http_5xx, "http_5xx", index):
        return Refusal(chance.pick(_SERVER_FAULTS, "which 5xx", index))
    if chance.hits(faults.http_error, "http_error", index):
        return Refusal(faults.http_error_status, chosen=True)
    return None
