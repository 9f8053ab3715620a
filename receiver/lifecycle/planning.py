"""Planning: when to look at a task, as its provider documents it and as the latest tasks have taught since."""

import asyncio
import math
from collections.abc import Mapping
from datetime import datetime

from receiver.domain.durations import Observed
from receiver.domain.learning import (
    TOO_MANY_UNHEARD,
    Known,
    Learned,
    learned,
    observations,
    planned,
    unheard,
)
from receiver.domain.schedule import PollPlan
from receiver.domain.task import Task
from receiver.domain.watched import Watched
from receiver.lifecycle.ports import Ports, Provider


def plan_for(ports: Ports, provider: Provider, task: Task | Watched) -> PollPlan:
    """Return when to look at ``task``."""
    waits = task.pushed
    known = ports.schedules.learned.get((task.provider, task.model))
    if known is None:
        # Nothing is known of this model; that the provider's callbacks do not come, others may have told.
        waits = waits and task.provider not in ports.schedules.unheard
    plan = provider.plan(task.request, pushed=waits)
    return plan if known is None else planned(plan, known, pushed=task.pushed)


class Lessons:
    """What each model taught last; it is learned from again only once other tasks of it have ended."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[tuple[tuple[Observed, ...], float], Learned | None]] = {}

    def of(self, known: Known, now: datetime, *, look_seconds: float, unheard_share: float) -> Learned | None:
        """Return what a model teaches, None while too few of its tasks have ended: some milliseconds of sums."""
        name = (known.provider, known.model)
        observed = observations(known, now, heard=unheard_share < TOO_MANY_UNHEARD)
        # Those under way grow older all the time, which alone is no news.
        basis = (tuple(one for one in observed if one.by < math.inf), unheard_share)
        last = self._last.get(name)
        if last is None or last[0] != basis:
            last = self._last[name] = (basis, learned(observed, look_seconds, unheard_share))
        return last[1]


class Learning:
    """Learns anew from what the store tells; what has not changed is not learned again."""

    def __init__(self) -> None:
        self._lessons = Lessons()

    async def learn(self, ports: Ports) -> Mapping[str, bool]:
        """Bring ``ports.schedules`` up to date; return whose looks begin to come sooner, True, or no longer do.

        They come sooner while callbacks fail to come. Where that begins, every task that waits for its callback is
        looked at once: it may have been finished long since. Raises UnavailableError.
        """
        found = await ports.store.known([name for name, each in ports.providers.items() if each.configured])
        now = ports.system.now()
        before = ports.schedules.unheard
        shares = {name: unheard((each for each in found if each.provider == name), now) for name in ports.providers}
        missing = {name: share for name, share in shares.items() if share >= TOO_MANY_UNHEARD}
        # Arithmetic of some milliseconds for each model: beside the loop, which answers callers.
        ports.schedules.learned = await asyncio.to_thread(self._learned, ports, found, missing, now)
        ports.schedules.unheard = missing
        for name, provider in ports.providers.items():
            if provider.pushes:
                ports.metrics.gauge("looks_moved_forward", name in missing, provider=name)
        begun = [name for name in missing if name not in before]
        for name in begun:
            await ports.store.make_due(provider=name, now=now)
        return {**dict.fromkeys(begun, True), **{name: False for name in before if name not in missing}}

    def _learned(
        self, ports: Ports, found: list[Known], missing: Mapping[str, float], now: datetime
    ) -> dict[tuple[str, str], Learned]:
        look_seconds = ports.limits.poll_cost_seconds
        taught = {
            (each.provider, each.model): self._lessons.of(
                each, now, look_seconds=look_seconds, unheard_share=missing.get(each.provider, 0.0)
            )
            for each in found
        }
        return {name: known for name, known in taught.items() if known is not None}
