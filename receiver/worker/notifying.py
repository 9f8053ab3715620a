"""The loop of notifications: who may be sent how much at once, so that nobody waits for another's endpoint.

Each endpoint has a bound of its own. All that have proved to answer share one pool of calls, those that are new
another, those that fail a third, one call each: a thousand that hang keep nobody else waiting. A call that takes long
goes over to a fourth, and its endpoint begins no other meanwhile. Within an endpoint first attempts go before
retries, which never take all of its places.
"""

import asyncio
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
#: A call that goes on for longer makes room for others.
LONG_SECONDS = 0.5


class Pool(Enum):
    """How an endpoint is held to stand, and where calls to the first two go when they take long."""

    PROVEN = "proven"
    NEW = "new"
    FAILING = "failing"
    SLOW = "slow"


#: How many calls there may be to all endpoints of a kind.
MOST = {Pool.PROVEN: 96, Pool.NEW: 64, Pool.FAILING: 64, Pool.SLOW: 96}
#: Attempts a second at all endpoints that fail: many of them would else keep the processor from all others.
FAILING_PER_SECOND = 20.0


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
    slow: Counter[UUID] = field(default_factory=Counter)

    @property
    def failing(self) -> int:
        """How many calls may begin to endpoints that fail."""
        return MOST[Pool.FAILING] - self.by_pool[Pool.FAILING]

    def rooms(self, due: list[DueEndpoint]) -> dict[UUID, Room]:
        """Share out what is free: the longest waiting first, each endpoint one call before any has a second."""
        free = {pool: MOST[pool] - self.by_pool[pool] for pool in Pool}
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

    def take(self, notice: Notice) -> tuple[Callable[[], None], Callable[[], None]]:
        """Note that a call begins; return what notes that it takes long, and what notes its end."""
        pool, endpoint_id, again = pool_of(notice.endpoint), notice.endpoint.id, notice.delivery.attempts > 0
        self.by_pool[pool] += 1
        self.by_endpoint[endpoint_id] += 1
        self.retries[endpoint_id] += again

        place = [pool]

        def slow_down() -> None:
            if place[0] in {Pool.PROVEN, Pool.NEW} and self.by_pool[Pool.SLOW] < MOST[Pool.SLOW]:
                self.by_pool[place[0]] -= 1
                self.by_pool[Pool.SLOW] += 1
                self.slow[endpoint_id] += 1
                place[0] = Pool.SLOW

        def give_back() -> None:
            self.by_pool[place[0]] -= 1
            self.slow[endpoint_id] -= place[0] is Pool.SLOW
            self.by_endpoint[endpoint_id] -= 1
            self.retries[endpoint_id] -= again
            if not self.by_endpoint[endpoint_id]:
                del self.by_endpoint[endpoint_id], self.retries[endpoint_id], self.slow[endpoint_id]

        return slow_down, give_back

    def _free(self, endpoint: Endpoint, pool: Pool) -> int:
        if self.slow[endpoint.id]:
            return 0
        most = self.most if pool is Pool.PROVEN else min(2, self.most) if pool is Pool.NEW else 1
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
        self._timer: asyncio.TimerHandle | None = None

    def take(self) -> None:
        slow_down, self._end = self._desk.take(self._notice)

        def takes_long() -> None:
            slow_down()
            self._hints.wake(Queue.NOTIFY)

        self._timer = asyncio.get_running_loop().call_later(LONG_SECONDS, takes_long)

    def give_back(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
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
        self._left = FAILING_PER_SECOND
        self._counted_at = ports.system.monotonic()

    def _turns(self) -> int:
        """Return how many attempts may begin now at endpoints that fail."""
        now = self._ports.system.monotonic()
        self._left = min(FAILING_PER_SECOND, self._left + (now - self._counted_at) * FAILING_PER_SECOND)
        self._counted_at = now
        return max(0, int(self._left))

    async def once(self) -> bool:
        """Begin what may be sent now; return whether there was any."""
        await self._sweep()
        failing = min(self._desk.failing, self._turns())
        found = await notify.due(self._ports, failing=failing, busy=list(self._desk.by_endpoint))
        rooms = self._desk.rooms(found)
        leased = await notify.lease(self._ports, rooms) if rooms else []
        self._left -= sum(pool_of(notice.endpoint) is Pool.FAILING for notice in leased)
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
