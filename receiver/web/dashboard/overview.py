"""The overview: how many are on their way, what needs a person, how providers do, how it went lately."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.task import Status, Task
from receiver.lifecycle.ports import Ended, Pause, Ports, Queue, TaskFilter, UnderWay
from receiver.web.dashboard.pages import House, Visit, page
from receiver.web.dashboard.plot import Plot, plot
from receiver.web.dashboard.untold import Untold, untold


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time to look over, in ``slots`` slots.

    How tasks ended in it is counted anew after ``fresh_seconds``: to count costs a microsecond for each of them.
    """

    words: str
    slot: timedelta
    slots: int
    fresh_seconds: float


#: The stretches to choose from, by the word in the address.
STRETCHES: Mapping[str, Stretch] = {
    "hour": Stretch("last hour", timedelta(minutes=1), 60, 1.0),
    "day": Stretch("last 24 hours", timedelta(minutes=30), 48, 10.0),
    "week": Stretch("last 7 days", timedelta(hours=3), 56, 60.0),
}
#: Work that waited longer than this is late: a worker takes what is due within a fraction of it.
LATE_SECONDS = 5.0
_TROUBLED = 5
#: One look serves all who ask within this time.
_FRESH_SECONDS = 1.0
#: What each queue is for, in words for people.
_QUEUES = {
    Queue.SUBMIT: "sending to providers",
    Queue.POLL: "asking providers",
    Queue.LOOKUP: "searching providers' logs",
    Queue.SETTLE: "reading reports",
    Queue.COLLECT: "fetching audio",
    Queue.NOTIFY: "telling your application",
}


@dataclass(frozen=True, slots=True)
class Provider:
    """How one provider does."""

    name: str
    configured: bool
    pushes: bool
    reachable: bool
    per_second: float | None
    open: int
    overdue: int
    ended: int
    miss_rate: float | None
    unheard: float | None
    pause: Pause | None
    trouble: str | None


@dataclass(frozen=True, slots=True)
class Lateness:
    """How long the oldest work of a kind has been due, in seconds; negative when its time is still to come."""

    what: str
    seconds: float

    @property
    def late(self) -> bool:
        """Whether a worker should have taken it by now."""
        return self.seconds > LATE_SECONDS


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the page shows, as of one moment."""

    at: datetime
    open: Mapping[Status, int]
    overdue: int
    ended: Mapping[Status, int]
    awaited: int
    missed: int
    providers: Sequence[Provider]
    lateness: Sequence[Lateness]
    plot: Plot
    troubled: Sequence[Task]
    newest: Sequence[Task]
    trouble: str | None
    dead: int
    untold: Sequence[Untold]
    untold_besides: int

    @property
    def in_flight(self) -> int:
        """How many tasks have not ended."""
        return sum(self.open.values())

    @property
    def without_audio(self) -> int:
        """How many ended without any audio."""
        return self.ended[Status.FAILED] + self.ended[Status.LOST]

    @property
    def miss_rate(self) -> float | None:
        """The share of tasks whose callback did not come first."""
        return self.missed / self.awaited if self.awaited else None


class Lookout:
    """Looks at most once a second for each stretch of time, for however many people."""

    def __init__(self, ports: Ports) -> None:
        """Take where to look."""
        self._ports = ports
        self._turns = {name: asyncio.Lock() for name in STRETCHES}
        self._seen: dict[str, tuple[float, Overview]] = {}
        self._ended: dict[str, tuple[float, datetime, list[Ended]]] = {}

    async def look(self, stretch: str) -> Overview:
        """Return what there is to see. Raises UnavailableError."""
        async with self._turns[stretch]:
            seen, now = self._seen.get(stretch), self._ports.system.monotonic()
            if seen is None or now - seen[0] >= _FRESH_SECONDS:
                since, ended = await self._count(stretch, now)
                seen = self._seen[stretch] = (now, await look(self._ports, STRETCHES[stretch], since, ended))
            return seen[1]

    async def _count(self, name: str, now: float) -> tuple[datetime, list[Ended]]:
        """Return how tasks ended in a stretch of time, and when it begins."""
        known, stretch = self._ended.get(name), STRETCHES[name]
        if known is None or now - known[0] >= stretch.fresh_seconds:
            # Slots begin at round moments, so that a bar stays the same while the page is looked at.
            since = _rounded_up(self._ports.system.now(), stretch.slot) - stretch.slot * stretch.slots
            ended = await self._ports.store.insight.ended(
                since=since, slot=stretch.slot, slots=stretch.slots, providers=list(self._ports.providers)
            )
            known = self._ended[name] = (now, since, ended)
        return known[1], known[2]


def routes(house: House) -> list[Route]:
    """Return the routes of this room."""
    lookout = Lookout(house.context.ports)

    async def show(visit: Visit) -> Response:
        asked = visit.request.query_params.get("over", "hour")
        stretch = asked if asked in STRETCHES else "hour"
        seen = await lookout.look(stretch)
        words = {name: each.words for name, each in STRETCHES.items()}
        return visit.render("overview.html", seen=seen, stretch=stretch, stretches=words)

    return [page(house, "/", GET=show)]


async def look(ports: Ports, stretch: Stretch, since: datetime, ended: Sequence[Ended]) -> Overview:
    """Ask the store for the rest of what the page shows."""
    store, now = ports.store, ports.system.now()
    under_way = await store.under_way()
    pauses = await store.pauses()
    silent, besides = await untold(store.outbox, now)
    dead = await store.outbox.dead()
    due = await store.next_due()
    failed = await store.tasks(TaskFilter(status=Status.FAILED, limit=_TROUBLED))
    lost = await store.tasks(TaskFilter(status=Status.LOST, limit=_TROUBLED))
    newest = await store.tasks(TaskFilter(limit=_TROUBLED))
    in_states = Counter(dict.fromkeys((status for status in Status if not status.terminal), 0))
    for part in under_way:
        in_states[part.status] += part.tasks
    ends = Counter(dict.fromkeys((status for status in Status if status.terminal), 0))
    for each in ended:
        ends[each.status] += each.tasks
    troubled = sorted([*failed, *lost], key=lambda task: task.key, reverse=True)
    return Overview(
        at=now,
        open=in_states,
        overdue=sum(part.tasks for part in under_way if part.overdue),
        ended=ends,
        awaited=sum(each.awaited for each in ended),
        missed=sum(each.missed for each in ended),
        providers=[_provider(ports, name, under_way, ended, pauses.get(name), now) for name in ports.providers],
        lateness=[
            Lateness(words, (now - due[queue]).total_seconds()) for queue, words in _QUEUES.items() if queue in due
        ],
        plot=plot(ended, since=since, slot=stretch.slot, slots=stretch.slots, now=now, words=stretch.words),
        troubled=troubled[:_TROUBLED],
        newest=newest,
        trouble=store.trouble,
        dead=dead,
        untold=silent,
        untold_besides=besides,
    )


def _provider(
    ports: Ports,
    name: str,
    under_way: Sequence[UnderWay],
    ended: Sequence[Ended],
    pause: Pause | None,
    now: datetime,
) -> Provider:
    adapter = ports.providers[name]
    awaited = sum(each.awaited for each in ended if each.provider == name)
    missed = sum(each.missed for each in ended if each.provider == name)
    return Provider(
        name=name,
        configured=adapter.configured,
        pushes=adapter.pushes,
        reachable=ports.limits.public_url is not None,
        per_second=adapter.requests_per_second,
        open=sum(part.tasks for part in under_way if part.provider == name),
        overdue=sum(part.tasks for part in under_way if part.provider == name and part.overdue),
        ended=sum(each.tasks for each in ended if each.provider == name),
        miss_rate=missed / awaited if awaited else None,
        unheard=ports.schedules.unheard.get(name),
        pause=pause if pause is not None and pause.until > now else None,
        trouble=ports.outbound.trouble(name),
    )


def _rounded_up(moment: datetime, slot: timedelta) -> datetime:
    past = timedelta(microseconds=int(moment.timestamp() * 1_000_000) % (slot // timedelta(microseconds=1)))
    return moment - past + slot
