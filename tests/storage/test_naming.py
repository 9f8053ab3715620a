import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from receiver.domain.errors import ReusedKeyError
from receiver.domain.submission import create
from receiver.domain.task import Change
from receiver.lifecycle.ports import Once, TaskFilter
from receiver.storage.store import SqlStore
from tests.storage.making import NOW, task

ONCE = Once("key-1", "name", b"d" * 32)
DAY = timedelta(hours=24)


def asked(after: timedelta = timedelta()) -> Change:
    return create(replace(task(), created_at=NOW + after))


async def test_a_new_name_makes_a_task_and_the_same_name_gives_it_again(store: SqlStore) -> None:
    first = asked()
    assert await store.create(first, ONCE) is None
    assert await store.create(asked(), ONCE) == first.task.id
    assert len(await store.tasks(TaskFilter())) == 1


async def test_concurrent_twins_get_one_task(store: SqlStore) -> None:
    outcomes = await asyncio.gather(*(store.create(asked(), ONCE) for _ in range(50)))
    [only] = await store.tasks(TaskFilter())
    assert outcomes.count(None) == 1
    assert {outcome for outcome in outcomes if outcome is not None} == {only.id}


async def test_another_digest_under_the_same_name_is_refused_also_among_twins(store: SqlStore) -> None:
    other = replace(ONCE, digest=b"e" * 32)
    outcomes = await asyncio.gather(store.create(asked(), ONCE), store.create(asked(), other), return_exceptions=True)
    assert outcomes[0] is None
    assert isinstance(outcomes[1], ReusedKeyError)
    with pytest.raises(ReusedKeyError):
        await store.create(asked(), other)
    assert len(await store.tasks(TaskFilter())) == 1


async def test_a_name_belongs_to_its_caller(store: SqlStore) -> None:
    assert await store.create(asked(), ONCE) is None
    assert await store.create(asked(), replace(ONCE, caller="key-2")) is None


async def test_a_name_is_free_again_after_a_day_and_old_names_are_forgotten(store: SqlStore) -> None:
    first = asked()
    await store.create(first, ONCE)
    assert await store.create(asked(DAY - timedelta(seconds=1)), ONCE) == first.task.id
    assert await store.create(asked(DAY + timedelta(seconds=1)), replace(ONCE, digest=b"e" * 32)) is None
    assert len(await store.tasks(TaskFilter())) == 2
