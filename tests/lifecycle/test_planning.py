"""Tasks made one after another teach when to look at the next; whether callbacks come decides how soon."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import fmean
from typing import cast

import pytest

from receiver.domain.learning import GRACE
from tests.lifecycle.studio import Studio, studio
from tests.web.fakes import FakeMetrics


def around(middle: float) -> Callable[[], float]:
    chance = Random(7)
    return lambda: middle * chance.lognormvariate(0, 0.1)


async def several(house: Studio, provider: str, count: int) -> tuple[float, float]:
    """Return polls per task and mean lag of so many tasks."""
    made = [await house.made(provider) for _ in range(count)]
    return fmean(task.polls for task, _ in made), fmean(lag for _, lag in made)


async def test_after_some_tasks_a_provider_that_never_calls_is_looked_at_less_and_answers_are_had_sooner(
    tmp_path: Path,
) -> None:
    async with studio(tmp_path, around(68)) as house:
        cold_polls, cold_lag = await several(house, "aimlapi", 20)
        assert cold_polls > 4, "a look every 15 seconds"
        assert await house.learn() == {}
        assert 45 < await first_look(house, "aimlapi") < 68
        await several(house, "aimlapi", 6)
        await house.learn()
        polls, lag = await several(house, "aimlapi", 12)
    assert polls < cold_polls - 1.5
    assert lag < cold_lag / 2


async def test_twenty_tasks_change_the_documented_pace_also_after_a_restart(tmp_path: Path) -> None:
    async with studio(tmp_path, around(10)) as house:
        await several(house, "aimlapi", 19)
        await house.learn()
        assert await first_look(house, "aimlapi") == 15
        await several(house, "aimlapi", 1)
        await house.learn()
        learned = dict(house.ports.schedules.learned)
        assert await first_look(house, "aimlapi") < 15
    async with studio(tmp_path, around(10)) as house:
        await house.learn()
        assert house.ports.schedules.learned == learned


async def test_the_safety_look_lies_behind_nearly_all_callbacks_and_moves_forward_while_they_fail_to_come(
    tmp_path: Path,
) -> None:
    async with studio(tmp_path, around(60)) as house:
        assert await several(house, "runware", 20) == (0, 0)
        assert await house.learn() == {}
        assert await first_look(house, "runware") == pytest.approx(60 * 1.35 + GRACE.total_seconds(), abs=12)
        assert gauge(house) == 0

        house.calls_back = False
        _, lag = await several(house, "runware", 5)
        assert lag > 20, "the time until the safety look"
        waiting = await house.begun("runware")
        assert await house.learn() == {"runware": True}
        assert gauge(house) == 1
        assert (await house.now(waiting)).due_at == house.system.now(), "perhaps it is finished long since"
        assert await first_look(house, "runware") < 60
        await several(house, "runware", 15)
        assert await house.learn() == {}
        _, lag = await several(house, "runware", 8)
        assert lag < 6

        house.calls_back = True
        polls, _ = await several(house, "runware", 16)
        assert polls > 0.5, "they are still looked at before they are done"
        assert await house.learn() == {"runware": False}
        assert gauge(house) == 0
        assert await first_look(house, "runware") > 75
        assert (await several(house, "runware", 3))[0] == 0


async def test_callbacks_that_come_a_moment_after_a_look_found_the_result_came(tmp_path: Path) -> None:
    async with studio(tmp_path, around(60)) as house:
        house.calls_back = False
        made = [await house.made("runware") for _ in range(12)]
        assert await house.learn() == {"runware": True}
        for task, _ in made:
            await house.called(task)
        assert await house.learn() == {"runware": False}


async def first_look(house: Studio, provider: str) -> float:
    """Return after how many seconds a task that was just submitted would be looked at."""
    task = await house.begun(provider)
    assert task.submitted_at is not None
    assert task.due_at is not None
    return (task.due_at - task.submitted_at).total_seconds()


def gauge(house: Studio) -> float:
    return cast("FakeMetrics", house.ports.metrics).gauges["looks_moved_forward", "runware"]
