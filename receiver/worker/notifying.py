"""The loop of notifications: who may be sent how much at once, so that nobody waits for another's endpoint.

Each endpoint has a bound of its own. All that have proved to answer share one pool of calls, those that are new
another, those that fail a third, one call each: a thousand that hang keep nobody else waiting. Within an endpoint
first attempts go before retries, which never take all of its places.
"""

from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol
from uuid import UUID

from receiver.domain.endpoint import Endpoint, EndpointStatus
from receiver.lifecycle import notify
from receiver.lifecycle.ports import DueEndpoint, Notice, Ports, Queue, Room, Show
from receiver.worker.watching import Hints, Places

#: Between two looks at what is to be given up or forgotten, in seconds.
SWEEP_EVERY = 10.0


class Pool(Enum):
    """How an endpoint is held to stand; the value is how many calls there may be to all of that kind."""

    PROVEN = 160
    NEW = 96
    FAILING = 64


def pool_of(endpoint: Endpoint) -> Pool:
    """Return how an endpoint stands."""
    if endpoint.failures or endpoint.status is not EndpointStatus.ACTIVE:
        return Pool.FAILING
    return Pool.PROVEN if endpoint.proven else Pool.NEW


@dataclass(slots=True)
class Desk:
    """What is under way: calls by endpoint, and by pool. ``most`` is the bound of one endpoint."""

    most: int
    by_endpoint: Counter[UUID] = field(default_factory=Counter)
    retries: Counter[UUID] = field(default_factory=Counter)
    by_pool: Counter[Pool] = field(default_factory=Counter)

    def rooms(self, due: list[DueEndpoint]) -> dict[UUID, Room]:
        """Share out what is free: the longest waiting first, each endpoint one call before any has a second."""
        free = {pool: pool.value - self.by_pool[pool] for pool in Pool}
        waiting = sorted(due, key=lambda one: min(at for at in (one.first_at, one.retry_at) if at is not None))
        given: Counter[UUID] = Counter()
        while True:
            before = given.total()
            for one in waiting:
                pool = pool_of(one.endpoint)
                if free[pool] > 0 and given[one.endpoint.id] < self._free(one.endpoint, pool):
                    given[one.endpoint.id] += 1
                    free[pool] -= 1
            if given.total() == before:
                break
        rooms = {one.endpoint.id: self._room(one, given[one.endpoint.id]) for one in waiting}
        return {endpoint_id: room for endpoint_id, room in rooms.items() if room.first + room.retries > 0}

    def take(self, notice: Notice) -> Callable[[], None]:
        """Note that a call begins; return what notes its end."""
        pool, endpoint_id, again = pool_of(notice.endpoint), notice.endpoint.id, notice.delivery.attempts > 0
        self.by_pool[pool] += 1
        self.by_endpoint[endpoint_id] += 1
        self.retries[endpoint_id] += again

        def give_back() -> None:
            self.by_pool[pool] -= 1
            self.by_endpoint[endpoint_id] -= 1
            self.retries[endpoint_id] -= again
            if not self.by_endpoint[endpoint_id]:
                del self.by_endpoint[endpoint_id], self.retries[endpoint_id]

        return give_back

    def _free(self, endpoint: Endpoint, pool: Pool) -> int:
        most = {Pool.PROVEN: self.most, Pool.NEW: min(2, self.most), Pool.FAILING: 1}[pool]
        return most - self.by_endpoint[endpoint.id]

    def _room(self, one: DueEndpoint, places: int) -> Room:
        """Divide places among first attempts and retries: the first go first, retries take half at the most."""
        retries = min(places, max(1, self.most // 2) - self.retries[one.endpoint.id])
        if one.first_at is None:
            return Room(0, max(0, retries))
        if one.retry_at is None or places == 1 or retries < 1:
            return Room(places, 0)
        return Room(places - 1, 1)


class Place:
    """One call under way, for the length of its step."""

    def __init__(self, desk: Desk, notice: Notice, hints: Hints) -> None:
        self._desk = desk
        self._notice = notice
        self._hints = hints
        self._end: Callable[[], None] = lambda: None

    def take(self) -> None:
        self._end = self._desk.take(self._notice)

    def give_back(self) -> None:
        self._end()
        # There may be work for it, or for what had to wait for this delivery.
        self._hints.wake(Queue.NOTIFY)


class Run(Protocol):
    """Starts a step that goes on by itself; ``named`` is what it is about."""

    def __call__(self, name: str, slots: Places, step: Coroutine[object, object, None], **named: str) -> None: ...


class Notifying:
    """The loop of one kind of work, a round at a time."""

    def __init__(self, ports: Ports, show: Show, most: int, hints: Hints, run: Run) -> None:
        """``most`` is how many calls there may be to one endpoint at once."""
        self._ports = ports
        self._show = show
        self._desk = Desk(most)
        self._hints = hints
        self._run = run
        self._next_sweep = 0.0

    async def once(self) -> bool:
        """Begin what may be sent now; return whether there was any."""
        await self._sweep()
        rooms = self._desk.rooms(await notify.due(self._ports))
        leased = await notify.lease(self._ports, rooms) if rooms else []
        for notice in leased:
            place = Place(self._desk, notice, self._hints)
            named = {"task_id": str(notice.task.id), "delivery_id": str(notice.delivery.id)}
            self._run("notify", place, self._send(notice), **named)
        return bool(leased)

    async def _send(self, notice: Notice) -> None:
        await notify.notify(self._ports, notice, self._show)

    async def _sweep(self) -> None:
        """Give up and forget what is to be, now and then."""
        if self._ports.system.monotonic() >= self._next_sweep:
            self._next_sweep = self._ports.system.monotonic() + SWEEP_EVERY
            while await notify.sweep(self._ports) >= notify.SWEPT:
                pass
