"""Looks that find a task under way, again: counted and no more, unless something happened to it meanwhile."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from receiver.domain.errors import UnavailableError
from receiver.domain.exchange import HttpAnswer
from receiver.domain.operation import cancel
from receiver.domain.task import Status, Task
from receiver.domain.watched import Look, Watched
from receiver.lifecycle import poll
from receiver.lifecycle.ports import Decision, Objects, Outbound, Store
from tests.lifecycle.studio import Lingering, Studio, studio

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


@dataclass
class Away:
    """A store that takes no looks, or an artifact store that takes no files."""

    kept: object
    calls: int = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.kept, name)

    async def look(self, looks: Sequence[Look]) -> list[bool]:
        self.calls += 1
        raise UnavailableError("the database is away")

    async def keep_bytes(self, body: bytes, key: str) -> None:
        self.calls += 1
        raise UnavailableError("artifacts: permission denied")


async def test_a_database_that_is_away_for_longer_than_a_claim_leaves_a_task_as_it_was(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1e9) as studied:
        task = await studied.begun("runware")
        await look(studied, task)
        before, batch = await studied.now(task), await claimed(studied, task)
        away = Away(studied.ports.store)
        ports = replace(studied.ports, store=cast("Store", away))
        since = studied.system.now()
        with pytest.raises(UnavailableError):
            await poll.poll(ports, ports.providers["runware"], batch)
        assert away.calls > 1
        assert studied.system.now() - since < 2 * ports.limits.lease
        assert await studied.now(task) == before


@pytest.mark.parametrize("status", ["processing", "success"])
async def test_an_answer_that_cannot_be_kept_does_no_harm_to_those_beside_it(tmp_path: Path, status: str) -> None:
    async with studio(tmp_path, lambda: 1e9) as studied:
        beside, large = [await studied.begun("runware") for _ in range(2)]
        await look(studied, beside)
        padding = "x" * studied.ports.limits.spool_bytes
        said = [
            {"taskType": "audioInference", "taskUUID": str(beside.id), "status": status},
            {
                "taskType": "audioInference",
                "taskUUID": str(large.id),
                "status": "success",
                "audioBase64Data": padding,
            },
        ]
        answer = HttpAnswer(200, {}, json.dumps({"data": said}).encode())
        away = Away(studied.ports.objects)
        ports = replace(
            studied.ports,
            objects=cast("Objects", away),
            outbound=cast("Outbound", Lingering(studied, lambda: answer)),
        )
        await poll.poll(ports, ports.providers["runware"], await claimed(studied, beside))
        after, failed = await studied.now(beside), await studied.now(large)
        assert away.calls == 1
        assert (after.polls, after.tries, after.fault) == (2, 0, None)
        assert (failed.tries, failed.fault) == (1, "its answer could not be kept")
