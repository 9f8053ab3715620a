"""Whatever happens in whatever order: the timeline of every task stays whole, and no report is lost."""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.domain.event import Event, EventType
from receiver.domain.report import Via
from receiver.domain.task import Change, Task, Work
from receiver.lifecycle.ports import Decision, TaskFilter
from receiver.storage.store import SqlStore, open_store
from tests.storage.making import LEASE, LIMITS, NOW, event, refusing, report, settling, submitted, task

NUMBERS = st.integers(0, 3)
STEPS = st.one_of(
    st.tuples(st.just("create"), st.integers(0, 3)),
    st.tuples(st.just("change"), st.lists(st.tuples(NUMBERS, st.integers(-2, 3)), min_size=1, max_size=6)),
    st.tuples(st.just("append"), st.lists(st.tuples(NUMBERS, st.integers(0, 2)), min_size=1, max_size=6)),
    st.tuples(st.just("settle"), st.integers(1, 4)),
    st.tuples(st.just("lease"), st.integers(1, 3)),
    st.tuples(st.just("answer"), NUMBERS),
)


class Run:
    """A store being used, and how many reports it was given."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._tasks: list[Task] = []
        self._now = NOW
        self.reports = 0
        self.settled = 0

    def pick(self, number: int) -> Task:
        return self._tasks[number % len(self._tasks)]

    @property
    def empty(self) -> bool:
        return not self._tasks

    def later(self) -> datetime:
        self._now += 2 * LEASE
        return self._now

    async def create(self, events: int) -> None:
        new = submitted() if events % 2 else task()
        await self._store.create(Change(new, (event(EventType.TASK_CREATED), *[event()] * events)))
        self._tasks.append(new)

    async def change(self, wanted: Sequence[tuple[int, int]]) -> None:
        """Several decisions at once; a negative number of events stands for one that raises or cannot be written."""
        await self._store.apply([self._decision(self.pick(number), events) for number, events in wanted])

    async def append(self, wanted: Sequence[tuple[int, int]]) -> None:
        new = [report(self.pick(number).key, b"body %d" % body) for number, body in wanted]
        await asyncio.gather(*(self._store.append(each, LIMITS) for each in new))
        self.reports += len(new)

    async def settle(self, most: int) -> None:
        leased = await self._store.lease_inbox(now=self.later(), limit=most, lease=LEASE)
        await self._store.apply([settling(each) for each in leased])
        self.settled += len(leased)

    async def lease(self, most: int) -> None:
        def decide(current: Task) -> Change:
            return Change(replace(current, tries=current.tries + 1), (event(),) * most)

        for work in (Work.SUBMIT, Work.POLL):
            await self._store.lease_tasks(work, "runware", now=self.later(), limit=most, lease=LEASE, decide=decide)

    async def answer(self, number: int) -> None:
        """A poll that brings news."""
        of = self.pick(number)
        new = report(of.key, b"answer", via=Via.POLL)
        await self._store.apply([Decision(of.key, lambda current: Change(current, (event(),), report=new))])
        self.reports += 1

    async def check(self) -> None:
        tasks = await self._store.tasks(TaskFilter(limit=1000))
        assert len(tasks) == len(self._tasks)
        everything = await self._store.events(None, limit=100_000)
        assert [each.id for each in everything] == sorted({each.id for each in everything})
        for each in tasks:
            timeline = await self._store.events(each.id, limit=100_000)
            assert [told.seq for told in timeline] == list(range(1, len(timeline) + 1))
            assert timeline == [told for told in everything if told.task_id == each.id]
        assert sum([len(await self._store.reports(each.id)) for each in tasks]) == self.reports
        waiting = await self._store.lease_inbox(now=self.later(), limit=1000, lease=LEASE)
        assert len(waiting) == self.reports - self.settled

    @staticmethod
    def _decision(of: Task, events: int) -> Decision:
        if events == -1:
            return refusing(of.key)
        if events < 0:
            broken = Event(EventType.POLL_ANSWERED, NOW, {"cost": float("inf")})
            return Decision(of.key, lambda current: Change(current, (event(), broken)))
        return Decision(of.key, lambda current: Change(current, (event(),) * events))


async def perform(database: Path, steps: Sequence[tuple[str, object]]) -> None:
    async with open_store(database) as store:
        run = Run(store)
        for name, argument in steps:
            if name == "create" or not run.empty:
                await getattr(run, name)(argument)
        await run.check()


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEPS, max_size=14))
def test_any_sequence_of_steps_leaves_timelines_unbroken_and_every_report_accounted_for(
    empty_database: Path, steps: list[tuple[str, object]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Path(shutil.copy(empty_database, Path(folder) / "receiver.db"))
        asyncio.run(perform(database, [("create", 1), *steps]))
