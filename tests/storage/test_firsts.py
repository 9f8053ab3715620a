"""What is stored by a statement of its own on PostgreSQL: once, whoever tries again, and no more than that."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import pytest
from sqlalchemy import Connection, func, select

from receiver.lifecycle.ports import Appended
from receiver.storage.firsts import store_firsts
from receiver.storage.postgres import PostgresEngine
from receiver.storage.store import SqlStore, open_store
from receiver.storage.tables import inbox, reports
from tests.postgresql import Server
from tests.storage.making import LIMITS, new_key, report


@pytest.fixture
def url(postgresql: Server, empty_postgresql: str) -> str:
    return postgresql.database(empty_postgresql)


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlStore]:
    async with open_store(url) as opened:
        yield opened


async def kept(store: SqlStore) -> tuple[int | None, int | None]:
    """How many reports there are, and how many lines."""
    return await store._engine.read(
        lambda connection: (
            connection.scalar(select(func.count()).select_from(reports)),
            connection.scalar(select(func.count()).select_from(inbox)),
        )
    )


async def test_who_tries_again_as_the_answer_was_lost_stores_nothing_twice(store: SqlStore) -> None:
    asked = [report(new_key(), b"%d" % number) for number in range(5)]

    def lost(connection: Connection) -> None:
        assert store_firsts(connection, asked) == {each.id for each in asked}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store._engine.write(lost)
    assert await kept(store) == (5, 5)
    answers = await asyncio.gather(*(store.append(each, LIMITS) for each in asked))
    assert answers == [Appended.ACCEPTED] * 5
    assert await kept(store) == (5, 5)


async def test_only_the_first_of_each_task_is_stored(store: SqlStore) -> None:
    heard_of, new = new_key(), new_key()
    await store.append(report(heard_of, b"earlier"), LIMITS)
    first = report(new, b"one")
    stored = await store._engine.write(
        lambda connection: store_firsts(connection, [first, report(new, b"two"), report(heard_of, b"three")])
    )
    assert stored == {first.id}
    assert await kept(store) == (2, 2)


async def test_within_a_transaction_none_is_stored(store: SqlStore) -> None:
    def begun(connection: Connection) -> set[object]:
        connection.scalar(select(func.count()).select_from(reports))
        return {*store_firsts(connection, [report(new_key(), b"one")])}

    assert await store._engine.write(begun) == set()
    assert await kept(store) == (0, 0)


async def test_one_that_cannot_be_stored_leaves_the_others_to_the_usual_way(store: SqlStore) -> None:
    known = report(new_key(), b"known")
    await store.append(known, LIMITS)
    again = replace(report(new_key(), b"same id"), id=known.id)
    good = report(new_key(), b"good")
    stored = await store._engine.write(lambda connection: store_firsts(connection, [good, again]))
    assert stored == set()
    answers = await asyncio.gather(*(store.append(each, LIMITS) for each in (good, again)), return_exceptions=True)
    assert answers[0] is Appended.ACCEPTED
    assert isinstance(answers[1], Exception)
    assert await kept(store) == (2, 2)


async def test_what_commits_by_itself_ends_a_trouble_and_what_writes_nothing_does_not(store: SqlStore) -> None:
    engine = cast("PostgresEngine", store._engine)
    await store.append(report(new_key()), LIMITS)
    engine._trouble = "the disk was full"
    await engine.write(lambda connection: connection.scalar(select(1)))
    assert store.trouble == "the disk was full"
    await store.append(report(new_key()), LIMITS)
    assert store.trouble is None
