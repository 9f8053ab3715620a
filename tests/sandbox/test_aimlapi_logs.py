from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.sandbox.support import Box

LOGS = "/aimlapi/v2/logs"


async def logs(box: Box, **parameters: Any) -> httpx.Response:  # noqa: ANN401 - query parameters
    return await box.client.get(LOGS, params=parameters)


async def test_finished_generations_are_listed_newest_first_with_all_that_is_documented(box: Box) -> None:
    headers = {"X-Client-Request-Id": "task-1"}
    first = (await box.client.post("/aimlapi/v2/generate/audio", json=SONG, headers=headers)).json()["id"]
    second = await box.submitted()
    await box.finished(2)
    document = (await logs(box, period="24h")).json()
    assert [row["inference_id"] for row in document["data"]] == [second, first]
    assert document["pagination"] == {"limit": 50, "offset": 0, "total": 2, "has_more": False}
    row = document["data"][1]
    assert (row["status"], row["origin"], row["model"]) == ("succeeded", "api", "minimax/music-cover")
    assert row["cost"] == {"usd": 0.15, "credits": 300_000}
    assert set(row["tokens"]) == {"input", "output", "total"}
    assert row["client_request_id"] == "task-1"
    assert document["data"][0]["client_request_id"] is None
    assert row["request_id"]


SONG = {
    "model": "minimax/music-cover",
    "prompt": "quiet jazz trio, brushes",
    "reference_audio_url": "https://files.example.org/in.mp3",
}


async def test_a_running_generation_is_absent(box: Box) -> None:
    await box.faults(stall=1.0)
    await box.submitted()
    assert (await logs(box, period="24h")).json()["data"] == []


async def test_rows_are_filtered_by_status_and_model(box: Box) -> None:
    await box.faults(fail=1.0)
    failed = await box.submitted()
    await box.faults()
    good = await box.submitted()
    await box.finished(2)

    async def ids(**parameters: object) -> list[str]:
        return [row["inference_id"] for row in (await logs(box, period="1h", **parameters)).json()["data"]]

    assert await ids(status="failed") == [failed]
    assert await ids(status=["succeeded", "failed"]) == [good, failed]
    assert await ids(model="minimax/music-cover", status="succeeded") == [good]
    assert await ids(model="other") == []
    row = (await logs(box, period="1h", status="failed")).json()["data"][0]
    assert row["cost"] == {"usd": 0, "credits": 0}


async def test_pages_are_walked_by_offset(box: Box) -> None:
    submitted = [await box.submitted() for _ in range(5)]
    await box.finished(5)
    seen: list[str] = []
    more = True
    while more:
        page = (await logs(box, period="7d", limit=2, offset=len(seen))).json()
        seen += [row["inference_id"] for row in page["data"]]
        more = page["pagination"]["has_more"]
    assert seen == submitted[::-1]


async def test_a_window_is_kept_on_both_ends(box: Box) -> None:
    await box.submitted()
    await box.finished(1)
    now = datetime.now(UTC)
    hour = timedelta(hours=1)

    async def count(start: datetime, end: datetime) -> int:
        answer = await logs(box, start=start.isoformat(), end=end.isoformat().replace("+00:00", "Z"))
        assert answer.status_code == 200, answer.text
        return len(answer.json()["data"])

    assert await count(now - hour, now + hour) == 1
    assert await count(now - hour, now - hour / 2) == 0
    assert await count(now + hour / 2, now + hour) == 0


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"start": "2026-11-01T00:00:00Z"},
        {"end": "2026-11-01T00:00:00Z"},
        {"start": "2026-11-02T00:00:00Z", "end": "2026-11-01T00:00:00Z"},
        {"start": "2026-01-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"},
        {"start": "yesterday", "end": "today"},
        {"period": "93d"},
        {"period": "soon"},
        {"period": "24h", "limit": 0},
        {"period": "24h", "limit": 101},
        {"period": "24h", "limit": "many"},
        {"period": "24h", "offset": -1},
        {"period": "24h", "status": "queued"},
    ],
)
async def test_a_query_without_a_window_or_out_of_bounds_is_a_400(box: Box, parameters: dict[str, str]) -> None:
    answer = await box.client.get(LOGS, params=parameters)
    assert answer.status_code == 400
    assert answer.json()["instance"] == "/v2/logs"


async def test_a_submit_whose_answer_was_lost_is_found_by_its_client_request_id(box: Box) -> None:
    await box.faults(lose_submit_answer=1.0, lose_submit_how="bad_gateway")
    headers = {"X-Client-Request-Id": "lost-one"}
    answer = await box.client.post("/aimlapi/v2/generate/audio", json=SONG, headers=headers)
    assert answer.status_code == 502
    (entry,) = await box.finished(1)
    (row,) = (await logs(box, period="24h")).json()["data"]
    assert (row["client_request_id"], row["inference_id"]) == ("lost-one", entry["provider_task_id"])


async def test_too_many_requests_a_minute_are_a_429(box: Box) -> None:
    await box.faults(logs_per_minute=2)
    answers = [await logs(box, period="24h") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
