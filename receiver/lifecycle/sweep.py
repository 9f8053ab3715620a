"""Sweep: mark what is overdue, give up what is lost, and close attempts nobody is making any more."""

from uuid import UUID

from receiver.domain.looking import overdue
from receiver.domain.submission import SubmitRules, interrupt
from receiver.domain.task import Change, Task
from receiver.lifecycle.ports import Decision, Ports, Queue

#: How many tasks one sweep changes; the next follows at once when it was full.
BATCH = 500


async def sweep(ports: Ports) -> int:
    """Change what only the passing of time changes; return how many tasks that were."""
    now = ports.system.now()
    lost_after = ports.limits.lost_after
    late = await ports.store.overdue(now, lost_after, BATCH)
    abandoned = await ports.store.abandoned(now - 2 * ports.limits.lease, BATCH)
    if not late and not abandoned:
        return 0

    changes = await ports.store.apply(
        [
            *(Decision(key, lambda task: overdue(task, now, lost_after)) for key in late),
            *(_closing(ports, key) for key in abandoned),
        ]
    )
    changed = [change for change in changes if change is not None]
    for change in changed:
        for event in change.events:
            ports.metrics.count("swept", what=event.type.value, provider=change.task.provider)
    if changed:
        ports.wake(Queue.COLLECT)
    return len(changed)


async def start(ports: Ports, *, alone: bool) -> None:
    """Take up after a pause: perhaps nobody listened, so every pushed task in flight is looked at at once.

    ``alone``: no other process works on this store, so every lease is a dead one.
    """
    if alone:
        await ports.store.void_leases()
        now = ports.system.now()
        keys = await ports.store.abandoned(now, BATCH)
        while keys:
            changes = await ports.store.apply([_closing(ports, key) for key in keys])
            if not any(changes):
                break
            keys = await ports.store.abandoned(now, BATCH)
    for provider in ports.providers.values():
        await ports.store.release_pause(provider.name)
        if provider.pushes:
            await ports.store.make_due(provider=provider.name, now=ports.system.now())


def _closing(ports: Ports, task_key: UUID) -> Decision:
    now = ports.system.now()

    def close(task: Task) -> Change | None:
        provider = ports.providers.get(task.provider)
        if provider is None:
            return None
        plan = provider.plan(task.request, pushed=task.pushed)
        jitter = ports.system.jitter()
        rules = SubmitRules(provider.recovery, plan, ports.limits.queue_max, provider.lookups, jitter=jitter)
        return interrupt(task, now, rules)

    return Decision(task_key, close)
