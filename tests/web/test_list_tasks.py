from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from starlette.datastructures import QueryParams

from receiver.domain.task import Status
from receiver.web import queries
from receiver.web.problems import ProblemError
from receiver.web.queries import cursor_for
from tests.web.fakes import World
from tests.web.support import client


async def get(world: World, query: str = "") -> httpx.Response:
    async with client(world) as http:
        return await http.get(f"/v1/tasks{query}")


async def test_pages_lead_through_all_tasks_newest_first_and_each_once(world: World) -> None:
    tasks = [world.task() for _ in range(7)]
    ids: list[str] = []
    query, pages = "?limit=3", 0
    while True:
        page = (await get(world, query)).json()
        ids += [task["id"] for task in page["data"]]
        pages += 1
        if page["next_cursor"] is None:
            break
        query = f"?limit=3&cursor={page['next_cursor']}"
    assert pages == 3
    assert ids == [str(task.id) for task in reversed(tasks)]


async def test_a_full_last_page_has_no_cursor(world: World) -> None:
    for _ in range(3):
        world.task()
    assert (await get(world, "?limit=3")).json()["next_cursor"] is None


async def test_no_task_is_an_empty_page(world: World) -> None:
    assert (await get(world)).json() == {"data": [], "next_cursor": None}


async def test_every_filter_reaches_the_store(world: World) -> None:
    key = uuid4()
    answer = await get(
        world,
        "?status=partial&provider=aimlapi&created_after=2026-11-21T01:00:00%2B01:00"
        f"&created_before=2026-11-22T00:00:00.5Z&metadata.a.b=x%20y&metadata.c=&limit=200&cursor={cursor_for(key)}",
    )
    assert answer.status_code == 200
    [wanted] = world.store.filters
    assert (wanted.status, wanted.provider, wanted.before_key) == (Status.PARTIAL, "aimlapi", key)
    assert wanted.created_after == datetime(2026, 11, 21, tzinfo=UTC)
    assert wanted.created_before == datetime(2026, 11, 22, 0, 0, 0, 500_000, tzinfo=UTC)
    assert wanted.metadata == {"a.b": "x y", "c": ""}


async def test_filters_narrow_the_list(world: World) -> None:
    world.task(metadata={"song": "41"})
    wanted = world.task(metadata={"song": "42"}, status=Status.FAILED)
    answer = await get(world, "?metadata.song=42&status=failed")
    assert [task["id"] for task in answer.json()["data"]] == [str(wanted.id)]


async def test_a_plus_sign_that_was_not_encoded_is_understood(world: World) -> None:
    assert (await get(world, "?created_after=2026-11-21T01:00:00+01:00")).status_code == 200
    assert world.store.filters[0].created_after == datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("state=failed", "state", "is not a parameter here; did you mean status?"),
        ("metadata=x", "metadata", "is not a parameter here; did you mean metadata.KEY?"),
        ("metadata.=x", "metadata.", "is not a parameter here; did you mean metadata.KEY?"),
        (f"metadata.{'k' * 41}=x", f"metadata.{'k' * 41}", "must have a name of 1 to 40 characters"),
        ("status=done", "status", "must be one of: queued, submitted, "),
        ("status=", "status", "must be one of: "),
        ("provider=suno", "provider", "must be one of: aimlapi, runware"),
        ("created_after=yesterday", "created_after", "must be a moment with its zone, such as "),
        ("created_after=2026-11-21T00:00:00", "created_after", "must be a moment with its zone, such as "),
        ("created_after=2026-11-21", "created_after", "must be a moment with its zone, such as "),
        ("created_before=2026-02-30T00:00:00Z", "created_before", "must be a moment with its zone, such as "),
        ("created_before=0001-01-01T00:00:00%2B23:00", "created_before", "must be a moment with its zone, such as "),
        ("limit=0", "limit", "must be a whole number from 1 to 200"),
        ("limit=201", "limit", "must be a whole number from 1 to 200"),
        ("limit=1e2", "limit", "must be a whole number from 1 to 200"),
        ("limit=٣", "limit", "must be a whole number from 1 to 200"),
        ("limit=" + "9" * 5000, "limit", "must be a whole number from 1 to 200"),
        ("limit=1&limit=2", "limit", "is given twice"),
        ("cursor=xyz", "cursor", "is no cursor of ours: use next_cursor of the page before"),
        ("cursor=", "cursor", "is no cursor of ours: use next_cursor of the page before"),
        ("cursor=%C3%BC", "cursor", "is no cursor of ours: use next_cursor of the page before"),
        ("cursor=" + "A" * 21 + "B", "cursor", "is no cursor of ours: use next_cursor of the page before"),
        ("metadata.a=%00", "metadata.a", "contains a control character"),
        ("a%00b=1", "a\\u0000b", "is not a parameter here"),
    ],
)
async def test_a_parameter_that_cannot_be_meant_is_named(world: World, query: str, field: str, message: str) -> None:
    answer = await get(world, f"?{query}")
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert error["message"].startswith(message)
    assert world.store.filters == []


async def test_all_unknown_parameters_are_named(world: World) -> None:
    errors: list[dict[str, Any]] = (await get(world, "?a=1&b=2&limit=3")).json()["errors"]
    assert [error["field"] for error in errors] == ["a", "b"]


def test_only_the_parameters_that_are_told_are_put_into_words(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def look(name: str, known: Iterable[str]) -> str:
        looked.append(name)
        return ""

    monkeypatch.setattr(queries, "did_you_mean", look)
    with pytest.raises(ProblemError):
        queries.read_query(QueryParams([(f"field{n}", "1") for n in range(200)]), ())
    assert len(looked) == 50
