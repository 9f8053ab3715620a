"""Waiting for a task, and going through all of them, whatever happens to the service meanwhile."""

import io
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest

from receiver import sdk
from receiver.sdk import Client, ClientError
from tests.cli.fake_service import KEY, TASK_ID, Answer, FakeService, problem, serving, succeeded, task

TASK = f"/v1/tasks/{TASK_ID}"


@pytest.fixture
def service() -> Iterator[FakeService]:
    with serving() as fake:
        yield fake


@pytest.fixture
async def client(service: FakeService) -> AsyncIterator[Client]:
    async with Client(service.url, api_key=KEY, timeout_seconds=5) as connected:
        yield connected


async def test_a_task_is_waited_for_over_every_trouble_that_passes(client: Client, service: FakeService) -> None:
    service.says("GET", TASK, problem(503, "Later"), None, Answer(200, task()), Answer(200, succeeded()))
    troubles: list[ClientError] = []
    ended = await client.wait(TASK_ID, on_trouble=troubles.append)
    assert ended.status == "succeeded"
    assert [type(trouble) for trouble in troubles] == [sdk.UnavailableError, sdk.AnswerLostError]
    assert {asked.query["wait"][0] for asked in service.asked} == {"60"}


async def test_where_too_many_wait_already_it_looks_without_waiting(client: Client, service: FakeService) -> None:
    service.says("GET", TASK, problem(429, "Too many wait"), Answer(200, task()), Answer(200, succeeded()))
    troubles: list[ClientError] = []
    await client.wait(TASK_ID, on_trouble=troubles.append)
    assert ["wait" in asked.query for asked in service.asked] == [True, False, True]
    assert troubles == []


async def test_when_the_time_is_over_the_task_is_in_the_error(client: Client, service: FakeService) -> None:
    service.says("GET", TASK, Answer(200, task("submitted")))
    with pytest.raises(sdk.NotEndedError, match="submitted") as caught:
        await client.wait(TASK_ID, timeout_seconds=0)
    assert caught.value.task.id == TASK_ID
    assert len(service.asked) == 1


async def test_when_nobody_answers_for_too_long_that_is_raised(client: Client, service: FakeService) -> None:
    service.says("GET", TASK, problem(503, "Later"))
    with pytest.raises(sdk.UnavailableError):
        await client.wait(TASK_ID, patience_seconds=-1)
    service.says("GET", TASK, problem(404, "No such task"))
    with pytest.raises(sdk.NotFoundError):
        await client.wait(TASK_ID)


async def test_all_tasks_are_gone_through_page_by_page_as_they_are_needed(
    client: Client, service: FakeService
) -> None:
    first, second = task(), task(provider="aimlapi")
    service.says(
        "GET",
        "/v1/tasks",
        Answer(200, {"data": [first], "next_cursor": "n+1"}),
        Answer(200, {"data": [second], "next_cursor": None}),
    )
    since = datetime(2026, 11, 20, tzinfo=UTC)
    every = client.every_task(status="queued", metadata={"song": "1&2"}, created_after=since)
    assert (await anext(every)).provider == "runware"
    assert len(service.asked) == 1
    assert [each.provider async for each in every] == ["aimlapi"]
    asked = {"status": ["queued"], "metadata.song": ["1&2"], "created_after": ["2026-11-20T00:00:00+00:00"]}
    assert [each.query for each in service.asked] == [asked, {**asked, "cursor": ["n+1"]}]


async def test_what_the_provider_said_is_listed_and_had_verbatim(client: Client, service: FakeService) -> None:
    report = {
        "id": "r1",
        "task_id": TASK_ID,
        "provider": "runware",
        "via": "callback",
        "received_at": "2026-11-20T10:00:24Z",
        "bytes": 3,
        "sha256": "ab",
        "sliced": False,
        "duplicate_of": None,
        "verdict": None,
        "reason": None,
    }
    service.says("GET", f"{TASK}/reports", Answer(200, {"data": [report]}))
    service.says("GET", "/v1/reports/r1/raw", Answer(200, b"\x00\xff["))
    [read] = await client.reports(TASK_ID)
    assert (read.id, read.via, read.size, read.verdict) == ("r1", "callback", 3, None)
    await client.raw_report(read.id, said := io.BytesIO())
    assert said.getvalue() == b"\x00\xff["
