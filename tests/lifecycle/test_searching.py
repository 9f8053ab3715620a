"""A search of a provider's log may take minutes: what comes after it is reckoned from its end."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlsplit

import pytest

from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.task import Status, Task, Work
from receiver.domain.waiting import waiting
from receiver.lifecycle import poll
from receiver.lifecycle.pace import Pace
from receiver.lifecycle.ports import Outbound
from receiver.lifecycle.standings import OwnStandings
from tests.lifecycle.studio import Lingering, Studio, nothing, studio


async def unknown(studied: Studio) -> Task:
    """Return a task whose submit's answer was lost, at the time when it is to be searched for."""
    studied.ports = replace(studied.ports, outbound=cast("Outbound", Lingering(studied, nothing)))
    task = await studied.begun("aimlapi")
    assert (task.status, task.work) == (Status.UNKNOWN, Work.LOOKUP)
    assert task.due_at is not None
    studied.system.passed += (task.due_at - studied.system.now()).total_seconds()
    return task


async def search(studied: Studio, outbound: object, go_on: Callable[[], bool] | None = None) -> None:
    """Search the provider's log for all that is due."""
    ports = studied.ports = replace(studied.ports, outbound=cast("Outbound", outbound))
    aimlapi, standings = ports.providers["aimlapi"], OwnStandings(ports.system)
    own = Pace("aimlapi log", aimlapi.searches_per_second, standings, ports.system)
    leased = await poll.lease_lookups(ports, aimlapi, 10)
    assert leased
    paces = (own, Pace("aimlapi", None, standings, ports.system))
    await poll.look_up(ports, aimlapi, leased, paces, go_on or (lambda: True))


async def test_a_search_that_nobody_answered_is_made_again_after_a_rest(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1.0) as studied:
        task = await unknown(studied)
        await search(studied, Lingering(studied, nothing))
        task = await studied.now(task)
        assert task.status is Status.UNKNOWN
        assert task.due_at is not None
        assert task.due_at > studied.system.now()


async def test_a_key_that_is_refused_at_a_search_rests_the_provider_from_then_on(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1.0) as studied:
        await unknown(studied)
        await search(studied, Lingering(studied, lambda: HttpAnswer(401, {"retry-after": "20"}, b"{}")))
        pause = (await studied.ports.store.pauses())["aimlapi"]
        assert (pause.until - studied.system.now()).total_seconds() == 20


async def test_a_log_that_is_asked_too_often_is_left_alone_and_nothing_else_is(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1.0) as studied:
        task = await unknown(studied)
        await search(studied, Lingering(studied, lambda: HttpAnswer(429, {"retry-after": "20"}, b"{}")))
        assert await studied.ports.store.pauses() == {}
        task = await studied.now(task)
        assert task.due_at is not None
        assert (task.due_at - studied.system.now()).total_seconds() == 20


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (HttpAnswer(404, {}, b'{"message": "no such endpoint"}'), "AIMLAPI answered with HTTP 404: no such endpoint"),
        (HttpAnswer(503, {}, b""), "AIMLAPI answered with HTTP 503: no reason given"),
    ],
    ids=["404", "503"],
)
async def test_why_a_search_came_to_nothing_is_known_of_each_task_to_whoever_asks(
    tmp_path: Path, answer: HttpAnswer, why: str
) -> None:
    async with studio(tmp_path, lambda: 1.0) as studied:
        task = await unknown(studied)
        await search(studied, Lingering(studied, lambda: answer))
        # As another process reads it, which never asked the provider anything.
        task = await studied.now(task)
        assert task.fault == why
        found = waiting(task, studied.system.now(), resting=None, has_key=True)
        assert found is not None
        assert f"searching the log of aimlapi did not work ({why})" in found.message


class Log:
    """A log of some pages that names a generation of each of some tasks on its first.

    Before the page ``broken`` it breaks off; ``refused`` says how often each page is refused before it is given.
    ``asked`` are the pages asked for, ``asked_at`` when, and ``found`` how many tasks were known to be found then.
    """

    def __init__(
        self,
        studied: Studio,
        tasks: Sequence[Task],
        pages: int,
        *,
        broken: int | None = None,
        refused: Mapping[int, int] = {},
    ) -> None:
        self._studied = studied
        self._tasks = tasks
        self._pages = pages
        self._broken = broken
        self._refused = dict(refused)
        self.asked: list[int] = []
        self.asked_at: list[float] = []
        self.found: list[int] = []

    async def send(self, provider: str, request: HttpRequest) -> HttpAnswer:
        [offset] = parse_qs(urlsplit(request.url).query)["offset"]
        page = int(offset) // 100
        self.asked.append(page)
        self.asked_at.append(self._studied.system.passed)
        now = [await self._studied.now(task) for task in self._tasks]
        self.found.append(sum(task.provider_task_id is not None for task in now))
        if page == self._broken:
            return HttpAnswer(500, {}, b"{}")
        if self._refused.get(page, 0):
            self._refused[page] -= 1
            return HttpAnswer(429, {}, b"{}")
        rows = [{"status": "succeeded", "inference_id": f"g-{number}"} for number in range(100)]
        named = [dict(row, client_request_id=str(task.id)) for row, task in zip(rows, self._tasks, strict=False)]
        body = {
            "data": named + rows[len(named) :] if page == 0 else rows,
            "pagination": {"has_more": page + 1 < self._pages},
        }
        return HttpAnswer(200, {}, json.dumps(body).encode())


async def test_the_pages_of_a_log_are_asked_for_no_faster_than_it_allows(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1.0) as studied:
        await unknown(studied)
        log = Log(studied, [], 399)
        await search(studied, log)
        assert log.asked == list(range(399))
        assert max(sum(begin <= at < begin + 60 for at in log.asked_at) for begin in log.asked_at) < 200
        assert log.asked_at[-1] - log.asked_at[0] < 150


async def test_a_search_that_breaks_off_has_found_what_it_found(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1.0) as studied:
        tasks = [await unknown(studied) for _ in range(3)]
        log = Log(studied, tasks[:2], 5, broken=3)
        await search(studied, log)
        found = [await studied.now(task) for task in tasks]
        assert [task.provider_task_id for task in found] == ["g-0", "g-1", None]
        assert [task.work for task in found] == [Work.POLL, Work.POLL, Work.LOOKUP]
        assert found[2].tries == 1
        # Written down at once: the process may end before the next page comes.
        assert log.found == [0, 2, 2, 2]


async def test_a_page_that_is_refused_for_pace_is_asked_for_again_and_none_before_it(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1.0) as studied:
        task = await unknown(studied)
        log = Log(studied, [], 4, refused={2: poll.MOST_REFUSALS})
        await search(studied, log)
        assert log.asked == [0, 1, *[2] * poll.MOST_REFUSALS, 2, 3]
        task = await studied.now(task)
        assert (task.polls, task.tries) == (1, 0)


@pytest.mark.parametrize(("rows", "pages"), [(100, 7), (0, 1)], ids=["ever further rows", "no rows"])
async def test_a_log_that_does_not_end_says_nothing_of_what_it_does_not_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, pages: int
) -> None:
    monkeypatch.setattr(poll, "MOST_ROWS", 700)
    asked = 0

    def endless() -> HttpAnswer:
        nonlocal asked
        asked += 1
        row = {"status": "succeeded", "inference_id": "g"}
        return HttpAnswer(200, {}, json.dumps({"data": [row] * rows, "pagination": {"has_more": True}}).encode())

    async with studio(tmp_path, lambda: 1.0) as studied:
        task = await unknown(studied)
        await search(studied, Lingering(studied, endless))
        task = await studied.now(task)
        assert (task.status, task.polls, task.tries) == (Status.UNKNOWN, 0, 1)
        assert asked == pages


async def test_a_search_ends_between_two_pages_when_it_is_to_go_on_no_more(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1.0) as studied:
        tasks = [await unknown(studied) for _ in range(2)]
        log = Log(studied, tasks[:1], 9)
        await search(studied, log, lambda: len(log.asked) < 3)
        assert log.asked == [0, 1, 2]
        found, left = [await studied.now(task) for task in tasks]
        assert found.provider_task_id == "g-0"
        assert (left.status, left.work, left.polls, left.tries) == (Status.UNKNOWN, Work.LOOKUP, 0, 0)
