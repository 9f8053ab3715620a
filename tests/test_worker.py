"""The loop around the steps: what it says of an outage, and that nothing of it is left when it has stopped."""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest

from receiver.domain.errors import ErrorCode, TaskError, UnavailableError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.learning import Known
from receiver.domain.report import StoredReport
from receiver.domain.request import TaskRequest
from receiver.domain.task import Status, Work
from receiver.domain.watched import Watched
from receiver.lifecycle import erase, settle, submit
from receiver.lifecycle.collect import Hold
from receiver.lifecycle.ports import Objects, Outbound, Pause, Store
from receiver.system import RealSystem
from receiver.worker import LEARN_EVERY, Concurrency, Hints, Worker
from receiver.worker.claims import Claims
from receiver.worker.settling import BATCH, BESIDE, GATHERS, SHARED_BATCHES, WORTH, settling
from receiver.worker.watching import Outage, Places
from tests.lifecycle.studio import Lingering, nothing, studio
from tests.lifecycle.upkeep import World, world
from tests.web.fakes import FakeSystem


class Locked:
    """An artifact store of which, while it is ``locked``, nothing can be removed."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.locked = True
        self.newest = objects.newest

    async def remove(self, key: str) -> None:
        if self.locked:
            raise UnavailableError("artifacts: permission denied")
        await self._objects.remove(key)


async def passes(around: World, seconds: float) -> None:
    """Let the clock of the worker, whose rests take no time, go on by so much."""
    until = around.system.passed + seconds
    async with asyncio.timeout(60):
        while around.system.passed < until:
            await asyncio.sleep(0)


async def test_objects_that_cannot_be_removed_are_told_by_their_name_and_seldom(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "receiver.worker")
    async with world(tmp_path) as around:
        for _ in range(2):
            task = await around.begun()
            await around.called(task, padding=around.ports.limits.spool_bytes)
        locked = Locked(around.ports.objects)
        ports = replace(around.ports, objects=cast("Objects", locked))
        with pytest.raises(UnavailableError):
            await erase.erase_matching(ports, {"user": "17"})
        worker = Worker(ports, Hints(), Concurrency(), alone=True)
        await worker.start()
        await passes(around, 1.5 * erase.AGAIN.total_seconds())
        assert 1 <= len(caplog.messages) <= 4
        assert set(caplog.messages) == {"artifacts_unavailable"}
        locked.locked = False
        await passes(around, 2.2 * erase.AGAIN.total_seconds())
        await worker.stop(1)
        assert around.files() == []
        assert caplog.messages.count("artifacts_available") == 1
        assert caplog.messages[-1] == "artifacts_available"


@dataclass
class Silent:
    """A provider that takes what is sent and does not answer while a test runs."""

    sent: int = 0

    async def send(self, provider: str, request: HttpRequest) -> HttpAnswer:
        self.sent += 1
        await asyncio.Event().wait()
        raise AssertionError("nobody ends this")


@pytest.mark.parametrize(("code", "sent"), [(ErrorCode.PROVIDER, 1), (ErrorCode.AUTH, 5)])
async def test_a_start_amid_the_rest_of_a_provider_that_answers_nothing_sends_it_one_task_to_find_out(
    tmp_path: Path, code: ErrorCode, sent: int
) -> None:
    async with world(tmp_path) as around:
        silent = Silent()
        ports = replace(around.ports, outbound=cast("Outbound", silent))
        for number in range(5):
            asked = TaskRequest("runware", f"a prompt long enough {number}", "https://files.example.org/a.mp3")
            await submit.intend(ports, submit.Asked(asked))
        await ports.store.pause(Pause("runware", ports.system.now() + timedelta(hours=1), TaskError(code, "no")))
        worker = Worker(ports, Hints(), Concurrency(), alone=True)
        await worker.start()
        await passes(around, 30)
        await worker.stop(0.1)
        assert silent.sent == sent


def test_an_outage_is_over_when_nobody_has_met_it_for_a_whole_round(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "receiver.worker")
    system = FakeSystem()
    outage = Outage(system, "store")
    for _ in range(5):
        began = system.monotonic()
        system.passed += 0.5
        outage.met(UnavailableError("the disk is full"), "collect")
        system.passed += 0.5
        outage.over(began)
    assert caplog.messages == ["store_unavailable"]
    began = system.monotonic()
    outage.over(began)
    outage.over(began)
    assert caplog.messages == ["store_unavailable", "store_available"]


class Counting:
    """A store that says when claims were prolonged for the second time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.times = 0
        self.twice = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def prolong_artifacts(self, result_ids: Sequence[UUID], *, now: datetime, lease: timedelta) -> set[UUID]:
        ours = await self._store.prolong_artifacts(result_ids, now=now, lease=lease)
        self.times += 1
        if self.times == 2:
            self.twice.set()
        return ours


async def test_of_two_who_have_the_same_audio_each_keeps_its_own_claim(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        counting = Counting(around.ports.store)
        limits = replace(around.ports.limits, lease=timedelta(seconds=0.03))
        ports = replace(around.ports, store=cast("Store", counting), limits=limits, system=RealSystem())
        over, result_id = asyncio.Event(), ports.system.new_id()
        claims = Claims(ports, Outage(ports.system, "store"), over)
        first, second = (Hold(result_id, 0.0) for _ in range(2))
        with contextlib.ExitStack() as earlier:
            earlier.enter_context(claims.of_audio(first))
            with claims.of_audio(second):
                earlier.close()
                loop = asyncio.create_task(claims.prolong())
                await counting.twice.wait()
                over.set()
                await loop
        assert second.until > 0.0
        assert first.until == 0.0, "nobody prolongs what has ended"


async def test_a_download_that_takes_longer_than_a_claim_is_nobody_elses_meanwhile(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        counting, lease = Counting(around.ports.store), timedelta(seconds=1)
        limits = replace(around.ports.limits, lease=lease)
        ports = replace(around.ports, store=cast("Store", counting), limits=limits, system=RealSystem())
        others: list[object] = []

        async def beside() -> None:
            began = ports.system.now()
            await counting.twice.wait()
            others.append(await around.ports.store.lease_artifacts(now=began + lease, limit=9, lease=lease))

        around.source.beside = beside
        task = await around.begun()
        await around.called(task)
        worker = Worker(ports, Hints(), Concurrency(), alone=True)
        await worker.start()
        async with asyncio.timeout(60):
            while (await around.now(task)).status is not Status.SUCCEEDED:
                await asyncio.sleep(0.01)
        ran = worker.running
        await worker.stop(1)
        assert (ran, worker.running) == (True, False)
        assert others == [[]]
        assert len(around.source.fetched) == 1


class Prolonging:
    """A store that says when claims on tasks were prolonged, and which."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.keys: set[UUID] = set()
        self.done = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def prolong_tasks(self, task_keys: Sequence[UUID], *, now: datetime, lease: timedelta) -> None:
        await self._store.prolong_tasks(task_keys, now=now, lease=lease)
        self.keys |= set(task_keys)
        self.done.set()


async def test_the_claim_on_a_submit_is_prolonged_as_long_as_that_is_under_way(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        prolonging, outbound = Prolonging(around.ports.store), cast("Outbound", Silent())
        limits = replace(around.ports.limits, lease=timedelta(seconds=2))
        store = cast("Store", prolonging)
        ports = replace(around.ports, store=store, outbound=outbound, limits=limits, system=RealSystem())
        asked = TaskRequest("runware", "a prompt long enough", "https://files.example.org/a.mp3")
        task, _ = await submit.intend(ports, submit.Asked(asked))
        worker = Worker(ports, Hints(), Concurrency(), alone=True)
        await worker.start()
        async with asyncio.timeout(60):
            await prolonging.done.wait()
        await worker.stop(0.1)
        assert prolonging.keys == {task.key}


async def test_the_claims_on_what_is_searched_for_are_prolonged_as_long_as_that_takes(tmp_path: Path) -> None:
    """A log of 200 pages takes a minute at its limit, and longer where each page does."""
    async with studio(tmp_path, lambda: 1.0) as studied:
        studied.ports = replace(studied.ports, outbound=cast("Outbound", Lingering(studied, nothing)))
        tasks = [await studied.begun("aimlapi") for _ in range(2)]
        assert {task.work for task in tasks} == {Work.LOOKUP}
        prolonging, silent = Prolonging(studied.ports.store), cast("Outbound", Silent())
        limits = replace(studied.ports.limits, lease=timedelta(seconds=2))
        store = cast("Store", prolonging)
        ports = replace(studied.ports, store=store, outbound=silent, limits=limits, system=RealSystem())
        worker = Worker(ports, Hints(), Concurrency(), alone=True)
        await worker.start()
        async with asyncio.timeout(60):
            await prolonging.done.wait()
        await worker.stop(0.1)
        assert prolonging.keys == {task.key for task in tasks}


class Slow:
    """A store one of whose reads, but for the one at a start, still takes a while to end when it is cancelled."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reading = asyncio.Event()
        self.started = self.ended = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def pauses(self) -> Mapping[str, Pause]:
        if not self.started:
            self.started = True
            return {}
        self.reading.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5000):
                await asyncio.sleep(0)
            self.ended = True
        return {}


async def test_nothing_of_a_worker_that_has_stopped_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        slow = Slow(around.ports.store)
        ports = replace(around.ports, store=cast("Store", slow), providers={})
        worker = Worker(ports, Hints(), Concurrency(), alone=True)
        await worker.start()
        await slow.reading.wait()
        await worker.stop(1)
        assert slow.ended


def unused(*_: object) -> None:
    raise AssertionError("alone on a database, each batch is waited for")


async def test_after_a_batch_that_was_hardly_worth_it_more_is_waited_for(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        await around.called(await around.begun())
        once, began = settling(around.ports, unused, alone=True), around.system.passed
        assert await once()
        assert around.system.passed == began + GATHERS


@pytest.mark.parametrize("came", [WORTH - 1, WORTH, BATCH])
async def test_after_a_batch_that_was_worth_it_the_next_is_settled_at_once(tmp_path: Path, came: int) -> None:
    async with world(tmp_path) as around:
        tasks = [await around.begun() for _ in range(1 + came // 64)]
        each = [(task, number) for task in tasks for number in range(64)]
        await asyncio.gather(*(around.called(task, number=number) for task, number in each[:came]))
        once, began = settling(around.ports, unused, alone=True), around.system.passed
        assert await once()
        assert around.system.passed == (began if came >= WORTH else began + GATHERS)


async def test_reports_that_come_one_by_one_as_a_process_ended_over_them_are_not_waited_for(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        await around.called(await around.begun())
        assert await settle.lease(around.ports, 1)
        around.system.passed += around.ports.limits.lease.total_seconds() + 1
        once, began = settling(around.ports, unused, alone=True), around.system.passed
        assert await once()
        assert around.system.passed == began


class Noting:
    """A store that keeps in mind how many reports were asked for at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked: list[int] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def lease_inbox(
        self, *, now: datetime, limit: int, lease: timedelta, in_hand: bool = False
    ) -> list[StoredReport]:
        self.asked.append(limit)
        return await self._store.lease_inbox(now=now, limit=limit, lease=lease, in_hand=in_hand)


async def test_after_a_death_nothing_is_claimed_beside_what_comes_one_by_one(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        for _ in range(3):
            await around.called(await around.begun())
        assert len(await settle.lease(around.ports, 3)) == 3
        around.system.passed += around.ports.limits.lease.total_seconds() + 1
        noting = Noting(around.ports.store)
        once = settling(replace(around.ports, store=cast("Store", noting)), unused, alone=True)
        assert [await once() for _ in range(4)] == [True, True, True, False]
        assert noting.asked == [BATCH, 1, 1, 1]
        await around.called(await around.begun())
        assert await once()
        assert noting.asked[-1] == BATCH


class UnderWay:
    """Steps that were started, each of which goes on when a test lets it."""

    def __init__(self) -> None:
        self.steps: list[tuple[Places, Coroutine[object, object, None]]] = []

    def run(self, _: str, places: Places, step: Coroutine[object, object, None]) -> None:
        places.take()
        self.steps.append((places, step))

    async def end(self) -> None:
        """Let the first of them end."""
        places, step = self.steps.pop(0)
        await step
        places.give_back()


async def test_where_others_share_the_database_what_is_in_hand_is_settled_beside_a_batch(tmp_path: Path) -> None:
    started = UnderWay()
    async with world(tmp_path, settles=True) as around:
        tasks = [await around.begun() for _ in range(SHARED_BATCHES + 1)]
        once = settling(around.ports, started.run, alone=False)
        assert not await once()
        for task in tasks[:-1]:
            await around.called(task)
            assert await once()
        assert len(started.steps) == SHARED_BATCHES
        one_more = asyncio.ensure_future(once())
        await around.called(tasks[-1])
        await asyncio.sleep(2 * BESIDE)
        assert not one_more.done()
        await started.end()
        assert await one_more
        assert len(started.steps) == SHARED_BATCHES
        for _ in range(SHARED_BATCHES):
            await started.end()
        assert None not in [(await around.now(task)).settled_at for task in tasks]


async def test_what_is_under_way_is_not_claimed_again_beside_it_though_its_claim_has_ended(tmp_path: Path) -> None:
    started = UnderWay()
    async with world(tmp_path, settles=True) as around:
        task = await around.begun()
        once = settling(around.ports, started.run, alone=False)
        await around.called(task)
        assert await once()
        around.system.passed += around.ports.limits.lease.total_seconds() + 1
        again = asyncio.ensure_future(once())
        await asyncio.sleep(2 * BESIDE)
        assert len(started.steps) == 1
        assert not again.done()
        await started.end()
        assert await again
        assert not await once()
        assert (await around.now(task)).callbacks == 1


class Odd:
    """A store that tells of durations as nobody foresaw."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def known(self, providers: Collection[str]) -> list[Known]:
        self.asked += 1
        raise ValueError("as nobody foresaw")


async def test_a_worker_that_cannot_learn_starts_and_goes_on_and_tries_again(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        odd = Odd(around.ports.store)
        task = await around.begun()
        worker = Worker(replace(around.ports, store=cast("Store", odd)), Hints(), Concurrency(), alone=True)
        await worker.start()
        await around.called(task)
        await passes(around, 3 * LEARN_EVERY)
        await worker.stop(1)
        assert odd.asked >= 3
        assert (await around.now(task)).settled_at is not None


class Asked:
    """A store that notes how many tasks were claimed for looks, and what was given back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.claims: list[int] = []
        self.claimed = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def lease_looks(self, provider: str, *, now: datetime, limit: int, lease: timedelta) -> list[Watched]:
        found = await self._store.lease_looks(provider, now=now, limit=limit, lease=lease)
        if found:
            self.claims.append(len(found))
            if len(self.claims) > 1:
                self.claimed.set()
        return found


async def test_the_next_looks_are_claimed_while_all_places_are_taken_and_given_back_at_a_stop(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1e9) as studied:
        tasks = [await studied.begun("aimlapi") for _ in range(5)]
        studied.system.passed += 86_400.0
        silent, asked = Silent(), Asked(studied.ports.store)
        ports = replace(studied.ports, outbound=cast("Outbound", silent), store=cast("Store", asked))
        worker = Worker(ports, Hints(), Concurrency(poll=2), alone=True)
        await worker.start()
        async with asyncio.timeout(60):
            await asked.claimed.wait()
        assert (asked.claims, silent.sent) == ([2, 2], 2)
        await worker.stop(4)
        assert silent.sent == 2
        # Nobody has to wait for the end of a claim but those who were asked about.
        again = await studied.ports.store.lease_looks(
            "aimlapi", now=studied.system.now(), limit=9, lease=timedelta(seconds=9)
        )
        assert len(again) == len(tasks) - 2
