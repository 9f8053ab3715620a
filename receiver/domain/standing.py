"""How we stand with a provider: which of its calls are left by our pace, and how it has taken the last submits.

Values only. Where several processes serve one account there is one standing for all of them, changed by one after the
other; every moment is in seconds by the one clock that whoever changes it goes by.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from receiver.domain.attempt import NotSent, SubmitOutcome, Unclear
from receiver.domain.schedule import UNCLEAR_IN_A_ROW, rest_of_unclear

#: Who has to wait for a turn reserves the turns of so many seconds at once, at least one.
RESERVED_SECONDS = 0.1
#: No more processes than this wait for turns at once. A bucket that is empty for longer is one of before the clock
#: was set back.
MOST_WAITING = 100
#: A turn is there although the arithmetic of floats finds that a hair of it is missing.
_HAIR = 1e-9


@dataclass(frozen=True, slots=True)
class Standing:
    """What is kept of our dealings with one provider.

    ``empty_at`` is when the bucket of turns was empty, or will be once those who wait have had theirs; None for a
    full one. ``rested_at`` is when the last of ``rests`` began. Until ``probed_until`` somebody finds out whether
    the provider is well again.
    """

    empty_at: float | None = None
    unclear_in_a_row: int = 0
    rests: int = 0
    rested_at: float | None = None
    probed_until: float | None = None

    @property
    def doubtful(self) -> bool:
        """Whether the provider is taken to be out of order."""
        return self.unclear_in_a_row >= UNCLEAR_IN_A_ROW


def take(standing: Standing, now: float, per_second: float, most: int) -> tuple[Standing, tuple[int, float]]:
    """Take up to ``most`` turns, at least one; return how many, and after how many seconds they may be used.

    The bucket holds a second's turns, at least one, and fills evenly (a leaky bucket as a meter: ITU-T I.371, the
    generic cell rate algorithm). Turns that are not there yet are reserved, so that whoever asks later waits longer.
    """
    empty_at = _within(standing.empty_at, now, per_second)
    there = (now - empty_at) * per_second
    if there >= 1 - _HAIR:
        count, wait = min(most, int(there + _HAIR)), 0.0
    else:
        count = min(most, max(1, int(RESERVED_SECONDS * per_second)))
        wait = (count - there) / per_second
    return replace(standing, empty_at=empty_at + count / per_second), (count, wait)


def give_back(standing: Standing, now: float, per_second: float, unused: int) -> Standing:
    """Return turns that no call was made of."""
    empty_at = _within(standing.empty_at, now, per_second)
    return replace(standing, empty_at=_within(empty_at - unused / per_second, now, per_second))


def _within(empty_at: float | None, now: float, per_second: float) -> float:
    full = now - max(1.0, per_second) / per_second
    return full if empty_at is None else max(full, min(empty_at, now + MOST_WAITING / per_second))


def doubt(standing: Standing) -> Standing:
    """Take the provider to be out of order until it has shown that it is not."""
    return replace(standing, unclear_in_a_row=max(standing.unclear_in_a_row, UNCLEAR_IN_A_ROW))


def probe(standing: Standing, now: float, seconds: float) -> tuple[Standing, bool]:
    """Be the one who finds out, for ``seconds`` at most; False when somebody is already."""
    if standing.probed_until is not None and now < standing.probed_until <= now + seconds:
        return standing, False
    return replace(standing, probed_until=now + seconds), True


def leave(standing: Standing) -> Standing:
    """Find out nothing after all."""
    return replace(standing, probed_until=None)


def note(
    standing: Standing, outcome: SubmitOutcome, begun_at: float, now: float
) -> tuple[Standing, timedelta | None]:
    """Count what came of a submit; return the rest that the provider needs from now on, if one begins.

    One that was never sent says nothing about the provider, and those that began before a rest begin no other.
    """
    standing = leave(standing)
    if not isinstance(outcome, Unclear):
        if not isinstance(outcome, NotSent):
            standing = replace(standing, unclear_in_a_row=0, rests=0, rested_at=None)
        return standing, None
    standing = replace(standing, unclear_in_a_row=standing.unclear_in_a_row + 1)
    rested_at = None if standing.rested_at is None else min(standing.rested_at, now)
    if not standing.doubtful or (rested_at is not None and begun_at <= rested_at):
        return standing, None
    rested = replace(standing, rests=standing.rests + 1, rested_at=now)
    return rested, rest_of_unclear(rested.rests)
