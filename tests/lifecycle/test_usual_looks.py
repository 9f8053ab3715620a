"""Looks that find a task under way, again: counted and no more, unless something happened to it meanwhile."""

from datetime import timedelta
from pathlib import Path

import pytest

from receiver.domain.operation import cancel
from receiver.domain.task import Status, Task
from receiver.domain.watched import Watched
from receiver.lifecycle import poll
from receiver.lifecycle.ports import Decision
from tests.lifecycle.studio import Studio, studio

PROVIDERS = ("runware", "aimlapi")


async def claimed(studied: Studio, task: Task) -> list[Watched]:
    studied.system.passed += timedelta(days=1).total_seconds()
    [batch] = await poll.lease(studied.ports, studied.ports.providers[task.provider], 10)
    return batch


async def look(studied: Studio, task: Task) -> None:
    await poll.poll(studied.ports, studied.ports.providers[task.provider], await claimed(studied, task))


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_first_look_is_told_and_the_others_are_counted(tmp_path: Path, provider: str) -> None:
    async with studio(tmp_path, lambda: 1e9) as studied:
        task = await studied.begun(provider)
        await look(studied, task)
        told = await studied.ports.store.events(task.id)
        first = await studied.now(task)
        for looks in (2, 3):
            asked_at = studied.system.now() + timedelta(days=1)
            await look(studied, task)
            after = await studied.now(task)
            assert (after.polls, after.looked_at, after.status) == (looks, asked_at, Status.SUBMITTED)
            assert after.due_at is not None
            assert after.due_at > asked_at
            assert after.answer_digest == first.answer_digest
        assert await studied.ports.store.events(task.id) == told


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_task_that_was_cancelled_while_it_was_looked_at_stays_so(tmp_path: Path, provider: str) -> None:
    async with studio(tmp_path, lambda: 1e9) as studied:
        task = await studied.begun(provider)
        await look(studied, task)
        batch = await claimed(studied, task)
        now = studied.system.now()
        await studied.ports.store.apply([Decision(task.key, lambda current: cancel(current, now))])
        await poll.poll(studied.ports, studied.ports.providers[provider], batch)
        after = await studied.now(task)
        assert (after.status, after.polls, after.work, after.due_at) == (Status.CANCELLED, 2, None, None)
