"""A provider whose submits get no clear answer: when it rests, how long, and what finds out that it is well again.

Moments are seconds of the steady clock.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from receiver.domain.attempt import Accepted, NotSent, Unclear
from receiver.domain.errors import AnswerLostError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.request import TaskRequest
from receiver.domain.standing import Standing, note
from receiver.lifecycle import submit
from receiver.lifecycle.ports import Outbound, Pause
from receiver.lifecycle.reception import Reception
from receiver.lifecycle.standings import OwnStandings, SharedStandings
from receiver.storage.store import open_store
from tests.lifecycle.upkeep import Clock, world
from tests.web.fakes import FakeSystem

SLOTS = 8
LASTS = timedelta(seconds=120)


def after(answers: int) -> tuple[Standing, list[timedelta | None]]:
    """Return what so many submits, begun together and answered one after the other, make of a provider."""
    standing, rests = Standing(), []
    for number in range(answers):
        standing, rest = note(standing, Unclear("503"), 0.0, number)
        rests.append(rest)
    return standing, rests


def test_the_fifth_unclear_answer_in_a_row_begins_a_rest() -> None:
    _, rests = after(5)
    assert rests == [None] * 4 + [timedelta(seconds=5)]


def test_what_was_under_way_when_a_rest_began_makes_it_no_longer() -> None:
    _, rests = after(13)
    assert [rest for rest in rests if rest is not None] == [timedelta(seconds=5)]


def test_each_submit_that_finds_nothing_out_makes_the_rest_longer() -> None:
    standing, _ = after(5)
    standing, rest = note(standing, Unclear("503"), 10, 11)
    assert rest == timedelta(seconds=10)
    assert note(standing, Unclear("503"), 30, 31)[1] == timedelta(seconds=20)


def test_a_clear_answer_ends_it_and_one_that_was_never_sent_tells_nothing() -> None:
    standing, _ = after(5)
    standing, rest = note(standing, NotSent("no connection"), 10, 11)
    assert (rest, standing.doubtful) == (None, True)
    standing, rest = note(standing, Accepted("id"), 20, 21)
    assert (rest, standing.doubtful) == (None, False)
    assert note(standing, Unclear("503"), 30, 31)[1] is None


@pytest.fixture(params=["one process", "two processes"])
async def receptions(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Reception]]:
    """Two that stand for the same account; of one process, or of two that share a database."""
    system = FakeSystem()
    if request.param == "one process":
        own = OwnStandings(system)
        yield [Reception("runware", own, LASTS) for _ in range(2)]
        return
    async with open_store(tmp_path / "receiver.db") as store:
        shared = SharedStandings(store, system)
        yield [Reception("runware", shared, LASTS) for _ in range(2)]


async def test_one_submit_at_a_time_finds_out_whoever_makes_it(receptions: list[Reception]) -> None:
    ours, others = receptions
    rests = [await (ours if number % 2 else others).note(Unclear("503"), 0.5) for number in range(6)]
    assert rests == [None] * 4 + [timedelta(seconds=5), None]
    assert [await ours.most(SLOTS - 1, SLOTS), await ours.most(SLOTS, SLOTS)] == [0, 1]
    assert [await others.most(SLOTS, SLOTS), await ours.most(SLOTS, SLOTS)] == [0, 0]
    await ours.leave()
    assert await others.most(SLOTS, SLOTS) == 1
    assert await others.note(Accepted("id"), 0.5) is None
    assert [await others.most(3, SLOTS), await ours.most(3, SLOTS)] == [3, 0]
    assert [await ours.most(SLOTS, SLOTS), await ours.most(3, SLOTS)] == [1, 3]


async def test_clear_answers_change_nothing_that_is_kept(tmp_path: Path) -> None:
    async with open_store(tmp_path / "receiver.db") as store:
        reception = Reception("runware", SharedStandings(store, FakeSystem()), LASTS)
        for outcome in (Accepted("id"), NotSent("no connection"), Accepted("id")):
            assert await reception.note(outcome, 0.5) is None
        assert await store.standings() == {}
        await reception.note(Unclear("503"), 0.5)
        assert (await store.standings())["runware"].unclear_in_a_row == 1


async def test_that_a_standing_cannot_be_written_keeps_nothing_from_being_recorded(tmp_path: Path) -> None:
    async with open_store(tmp_path / "receiver.db") as store:
        reception = Reception("runware", SharedStandings(store, FakeSystem()), LASTS)
    assert await reception.note(Unclear("503"), 0.5) is None


class SetClock(Clock):
    """A wall clock that can be set, beside a steady one that cannot."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


class Silent:
    """A provider that takes what is sent and never answers."""

    async def send(self, provider: str, request: HttpRequest) -> HttpAnswer:
        raise AnswerLostError("it hung up")


async def test_it_rests_again_although_the_clock_was_set_back_meanwhile(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        system, rests = SetClock(), list[Pause]()
        reception = Reception("runware", OwnStandings(system), LASTS)
        ports = replace(around.ports, system=system, outbound=cast("Outbound", Silent()))
        for number in range(7):
            asked = TaskRequest("runware", f"a prompt long enough {number}", "https://files.example.org/a.mp3")
            await submit.intend(ports, submit.Asked(asked))
            [task] = await submit.lease(ports, ports.providers["runware"], 1)
            await submit.submit(ports, task, reception, rests.append)
            system.passed += 60
            if rests:
                system.ahead = timedelta(hours=-1)
        assert [pause.error.message for pause in rests] == [
            f"the last {so_far} submits got no clear answer (it hung up)" for so_far in (5, 6, 7)
        ]
