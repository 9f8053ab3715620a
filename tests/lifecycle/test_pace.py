"""The pace of calls to a provider, by a clock that only sleeping moves."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from receiver.lifecycle.pace import Pace
from receiver.lifecycle.ports import System
from receiver.lifecycle.standings import OwnStandings, SharedStandings
from receiver.storage.store import open_store
from tests.web.fakes import NOON


@dataclass
class Clock:
    """Time stands still but for sleeping."""

    seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.seconds += seconds


def paced(per_second: float | None) -> tuple[Pace, Clock]:
    clock = Clock()
    system = cast("System", clock)
    return Pace("runware", per_second, OwnStandings(system), system), clock


async def test_without_a_figure_nobody_waits() -> None:
    pace, clock = paced(None)
    assert [await pace.turns(8) for _ in range(100)] == [8] * 100
    assert clock.slept == []


async def test_a_seconds_calls_may_begin_at_once_and_the_others_at_the_pace() -> None:
    pace, clock = paced(4.0)
    begun = []
    for _ in range(12):
        assert await pace.turns() == 1
        begun.append(clock.seconds)
    assert begun == pytest.approx([0, 0, 0, 0, *(number / 4 for number in range(1, 9))])


async def test_below_one_in_a_second_the_first_call_begins_at_once() -> None:
    pace, clock = paced(0.5)
    assert [(await pace.turns(8), clock.seconds) for _ in range(3)] == [(1, 0), (1, 2), (1, 4)]


async def test_no_more_turns_are_given_than_were_asked_for_or_are_there() -> None:
    pace, _ = paced(5.0)
    assert await pace.turns(3) == 3
    assert await pace.turns(8) == 2


async def test_turns_that_are_given_back_are_there_for_the_next_and_never_more_than_a_seconds() -> None:
    pace, clock = paced(5.0)
    assert await pace.turns(8) == 5
    await pace.give_back(4)
    assert await pace.turns(8) == 4
    await pace.give_back(50)
    assert await pace.turns(8) == 5
    assert clock.slept == []


async def test_two_kinds_of_work_that_never_rest_get_their_turns_alike() -> None:
    pace, clock = paced(2.0)
    begun: list[str] = []

    async def work(kind: str) -> None:
        while clock.seconds < 50:
            begun.extend([kind] * await pace.turns(8))

    await asyncio.gather(work("submit"), work("poll"))
    assert abs(begun.count("submit") - begun.count("poll")) <= 3
    assert 100 <= len(begun) <= 104


async def test_processes_that_share_an_account_keep_to_its_pace_together(tmp_path: Path) -> None:
    """Each has a clock of its own that only its own sleeping moves, so both ask as often as they ever could."""
    async with open_store(tmp_path / "receiver.db") as store:
        clock = Clock()
        system = cast("System", clock)
        paces = [Pace("runware", 20.0, SharedStandings(store, system), system) for _ in range(2)]
        begun: list[tuple[float, int]] = []
        shares = [0, 0]

        async def work(number: int) -> None:
            while clock.seconds < 10:
                count = await paces[number].turns(8)
                begun.append((clock.seconds, count))
                shares[number] += count

        await asyncio.gather(work(0), work(1))
    ends = max(seconds for seconds, _ in begun)
    assert 200 <= sum(shares) <= 20 + 20 * ends + 1
    assert min(shares) > 80
    # One change of the row serves several calls.
    assert len(begun) <= sum(shares) / 2 + 2
