"""Reports read again by an adapter that has learned something, over HTTP, against a real store."""

import asyncio
from dataclasses import replace as renewed
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx

from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.replaying import Outcome, replay
from receiver.domain.report import Failure, Reading, StoredReport, Verdict, Via
from receiver.domain.task import Status
from receiver.lifecycle.ports import RuledFilter, RuledReport, Store
from receiver.web import create_app, problems
from tests.domain.making import at, settle_rules, submitted
from tests.lifecycle.upkeep import World, world
from tests.web.fakes import BEARER
from tests.web.support import config


async def ask(around: World, **fields: object) -> list[dict[str, Any]]:
    transport = httpx.ASGITransport(create_app(around.ports, config()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=BEARER) as http:
        answer = await http.post("/v1/replay", json=fields)
    assert answer.status_code == 200, answer.text
    lines: list[dict[str, Any]] = answer.json()["data"]
    return lines


async def test_a_word_that_is_known_by_now_is_shown_first_and_then_settles_its_task(tmp_path: Path) -> None:
    async with world(tmp_path) as before:
        task = await before.begun(count=2)
        await before.called(task, "melodious", 0)
        await before.called(task, "melodious", 1)
        await before.settled()
        stood = await before.now(task)
        assert (stood.status, stood.results, stood.callbacks) == (Status.SUBMITTED, (), 2)
        unchanged = await ask(before, task_id=str(task.id), apply=True)
        assert [line["before"] == line["after"] for line in unchanged] == [True, True]

        after = before.taught()
        shown = await ask(after, task_id=str(task.id))
        reason = "unknown form: status melodious"
        was = {"verdict": "quarantined", "reason": reason, "status": "submitted", "results": 0, "cost_usd": None}
        first = {"verdict": "settled", "reason": None, "status": "submitted", "results": 1, "cost_usd": 0.1}
        second = {"verdict": "settled", "reason": None, "status": "collecting", "results": 2, "cost_usd": 0.2}
        assert [line["before"] for line in shown] == [was, {**first, "verdict": "quarantined", "reason": reason}]
        assert [line["after"] for line in shown] == [first, second]
        assert [line["applied"] for line in shown] == [False, False]
        assert await after.now(task) == stood

        applied = await ask(after, provider="runware", apply=True)
        assert [(line["after"], line["applied"]) for line in applied] == [(first, True), (second, True)]
        await after.collected()
        ended = await after.now(task)
        assert (ended.status, ended.callbacks, len(ended.results)) == (Status.SUCCEEDED, 2, 2)
        assert {report.verdict for report in await after.ports.store.reports(task.id)} == {Verdict.SETTLED}
        events = await after.ports.store.events(task.id)

        again = await ask(after, since="2020-01-01T00:00:00Z", apply=True)
        assert [(line["before"] == line["after"], line["applied"]) for line in again] == [(True, False)] * 2
        assert await after.now(task) == ended
        assert await after.ports.store.events(task.id) == events


class Busy:
    """A store that tells which reports were judged once it is let ``go``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.go = asyncio.Event()

    async def ruled(self, wanted: RuledFilter) -> tuple[list[RuledReport], UUID | None]:
        await self.go.wait()
        return await self._store.ruled(wanted)


async def test_two_replays_may_be_under_way_and_who_asks_for_a_third_is_told_to_come_again(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        busy = Busy(around.ports.store)
        transport = httpx.ASGITransport(create_app(renewed(around.ports, store=cast("Store", busy)), config()))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=BEARER) as http:
            asked = [asyncio.create_task(http.post("/v1/replay", json={"provider": "runware"})) for _ in range(5)]
            async with asyncio.timeout(60):
                while sum(one.done() for one in asked) < 3:
                    await asyncio.sleep(0)
            refused = [one.result() for one in asked if one.done()]
            assert {answer.json()["type"] for answer in refused} == {problems.TOO_MANY_REPLAYS.type}
            assert {answer.headers["retry-after"] for answer in refused} == {"5"}
            busy.go.set()
            answers = await asyncio.gather(*asked)
            assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
            assert (await http.post("/v1/replay", json={"provider": "runware"})).status_code == 200


async def test_a_report_of_an_unknown_task_stays_set_aside(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        await around.called(submitted())
        await around.settled()
        [line] = await ask(around, since="2020-01-01T00:00:00Z", apply=True)
        assert (line["task_id"], line["applied"]) == (None, False)
        assert line["before"] == line["after"]
        assert (line["before"]["reason"], line["before"]["status"]) == ("unknown task", None)


async def test_mere_repeats_are_not_read_again(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        task = await around.begun()
        for _ in range(4):
            await around.called(task)
        await around.settled()
        assert (await around.now(task)).callbacks == 4
        assert len(await ask(around, task_id=str(task.id))) == 1


def told(verdict: Verdict) -> Outcome:
    return Outcome(verdict, None, Status.SUBMITTED)


def report() -> StoredReport:
    task = submitted()
    return StoredReport(
        id=task.key,
        task_key=task.key,
        provider="runware",
        via=Via.POLL,
        received_at=at(1),
        body=b"",
        size=2,
        object_key=None,
        duplicate_of=None,
        attempts=1,
    )


def test_an_old_failure_that_was_settled_once_ends_nothing_later() -> None:
    task = submitted(count=2)
    reading = Reading(failures=(Failure(TaskError(ErrorCode.PROVIDER, "broke")),) * 2)
    replayed = replay(task, told(Verdict.SETTLED), report(), reading, at(9), settle_rules())
    assert (replayed.change, replayed.after) == (None, replayed.before)
    fresh = replay(task, told(Verdict.QUARANTINED), report(), reading, at(9), settle_rules())
    assert fresh.after.status is Status.FAILED
