"""Files that go along with submits: how many at once, and what becomes of those that still wait at a stop."""

import asyncio
import base64
from pathlib import Path

import pytest

from receiver.domain.errors import UnavailableError
from receiver.domain.request import TaskRequest
from receiver.domain.task import Status, Work
from receiver.lifecycle import submit
from receiver.lifecycle.reception import Reception
from receiver.lifecycle.reference import Carried, carried_bytes
from receiver.lifecycle.standings import OwnStandings
from tests.lifecycle.studio import MODELS, studio
from tests.lifecycle.upkeep import song


class Carrier:
    """Holds room for a file until it is told to let go."""

    def __init__(self, carried: Carried, size: int) -> None:
        self.began = False
        self.let_go = asyncio.Event()
        self._carried, self._size = carried, size
        self.running = asyncio.create_task(self._hold())

    async def _hold(self) -> None:
        async with self._carried.room(self._size):
            self.began = True
            await self.let_go.wait()


async def begun(*carriers: Carrier) -> list[bool]:
    for _ in range(20):
        await asyncio.sleep(0)
    return [carrier.began for carrier in carriers]


async def test_files_go_along_as_far_as_there_is_room_and_who_comes_first_goes_first() -> None:
    carried = Carried(100)
    large, second, third, small = (Carrier(carried, size) for size in (60, 40, 30, 1))
    assert await begun(large, second, third, small) == [True, True, False, False]
    async with carried.room(0):
        pass
    second.let_go.set()
    assert await begun(third, small) == [True, True]
    for carrier in (large, third, small):
        carrier.let_go.set()
    await asyncio.gather(*(carrier.running for carrier in (large, second, third, small)))


async def test_a_file_larger_than_all_the_room_goes_alone() -> None:
    carried = Carried(100)
    larger, other = Carrier(carried, 1000), Carrier(carried, 1)
    assert await begun(larger, other) == [True, False]
    larger.let_go.set()
    assert await begun(other) == [True]
    other.let_go.set()
    await asyncio.gather(larger.running, other.running)


async def test_who_waits_at_a_stop_is_sent_away_and_who_is_under_way_goes_on() -> None:
    carried = Carried(100)
    under_way, first, second = Carrier(carried, 100), Carrier(carried, 1), Carrier(carried, 1)
    assert await begun(under_way, first, second) == [True, False, False]
    carried.close()
    for waiting in (first, second):
        with pytest.raises(UnavailableError):
            await waiting.running
    under_way.let_go.set()
    await under_way.running
    assert [first.began, second.began] == [False, False]


async def test_a_submit_that_waited_for_room_at_a_stop_was_not_sent_and_is_so_written_down(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1.0) as studied:
        ports = studied.ports
        inline = base64.b64encode(song()).decode()
        asked = TaskRequest("aimlapi", "a prompt long enough", inline, model=MODELS["aimlapi"])
        await submit.intend(ports, submit.Asked(asked))
        [task] = await submit.lease(ports, ports.providers["aimlapi"], 1)
        assert await carried_bytes(ports, task) == len(song())
        carried = Carried(10)
        under_way = Carrier(carried, 10)
        assert await begun(under_way) == [True]
        reception = Reception("aimlapi", OwnStandings(ports.system), ports.limits.lease)
        waiting = asyncio.create_task(submit.submit(ports, task, reception, lambda _: None, carried))
        await ports.store.ping()
        carried.close()
        await waiting
        under_way.let_go.set()
        await under_way.running
        held = await studied.now(task)
        assert (held.status, held.work, held.attempt_open_since) == (Status.QUEUED, Work.SUBMIT, None)
        assert studied.providers.done_at == {}
