"""A provider that takes nothing rests from that moment on, whatever the store says or cannot say yet."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from receiver.domain.errors import ErrorCode, TaskError, UnavailableError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.request import TaskRequest
from receiver.lifecycle import submit
from receiver.lifecycle.ports import Outbound, Pause, Store
from receiver.lifecycle.reception import Reception
from receiver.lifecycle.resting import Resting
from receiver.lifecycle.standings import OwnStandings
from tests.lifecycle.upkeep import world
from tests.web.fakes import FakeSystem


@dataclass
class Kept:
    """What a store says of pauses; a look at it that has begun ends when ``answering`` is set."""

    said: dict[str, Pause] = field(default_factory=dict)
    looking: asyncio.Event = field(default_factory=asyncio.Event)
    answering: asyncio.Event = field(default_factory=asyncio.Event)

    async def pauses(self) -> Mapping[str, Pause]:
        found = dict(self.said)
        self.looking.set()
        await self.answering.wait()
        return found


def pause(system: FakeSystem, seconds: float, provider: str = "runware") -> Pause:
    return Pause(provider, system.now() + timedelta(seconds=seconds), TaskError(ErrorCode.RATE, "slow down"))


async def read(resting: Resting, kept: Kept) -> list[Pause]:
    kept.answering.set()
    return await resting.read(cast("Store", kept))


async def test_a_look_into_the_store_that_began_before_a_pause_does_not_end_it() -> None:
    system, kept = FakeSystem(), Kept()
    resting, met = Resting(system), pause(system, 60)
    looking = asyncio.create_task(resting.read(cast("Store", kept)))
    await kept.looking.wait()
    assert resting.heed(met) == [met]
    kept.said["runware"] = met
    kept.answering.set()
    assert await looking == []
    assert resting.of("runware") == met
    assert await read(resting, kept) == [], "said once"
    assert resting.of("runware") == met


async def test_a_pause_that_the_store_has_told_of_ends_when_the_store_tells_of_it_no_more() -> None:
    system, kept = FakeSystem(), Kept()
    resting, met = Resting(system), pause(system, 60)
    resting.heed(met)
    kept.said["runware"] = met
    await read(resting, kept)
    kept.said.clear()
    await read(resting, kept)
    assert resting.of("runware") is None


async def test_a_pause_that_could_not_be_stored_ends_in_its_time() -> None:
    system, kept = FakeSystem(), Kept()
    resting, met = Resting(system), pause(system, 60)
    resting.heed(met)
    await read(resting, kept)
    system.passed += 59
    await read(resting, kept)
    assert resting.of("runware") == met
    system.passed += 1
    assert resting.of("runware") is None
    assert await read(resting, kept) == []
    again = pause(system, 5)
    assert resting.heed(again) == [again]


@pytest.mark.parametrize(("met", "said"), [(60, 30), (30, 60)])
async def test_the_later_end_of_a_pause_holds(met: float, said: float) -> None:
    system, kept = FakeSystem(), Kept()
    resting = Resting(system)
    kept.said = {"runware": pause(system, said), "aimlapi": pause(system, 10, "aimlapi")}
    assert {begun.provider for begun in await read(resting, kept)} == {"runware", "aimlapi"}
    assert resting.heed(pause(system, met)) == []
    assert resting.heed(pause(system, 5)) == []
    for _ in range(2):
        assert resting.of("runware") == pause(system, 60)
        assert resting.of("aimlapi") == pause(system, 10, "aimlapi")
        assert await read(resting, kept) == []


@pytest.mark.parametrize("stored", [True, False])
async def test_a_pause_just_met_ends_when_it_would_have_although_the_clock_is_set_back(stored: bool) -> None:
    system, kept = FakeSystem(), Kept()
    resting = Resting(system)
    resting.heed(pause(system, 60))
    system.passed -= 3600
    resting.follow_clock(timedelta(hours=-1))
    if stored:
        kept.said["runware"] = pause(system, 60)
    await read(resting, kept)
    assert resting.of("runware") == pause(system, 60)
    system.passed += 60
    assert resting.of("runware") is None


@dataclass
class Refusing:
    """A provider that takes nothing for now."""

    async def send(self, provider: str, request: HttpRequest) -> HttpAnswer:
        return HttpAnswer(429, {"retry-after": "60"}, b"{}")


class Full:
    """A store that takes no pauses."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.apply = store.apply

    async def pause(self, pause: Pause) -> None:
        raise UnavailableError("the disk is full")


async def test_a_pause_is_heeded_although_it_cannot_be_stored(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        ports = replace(around.ports, outbound=cast("Outbound", Refusing()))
        asked = TaskRequest("runware", "a prompt long enough", "https://files.example.org/a.mp3", count=1)
        await submit.intend(ports, submit.Asked(asked))
        [task] = await submit.lease(ports, ports.providers["runware"], 1)
        ports = replace(ports, store=cast("Store", Full(ports.store)))
        heeded: list[Pause] = []
        with pytest.raises(UnavailableError):
            await submit.submit(
                ports, task, Reception("runware", OwnStandings(ports.system), ports.limits.lease), heeded.append
            )
        assert [(of.provider, of.until) for of in heeded] == [("runware", ports.system.now() + timedelta(seconds=60))]
