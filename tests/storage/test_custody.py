"""Objects that several rows name, against everybody who makes and removes them at once, on each engine there is."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from receiver.domain.collection import Kept, collected
from receiver.domain.erasure import erase
from receiver.domain.result import ArtifactStatus
from receiver.domain.task import Status, Task
from receiver.lifecycle.ports import Decision, Erasing
from receiver.storage import custody
from receiver.storage.store import SqlStore, open_store
from tests.postgresql import Server
from tests.storage.conftest import Opens
from tests.storage.making import LEASE, NOW, given, result, stored, submitted

AUDIO = Kept("audio/ab/abc.mp3", 3, "abc", "audio/mpeg", 1.0)
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
LATER = NOW + LEASE + timedelta(seconds=1)


def collecting() -> Task:
    return replace(submitted(), status=Status.COLLECTING, work=None, due_at=None, results=(result(),))


def naming(task: Task) -> Decision:
    """What a worker decides that has kept the audio of a task."""
    one = task.results[0].id
    return Decision(
        task.key, lambda current: collected(current, one, AUDIO, NOW), objects=(AUDIO.object_key,), holder=one
    )


def erasing(task: Task) -> Erasing:
    """What takes a task away, and the object that it names."""
    kept = task.results[0].artifact.object_key
    return Erasing(erase(task, NOW), {} if kept is None else {kept: NOW})


async def claimed(store: SqlStore, task: Task) -> bool:
    return await store.claim_object(AUDIO.object_key, task.results[0].id, now=NOW, lease=LEASE)


async def test_what_is_named_is_not_removed_however_often_it_is_doomed(store: SqlStore) -> None:
    first, second = collecting(), collecting()
    await given(store, first, second)
    for each in (first, second):
        assert await claimed(store, each)
        assert await store.apply([naming(each)]) != [None]
    assert (await store.erase([first.key], erasing))[1] == [AUDIO.object_key]
    assert await store.condemn(NOW, 9, lease=LEASE) == []
    await store.erase([second.key], erasing)
    assert await store.condemn(NOW, 9, lease=LEASE) == [AUDIO.object_key]


async def test_two_that_name_one_object_may_be_erased_in_one_transaction(store: SqlStore) -> None:
    both = [collecting() for _ in range(2)]
    await given(store, *both)
    for each in both:
        await claimed(store, each)
    await store.apply([naming(each) for each in both])
    assert (await store.erase([each.key for each in both], erasing))[0] == 2
    assert await store.condemn(NOW, 9, lease=LEASE) == [AUDIO.object_key]


async def test_nobody_names_what_it_has_no_claim_on(store: SqlStore) -> None:
    task = collecting()
    await given(store, task)
    assert await store.apply([naming(task)]) == [None]
    assert (await stored(store, task)).results[0].artifact.status is ArtifactStatus.PENDING
    assert await store.condemn(NOW, 9, lease=LEASE) == [AUDIO.object_key]


async def test_what_a_dead_holder_made_is_removed_when_its_claim_is_over(store: SqlStore) -> None:
    task = collecting()
    await given(store, task)
    assert await claimed(store, task)
    assert await store.condemn(NOW, 9, lease=LEASE) == []
    assert await store.condemn(LATER, 9, lease=LEASE) == [AUDIO.object_key]
    # Had it only slept: what it would name is gone.
    assert await store.apply([naming(task)]) == [None]


async def test_a_claim_on_an_object_is_prolonged_with_that_on_its_artifact(store: SqlStore) -> None:
    task = collecting()
    await given(store, task)
    assert await store.lease_artifacts(now=NOW, limit=1, lease=LEASE)
    assert await claimed(store, task)
    await store.prolong_artifacts([task.results[0].id], now=LATER, lease=LEASE)
    assert await store.condemn(LATER, 9, lease=LEASE) == []
    assert await store.apply([naming(task)]) != [None]


async def test_what_somebody_is_making_is_not_removed(store: SqlStore) -> None:
    named, making = collecting(), collecting()
    await given(store, named, making)
    await claimed(store, named)
    await store.apply([naming(named)])
    assert await claimed(store, making)
    await store.erase([named.key], erasing)
    assert await store.condemn(NOW, 9, lease=LEASE) == []
    assert await store.apply([naming(making)]) != [None]
    assert await store.condemn(LATER, 9, lease=LEASE) == []


@pytest.fixture
def shared(postgresql: Server, empty_postgresql: str) -> str:
    return postgresql.database(empty_postgresql)


async def test_whoever_removes_waits_for_a_claim_that_is_being_written(shared: str) -> None:
    theirs = create_async_engine(shared.replace("postgresql://", "postgresql+asyncpg://"))
    async with open_store(shared, moment=lambda _, now: now) as store:
        named, making = collecting(), collecting()
        await given(store, named, making)
        await claimed(store, named)
        await store.apply([naming(named)])
        await store.erase([named.key], erasing)
        async with theirs.begin() as connection:
            holder, until = making.results[0].id, NOW + LEASE
            assert await connection.run_sync(lambda open_: custody.claim(open_, AUDIO.object_key, holder, until))
            removing = asyncio.create_task(store.condemn(NOW, 9, lease=LEASE))
            while not removing.done() and not await connection.scalar(text(WAITING)):
                await asyncio.sleep(0.01)
        assert await removing == []
    await theirs.dispose()


async def test_what_is_being_removed_belongs_to_one_and_is_claimed_by_nobody(store: SqlStore) -> None:
    task = collecting()
    await given(store, task)
    await claimed(store, task)
    assert await store.condemn(LATER, 9, lease=LEASE) == [AUDIO.object_key]
    assert await store.condemn(LATER, 9, lease=LEASE) == []
    assert not await claimed(store, task)
    # Whoever was to remove it died; somebody else does.
    assert await store.condemn(LATER + LEASE, 9, lease=LEASE) == [AUDIO.object_key]
    await store.forget_objects([AUDIO.object_key])
    assert await claimed(store, task)


@dataclass
class Disk:
    """An artifact store that holds one object or does not, and takes its time."""

    holds: bool = False
    faults: list[str] = field(default_factory=list)

    async def keep(self) -> None:
        self.holds = True
        await asyncio.sleep(0.001)

    async def remove(self) -> None:
        await asyncio.sleep(0.002)
        self.holds = False


async def test_makers_and_removers_of_one_object_at_once_lose_nothing_and_leave_nothing(either: Path | str) -> None:
    """Two stores on PostgreSQL, as two processes have; on SQLite one."""
    disk, over = Disk(), asyncio.Event()
    async with AsyncExitStack() as stack:
        opens: Opens = open_store
        count = 1 if isinstance(either, Path) else 2
        stores = [await stack.enter_async_context(opens(either)) for _ in range(count)]

        async def live(store: SqlStore) -> None:
            """Make, name, look at it, and be erased."""
            for _ in range(12):
                task = collecting()
                await given(store, task)
                while not await store.claim_object(
                    AUDIO.object_key, task.results[0].id, now=NOW, lease=timedelta(minutes=5)
                ):
                    await asyncio.sleep(0.002)
                await disk.keep()
                assert await store.apply([naming(task)]) != [None]
                for _ in range(3):
                    if not disk.holds:
                        disk.faults.append("named and not there")
                    await asyncio.sleep(0.001)
                await store.erase([task.key], erasing)

        async def sweep(store: SqlStore) -> None:
            while not over.is_set():
                for key in await store.condemn(NOW, 9, lease=timedelta(minutes=5)):
                    await disk.remove()
                    await store.forget_objects([key])
                await asyncio.sleep(0)

        sweeping = [asyncio.create_task(sweep(store)) for store in stores * 2]
        await asyncio.gather(*(live(store) for store in (*stores, stores[0])[:2]))
        over.set()
        await asyncio.gather(*sweeping)
        for _ in await stores[0].condemn(NOW, 9, lease=LEASE):
            await disk.remove()
        assert disk.faults == []
        assert not disk.holds
