"""Sweep: mark what is overdue, give up what is lost, and close attempts nobody is making any more."""

import contextlib
from datetime import datetime, timedelta
from uuid import UUID

from receiver.domain.errors import ErrorCode, UnavailableError
from receiver.domain.looking import overdue
from receiver.domain.submission import interrupt
from receiver.domain.task import Change, Task
from receiver.lifecycle.ports import Decision, Ports, Queue
from receiver.lifecycle.rules import submit_rules

#: How many tasks one sweep changes; the next follows at once when it was full.
BATCH = 500
#: A clock that moved by less than this against a clock that cannot jump is no matter.
JUMP = timedelta(seconds=5)
#: A body in the artifact store has a row by then, or never.
ORPHAN_AFTER = timedelta(minutes=10)
MOST_ORPHANS = 5000
#: Why a provider rests where a person mends it, and then starts us anew.
MENDED_BY_HAND = frozenset({ErrorCode.AUTH, ErrorCode.BALANCE})


async def sweep(ports: Ports) -> int:
    """Change what only the passing of time changes; return how many tasks that were."""
    now = ports.system.now()
    askable = [name for name in ports.providers if _askable(ports, name)]
    late = await ports.store.overdue(now, ports.limits.lost_after, BATCH, askable=askable)
    abandoned = await ports.store.abandoned(now - 2 * ports.limits.lease, BATCH, providers=ports.providers.keys())
    if not late and not abandoned:
        return 0

    changes = await ports.store.apply(
        [
            *(Decision(key, lambda task: _overdue(ports, task, now)) for key in late),
            *(_closing(ports, key) for key in abandoned),
        ]
    )
    changed = [change for change in changes if change is not None]
    if changed:
        ports.wake(Queue.COLLECT)
    return len(changed)


async def start(ports: Ports, *, alone: bool) -> None:
    """Take up after a pause.

    ``alone``: no other process works on this store, so every lease is a dead one and nobody listened meanwhile. Else
    leases of the dead run out by themselves, and what made a provider rest may still hold for the others.
    """
    if alone:
        await ports.store.void_leases()
        newest = await ports.store.last_moment()
        if newest is not None and newest - ports.system.now() >= JUMP:
            await clock_jumped(ports, ports.system.now() - newest)
        now = ports.system.now()
        while keys := await ports.store.abandoned(now, BATCH, providers=ports.providers.keys()):
            if not any(await ports.store.apply([_closing(ports, key) for key in keys])):
                break
        await look_at_pushed(ports)
    mended = [
        name
        for name, pause in ({} if alone else await ports.store.pauses()).items()
        if pause.error.code in MENDED_BY_HAND
    ]
    for name in ports.providers if alone else mended:
        await ports.store.release_pause(name)
    # What lies there too much costs room and nothing else: a store that is away is no reason not to start.
    with contextlib.suppress(UnavailableError):
        await remove_orphans(ports)


async def remove_orphans(ports: Ports) -> int:
    """Remove bodies that were put into the artifact store by a process that ended before it wrote their row.

    The newest are looked at, for they are left by a death a short time ago. Returns how many were removed. Raises
    UnavailableError.
    """
    until = ports.system.now() - ORPHAN_AFTER
    removed = 0
    names = {}
    for object_key in await ports.objects.newest("reports", MOST_ORPHANS):
        with contextlib.suppress(ValueError):
            report_id = UUID(object_key.rpartition("/")[2])
            # The key of a report begins with its moment, in milliseconds since 1970 (RFC 9562, UUID version 7).
            if report_id.int >> 80 < until.timestamp() * 1000:
                names[report_id] = object_key
    for report_id in names.keys() - await ports.store.known_reports(list(names)):
        await ports.objects.remove(names[report_id])
        removed += 1
    return removed


async def clock_jumped(ports: Ports, by: timedelta) -> None:
    """Take up after this machine's clock was set: what was planned by the old time keeps its distance from now.

    Only where no other process has a clock of its own.
    """
    await ports.store.follow_clock(by=by, now=ports.system.now(), longest_lease=ports.limits.lease)
    if by > timedelta():
        # Perhaps the machine slept, and nobody listened.
        await look_at_pushed(ports)


async def look_at_pushed(ports: Ports) -> None:
    """Have every pushed task in flight looked at at once: perhaps nobody listened. Raises UnavailableError."""
    for provider in ports.providers.values():
        if provider.pushes:
            await ports.store.make_due(provider=provider.name, now=ports.system.now())


def _overdue(ports: Ports, task: Task, now: datetime) -> Change | None:
    return overdue(task, now, ports.limits.lost_after, askable=_askable(ports, task.provider))


def _askable(ports: Ports, name: str) -> bool:
    provider = ports.providers.get(name)
    return provider is not None and provider.configured


def _closing(ports: Ports, task_key: UUID) -> Decision:
    now = ports.system.now()

    def close(task: Task) -> Change | None:
        provider = ports.providers.get(task.provider)
        if provider is None:
            return None
        return interrupt(task, now, submit_rules(ports, provider, task))

    return Decision(task_key, close)
