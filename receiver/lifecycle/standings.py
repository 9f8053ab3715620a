"""Standings: where it is kept how we stand with each provider, by a process alone or by all that share a database."""

from receiver.domain.standing import Standing
from receiver.lifecycle.ports import Answer, ChangeStanding, Store, System


class OwnStandings:
    """Those of a process that shares them with nobody, by a clock that nobody sets."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._kept: dict[str, Standing] = {}

    async def change(self, provider: str, change: ChangeStanding[Answer]) -> Answer:
        self._kept[provider], answer = change(self._kept.get(provider, Standing()), self._system.monotonic())
        return answer


class SharedStandings:
    """Those of all processes that share a database: one account, one pace, one pause."""

    def __init__(self, store: Store, system: System) -> None:
        self._store = store
        self._system = system

    async def change(self, provider: str, change: ChangeStanding[Answer]) -> Answer:
        return await self._store.change_standing(provider, change, now=self._system.now())
