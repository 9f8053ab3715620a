"""What a start and the passing of time change, against a real store and a real folder."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import pytest

from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.report import NewReport, Via
from receiver.domain.request import TaskRequest
from receiver.domain.task import Change, Status, Task, Work
from receiver.domain.token import SigningKey, TokenSigner
from receiver.lifecycle import sweep
from receiver.lifecycle.ports import BodyLimits, Limits, Outbound, Pause, Ports, Provider
from receiver.providers import PROVIDERS
from receiver.storage.objects import open_objects
from receiver.storage.probe import probe
from receiver.storage.store import open_store
from receiver.system import RealSystem
from receiver.telemetry import PrometheusMetrics


def runware(key: str | None = "key") -> Provider:
    entry = PROVIDERS["runware"]
    return entry.build({option.name: option.default for option in entry.options}, key)


@pytest.fixture(params=["folder", "memory"])
async def ports(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Ports]:
    location = "memory://" if request.param == "memory" else str(tmp_path / "artifacts")
    async with open_store(tmp_path / "receiver.db") as store, open_objects(location) as objects:
        yield Ports(
            store=store,
            objects=objects,
            outbound=cast("Outbound", None),
            providers={"runware": runware()},
            system=RealSystem(),
            tokens=TokenSigner((SigningKey("k", bytes(32)),), bytes(16)),
            probe=probe,
            metrics=PrometheusMetrics(),
            limits=Limits(),
            wake=lambda _: None,
        )


def key_of_age(ports: Ports, age: timedelta) -> UUID:
    """The key of a report that was made so long ago."""
    now = ports.system.new_key().int
    return UUID(int=now - (int(age.total_seconds() * 1000) << 80))


@pytest.mark.parametrize(("alone", "left"), [(True, set()), (False, {ErrorCode.RATE})])
async def test_a_start_beside_others_ends_only_the_pauses_that_a_person_mends(
    ports: Ports, alone: bool, left: set[ErrorCode]
) -> None:
    until = ports.system.now() + timedelta(hours=1)
    for code, name in ((ErrorCode.RATE, "runware"), (ErrorCode.AUTH, "aimlapi")):
        await ports.store.pause(Pause(name, until, TaskError(code, "no", retryable=True)))
    await sweep.start(replace(ports, providers={**ports.providers, "aimlapi": runware()}), alone=alone)
    assert {pause.error.code for pause in (await ports.store.pauses()).values()} == left


async def test_a_start_removes_bodies_that_no_row_names_and_no_other(ports: Ports) -> None:
    old, older = key_of_age(ports, timedelta(hours=1)), key_of_age(ports, timedelta(days=1))
    named, fresh = key_of_age(ports, timedelta(hours=2)), key_of_age(ports, timedelta())
    for key in (old, older, named, fresh):
        await ports.objects.keep_bytes(b"body", f"reports/{key}")
    for other in ("reports/notes.txt", f"audio/{old}"):
        await ports.objects.keep_bytes(b"not ours to remove", other)
    row = NewReport(
        id=named,
        task_key=ports.system.new_key(),
        provider="runware",
        via=Via.CALLBACK,
        received_at=ports.system.now(),
        body=b"",
        sha256=bytes(32),
        size=4,
        object_key=f"reports/{named}",
    )
    await ports.store.append(row, BodyLimits())
    await sweep.start(ports, alone=True)
    assert set(await ports.objects.newest("reports", 9)) == {
        f"reports/{named}",
        f"reports/{fresh}",
        "reports/notes.txt",
    }
    assert await ports.objects.read(f"audio/{old}")


async def test_the_newest_names_are_those_that_sort_last_and_a_folder_that_is_not_there_has_none(
    ports: Ports,
) -> None:
    assert await ports.objects.newest("reports", 9) == []
    for name in ("b", "d", "a", "c"):
        await ports.objects.keep_bytes(b"", f"reports/{name}")
    assert await ports.objects.newest("reports", 2) == ["reports/d", "reports/c"]


def flying(ports: Ports, provider: str = "runware") -> Task:
    """A task that its provider has had for three days."""
    long_ago = ports.system.now() - timedelta(days=3)
    return Task(
        key=ports.system.new_key(),
        id=uuid4(),
        request=TaskRequest(provider, "a prompt long enough", "https://files.example.org/a.mp3", count=1),
        model="minimax:music@cover",
        created_at=long_ago,
        deadline_seconds=600,
        status=Status.SUBMITTED,
        overdue=True,
        submitted_at=long_ago,
        deadline_at=long_ago,
        work=Work.POLL,
        due_at=long_ago,
    )


async def test_tasks_that_wait_for_a_look_do_not_keep_the_sweep_from_one_behind_them(ports: Ports) -> None:
    waiting = [flying(ports) for _ in range(sweep.BATCH)]
    behind = replace(flying(ports), due_at=ports.system.now() + timedelta(hours=1))
    behind = replace(behind, deadline_at=ports.system.now() - timedelta(days=2))
    await asyncio.gather(*(ports.store.create(Change(task)) for task in (*waiting, behind)))
    assert await sweep.sweep(ports) == 1
    found = await ports.store.task(behind.id)
    assert found is not None
    assert found.status is Status.LOST


@pytest.mark.parametrize("beginning", [True, False], ids=["start", "sweep"])
async def test_attempts_nobody_can_close_do_not_keep_the_others_from_being_closed(
    ports: Ports, beginning: bool
) -> None:
    opened = ports.system.now() - timedelta(days=2)
    strangers = [replace(flying(ports, "retired"), attempts=1, attempt_open_since=opened) for _ in range(sweep.BATCH)]
    ours = replace(flying(ports), attempts=1, attempt_open_since=opened + timedelta(hours=1))
    await asyncio.gather(*(ports.store.create(Change(task)) for task in (*strangers, ours)))
    await (sweep.start(ports, alone=True) if beginning else sweep.sweep(ports))
    found = await ports.store.task(ours.id)
    assert found is not None
    assert found.attempt_open_since is None


@pytest.mark.parametrize("providers", [{}, {"runware": runware(None)}], ids=["no-adapter", "no-key"])
async def test_a_task_nobody_can_be_asked_about_is_lost_in_time(ports: Ports, providers: dict[str, Provider]) -> None:
    task = flying(ports)
    await ports.store.create(Change(task))
    assert await sweep.sweep(ports) == 0, "its provider is asked first"
    assert await sweep.sweep(replace(ports, providers=providers)) == 1
    found = await ports.store.task(task.id)
    assert found is not None
    assert found.status is Status.LOST
