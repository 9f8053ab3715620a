"""A report whose reading ends the process is not read for ever, and takes none of those beside it with it."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest

from receiver.bootstrap import opened
from receiver.domain.errors import UnavailableError
from receiver.domain.exchange import HttpAnswer
from receiver.domain.report import Reading, Verdict, Via
from receiver.domain.task import Status, Task
from receiver.lifecycle import poll, settle
from receiver.lifecycle.accept import accept
from receiver.lifecycle.ports import Objects, Outbound, Ports, Store
from receiver.lifecycle.settle import MOST_ATTEMPTS, settle_reports
from receiver.providers import PROVIDERS
from receiver.providers.runware import Runware
from receiver.settings import load
from tests.lifecycle.upkeep import LINK, World, world
from tests.web.fakes import FakeSystem

LEASE = timedelta(seconds=60)


class KilledError(BaseException):
    """Stands for the end of the process: nothing catches it."""


class Deadly(Runware):
    """A provider whose reports cannot be read and survived."""

    def read(self, body: bytes, via: Via) -> Reading:
        raise KilledError


@pytest.fixture
def moments() -> Iterator[datetime]:
    """Moments far enough apart that a lease has ended at the next."""
    begin = datetime.now().astimezone()
    return (begin + number * 2 * LEASE for number in range(100))


async def test_a_report_that_ended_two_processes_is_set_aside_unread_by_the_third(
    tmp_path: Path, moments: Iterator[datetime]
) -> None:
    loaded = load(PROVIDERS.values(), environ={"RECEIVER_DATA_DIR": str(tmp_path / "data")}, env_file=None)
    async with opened(loaded) as receiver:
        genuine = receiver.ports.providers["runware"]
        assert isinstance(genuine, Runware)
        deadly = Deadly(**{part.name: getattr(genuine, part.name) for part in fields(genuine)})
        ports = replace(receiver.ports, providers={"runware": deadly})
        key = ports.system.new_key()
        await accept(ports, provider="runware", task_key=key, body=b"{}", headers={})
        for _ in range(MOST_ATTEMPTS - 1):
            [leased] = await ports.store.lease_inbox(now=next(moments), limit=10, lease=LEASE)
            with pytest.raises(KilledError):
                await settle_reports(ports, [leased])
        [leased] = await ports.store.lease_inbox(now=next(moments), limit=10, lease=LEASE)
        await settle_reports(ports, [leased])
        assert await ports.store.lease_inbox(now=next(moments), limit=10, lease=LEASE) == []
    with closing(sqlite3.connect(tmp_path / "data" / "receiver.db")) as connection:
        assert connection.execute("SELECT verdict FROM rulings").fetchall() == [("quarantined",)]


async def verdicts(known: World, tasks: list[Task]) -> list[Verdict | None]:
    return [summary.verdict for task in tasks for summary in await known.ports.store.reports(task.id)]


async def test_deaths_while_settling_set_nobody_aside_but_whoever_died_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as known:
        tasks = [await known.begun() for _ in range(20)]
        for task in tasks:
            await known.called(task)
        assert len(await settle.lease(known.ports, 50)) == 20
        await known.ports.store.void_leases()
        [alone] = await settle.lease(known.ports, 50)
        assert alone.task_key == tasks[0].key
        await known.ports.store.void_leases()
        while leased := await settle.lease(known.ports, 50):
            assert len(leased) == 1, "each of them may be the one that kills"
            await settle_reports(known.ports, leased)
        assert await verdicts(known, tasks) == [Verdict.QUARANTINED] + 19 * [Verdict.SETTLED]


async def test_reports_that_came_after_a_death_are_settled_together_again(tmp_path: Path) -> None:
    async with world(tmp_path) as known:
        tasks = [await known.begun() for _ in range(6)]
        for task in tasks[:2]:
            await known.called(task)
        await settle.lease(known.ports, 50)
        await known.ports.store.void_leases()
        for task in tasks[2:]:
            await known.called(task)
        sizes = []
        while leased := await settle.lease(known.ports, 50):
            sizes.append(len(leased))
            assert max(report.attempts for report in leased) == (2 if len(leased) == 1 else 1)
            await settle_reports(known.ports, leased)
        assert sizes == [1, 1, 4]
        assert await verdicts(known, tasks) == 6 * [Verdict.SETTLED]


class Away:
    """An artifact store that does not answer."""

    async def read(self, object_key: str) -> bytes:
        raise UnavailableError(f"{object_key} cannot be read now")


async def test_a_body_that_cannot_be_had_for_days_is_no_death(tmp_path: Path) -> None:
    async with world(tmp_path) as known:
        task = await known.begun()
        await known.called(task, padding=8192)
        ports = replace(known.ports, objects=cast("Objects", Away()))
        for _ in range(2 * MOST_ATTEMPTS):
            [leased] = await settle.lease(ports, 50)
            await settle_reports(ports, [leased])
            known.system.passed += 3600
        await known.settled()
        assert await verdicts(known, [task]) == [Verdict.SETTLED]


class Failing:
    """A store that cannot put a report off the first ``faults`` times."""

    def __init__(self, store: Store, faults: int) -> None:
        self._store = store
        self.faults = faults

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def defer_report(self, report_id: UUID, due_at: datetime) -> None:
        if self.faults:
            self.faults -= 1
            raise UnavailableError("the disk is full")
        await self._store.defer_report(report_id, due_at)


async def test_a_body_that_cannot_be_had_while_the_database_is_down_too_is_no_death_either(tmp_path: Path) -> None:
    async with world(tmp_path) as known:
        await known.called(await known.begun(), padding=8192)
        failing = Failing(known.ports.store, faults=5)
        ports = replace(known.ports, objects=cast("Objects", Away()), store=cast("Store", failing))
        await settle_reports(ports, await settle.lease(ports, 50))
        assert failing.faults == 0
        known.system.passed += 3600
        [leased] = await settle.lease(known.ports, 50)
        assert leased.attempts == 1


class Answers:
    """A provider that has had the result of a task all along, and says so in the same words each time."""

    def __init__(self, task: Task) -> None:
        item = {
            "taskType": "audioInference",
            "taskUUID": str(task.id),
            "audioUUID": "00000000-0000-4000-8000-000000000000",
            "audioURL": f"{LINK}/0.wav",
            "status": "success",
        }
        self._body = json.dumps({"data": [item]}).encode()

    async def send(self, provider: str, request: object) -> HttpAnswer:
        headers: Mapping[str, str] = {}
        return HttpAnswer(200, headers, self._body)


async def looked(known: World, ports: Ports) -> None:
    """Let the next look at whatever is due in the next hour be made."""
    known.system.passed += 3600
    provider = ports.providers["runware"]
    for batch in await poll.lease(ports, provider, 10):
        await poll.poll(ports, provider, batch)


async def test_an_answer_that_died_twice_while_settling_is_taken_when_the_provider_repeats_it(tmp_path: Path) -> None:
    async with world(tmp_path) as known:
        task = await known.begun()
        ports = replace(known.ports, outbound=cast("Outbound", Answers(task)))
        await looked(known, ports)
        for _ in range(MOST_ATTEMPTS - 1):
            assert len(await settle.lease(ports, 50)) == 1
            await ports.store.void_leases()
        await known.settled()
        assert await verdicts(known, [task]) == [Verdict.QUARANTINED]
        stands = await known.now(task)
        assert stands.due_at is not None
        assert stands.due_at - known.system.now() >= timedelta(minutes=30), "should it kill, then not at once again"
        await looked(known, ports)
        await known.settled()
        assert (await known.now(task)).status is Status.COLLECTING


class Broken(FakeSystem):
    """A machine on which nothing that is new gets a name."""

    def new_key(self) -> UUID:
        raise ZeroDivisionError


async def test_an_answer_whose_settling_broke_is_taken_when_the_provider_repeats_it(tmp_path: Path) -> None:
    async with world(tmp_path) as known:
        task = await known.begun()
        ports = replace(known.ports, outbound=cast("Outbound", Answers(task)))
        await looked(known, ports)
        await settle_reports(replace(ports, system=Broken()), await settle.lease(ports, 50))
        assert await verdicts(known, [task]) == [Verdict.QUARANTINED]
        await looked(known, ports)
        await known.settled()
        assert (await known.now(task)).status is Status.COLLECTING
