import asyncio
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from receiver.domain.standing import Standing
from receiver.storage.store import SqlStore, open_store
from tests.storage.engines import ON_POSTGRESQL, ON_SQLITE
from tests.storage.making import NOW


def one_more(kept: Standing, now: float) -> tuple[Standing, int]:
    changed = replace(kept, unclear_in_a_row=kept.unclear_in_a_row + 1, empty_at=now)
    return changed, changed.unclear_in_a_row


async def test_a_standing_is_changed_by_one_caller_after_the_other(store: SqlStore) -> None:
    assert await store.standings() == {}
    changes = [store.change_standing("runware", one_more, now=NOW) for _ in range(20)]
    assert sorted(await asyncio.gather(*changes)) == list(range(1, 21))
    assert await store.change_standing("aimlapi", one_more, now=NOW) == 1
    kept = await store.standings()
    assert {name: one.unclear_in_a_row for name, one in kept.items()} == {"runware": 20, "aimlapi": 1}
    assert kept["runware"] == Standing(empty_at=NOW.timestamp(), unclear_in_a_row=20)


async def test_what_fails_changes_nothing(store: SqlStore) -> None:
    def broken(kept: Standing, now: float) -> tuple[Standing, int]:
        raise ValueError("a bug")

    await store.change_standing("runware", one_more, now=NOW)
    with pytest.raises(ValueError, match="a bug"):
        await store.change_standing("runware", broken, now=NOW)
    assert await store.change_standing("runware", one_more, now=NOW) == 2


async def told(database: Path | str) -> float:
    async with open_store(database) as opened:
        return await opened.change_standing("runware", lambda kept, now: (kept, now), now=NOW)


@ON_SQLITE
async def test_the_moment_is_the_callers_where_no_clock_is_shared(either: Path | str) -> None:
    assert await told(either) == NOW.timestamp()


@ON_POSTGRESQL
async def test_the_moment_is_the_databases_where_its_clock_is_shared(either: Path | str) -> None:
    """So that two machines whose clocks differ keep one pace."""
    assert abs(await told(either) - datetime.now(NOW.tzinfo).timestamp()) < 60
