"""What a step brought home is written down as soon as the database takes it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from uuid import UUID

import pytest

from receiver.domain.errors import UnavailableError
from receiver.domain.event import Event, EventType
from receiver.domain.report import Via
from receiver.domain.task import Change, Task
from receiver.lifecycle.ports import Decision, Ports, Store
from receiver.lifecycle.record import record
from tests.lifecycle.upkeep import world
from tests.storage.making import report

DECISION = Decision(UUID(int=1), lambda _: None)


class Down:
    """A database that is out of order for the first ``times`` tries, and the clock of whoever waits for it."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.tries = 0
        self.passed = 0.0

    async def apply(self, decisions: Sequence[Decision]) -> list[Change | None]:
        self.tries += 1
        if self.tries <= self.times:
            raise UnavailableError("the disk is full")
        return [None for _ in decisions]

    async def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 2.0
        self.passed += seconds

    def monotonic(self) -> float:
        return self.passed

    def jitter(self) -> float:
        return 0.9

    def ports(self) -> Ports:
        return cast("Ports", SimpleNamespace(store=self, system=self))


async def test_a_database_that_is_down_is_waited_for_however_long() -> None:
    down = Down(times=5000)
    assert await record(down.ports(), [DECISION, DECISION]) == [None, None]
    assert (down.tries, down.passed > 3600) == (5001, True)


async def test_what_another_may_do_meanwhile_is_given_up_in_time() -> None:
    down = Down(times=5000)
    with pytest.raises(UnavailableError):
        await record(down.ports(), [DECISION], within=timedelta(seconds=120))
    assert 120 <= down.passed < 123


@dataclass
class Ambiguous:
    """A database whose first commit fails although it was written."""

    store: Store
    tries: int = 0

    async def apply(self, decisions: Sequence[Decision]) -> list[Change | None]:
        self.tries += 1
        changes = await self.store.apply(decisions)
        if self.tries == 1:
            raise UnavailableError("disk I/O error")
        return changes


async def test_what_was_written_by_a_commit_that_failed_is_not_written_twice(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        task = await around.begun()
        answer = replace(report(task.key, b"an answer", via=Via.SUBMIT), received_at=around.system.now())

        def decide(current: Task) -> Change:
            told = Event(EventType.POLL_ANSWERED, around.system.now())
            return Change(replace(current, polls=current.polls + 1), (told,), report=answer)

        ambiguous = Ambiguous(around.ports.store)
        twice = replace(around.ports, store=cast("Store", ambiguous))
        assert await record(twice, [Decision(task.key, decide)]) == [None]
        assert ambiguous.tries == 2
        assert (await around.now(task)).polls == 1
        assert [kept.id for kept in await around.ports.store.reports(task.id)] == [answer.id]
        told = [event.type for event in await around.ports.store.events(task.id)]
        assert told.count("poll.answered") == 1
