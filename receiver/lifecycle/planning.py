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
from receiver.lifecycle.ports import Ports, Provider


def plan_for(ports: Ports, provider: Provider, task: Task) -> PollPlan:
    """Return when to look at ``task``."""
    waits = task.pushed
    known = ports.schedules.learned.get((task.provider, task.model))
    if known is None:
        # Nothing is known of this model; that the provider's callbacks do not come, others may have told.
        waits = waits and task.provider not in ports.schedules.unheard
    plan = provider.plan(task.request, pushed=waits)
    return plan if known is None else planned(plan, known, pushed=task.pushed)


class Learning:
    """Learns anew from what the store tells; what has not changed is not learned again."""

    def __init__(self) -> None:
        self._basis: dict[tuple[str, str], tuple[tuple[Observed, ...], float]] = {}

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
        kept: dict[tuple[str, str], Learned] = {}
        for each in found:
            name, share = (each.provider, each.model), missing.get(each.provider, 0.0)
            observed = observations(each, now, heard=share == 0)
            # Those under way grow older all the time, which alone is no news.
            basis = (tuple(one for one in observed if one.by < math.inf), share)
            known = ports.schedules.learned.get(name)
            if self._basis.get(name) != basis:
                known = learned(observed, ports.limits.poll_cost_seconds, share)
                self._basis[name] = basis
            if known is not None:
                kept[name] = known
        return kept
