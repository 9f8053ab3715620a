"""Adopting, erasing, replaying and counting, through the real service and the sandbox."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.harness import PROMPT, REFERENCE, Stack, running, wait_until

#: Said in what is erased, and nowhere else.
CANARY = "a canary that sings in the coal mine"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    # The default deadline is short, so that an id nobody knows is given up within the test; others name their own.
    with running(tmp_path_factory.mktemp("upkeep"), settings={"RECEIVER_DEADLINE_SECONDS": "3"}) as both:
        yield both


def elsewhere(stack: Stack, provider: str, results: int = 1) -> str:
    """Start a generation without the service, and return the provider's id of it."""
    url, key = stack.sandbox.url, {"Authorization": "Bearer sandbox"}
    if provider == "runware":
        asked: dict[str, Any] = {
            "taskType": "audioInference",
            "taskUUID": str(uuid4()),
            "model": "minimax:music@cover",
            "positivePrompt": PROMPT,
            "inputs": {"audio": REFERENCE},
            "numberResults": results,
            "deliveryMethod": "async",
            "includeCost": True,
        }
        answer = stack.http.post(f"{url}/runware/v1", json=[asked], headers=key)
        assert answer.status_code == 200, answer.text
        return str(asked["taskUUID"])
    asked = {"model": "minimax/music-cover", "prompt": PROMPT, "reference_audio_url": REFERENCE}
    answer = stack.http.post(f"{url}/aimlapi/v2/generate/audio", json=asked, headers=key)
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


def adopt(stack: Stack, provider: str, provider_task_id: str, **fields: object) -> httpx.Response:
    body = {"provider": provider, "provider_task_id": provider_task_id, "deadline_seconds": 60, **fields}
    return stack.post("/v1/tasks", {name: value for name, value in body.items() if value is not None})


def delete(stack: Stack, path: str) -> httpx.Response:
    return stack.http.delete(stack.service.url + path, headers=stack.headers())


def replay(stack: Stack, **fields: object) -> list[dict[str, Any]]:
    answer = stack.post("/v1/replay", fields)
    assert answer.status_code == 200, answer.text
    lines: list[dict[str, Any]] = answer.json()["data"]
    return lines


def files(stack: Stack) -> set[Path]:
    """Every file in the artifact store."""
    return {path for path in (stack.folder / "data" / "artifacts").rglob("*") if path.is_file()}


# ---------------------------------------------------------------------------------------------------- adopting
@pytest.mark.parametrize(("provider", "results"), [("runware", 1), ("runware", 2), ("aimlapi", 1)])
def test_a_generation_started_elsewhere_is_looked_at_until_its_audio_is_ours(
    stack: Stack, provider: str, results: int
) -> None:
    theirs = elsewhere(stack, provider, results)
    given = theirs.upper() if provider == "runware" else theirs
    answer = adopt(stack, provider, given, count=results, metadata={"from": "elsewhere"})
    assert answer.status_code == 202, answer.text
    task = answer.json()
    assert (task["status"], task["provider_task_id"], task["model"]) == ("submitted", theirs, None)
    assert task["id"] != theirs
    assert (task["request"]["prompt"], task["request"]["reference_audio"]) == (None, None)
    done = stack.wait_for(task["id"])
    assert (done["status"], done["callbacks"]) == ("succeeded", 0)
    assert {result["via"] for result in done["results"]} == {"poll"}
    [entry] = [entry for entry in stack.ledger() if entry["provider_task_id"] == theirs]
    audio = [stack.get(result["artifact"]["url"]).content for result in done["results"]]
    assert sorted(map(len, audio)) == sorted(made["bytes"] for made in entry["results"])
    assert entry["submits"] == 1
    types = [event["type"] for event in stack.events(task["id"])]
    assert types[:2] == ["task.created", "task.submitted"]
    again = adopt(stack, provider, theirs)
    assert (again.status_code, again.json()["type"]) == (409, "urn:receiver:problem:generation-taken")
    assert task["id"] in again.text


def test_a_task_of_our_own_is_not_adopted_again(stack: Stack) -> None:
    task = stack.submit("runware", deadline_seconds=60)
    answer = adopt(stack, "runware", task["id"])
    assert answer.status_code == 409
    assert answer.json()["errors"] == [{"field": "provider_task_id", "message": f"is that of task {task['id']}"}]
    stack.wait_for(task["id"])


def test_adopting_again_under_one_key_is_one_task(stack: Stack) -> None:
    theirs = elsewhere(stack, "aimlapi")
    body = {"provider": "aimlapi", "provider_task_id": theirs, "deadline_seconds": 60}
    headers = {"Idempotency-Key": "adopting"}
    first, second = (stack.post("/v1/tasks", body, headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert (first.json()["id"], second.headers["idempotent-replayed"]) == (second.json()["id"], "true")
    assert stack.post("/v1/tasks", {**body, "metadata": {"a": "b"}}, headers).status_code == 422
    stack.wait_for(first.json()["id"])


def test_an_id_that_the_provider_never_heard_of_is_lost_for_that_reason(stack: Stack) -> None:
    answers = [
        adopt(stack, "runware", str(uuid4()), deadline_seconds=None),
        adopt(stack, "aimlapi", "x" * 21, deadline_seconds=None),
    ]
    for answer in answers:
        task = stack.wait_for(answer.json()["id"], seconds=30)
        assert (task["status"], task["errors"][-1]["code"]) == ("lost", "not_found")
        assert task["polls"] > 1


@pytest.mark.parametrize(
    ("provider", "fields", "named"),
    [
        ("runware", {"provider_task_id": "x" * 21}, {"provider_task_id"}),
        ("runware", {"provider_task_id": str(uuid4()), "count": 5}, {"count"}),
        ("aimlapi", {"provider_task_id": "a b"}, {"provider_task_id"}),
        ("aimlapi", {"provider_task_id": "a" * 129}, {"provider_task_id"}),
        ("aimlapi", {"provider_task_id": "a?b&c=d"}, {"provider_task_id"}),
        ("aimlapi", {"provider_task_id": "abc", "count": 2}, {"count"}),
        ("aimlapi", {"provider_task_id": "abc", "prompt": PROMPT, "seed": 1}, {"prompt", "seed"}),
        ("aimlapi", {"provider_task_id": "abc", "colour": "blue"}, {"colour"}),
        ("suno", {"provider_task_id": "abc"}, {"provider"}),
    ],
)
def test_what_cannot_be_adopted_is_refused_by_name(
    stack: Stack, provider: str, fields: dict[str, object], named: set[str]
) -> None:
    answer = stack.post("/v1/tasks", {"provider": provider, **fields})
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == named


# ------------------------------------------------------------------------------------------------------ erasing
def test_an_erased_task_is_a_husk_and_its_audio_reports_and_words_are_gone(stack: Stack) -> None:
    metadata = {"user": "17", "note": CANARY}
    fields = {"prompt": CANARY, "metadata": metadata, "deadline_seconds": 60}
    one = stack.submit("runware", count=2, lyrics=f"[Verse]\n{CANARY}", **fields)
    inline = "data:audio/mpeg;base64," + "SUQz" * 400
    other = stack.submit("aimlapi", **{**fields, "reference_audio": inline})
    kept = stack.submit("runware", metadata={"user": "18"}, deadline_seconds=60)
    before = [stack.wait_for(task["id"]) for task in (one, other)]
    stack.wait_for(kept["id"])
    reports = [report for task in before for report in stack.get(f"/v1/tasks/{task['id']}/reports").json()["data"]]
    digest = stack.task(one["id"])["results"][0]["artifact"]["sha256"]
    assert any(digest in str(path) for path in files(stack))
    answer = delete(stack, "/v1/tasks?metadata.user=17")
    assert (answer.status_code, answer.json()) == (200, {"count": 2, "more": False})
    for was in before:
        task = stack.task(was["id"])
        assert task["erased_at"] is not None
        assert (task["status"], task["cost_usd"], task["polls"]) == (was["status"], was["cost_usd"], was["polls"])
        assert (task["metadata"], task["request"]["prompt"], task["request"]["lyrics"]) == ({}, None, None)
        assert {result["artifact"]["status"] for result in task["results"]} == {"erased"}
        assert {(result["url"], result["download_url"], result["seed"]) for result in task["results"]} == {
            (None,) * 3
        }
        assert stack.get(was["results"][0]["artifact"]["url"]).status_code == 410
        assert stack.get(f"/v1/tasks/{was['id']}/reports").json()["data"] == []
        timeline = stack.events(was["id"])
        assert [event["seq"] for event in timeline] == list(range(1, len(timeline) + 1))
        assert timeline[-1]["type"] == "task.erased"
        assert not any(was["id"] in str(path) or digest in str(path) for path in files(stack))
    assert reports
    assert {stack.get(f"/v1/reports/{report['id']}/raw").status_code for report in reports} == {404}
    assert stack.get("/v1/tasks?metadata.user=17").json()["data"] == []
    assert delete(stack, "/v1/tasks?metadata.user=17").json()["count"] == 0
    assert stack.task(kept["id"])["results"][0]["artifact"]["status"] == "stored"


def test_a_task_erased_under_way_is_not_waited_for_and_nothing_comes_back(stack: Stack) -> None:
    stack.faults(seconds=[1.0, 1.1])
    task = stack.submit("runware", deadline_seconds=60, metadata={"note": CANARY})
    stack.wait_for(task["id"], "submitted")
    assert delete(stack, f"/v1/tasks/{task['id']}").json()["count"] == 1
    assert stack.task(task["id"])["status"] == "cancelled"

    def called() -> bool:
        [entry] = [entry for entry in stack.ledger() if entry["provider_task_id"] == task["id"]]
        return any(call["status_code"] for call in entry["callbacks"])

    wait_until(called, 20, "the provider calls back")
    [entry] = [entry for entry in stack.ledger() if entry["provider_task_id"] == task["id"]]
    assert {call["status_code"] for call in entry["callbacks"]} == {200}
    after = stack.task(task["id"])
    assert (after["status"], after["results"], after["callbacks"]) == ("cancelled", [], 0)
    assert stack.get(f"/v1/tasks/{task['id']}/reports").json()["data"] == []
    assert delete(stack, f"/v1/tasks/{task['id']}").json() == {"count": 0, "more": False}
    for action in ("cancel", "refresh"):
        assert stack.post(f"/v1/tasks/{task['id']}/{action}", None).status_code == 404
    stack.faults()


@pytest.mark.parametrize(
    "path", ["/v1/tasks", "/v1/tasks?status=failed", "/v1/tasks?metadata.=x", "/v1/tasks?limit=1"]
)
def test_without_metadata_nothing_is_erased(stack: Stack, path: str) -> None:
    assert delete(stack, path).status_code == 422


def test_erasing_what_does_not_exist_is_a_404(stack: Stack) -> None:
    assert delete(stack, f"/v1/tasks/{uuid4()}").status_code == 404


# ---------------------------------------------------------------------------------------- replaying and counting
def test_replaying_what_was_settled_changes_nothing(stack: Stack) -> None:
    task = stack.wait_for(stack.submit("runware", count=2, deadline_seconds=60)["id"])
    events = stack.events(task["id"])
    for apply in (False, True):
        lines = replay(stack, task_id=task["id"], apply=apply)
        assert len(lines) == 2
        for line in lines:
            assert line["before"] == line["after"]
            assert (line["before"]["verdict"], line["before"]["results"]) == ("settled", 2)
            assert (line["task_id"], line["applied"]) == (task["id"], False)
    after = stack.task(task["id"])
    assert {**after, "results": []} == {**task, "results": []}
    assert stack.events(task["id"]) == events


def test_reports_are_replayed_page_by_page(stack: Stack) -> None:
    everything = replay(stack, since="2020-01-01T00:00:00Z", limit=1000)
    seen, cursor = [], None
    while True:
        answer = stack.post("/v1/replay", {"since": "2020-01-01T00:00:00Z", "limit": 2, "cursor": cursor}).json()
        seen += [line["report_id"] for line in answer["data"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert seen == [line["report_id"] for line in everything]
    of_one = replay(stack, provider="aimlapi", since="2020-01-01T00:00:00Z", limit=1000)
    assert 0 < len(of_one) < len(everything)
    assert replay(stack, since="2090-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "task_id"),
        ({"apply": True}, "task_id"),
        ({"task_id": "x"}, "task_id"),
        ({"task_id": str(uuid4()), "provider": "runware"}, "task_id"),
        ({"provider": "suno"}, "provider"),
        ({"since": "yesterday"}, "since"),
        ({"provider": "runware", "apply": "yes"}, "apply"),
        ({"provider": "runware", "limit": 1001}, "limit"),
        ({"provider": "runware", "cursor": "x"}, "cursor"),
        ({"provider": "runware", "colour": "blue"}, "colour"),
    ],
)
def test_a_replay_that_names_nothing_or_too_much_is_refused(
    stack: Stack, body: dict[str, object], field: str
) -> None:
    answer = stack.post("/v1/replay", body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_replaying_a_task_that_does_not_exist_is_a_404(stack: Stack) -> None:
    assert stack.post("/v1/replay", {"task_id": str(uuid4())}).status_code == 404


def test_the_figures_are_those_of_the_tasks(stack: Stack) -> None:
    tasks = stack.tasks()
    rows = stack.get("/v1/stats").json()["data"]
    assert {(row["provider"], row["model"]) for row in rows} == {(task["provider"], task["model"]) for task in tasks}
    for row in rows:
        own = [task for task in tasks if (task["provider"], task["model"]) == (row["provider"], row["model"])]
        assert row["tasks"] == len(own) == sum(row["statuses"].values())
        for status, count in row["statuses"].items():
            assert count == sum(task["status"] == status for task in own)
        assert row["polls_per_task"] == pytest.approx(sum(task["polls"] for task in own) / len(own))
        assert row["cost_usd"] == pytest.approx(sum(task["cost_usd"] or 0 for task in own))
        if row["model"] is None:
            assert row["seconds"] == {"p50": None, "p99": None}
        else:
            assert 0 < row["seconds"]["p50"] <= row["seconds"]["p99"] < 60
    [runware] = [row for row in rows if row["model"] == "minimax:music@cover"]
    [aimlapi] = [row for row in rows if row["model"] == "minimax/music-cover"]
    assert (runware["callback_miss_rate"], aimlapi["callback_miss_rate"]) == (0.0, None)
    later = stack.get("/v1/stats?since=2090-01-01T00:00:00Z").json()
    assert (later["data"], later["since"]) == ([], "2090-01-01T00:00:00.000000Z")
    assert stack.get("/v1/stats?since=now").status_code == 422


def test_a_callback_that_never_came_is_missed(stack: Stack) -> None:
    stack.faults(drop=1.0)
    stack.wait_for(stack.submit("runware", deadline_seconds=60)["id"])
    [row] = [row for row in stack.get("/v1/stats").json()["data"] if row["model"] == "minimax:music@cover"]
    assert 0 < row["callback_miss_rate"] < 1
    stack.faults()


def test_no_byte_of_what_was_erased_is_left_on_the_disk(stack: Stack) -> None:
    """Last, as it stops the service: its log is then written back into the database and emptied."""
    stack.service.stop()
    left = [
        path for path in (stack.folder / "data").rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()
    ]
    assert left == []
    opened = sqlite3.connect(stack.folder / "data" / "receiver.db")
    assert opened.execute("SELECT count(*) FROM erasures").fetchone()[0] >= 3
    opened.close()
