"""The loop: lease what is due, run its step, let go; one loop for each kind of work and provider."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import timedelta

from receiver.domain.errors import UnavailableError
from receiver.domain.standing import Standing
from receiver.domain.task import Task, Work
from receiver.domain.waiting import STOPS_LOOKS
from receiver.lifecycle import collect, erase, notify, poll, submit, sweep
from receiver.lifecycle.pace import Pace
from receiver.lifecycle.planning import Learning
from receiver.lifecycle.ports import ArtifactWork, Pause, Polled, Ports, Provider, Queue, Show
from receiver.lifecycle.reception import Reception
from receiver.lifecycle.reference import Carried
from receiver.lifecycle.resting import Resting
from receiver.lifecycle.standings import OwnStandings, SharedStandings
from receiver.worker.claims import Claims
from receiver.worker.notifying import Notifying
from receiver.worker.retiring import retiring
from receiver.worker.settling import settling
from receiver.worker.watching import Clock, Concurrency, Hints, Outage, Places, Slots

__all__ = ["Concurrency", "Hints", "Worker"]

_log = logging.getLogger("receiver.worker")

#: The longest a loop rests without a hint, and the shortest between two looks at the clock, in seconds.
LONGEST_REST = 1.0
SHORTEST_REST = 0.02
#: After a fault of the database, in seconds.
FAULT_REST = 0.5
SWEEP_EVERY = 1.0
#: How soon what new tasks teach is heeded, in seconds.
LEARN_EVERY = 10.0
LOOKUP_BATCH = 500
#: Tasks of a provider claimed for looks at once, and looked at: others have something to write too.
POLL_BATCH = 500
#: After a claim that found fewer than it could have had, so many seconds are waited for more to fall due: a claim and
#: a request cost what ten looks do.
POLL_GATHERS = 0.05


class Worker:
    """Runs every step on time until stopped; holds nothing that a restart would miss.

    ``show`` shows tasks to those who are notified; without it nobody is.
    """

    def __init__(
        self, ports: Ports, hints: Hints, concurrency: Concurrency, *, alone: bool, show: Show | None = None
    ) -> None:
        self._ports = ports
        self._hints = hints
        self._concurrency = concurrency
        self._alone = alone
        self._stopping = asyncio.Event()
        #: Where a loop may wait for a place for longer than a stop does.
        self._held_up: list[Slots] = []
        self._running: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._clock: asyncio.Task[None] | None = None
        self._besides: list[asyncio.Task[None]] = []
        self._resting = Resting(ports.system)
        self._standings = OwnStandings(ports.system) if alone else SharedStandings(ports.store, ports.system)
        self._receptions = {name: Reception(name, self._standings, ports.limits.lease) for name in ports.providers}
        self._outage = Outage(ports.system, "store")
        self._stuck = Outage(ports.system, "artifacts")
        self._over = asyncio.Event()
        self._claims = Claims(ports, self._outage, self._over)
        self._carried = Carried()
        self._time_set = Clock(ports.system)
        self._learning = Learning()
        self._notices = show and Notifying(ports, show, concurrency.notify, hints, self._run)

    async def start(self) -> None:
        """Take up the work that lies there. Raises UnavailableError when the store cannot be used."""
        # Before they end, as a start ends them.
        rested = await self._ports.store.pauses()
        await sweep.start(self._ports, alone=self._alone)
        await self._learn()
        if not self._alone:
            await self._hear()
        for name in rested.keys() & self._receptions.keys() if self._alone else ():
            await self._receptions[name].take_over(rested[name])
        for provider in self._ports.providers.values():
            pace = self._pace(provider.name, provider.requests_per_second)
            self._loop(Queue.SUBMIT, self._submitting(provider, pace))
            self._loop(Queue.POLL, self._polling(provider, pace))
            self._loop(Queue.LOOKUP, self._looking_up(provider, pace))
        self._loop(Queue.SETTLE, settling(self._ports, self._run, alone=self._alone))
        self._loop(Queue.COLLECT, self._collecting())
        if self._notices is not None:
            await notify.start(self._ports)
            self._loop(Queue.NOTIFY, self._notices.tell)
            self._loop(Queue.NOTIFY, self._notices.try_others, "others")
        self._clock = asyncio.create_task(self._time(), name="time")
        besides = {"prolong": self._claims.prolong(), "retire": retiring(self._ports, self._over)}
        self._besides = [asyncio.create_task(work, name=name) for name, work in besides.items()]

    @property
    def running(self) -> bool:
        """Whether it was started, is not to stop, and none of its loops has ended."""
        if self._clock is None or self._stopping.is_set():
            return False
        return not any(loop.done() for loop in (*self._loops, self._clock, *self._besides))

    async def stop(self, seconds: float) -> None:
        """Lease nothing more, let what is under way end, and after ``seconds`` leave it to the next start."""
        self._stopping.set()
        self._carried.close()
        for queue in Queue:
            self._hints.wake(queue)
        for slots in self._held_up:
            slots.close()
        if self._clock is not None:
            self._clock.cancel()
        # A loop is not cut off between leasing and starting: an attempt opened and never made would be unknown.
        await asyncio.wait(self._loops, timeout=seconds / 4)
        for loop in self._loops:
            loop.cancel()
        clock = [] if self._clock is None else [self._clock]
        await asyncio.gather(*self._loops, *clock, return_exceptions=True)
        if self._running:
            await asyncio.wait(self._running, timeout=seconds * 3 / 4)
        for step in self._running:
            step.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        # Until here claims of work that was left to end were to last.
        self._over.set()
        await asyncio.gather(*self._besides)

    def _pace(self, name: str, per_second: float | None) -> Pace:
        return Pace(name, per_second, self._standings, self._ports.system)

    def _loop(self, queue: Queue, once: Callable[[], Awaitable[bool]], lane: str = "") -> None:
        self._loops.append(asyncio.create_task(self._repeat(queue, once, lane), name=queue.value))

    async def _repeat(self, queue: Queue, once: Callable[[], Awaitable[bool]], lane: str) -> None:
        """Go on at once while there was work, else rest until there may be some."""
        while not self._stopping.is_set():
            try:
                worked = await once()
            except UnavailableError as error:
                self._outage.met(error, queue.value)
                await self._ports.system.sleep(FAULT_REST)
            except Exception:  # noqa: BLE001 - a loop outlives whatever goes wrong in it
                _log.exception("loop_failed", extra={"queue": queue.value})
                await self._ports.system.sleep(FAULT_REST)
            else:
                if not worked:
                    await self._hints.rest(queue, LONGEST_REST, lane)

    def _run(
        self, name: str, slots: Places, step: Coroutine[object, object, None], *tasks: Polled, **named: str
    ) -> None:
        """Start a step; ``tasks`` and ``named`` are what it is about, for the line in the log that says it broke."""

        async def guarded() -> None:
            try:
                await step
            except UnavailableError as error:
                # The lease runs out and the work falls due again.
                self._outage.met(error, name)
            except Exception:  # noqa: BLE001 - one step that fails must not end the others
                about = {"task_ids": [str(task.id) for task in tasks]} if tasks else {}
                _log.exception("step_failed", extra={"step": name, **about, **named})
            finally:
                slots.give_back()

        slots.take()
        running = asyncio.create_task(guarded(), name=name)
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    def _submitting(self, provider: Provider, pace: Pace) -> Callable[[], Awaitable[bool]]:
        slots = Slots(self._concurrency.submit)
        reception = self._receptions[provider.name]

        def heed(pause: Pause) -> None:
            self._say(self._resting.heed(pause))

        async def send(task: Task) -> None:
            with self._claims.of_tasks([task.key]):
                await submit.submit(self._ports, task, reception, heed, self._carried)

        async def once() -> bool:
            free = await slots.free()
            counts = pace.limited or reception.doubtful
            most = await self._wanted(provider, Work.SUBMIT, free, counts=counts)
            if most:
                most = min(most, await reception.most(free, self._concurrency.submit))
            if not most:
                return False
            turns, tasks = 0, []
            try:
                turns = await pace.turns(most)
                if not self._paused(provider, polling=False):
                    tasks = await submit.lease(self._ports, provider, turns)
            finally:
                await pace.give_back(turns - len(tasks))
                if not tasks:
                    await reception.leave()
            for task in tasks:
                self._run("submit", slots, send(task), task_id=str(task.id))
            return bool(tasks)

        return once

    def _polling(self, provider: Provider, pace: Pace) -> Callable[[], Awaitable[bool]]:
        together = provider.most_polled_at_once
        at_once = min(self._concurrency.poll, max(1, POLL_BATCH // together))
        slots = Slots(at_once)
        self._held_up.append(slots)

        async def once() -> bool:
            if pace.limited:
                # A turn is for a call that begins now.
                await slots.free()
            # As many as may run, though all of them still may: to claim one for each that ends would be most of the
            # work, and to claim only when some have ended would leave their places empty meanwhile.
            most = await self._wanted(provider, Work.POLL, at_once, together=together, counts=pace.limited)
            if not most:
                return False
            turns, batches = await pace.turns(most), []
            try:
                if not self._paused(provider, polling=True):
                    batches = await poll.lease(self._ports, provider, turns * together)
            finally:
                await pace.give_back(turns - len(batches))
            for number, batch in enumerate(batches):
                # Tasks that cannot share a request may make more batches than there were slots and turns.
                await slots.free()
                if self._stopping.is_set() or self._paused(provider, polling=True):
                    await poll.give_back(self._ports, [task for rest in batches[number:] for task in rest])
                    return False
                if number >= turns:
                    await pace.turns()
                self._run("poll", slots, poll.poll(self._ports, provider, batch), *batch)
            if batches and sum(map(len, batches)) < turns * together:
                await self._ports.system.sleep(POLL_GATHERS)
            return bool(batches)

        return once

    def _looking_up(self, provider: Provider, pace: Pace) -> Callable[[], Awaitable[bool]]:
        paces = (self._pace(f"{provider.name} log", provider.searches_per_second), pace)

        def goes_on() -> bool:
            return not self._stopping.is_set() and not self._paused(provider, polling=True)

        async def once() -> bool:
            if not goes_on():
                return False
            tasks = await poll.lease_lookups(self._ports, provider, LOOKUP_BATCH)
            if tasks:
                # A log of many pages takes minutes, and what was claimed for it is to be nobody else's meanwhile.
                with self._claims.of_tasks([task.key for task in tasks]):
                    await poll.look_up(self._ports, provider, tasks, paces, goes_on)
            return bool(tasks)

        return once

    async def _wanted(self, provider: Provider, work: Work, most: int, *, counts: bool, together: int = 1) -> int:
        """Return how many calls there is work for, up to ``most``; one call serves ``together`` tasks.

        That is looked up only where it ``counts``: what is taken and given back again keeps others from it.
        """
        if self._paused(provider, polling=work is not Work.SUBMIT):
            return 0
        if not counts:
            return most
        now = self._ports.system.now()
        due = await self._ports.store.due(work, provider.name, now=now, limit=most * together)
        return -(-due // together)

    def _collecting(self) -> Callable[[], Awaitable[bool]]:
        slots = Slots(self._concurrency.collect)
        # Inline audio is decoded one at a time: 50 MB of it are a quarter of a gigabyte on the way.
        decoding = asyncio.Lock()

        async def fetch(work: ArtifactWork, claim: collect.Hold) -> None:
            with self._claims.of_audio(claim):
                await collect.collect(self._ports, work, claim, decoding=decoding)

        async def once() -> bool:
            leased = await collect.lease(self._ports, await slots.free())
            for work in leased:
                named = {"task_id": str(work.task.id), "result_id": str(work.result_id)}
                self._run("collect", slots, fetch(work, collect.hold(self._ports, work)), **named)
            return bool(leased)

        return once

    async def _time(self) -> None:
        """Wake the loops whose work falls due by the passing of time, and sweep."""
        next_sweep = 0.0
        next_learning = self._ports.system.monotonic() + LEARN_EVERY
        while True:
            rest = LONGEST_REST
            began = self._ports.system.monotonic()
            try:
                await self._look_around()
                self._say(await self._resting.read(self._ports.store))
                if not self._alone:
                    await self._hear()
                now = self._ports.system.now()
                for queue, due_at in (await self._ports.store.next_due()).items():
                    if due_at <= now:
                        self._hints.wake(queue)
                        rest = min(rest, 10 * SHORTEST_REST)
                    else:
                        rest = min(rest, (due_at - now) / timedelta(seconds=1))
                if self._ports.system.monotonic() >= next_sweep:
                    next_sweep = self._ports.system.monotonic() + SWEEP_EVERY
                    # Not by a time whose jump has not been dealt with: it would find everything overdue.
                    while not self._time_set.jumped() and await sweep.sweep(self._ports) >= sweep.BATCH:
                        pass
                    await self._remove_erased()
                if self._ports.system.monotonic() >= next_learning:
                    next_learning = self._ports.system.monotonic() + LEARN_EVERY
                    await self._learn()
                self._outage.over(began)
            except UnavailableError as error:
                self._outage.met(error, "time")
            except Exception:  # noqa: BLE001 - a loop outlives whatever goes wrong in it
                _log.exception("step_failed", extra={"step": "time"})
            await self._ports.system.sleep(max(rest, SHORTEST_REST))

    async def _learn(self) -> None:
        """Learn when to look from the tasks that ended, and say where callbacks fail to come or come again.

        Raises UnavailableError. Nothing else: whatever is wrong with what was learned, tasks are looked at as before.
        """
        try:
            changed = await self._learning.learn(self._ports)
        except UnavailableError:
            raise
        except Exception:  # noqa: BLE001 - a service that cannot learn is to serve all the same
            _log.exception("step_failed", extra={"step": "learn"})
            return
        for name, sooner in changed.items():
            said = "looks_moved_forward" if sooner else "looks_moved_back"
            _log.warning(said, extra={"provider": name, "unheard": self._ports.schedules.unheard.get(name, 0.0)})
            self._hints.wake(Queue.POLL)

    async def _look_around(self) -> None:
        """See whether the store takes writes again, and whether the clock was set. Raises UnavailableError."""
        by = self._time_set.jumped()
        if by:
            # Only for a store of our own: one that others share goes by the database's clock.
            if self._alone:
                await sweep.clock_jumped(self._ports, by)
            self._resting.follow_clock(by)
            self._time_set.settle(by)
            _log.warning("clock_jumped", extra={"seconds": round(by.total_seconds(), 3)})
        if self._ports.store.trouble is not None:
            await self._ports.store.ping()

    async def _hear(self) -> None:
        """Take over how others have found the providers. Raises UnavailableError."""
        kept = await self._ports.store.standings()
        for name, reception in self._receptions.items():
            reception.heard(kept.get(name, Standing()))

    async def _remove_erased(self) -> None:
        """Remove what erased tasks left in the artifact store, and say when that cannot be done."""
        more = True
        while more:
            swept = await erase.sweep(self._ports)
            if swept.fault is not None:
                self._stuck.met(swept.fault, "erase")
            more = swept.fault is None and swept.count >= erase.SWEPT
        # What could not be removed is tried again by then.
        self._stuck.over(self._ports.system.monotonic() - 2 * erase.AGAIN.total_seconds())

    def _say(self, begun: Sequence[Pause]) -> None:
        """Say that providers begin to rest."""
        for pause in begun:
            # Why, in the provider's words, stands with the tasks that wait: those may repeat what a caller wrote.
            details = {"provider": pause.provider, "code": pause.error.code.value, "until": pause.until.isoformat()}
            _log.warning("provider_paused", extra=details)

    def _paused(self, provider: Provider, *, polling: bool) -> bool:
        if not provider.configured:
            # Without a key every call would be refused; what waits is shown as waiting for one.
            return True
        pause = self._resting.of(provider.name)
        return pause is not None and (not polling or pause.error.code in STOPS_LOOKS)
