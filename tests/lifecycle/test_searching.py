"""A search of a provider's log may take minutes: what comes after it is reckoned from its end."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from receiver.domain.errors import AnswerLostError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.task import Status, Task, Work
from receiver.lifecycle import poll
from receiver.lifecycle.pace import Pace
from receiver.lifecycle.ports import Outbound
from receiver.lifecycle.standings import OwnStandings
from tests.lifecycle.studio import Studio, studio

#: Longer than the longest rest between two tries.
SECONDS = 90.0


def nothing() -> HttpAnswer:
    raise AnswerLostError("took too long")


@dataclass
class Slow:
    """Has time pass before whatever it says."""

    studied: Studio
    said: Callable[[], HttpAnswer]

    async def send(self, provider: str, request: HttpRequest) -> HttpAnswer:
        self.studied.system.passed += SECONDS
        return self.said()


async def searched(studied: Studio, said: Callable[[], HttpAnswer]) -> Task:
    """Return a task whose submit's answer was lost, after the provider's log was searched for it."""
    studied.ports = replace(studied.ports, outbound=cast("Outbound", Slow(studied, nothing)))
    task = await studied.begun("aimlapi")
    assert (task.status, task.work) == (Status.UNKNOWN, Work.LOOKUP)
    assert task.due_at is not None
    studied.system.passed += (task.due_at - studied.system.now()).total_seconds()
    ports = studied.ports = replace(studied.ports, outbound=cast("Outbound", Slow(studied, said)))
    aimlapi = ports.providers["aimlapi"]
    [leased] = await poll.lease_lookups(ports, aimlapi, 10)
    await poll.look_up(ports, aimlapi, [leased], Pace("aimlapi", None, OwnStandings(ports.system), ports.system))
    found = await studied.now(task)
    assert found.status is Status.UNKNOWN
    return found


async def test_a_search_that_nobody_answered_is_made_again_after_a_rest(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1.0) as studied:
        task = await searched(studied, nothing)
        assert task.due_at is not None
        assert task.due_at > studied.system.now()


async def test_a_provider_that_refuses_a_search_rests_from_then_on(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1.0) as studied:
        await searched(studied, lambda: HttpAnswer(429, {"retry-after": "20"}, b"{}"))
        pause = (await studied.ports.store.pauses())["aimlapi"]
        assert (pause.until - studied.system.now()).total_seconds() == 20
