from collections.abc import Awaitable, Callable

import pytest

from receiver.domain.errors import UnavailableError
from receiver.storage.store import SqlStore
from tests.storage.engines import fill_the_disk_once
from tests.storage.making import LIMITS, new_key, report


def trouble(store: SqlStore) -> str | None:
    """What is told now; the type checker takes a property for what it was a moment ago."""
    return store.trouble


async def test_a_ping_writes_and_leaves_nothing(store: SqlStore, commits: list[int]) -> None:
    await store.ping()
    await store.ping()
    assert commits == [1, 1]
    found = await store._engine.read(
        lambda connection: connection.exec_driver_sql("SELECT probe IS NULL, length(id) FROM installation").all()
    )
    assert [tuple(row) for row in found] == [(1, 16)]


async def read_only(store: SqlStore) -> None:
    await store._engine.write(lambda connection: connection.exec_driver_sql("PRAGMA query_only = ON"))


async def full(store: SqlStore) -> None:
    await fill_the_disk_once(store, pages=1)


@pytest.mark.parametrize(
    ("either", "broken"),
    [("sqlite", read_only), ("sqlite", full), ("postgresql", full)],
    indirect=["either"],
)
async def test_a_ping_fails_where_a_write_would_and_succeeds_again_after(
    store: SqlStore, broken: Callable[[SqlStore], Awaitable[None]]
) -> None:
    await broken(store)
    assert trouble(store) is None
    with pytest.raises(UnavailableError):
        await store.ping()
    assert trouble(store) is not None
    # A transaction that changes nothing succeeds on a full disk, and says nothing of it.
    await store.void_leases()
    assert trouble(store) is not None
    await store.ping()
    assert trouble(store) is None
    await store.append(report(new_key()), LIMITS)
