"""How each provider does: whether it takes tasks, how long its models take, what they cost, how it tells us."""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.durations import LEAST
from receiver.domain.learning import TOO_MANY_UNHEARD, Known, Learned, planned, unheard
from receiver.domain.request import TaskRequest
from receiver.domain.task import Status
from receiver.lifecycle.planning import Lessons
from receiver.lifecycle.ports import Lately, Pause, Ports, UnderWay
from receiver.lifecycle.ports import Provider as Adapter
from receiver.web.dashboard.durations import Drawing, draw
from receiver.web.dashboard.pages import House, Visit, page

#: One look serves all who ask within this time, and what was learned serves for longer: it changes little by little,
#: and costs more than all else on the page.
_FRESH_SECONDS = 5.0
_LEARNED_SECONDS = 30.0
_WITH_AUDIO = (Status.SUCCEEDED, Status.PARTIAL)
_WITHOUT = (Status.FAILED, Status.LOST)


@dataclass(frozen=True, slots=True)
class Model:
    """The latest tasks of one model. ``name`` is None for adopted generations, whose model nobody told."""

    name: str | None
    lately: Lately
    drawing: Drawing | None
    first_look: float | None

    @property
    def with_audio(self) -> int:
        """How many ended with audio."""
        return sum(self.lately.counts.get(status, 0) for status in _WITH_AUDIO)

    @property
    def without(self) -> int:
        """How many ended without any."""
        return sum(self.lately.counts.get(status, 0) for status in _WITHOUT)

    @property
    def cost_each(self) -> int | None:
        """What one with audio cost, in micro-dollars, to the hundredth of a cent."""
        cost = self.lately.cost_micros
        return None if cost is None or not self.with_audio else round(cost / self.with_audio / 100) * 100

    @property
    def miss_rate(self) -> float | None:
        """The share whose callback did not come first."""
        return self.lately.missed / self.lately.awaited if self.lately.awaited else None

    @property
    def polls_each(self) -> float | None:
        """How often a task was looked at on average."""
        return self.lately.polls / self.lately.tasks if self.lately.tasks else None


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider. ``unheard`` is the share of its latest tasks without a callback, None where few enough are."""

    name: str
    configured: bool
    pushes: bool
    reachable: bool
    per_second: float | None
    pause: Pause | None
    trouble: str | None
    unheard: float | None
    open: Mapping[Status, int]
    overdue: int
    models: Sequence[Model]

    @property
    def in_flight(self) -> int:
        """How many of its tasks have not ended."""
        return sum(self.open.values())

    @property
    def cost_micros(self) -> int | None:
        """What the counted tasks cost."""
        told = [model.lately.cost_micros for model in self.models if model.lately.cost_micros is not None]
        return sum(told) if told else None

    @property
    def tasks(self) -> int:
        """How many ended tasks are counted."""
        return sum(model.lately.tasks for model in self.models)

    @property
    def without(self) -> int:
        """How many of them ended without audio."""
        return sum(model.without for model in self.models)

    @property
    def miss_rate(self) -> float | None:
        """The share of all its tasks whose callback did not come first."""
        awaited = sum(model.lately.awaited for model in self.models)
        return sum(model.lately.missed for model in self.models) / awaited if awaited else None

    @property
    def polls_each(self) -> float | None:
        """How often a task was looked at on average."""
        return sum(model.lately.polls for model in self.models) / self.tasks if self.tasks else None

    @property
    def since(self) -> datetime | None:
        """Where not all tasks are counted: from when on they are."""
        return max((model.lately.since for model in self.models if model.lately.since is not None), default=None)


@dataclass(frozen=True, slots=True)
class _Taught:
    """What the latest tasks taught: by provider, the share without a callback; by provider and model, the looks."""

    unheard: Mapping[str, float]
    models: Mapping[tuple[str, str], tuple[Drawing | None, float | None]]


class _Lookout:
    """Looks at most once in some seconds, for however many people."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._turn = asyncio.Lock()
        self._lessons = Lessons()
        self._taught: tuple[float, _Taught] | None = None
        self._seen: tuple[float, Sequence[Provider]] | None = None

    async def look(self) -> Sequence[Provider]:
        """Return what there is to see. Raises UnavailableError."""
        async with self._turn:
            now = self._ports.system.monotonic()
            if self._taught is None or now - self._taught[0] >= _LEARNED_SECONDS:
                self._taught = (now, await self._learn())
            if self._seen is None or now - self._seen[0] >= _FRESH_SECONDS:
                self._seen = (now, await look(self._ports, self._taught[1]))
            return self._seen[1]

    async def _learn(self) -> _Taught:
        """Ask the store for the latest tasks and learn from them, beside the loop, which answers callers."""
        names = list(self._ports.providers)
        known, now = await self._ports.store.known(names), self._ports.system.now()
        shares = {name: unheard((each for each in known if each.provider == name), now) for name in names}
        return _Taught(shares, await asyncio.to_thread(self._models, known, shares, now))

    def _models(
        self, known: Iterable[Known], shares: Mapping[str, float], now: datetime
    ) -> Mapping[tuple[str, str], tuple[Drawing | None, float | None]]:
        ports, found = self._ports, {}
        for each in known:
            name, share = (each.provider, each.model), shares[each.provider]
            trusted = share < TOO_MANY_UNHEARD
            # Learned here where no worker of this process has: it may be another one's.
            taught = ports.schedules.learned.get(name) or self._lessons.of(
                each,
                now,
                look_seconds=ports.limits.poll_cost_seconds,
                unheard_share=0.0 if trusted else share,
            )
            adapter = ports.providers[each.provider]
            pushed = adapter.pushes and ports.limits.public_url is not None
            found[name] = _drawn(adapter, each.model, taught, pushed=pushed, trusted=trusted)
        return found


def routes(house: House) -> list[Route]:
    """Return the routes of this room."""
    lookout = _Lookout(house.context.ports)

    async def show(visit: Visit) -> Response:
        return visit.render("providers.html", providers=await lookout.look(), least=LEAST)

    return [page(house, "/providers", GET=show)]


async def look(ports: Ports, taught: _Taught) -> Sequence[Provider]:
    """Ask the store for everything else the page shows."""
    names = list(ports.providers)
    under_way, pauses, lately = await asyncio.gather(
        ports.store.under_way(), ports.store.pauses(), ports.store.insight.lately(names)
    )
    now = ports.system.now()
    return [
        _provider(
            ports.providers[name],
            [part for part in under_way if part.provider == name],
            [_model(figures, taught) for figures in lately if figures.provider == name],
            pause=_current(pauses.get(name), now),
            trouble=ports.outbound.trouble(name),
            unheard_share=taught.unheard[name],
            reachable=ports.limits.public_url is not None,
        )
        for name in names
    ]


def _provider(
    adapter: Adapter,
    under_way: Sequence[UnderWay],
    models: Sequence[Model],
    *,
    pause: Pause | None,
    trouble: str | None,
    unheard_share: float,
    reachable: bool,
) -> Provider:
    in_states = dict.fromkeys((status for status in Status if not status.terminal), 0)
    for part in under_way:
        in_states[part.status] += part.tasks
    return Provider(
        name=adapter.name,
        configured=adapter.configured,
        pushes=adapter.pushes,
        reachable=reachable,
        per_second=adapter.requests_per_second,
        pause=pause,
        trouble=trouble,
        unheard=unheard_share if adapter.pushes and unheard_share >= TOO_MANY_UNHEARD else None,
        open=in_states,
        overdue=sum(part.tasks for part in under_way if part.overdue),
        models=models,
    )


def _current(pause: Pause | None, now: datetime) -> Pause | None:
    return pause if pause is not None and pause.until > now else None


def _model(figures: Lately, taught: _Taught) -> Model:
    drawing, first = taught.models.get((figures.provider, figures.model), (None, None))
    return Model(figures.model or None, figures, drawing, first)


def _drawn(
    adapter: Adapter, model: str, taught: Learned | None, *, pushed: bool, trusted: bool
) -> tuple[Drawing | None, float | None]:
    """Return what was learned of a model as a drawing, and the age at which a task of it is first looked at."""
    plan = adapter.plan(TaskRequest(adapter.name, "", "", model=model), pushed=pushed and trusted)
    if taught is None or taught.durations is None:
        return None, plan.first
    ages = planned(plan, taught, pushed=pushed).ages
    return draw(taught.durations, [age for age in ages if age < math.inf]), ages[0] if ages else plan.first
