"""A provider whose submits get no clear answer: when it rests, how long, and what finds out that it is well again.

Moments are seconds of the steady clock.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from receiver.domain.attempt import Accepted, NotSent, Unclear
from receiver.domain.errors import AnswerLostError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.request import TaskRequest
from receiver.lifecycle import submit
from receiver.lifecycle.ports import Outbound, Pause
from receiver.lifecycle.submit import Reception
from tests.lifecycle.upkeep import Clock, world

SLOTS = 8


def after(answers: int) -> tuple[Reception, list[timedelta | None]]:
    """Return what so many submits, begun together and answered one after the other, make of a provider."""
    reception = Reception()
    return reception, [reception.note(Unclear("503"), 0.0, number) for number in range(answers)]


def test_the_fifth_unclear_answer_in_a_row_begins_a_rest() -> None:
    _, rests = after(5)
    assert rests == [None] * 4 + [timedelta(seconds=5)]


def test_what_was_under_way_when_a_rest_began_makes_it_no_longer() -> None:
    _, rests = after(13)
    assert [rest for rest in rests if rest is not None] == [timedelta(seconds=5)]


def test_each_submit_that_finds_nothing_out_makes_the_rest_longer() -> None:
    reception, _ = after(5)
    assert reception.note(Unclear("503"), 10, 11) == timedelta(seconds=10)
    assert reception.note(Unclear("503"), 30, 31) == timedelta(seconds=20)


def test_one_submit_at_a_time_finds_out() -> None:
    reception, _ = after(5)
    assert reception.most(SLOTS, SLOTS) == 1
    assert reception.most(SLOTS - 1, SLOTS) == 0


def test_a_clear_answer_ends_it_and_one_that_was_never_sent_tells_nothing() -> None:
    reception, _ = after(5)
    assert reception.note(NotSent("no connection"), 10, 11) is None
    assert reception.most(SLOTS, SLOTS) == 1
    assert reception.note(Accepted("id"), 20, 21) is None
    assert reception.most(3, SLOTS) == 3
    assert reception.note(Unclear("503"), 30, 31) is None


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
        system, reception, rests = SetClock(), Reception(), list[Pause]()
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
