"""Two processes that change one task at once: whoever waits for the other sees all that it wrote."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import delete, func, select

from receiver.domain.result import ArtifactStatus
from receiver.domain.task import Task
from receiver.storage import deciding
from receiver.storage.store import SqlStore
from receiver.storage.tables import events, tasks
from tests.storage.engines import ON_POSTGRESQL
from tests.storage.making import NOW, changing, given, result, submitted

_WAITS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@ON_POSTGRESQL
async def test_a_change_that_waited_for_another_sees_the_results_that_it_wrote(store: SqlStore, either: str) -> None:
    one = await _with_two_results(store)
    async with _another(either) as (other, waited_for):
        await other.execute("SELECT 1 FROM tasks WHERE key = $1 FOR UPDATE", one.key)
        await other.execute("UPDATE artifacts SET status = 'stored' WHERE task_key = $1 AND position = 0", one.key)
        [current] = await waited_for(store, one)
    assert [each.artifact.status for each in current.results] == [ArtifactStatus.STORED, ArtifactStatus.PENDING]


@ON_POSTGRESQL
async def test_a_change_that_waited_for_an_erasure_changes_nothing(store: SqlStore, either: str) -> None:
    one = await _with_two_results(store)
    async with _another(either) as (other, waited_for):
        await other.execute("SELECT 1 FROM tasks WHERE key = $1 FOR UPDATE", one.key)
        await other.execute("INSERT INTO erasures (task_key, erased_at) VALUES ($1, $2)", one.key, NOW)
        assert await waited_for(store, one) == []


@ON_POSTGRESQL
async def test_what_was_written_of_a_task_while_it_was_to_be_deleted_goes_with_it(
    store: SqlStore, either: str
) -> None:
    one = await _with_two_results(store)
    async with _another(either) as (other, waited_for):
        await other.execute("SELECT 1 FROM tasks WHERE key = $1 FOR UPDATE", one.key)
        await other.execute(
            "INSERT INTO events (task_key, seq, type, at, data) VALUES ($1, 9, 'x', $2, '{}')", one.key, NOW
        )
        deleting = asyncio.create_task(store._engine.write(lambda connection: connection.execute(delete(tasks))))
        await waited_for.until_somebody_waits()
        await deleting
    assert (
        await store._engine.read(lambda connection: connection.scalar(select(func.count()).select_from(events))) == 0
    )


async def _with_two_results(store: SqlStore) -> Task:
    one = submitted()
    await given(store, one)
    await store.apply([changing(one, lambda current: replace(current, results=(result(0), result(1))))])
    return one


class _Waiting:
    """Decides about a task while another transaction has it, and returns what the decision was shown."""

    def __init__(self, theirs: asyncpg.transaction.Transaction, watch: asyncpg.Connection) -> None:
        self._theirs = theirs
        self._watch = watch

    async def __call__(self, store: SqlStore, task: Task) -> list[Task]:
        seen: list[Task] = []

        def saw(current: Task) -> Task:
            seen.append(current)
            return replace(current, polls=current.polls + 1)

        waiting = asyncio.create_task(store.apply([changing(task, saw)]))
        await self.until_somebody_waits()
        await waiting
        return seen

    async def until_somebody_waits(self) -> None:
        """Commit once somebody waits for it."""
        async with asyncio.timeout(60):
            while not await self._watch.fetchval(_WAITS):
                await asyncio.sleep(0.01)
        await self._theirs.commit()


@asynccontextmanager
async def _another(url: str) -> AsyncIterator[tuple[asyncpg.Connection, _Waiting]]:
    """Another process with a transaction of its own."""
    other, watch = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        theirs = other.transaction()
        await theirs.start()
        yield other, _Waiting(theirs, watch)
    finally:
        await other.close()
        await watch.close()


@ON_POSTGRESQL
async def test_tasks_are_locked_in_one_order_by_however_many_statements(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked: list[UUID] = []
    monkeypatch.setattr(deciding, "lock", lambda _, keys: locked.extend(keys))
    some = [submitted() for _ in range(deciding._FAR + 20)]
    await store.apply([changing(each, lambda current: current) for each in reversed(some)])
    assert len(locked) == len(some)
    assert locked == sorted(locked), "two that have tasks in common wait for each other"
