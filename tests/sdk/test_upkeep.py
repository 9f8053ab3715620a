import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from receiver import sdk
from receiver.sdk import Client
from tests.cli.fake_service import KEY, TASK_ID, Answer, FakeService, problem, serving, task

TASK = f"/v1/tasks/{TASK_ID}"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def service() -> Iterator[FakeService]:
    with serving() as fake:
        yield fake


@pytest.fixture
async def client(service: FakeService) -> AsyncIterator[Client]:
    async with Client(service.url, api_key=KEY, timeout_seconds=5) as connected:
        yield connected


def asked(service: FakeService) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(service.asked[-1].body)
    return document


async def test_adopting_says_what_is_given_and_nothing_else(client: Client, service: FakeService) -> None:
    service.says("POST", "/v1/tasks", Answer(202, task("submitted", model=None)))
    taken = await client.adopt("aimlapi", "BV5y0it0:x/y", metadata={"a": "b"}, idempotency_key="once")
    assert (taken.status, taken.model, taken.erased_at) == ("submitted", None, None)
    assert asked(service) == {"provider": "aimlapi", "provider_task_id": "BV5y0it0:x/y", "metadata": {"a": "b"}}
    assert service.asked[-1].headers["idempotency-key"] == "once"


async def test_a_generation_that_a_task_stands_for_is_a_conflict(client: Client, service: FakeService) -> None:
    service.says("POST", "/v1/tasks", problem(409, "Another task stands for this generation already"))
    with pytest.raises(sdk.ConflictError):
        await client.adopt("runware", TASK_ID)


async def test_erasing_says_how_many_and_goes_on_while_there_are_more(client: Client, service: FakeService) -> None:
    service.says("DELETE", TASK, Answer(200, {"count": 1, "more": False}))
    assert await client.erase(TASK_ID) == 1
    where = "/v1/tasks"
    service.says(
        "DELETE", where, Answer(200, {"count": 10_000, "more": True}), Answer(200, {"count": 5, "more": False})
    )
    assert await client.erase_matching({"user": "17"}) == 10_005
    assert [each.method for each in service.asked] == ["DELETE"] * 3
    assert [each.query for each in service.asked] == [{}, {"metadata.user": ["17"]}, {"metadata.user": ["17"]}]


async def test_a_replay_shows_what_was_and_what_is(client: Client, service: FakeService) -> None:
    before = {"verdict": "quarantined", "reason": "odd", "status": "submitted", "results": 0, "cost_usd": None}
    after = {"verdict": "settled", "reason": None, "status": "collecting", "results": 1, "cost_usd": 0.1}
    line = {"report_id": "r", "task_id": None, "before": before, "after": after, "applied": True}
    service.says("POST", "/v1/replay", Answer(200, {"data": [line], "next_cursor": "next"}))
    page = await client.replay(since=NOON, provider="runware", apply=True)
    assert page.next_cursor == "next"
    assert page.lines == (
        sdk.Replayed(
            "r",
            None,
            sdk.Outcome("quarantined", "odd", "submitted", 0, None),
            sdk.Outcome("settled", None, "collecting", 1, 0.1),
            applied=True,
        ),
    )
    assert asked(service) == {"apply": True, "provider": "runware", "since": "2026-11-21T12:00:00+00:00"}


async def test_figures_are_read_by_model(client: Client, service: FakeService) -> None:
    row = {
        "provider": "runware",
        "model": None,
        "tasks": 3,
        "statuses": {"succeeded": 3},
        "seconds": {"p50": 20, "p99": 31.5},
        "callback_miss_rate": 0.5,
        "polls_per_task": 1,
        "cost_usd": None,
    }
    service.says("GET", "/v1/stats", Answer(200, {"data": [row], "since": "2026-11-21T12:00:00.000000Z"}))
    [figures] = await client.stats(since=NOON)
    assert service.asked[-1].query == {"since": ["2026-11-21T12:00:00+00:00"]}
    assert (figures.model, figures.tasks, figures.statuses) == (None, 3, {"succeeded": 3})
    assert (figures.seconds_p50, figures.seconds_p99, figures.callback_miss_rate) == (20, 31.5, 0.5)
    assert (figures.polls_per_task, figures.cost_usd, figures.document) == (1, None, row)


async def test_an_answer_of_another_kind_is_refused(client: Client, service: FakeService) -> None:
    service.says("DELETE", TASK, Answer(200, {"count": "1", "more": False}))
    with pytest.raises(sdk.UnexpectedAnswerError):
        await client.erase(TASK_ID)
