"""Resting: which providers take nothing for now, as the store says it and as our own steps have met it since."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from receiver.lifecycle.ports import Pause, Store, System


class Resting:
    """The pauses of all providers, kept in memory between two looks into the store.

    What a step met is heeded at once, until the store says it too or it is over: a look that began before it was
    written, or a store that could not take it, does not end it. From then on the store decides, so that a pause that
    somebody else ends is over here as well.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._met: dict[str, Pause] = {}
        self._now: dict[str, Pause] = {}

    def of(self, provider: str) -> Pause | None:
        """Return the pause of a provider; None when it does not rest now."""
        pause = self._now.get(provider)
        return pause if pause is not None and pause.until > self._system.now() else None

    def heed(self, pause: Pause) -> list[Pause]:
        """Let a provider rest from now on; return the pause when it did not rest before."""
        known = self._met.get(pause.provider)
        if known is None or known.until < pause.until:
            self._met[pause.provider] = pause
        return self._take(self._now)

    async def read(self, store: Store) -> list[Pause]:
        """Take over what the store says; return the pauses that begin with it. Raises UnavailableError."""
        said = await store.pauses()
        now = self._system.now()
        self._met = {name: met for name, met in self._met.items() if met.until > now and _outlasts(met, said)}
        return self._take(said)

    def follow_clock(self, by: timedelta) -> None:
        """Let what was met keep its distance from a clock that was set back, as the store's pauses do."""
        if by < timedelta():
            self._met = {name: replace(met, until=met.until + by) for name, met in self._met.items()}

    def _take(self, said: Mapping[str, Pause]) -> list[Pause]:
        """Let the later end win; return what begins."""
        resting = [name for name in self._now if self.of(name) is not None]
        self._now = {**said, **{name: met for name, met in self._met.items() if _outlasts(met, said)}}
        return [pause for name, pause in self._now.items() if name not in resting and self.of(name) is not None]


def _outlasts(met: Pause, said: Mapping[str, Pause]) -> bool:
    known = said.get(met.provider)
    return known is None or known.until < met.until
