"""A search of a provider's log may take minutes: what comes after it is reckoned from its end."""

import json
from dataclasses import replace
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlsplit

from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.task import Status, Task, Work
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


async def search(studied: Studio, outbound: object) -> None:
    """Search the provider's log for all that is due."""
    ports = studied.ports = replace(studied.ports, outbound=cast("Outbound", outbound))
    aimlapi, standings = ports.providers["aimlapi"], OwnStandings(ports.system)
    own = Pace("aimlapi log", aimlapi.searches_per_second, standings, ports.system)
    leased = await poll.lease_lookups(ports, aimlapi, 10)
    assert leased
    await poll.look_up(ports, aimlapi, leased, (Pace("aimlapi", None, standings, ports.system), own))


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


class Log:
    """A log of some pages that names a generation of each of some tasks on its first, and breaks off before one."""

    def __init__(self, studied: Studio, tasks: list[Task], pages: int, broken: int | None = None) -> None:
        self._studied = studied
        self._tasks = tasks
        self._pages = pages
        self._broken = broken
        self.asked_at: list[float] = []

    async def send(self, provider: str, request: HttpRequest) -> HttpAnswer:
        [offset] = parse_qs(urlsplit(request.url).query)["offset"]
        page = int(offset) // 100
        self.asked_at.append(self._studied.system.passed)
        if page == self._broken:
            return HttpAnswer(500, {}, b"{}")
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
        log = Log(studied, [], 199)
        await search(studied, log)
        assert len(log.asked_at) == 199
        most = max(sum(begin <= at < begin + 60 for at in log.asked_at) for begin in log.asked_at)
        assert most < 200
        assert log.asked_at[-1] - log.asked_at[0] < 80


async def test_a_search_that_breaks_off_has_found_what_it_found(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1.0) as studied:
        tasks = [await unknown(studied) for _ in range(3)]
        await search(studied, Log(studied, tasks[:2], 5, broken=3))
        found = [await studied.now(task) for task in tasks]
        assert [task.provider_task_id for task in found] == ["g-0", "g-1", None]
        assert [task.work for task in found] == [Work.POLL, Work.POLL, Work.LOOKUP]
        assert found[2].tries == 1
