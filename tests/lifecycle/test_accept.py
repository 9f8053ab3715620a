"""Accepting a callback whose body lies beside the database, while the database fails."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest

from receiver.domain.errors import UnavailableError
from receiver.domain.report import NewReport
from receiver.domain.task import Task
from receiver.lifecycle.ports import Appended, BodyLimits, Store
from tests.lifecycle.upkeep import World, world


class Failing:
    """A store that is away: once it has stored a report or before that, and perhaps when it is asked what it has."""

    def __init__(self, store: Store, *, stores: bool, tells: bool) -> None:
        self._store = store
        self._stores = stores
        self._tells = tells

    def append(self, report: NewReport, limits: BodyLimits) -> asyncio.Future[Appended]:
        return asyncio.ensure_future(self._in_vain(report, limits))

    async def _in_vain(self, report: NewReport, limits: BodyLimits) -> Appended:
        if self._stores:
            await self._store.append(report, limits)
        raise UnavailableError("the answer was lost")

    async def known_reports(self, report_ids: Sequence[UUID]) -> set[UUID]:
        if not self._tells:
            raise UnavailableError("it is still away")
        return await self._store.known_reports(report_ids)


async def called_in_vain(around: World, task: Task, *, stores: bool, tells: bool) -> None:
    failing = cast("Store", Failing(around.ports.store, stores=stores, tells=tells))
    broken = World(around.folder, replace(around.ports, store=failing), around.source, around.system)
    with pytest.raises(UnavailableError):
        await broken.called(task, padding=around.ports.limits.spool_bytes)


@pytest.mark.parametrize("tells", [True, False])
async def test_a_large_callback_that_was_stored_before_the_fault_keeps_its_body(
    tmp_path: Path, *, tells: bool
) -> None:
    async with world(tmp_path) as around:
        task = await around.begun()
        await called_in_vain(around, task, stores=True, tells=tells)
        # It comes again, and is taken for the repeat that it is.
        await around.called(task, padding=around.ports.limits.spool_bytes)
        await around.settled()
        await around.collected()
        assert (await around.now(task)).status == "succeeded"


async def test_one_that_was_not_stored_leaves_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        await called_in_vain(around, await around.begun(), stores=False, tells=True)
        assert around.files() == []


async def test_where_nobody_can_say_its_body_stays(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        await called_in_vain(around, await around.begun(), stores=False, tells=False)
        assert len(around.files()) == 1
