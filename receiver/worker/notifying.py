"""The loop of notifications: who may be sent how much at once, so that nobody waits for another's endpoint.

Each endpoint has a bound of its own. All that have proved to answer share one pool of calls, those that are new
another, those that fail a third, one call each: a thousand that hang keep nobody else waiting. A call that takes long
goes over to a fourth, and its endpoint begins no other meanwhile. Within an endpoint first attempts go before
retries, which never take all of its places. Those that are new or fail are looked up and claimed in a lane of their
own, so many a second: what they need is never between an event and an endpoint that answers.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol
from uuid import UUID

from receiver.domain.endpoint import Endpoint, EndpointStatus
from receiver.lifecycle import notify
from receiver.lifecycle.ports import DueEndpoint, Notice, Ports, Queue, Room, Show, System
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
#: Attempts a second at all endpoints that are new, or fail: many would else keep the processor from all others.
NEW_PER_SECOND, FAILING_PER_SECOND = 30.0, 20.0
#: Between two looks at what these have due, in seconds: each walks over all of them.
OTHERS_EVERY = 0.1


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

    def free(self, pool: Pool) -> int:
        """Return how many calls may begin to endpoints that stand so."""
        return MOST[pool] - self.by_pool[pool]

    def full(self) -> list[UUID]:
        """Return the endpoints to which no other call may begin, however well they stand."""
        return [of for of, calls in self.by_endpoint.items() if calls >= self.most or self.slow[of]]

    def hold(self, rooms: Mapping[UUID, Room]) -> Callable[[], None]:
        """Keep rooms from being given out again while they are filled; return what ends that."""
        for endpoint_id, room in rooms.items():
            self.by_endpoint[endpoint_id] += room.first + room.retries
            self.retries[endpoint_id] += room.retries

        def let_go() -> None:
            for endpoint_id, room in rooms.items():
                self.by_endpoint[endpoint_id] -= room.first + room.retries
                self.retries[endpoint_id] -= room.retries
                self._forget(endpoint_id)

        return let_go

    def rooms(self, due: list[DueEndpoint]) -> dict[UUID, Room]:
        """Share out what is free: the longest waiting first, each endpoint one call before any has a second."""
        free = {pool: self.free(pool) for pool in Pool}
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
            self._forget(endpoint_id)

        return slow_down, give_back

    def _forget(self, endpoint_id: UUID) -> None:
        if not self.by_endpoint[endpoint_id]:
            del self.by_endpoint[endpoint_id], self.retries[endpoint_id], self.slow[endpoint_id]

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


class Turns:
    """How many attempts may begin now where so many may in a second."""

    def __init__(self, system: System, per_second: float) -> None:
        self._system = system
        self._per_second = self._left = per_second
        self._counted_at = system.monotonic()

    def left(self) -> int:
        """Return how many may begin; what was not used in a second is lost."""
        now = self._system.monotonic()
        self._left = min(self._per_second, self._left + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        return max(0, int(self._left))

    def use(self, turns: int) -> None:
        self._left -= turns


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
    """The two lanes of one kind of work, each a round at a time."""

    def __init__(self, ports: Ports, show: Show, most: int, hints: Hints, run: Run) -> None:
        """``most`` is how many calls there may be to one endpoint at once."""
        self._ports = ports
        self._show = show
        self._desk = Desk(most)
        self._hints = hints
        self._run = run
        self._next_sweep = 0.0
        self._next_others = 0.0
        self._turns = {
            Pool.NEW: Turns(ports.system, NEW_PER_SECOND),
            Pool.FAILING: Turns(ports.system, FAILING_PER_SECOND),
        }

    async def tell(self) -> bool:
        """Begin what may be sent now to endpoints that answer; return whether there was any."""
        most = self._desk.free(Pool.PROVEN)
        if most <= 0:
            return False
        return bool(await self._begin(await notify.due(self._ports, most=most, busy=self._desk.full())))

    async def try_others(self) -> bool:
        """Begin what may be sent now to endpoints that are new or fail; return whether there was any."""
        await self._sweep()
        system = self._ports.system
        await system.sleep(max(0.0, self._next_others - system.monotonic()))
        self._next_others = system.monotonic() + OTHERS_EVERY
        most = {pool: min(self._desk.free(pool), turns.left()) for pool, turns in self._turns.items()}
        if not any(count > 0 for count in most.values()):
            return False
        busy = list(self._desk.by_endpoint)
        found = await notify.due_others(self._ports, new=most[Pool.NEW], failing=most[Pool.FAILING], busy=busy)
        leased = await self._begin(found)
        for notice in leased:
            if (turns := self._turns.get(pool_of(notice.endpoint))) is not None:
                turns.use(1)
        return bool(leased)

    async def _begin(self, found: list[DueEndpoint]) -> list[Notice]:
        """Claim and send what these endpoints have due, as far as there is room for it."""
        rooms = self._desk.rooms(found)
        if not rooms:
            return []
        let_go = self._desk.hold(rooms)
        try:
            leased = await notify.lease(self._ports, rooms)
        finally:
            let_go()
        for notice in leased:
            place = Place(self._desk, notice, self._hints)
            named = {"task_id": str(notice.task.id), "delivery_id": str(notice.delivery.id)}
            self._run("notify", place, self._send(notice), **named)
        return leased

    async def _send(self, notice: Notice) -> None:
        await notify.notify(self._ports, notice, self._show)

    async def _sweep(self) -> None:
        """Give up and forget what is to be, now and then."""
        if self._ports.system.monotonic() >= self._next_sweep:
            self._next_sweep = self._ports.system.monotonic() + SWEEP_EVERY
            while await notify.sweep(self._ports) >= notify.SWEPT:
                pass
