"""The loop: lease what is due, run its step, let go; one loop for each kind of work and provider."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta

from receiver.domain.errors import ErrorCode, UnavailableError
from receiver.lifecycle import collect, poll, settle, submit, sweep
from receiver.lifecycle.ports import Pause, Ports, Provider, Queue

_log = logging.getLogger("receiver.worker")

#: The longest a loop rests without a hint, and the shortest between two looks at the clock, in seconds.
LONGEST_REST = 1.0
SHORTEST_REST = 0.02
#: After a fault of the database, in seconds.
FAULT_REST = 0.5
SWEEP_EVERY = 1.0
SETTLE_BATCH = 256
LOOKUP_BATCH = 500
#: While a provider's key is refused there is no use in asking it anything; without money it still answers polls.
_STOPS_POLLS = frozenset({ErrorCode.AUTH, ErrorCode.RATE})


class Hints:
    """Wakes loops early. A hint carries nothing and may be lost: every loop also wakes by itself."""

    def __init__(self) -> None:
        self._events = {queue: asyncio.Event() for queue in Queue}

    def wake(self, queue: Queue) -> None:
        self._events[queue].set()

    async def rest(self, queue: Queue, seconds: float) -> None:
        """Wait for a hint, at most ``seconds``."""
        event = self._events[queue]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)
        event.clear()


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many steps of a kind may run at once: per provider for submit and poll, in all for collect."""

    submit: int = 8
    poll: int = 8
    collect: int = 8


class _Slots:
    """How many steps of a kind may still start."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._given_back = asyncio.Event()

    async def free(self) -> int:
        """Wait until at least one slot is free, and say how many are."""
        while self._free == 0:
            self._given_back.clear()
            await self._given_back.wait()
        return self._free

    def take(self) -> None:
        self._free -= 1

    def give_back(self) -> None:
        self._free += 1
        self._given_back.set()


class Worker:
    """Runs every step on time until stopped; holds nothing that a restart would miss."""

    def __init__(self, ports: Ports, hints: Hints, concurrency: Concurrency, *, alone: bool) -> None:
        self._ports = ports
        self._hints = hints
        self._concurrency = concurrency
        self._alone = alone
        self._stopping = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._clock: asyncio.Task[None] | None = None
        self._pauses: dict[str, Pause] = {}

    async def start(self) -> None:
        """Take up the work that lies there. Raises UnavailableError when the store cannot be used."""
        await sweep.start(self._ports, alone=self._alone)
        for provider in self._ports.providers.values():
            self._loop(Queue.SUBMIT, self._submitting(provider))
            self._loop(Queue.POLL, self._polling(provider))
            self._loop(Queue.LOOKUP, self._looking_up(provider))
        self._loop(Queue.SETTLE, self._settling)
        self._loop(Queue.COLLECT, self._collecting())
        self._clock = asyncio.create_task(self._time(), name="time")

    async def stop(self, seconds: float) -> None:
        """Lease nothing more, let what is under way end, and after ``seconds`` leave it to the next start."""
        self._stopping.set()
        for queue in Queue:
            self._hints.wake(queue)
        if self._clock is not None:
            self._clock.cancel()
        # A loop is not cut off between leasing and starting: an attempt opened and never made would be unknown.
        await asyncio.wait(self._loops, timeout=seconds / 4)
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        if self._running:
            await asyncio.wait(self._running, timeout=seconds * 3 / 4)
        for step in self._running:
            step.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _loop(self, queue: Queue, once: Callable[[], Awaitable[bool]]) -> None:
        self._loops.append(asyncio.create_task(self._repeat(queue, once), name=queue.value))

    async def _repeat(self, queue: Queue, once: Callable[[], Awaitable[bool]]) -> None:
        """Go on at once while there was work, else rest until there may be some."""
        while not self._stopping.is_set():
            try:
                worked = await once()
            except UnavailableError as error:
                _log.warning("store_unavailable", extra={"queue": queue.value, "reason": str(error)})
                await self._ports.system.sleep(FAULT_REST)
            except Exception:  # noqa: BLE001 - a loop outlives whatever goes wrong in it
                _log.exception("loop_failed", extra={"queue": queue.value})
                await self._ports.system.sleep(FAULT_REST)
            else:
                if not worked:
                    await self._hints.rest(queue, LONGEST_REST)

    def _run(self, name: str, slots: _Slots, step: Coroutine[object, object, None]) -> None:
        async def guarded() -> None:
            try:
                await step
            except UnavailableError as error:
                # The lease runs out and the work falls due again.
                _log.warning("store_unavailable", extra={"step": name, "reason": str(error)})
            except Exception:  # noqa: BLE001 - one step that fails must not end the others
                _log.exception("step_failed", extra={"step": name})
            finally:
                slots.give_back()

        slots.take()
        running = asyncio.create_task(guarded(), name=name)
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    def _submitting(self, provider: Provider) -> Callable[[], Awaitable[bool]]:
        slots = _Slots(self._concurrency.submit)

        async def once() -> bool:
            if self._paused(provider, polling=False):
                return False
            tasks = await submit.lease(self._ports, provider, await slots.free())
            for task in tasks:
                self._run("submit", slots, submit.submit(self._ports, task))
            return bool(tasks)

        return once

    def _polling(self, provider: Provider) -> Callable[[], Awaitable[bool]]:
        slots = _Slots(self._concurrency.poll)

        async def once() -> bool:
            if self._paused(provider, polling=True):
                return False
            batches = await poll.lease(self._ports, provider, await slots.free() * provider.most_polled_at_once)
            for batch in batches:
                # Tasks that cannot share a request may make more batches than there were free slots.
                await slots.free()
                self._run("poll", slots, poll.poll(self._ports, provider, batch))
            return bool(batches)

        return once

    def _looking_up(self, provider: Provider) -> Callable[[], Awaitable[bool]]:
        async def once() -> bool:
            if self._paused(provider, polling=True):
                return False
            tasks = await poll.lease_lookups(self._ports, provider, LOOKUP_BATCH)
            if tasks:
                await poll.look_up(self._ports, provider, tasks)
            return bool(tasks)

        return once

    async def _settling(self) -> bool:
        reports = await settle.lease(self._ports, SETTLE_BATCH)
        if reports:
            await settle.settle_reports(self._ports, reports)
        return bool(reports)

    def _collecting(self) -> Callable[[], Awaitable[bool]]:
        slots = _Slots(self._concurrency.collect)

        async def once() -> bool:
            leased = await collect.lease(self._ports, await slots.free())
            for work in leased:
                self._run("collect", slots, collect.collect(self._ports, work))
            return bool(leased)

        return once

    async def _time(self) -> None:
        """Wake the loops whose work falls due by the passing of time, and sweep."""
        next_sweep = 0.0
        while True:
            rest = LONGEST_REST
            try:
                self._heed(await self._ports.store.pauses())
                now = self._ports.system.now()
                for queue, due_at in (await self._ports.store.next_due()).items():
                    if due_at <= now:
                        self._hints.wake(queue)
                        rest = min(rest, 10 * SHORTEST_REST)
                    else:
                        rest = min(rest, (due_at - now) / timedelta(seconds=1))
                if self._ports.system.monotonic() >= next_sweep:
                    next_sweep = self._ports.system.monotonic() + SWEEP_EVERY
                    while await sweep.sweep(self._ports) >= sweep.BATCH:
                        pass
            except UnavailableError as error:
                _log.warning("store_unavailable", extra={"step": "time", "reason": str(error)})
            except Exception:  # noqa: BLE001 - a loop outlives whatever goes wrong in it
                _log.exception("step_failed", extra={"step": "time"})
            await self._ports.system.sleep(max(rest, SHORTEST_REST))

    def _heed(self, pauses: Mapping[str, Pause]) -> None:
        """Take over the pauses as they are stored, and say each time that a provider begins to rest."""
        now = self._ports.system.now()
        for name, pause in pauses.items():
            known = self._pauses.get(name)
            if pause.until > now and (known is None or known.until <= now):
                details = {"provider": name, "code": pause.error.code.value, "reason": pause.error.message}
                _log.warning("provider_paused", extra={**details, "until": pause.until.isoformat()})
        self._pauses = dict(pauses)

    def _paused(self, provider: Provider, *, polling: bool) -> bool:
        if not provider.configured:
            # Without a key every call would be refused; what waits is shown as waiting for one.
            return True
        pause = self._pauses.get(provider.name)
        if pause is None or pause.until <= self._ports.system.now():
            return False
        return not polling or pause.error.code in _STOPS_POLLS
