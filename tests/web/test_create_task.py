import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any
from uuid import UUID

import httpx
import pytest

from receiver.domain.errors import UnavailableError
from receiver.domain.request import InlineAudio
from receiver.lifecycle.ports import Queue
from receiver.web import problems, schemas
from receiver.web.documents import read_document
from tests.web.fakes import World
from tests.web.support import client

COVER: dict[str, Any] = {
    "provider": "runware",
    "prompt": "bossa nova, nylon guitar",
    "reference_audio": "https://files.example.org/in.mp3",
}


async def post(world: World, body: object, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with client(world) as http:
        sent = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return await http.post("/v1/tasks", content=content, headers=sent)


def named(answer: httpx.Response) -> dict[str, str]:
    """The fields an answer finds fault with, and what it says of each."""
    assert answer.headers["content-type"] == "application/problem+json"
    return {error["field"]: error["message"] for error in answer.json()["errors"]}


async def test_a_task_is_taken_once_its_intent_is_stored(world: World) -> None:
    answer = await post(world, {**COVER, "metadata": {"song": "42"}, "count": 2, "deadline_seconds": 600})
    shown = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/tasks/{shown['id']}"
    task = world.store.by_id[UUID(shown["id"])]
    assert (task.metadata, task.request.count, task.deadline_seconds) == ({"song": "42"}, 2, 600)
    assert (shown["status"], shown["provider_task_id"], shown["request"]["count"]) == ("queued", shown["id"], 2)
    assert world.woken == [Queue.SUBMIT]


async def test_every_field_of_the_vocabulary_reaches_the_request(world: World) -> None:
    fields = {
        "model": "minimax:music@cover",
        "lyrics": "la la la\nla la la",
        "count": 1,
        "seed": 7,
        "output_format": "MP3",
        "output_type": "URL",
        "sample_rate": 44100,
        "bitrate": 128000,
        "ttl_seconds": 60,
        "include_cost": False,
        "provider_options": {"settings": {"mood": ["calm"]}},
    }
    shown = (await post(world, {**COVER, **fields})).json()
    assert {name: shown["request"][name] for name in (*COVER, *fields)} == {**COVER, **fields}


async def test_null_means_not_given(world: World) -> None:
    fields = ("model", "lyrics", "count", "seed", "metadata", "provider_options", "deadline_seconds", "include_cost")
    answer = await post(world, {**COVER, **dict.fromkeys(fields)})
    assert answer.status_code == 202
    assert answer.json()["metadata"] == {}


async def test_the_location_is_absolute_when_our_own_address_is_set(world: World) -> None:
    async with client(world, api_url="https://api.example.org/music") as http:
        answer = await http.post(
            "/v1/tasks", json=COVER, headers={"X-Forwarded-Host": "evil.example", "Host": "evil"}
        )
    assert answer.headers["location"] == f"https://api.example.org/music/v1/tasks/{answer.json()['id']}"


async def test_inline_audio_is_shown_by_its_hash(world: World) -> None:
    audio = "QUJD" * 100
    answer = await post(world, {**COVER, "reference_audio": audio})
    shown = answer.json()["request"]["reference_audio"]
    assert shown == {"sha256": hashlib.sha256(b"ABC" * 100).hexdigest(), "bytes": 300}
    [task] = world.store.by_id.values()
    assert isinstance(task.request.reference_audio, InlineAudio)
    assert audio not in answer.text


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"prompt": 5}, {"prompt": "must be a string"}),
        ({"count": "5"}, {"count": "must be a whole number"}),
        ({"count": True}, {"count": "must be a whole number"}),
        ({"count": 1.0}, {"count": "must be a whole number"}),
        ({"include_cost": 1}, {"include_cost": "must be true or false"}),
        ({"include_cost": "true"}, {"include_cost": "must be true or false"}),
        ({"deadline_seconds": "600"}, {"deadline_seconds": "must be a number"}),
        ({"deadline_seconds": True}, {"deadline_seconds": "must be a number"}),
        ({"deadline_seconds": 59.9}, {"deadline_seconds": "must be at least 60"}),
        ({"deadline_seconds": 604801}, {"deadline_seconds": "must be at most 604800"}),
        ({"metadata": []}, {"metadata": "must be an object"}),
        ({"metadata": {"a": 1, "b": {}}}, {"metadata.a": "must be a string", "metadata.b": "must be a string"}),
        ({"metadata": {"": "x"}}, {"metadata.": "must have a name of 1 to 40 characters"}),
        ({"metadata": {"k" * 41: "x"}}, {f"metadata.{'k' * 41}": "must have a name of 1 to 40 characters"}),
        ({"metadata": {"k": "x" * 501}}, {"metadata.k": "must have at most 500 characters"}),
        ({"metadata": {str(n): "" for n in range(51)}}, {"metadata": "has 51 entries; at most 50 are kept"}),
        ({"provider_options": [1]}, {"provider_options": "must be an object"}),
        ({"promt": "x"}, {"promt": "is not a field of a task; did you mean prompt?"}),
        ({"outputFormat": "x"}, {"outputFormat": "is not a field of a task; did you mean output_format?"}),
        ({"zzzzz": "x"}, {"zzzzz": "is not a field of a task"}),
        ({"notify_url": 1}, {"notify_url": "must be a string"}),
        (
            {"provider_task_id": "x", "seed": 1},
            dict.fromkeys(("prompt", "reference_audio", "seed"), "does not go with provider_task_id"),
        ),
        ({"prompt": "short"}, {"prompt": "must have 10 to 300 characters"}),
        ({"provider": "suno"}, {"provider": "must be one of: aimlapi, runware"}),
        ({"prompt": "nul \0 nul nul"}, {"prompt": "contains a control character (U+0000)"}),
        ({"lyrics": "bell \a"}, {"lyrics": "contains a control character (U+0007)"}),
        ({"model": "two\nlines"}, {"model": "contains a control character (U+000A)"}),
        ({"reference_audio": "https://x/\x85"}, {"reference_audio": "contains a control character (U+0085)"}),
        (
            {"metadata": {"a\0b": "x"}},
            {"metadata.a\\u0000b": "has a name that contains a control character (U+0000)"},
        ),
        (
            {"provider_options": {"a": {"b": ["x", "\x1b[31m"]}}},
            {"provider_options.a.b.1": "contains a control character (U+001B)"},
        ),
        ({"seed": 2**63}, {"seed": "is an integer beyond 64 bits"}),
        ({"seed": int("9" * 4000)}, {"seed": "is an integer beyond 64 bits"}),
        ({"count": "5", "seed": "6"}, {"count": "must be a whole number", "seed": "must be a whole number"}),
    ],
)
async def test_every_field_at_fault_is_named(world: World, fields: dict[str, Any], expected: dict[str, str]) -> None:
    answer = await post(world, {**COVER, **fields})
    assert (answer.status_code, named(answer)) == (422, expected)
    assert world.store.by_id == {}


async def test_what_is_missing_is_named(world: World) -> None:
    answer = await post(world, {})
    assert named(answer) == dict.fromkeys(("provider", "prompt", "reference_audio"), "is required")


async def test_no_value_of_a_caller_is_repeated(world: World) -> None:
    answer = await post(world, {**COVER, "count": "my-password", "seed": {"my-password": 1}})
    assert "my-password" not in answer.text


async def test_only_so_many_faults_are_told(world: World) -> None:
    answer = await post(world, {**COVER, **{f"field {n}": n for n in range(200)}})
    assert len(answer.json()["errors"]) == 50


async def test_a_long_name_is_told_in_short(world: World) -> None:
    answer = await post(world, {**COVER, "x" * 10_000: 1})
    assert [len(field) for field in named(answer)] == [81]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the body is not JSON at line 1, column 1: Expecting value"),
        (b'{\n "a": 1,\n}', "the body is not JSON at line 3, column 1: "),
        (b"{'a': 1}", "the body is not JSON at line 1, column 2: "),
        (b'{"a": 1} x', "the body is not JSON at line 1, column 10: Extra data"),
        (b'{"a": "\x01"}', "the body is not JSON at line 1, column 8: "),
        (b'{"a": "\xff"}', "the body is not UTF-8 at byte 7"),
        (b"\xef\xbb\xbf{}", "the body is not JSON at line 1, column 1: "),
        (b'{"a": NaN}', "the body is not JSON: NaN is no JSON number"),
        (b'{"a": -Infinity}', "the body is not JSON: -Infinity is no JSON number"),
        (b'{"a": {"b": 1, "b": 2}}', "the body says 'b' twice in one object"),
        (b"[" * 90_000, "the body is nested too deeply"),
        (b'{"a":' * 90_000, "the body is nested too deeply"),
        ('{"a": "ü"}'.encode("utf-16"), "the body is not UTF-8 at byte 0"),
    ],
)
async def test_what_is_not_json_is_400_and_says_where(world: World, body: bytes, detail: str) -> None:
    answer = await post(world, body)
    assert (answer.status_code, answer.json()["type"]) == (400, problems.INVALID_JSON.type)
    assert answer.json()["detail"].startswith(detail)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[]", "body"),
        (b"null", "body"),
        (b'"text"', "body"),
        (b"[" + b"0," * 100_001 + b"0]", "body"),
        (b'{"prompt": "\\ud800 lone"}', "prompt"),
        (b'{"metadata": {"\\udfff": "x"}}', "metadata.\\udfff"),
        (b'{"seed": 1e999}', "seed"),
        (b'{"seed": -99999999999999999999999999}', "seed"),
        (b'{"provider_options": ' + b'{"a":' * 20 + b"1" + b"}" * 20 + b"}", "provider_options" + ".a" * 15),
    ],
)
async def test_json_that_cannot_be_kept_is_422_and_names_it(world: World, body: bytes, field: str) -> None:
    answer = await post(world, body)
    assert answer.status_code == 422
    assert list(named(answer)) == [field]


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "application/jsonx", ""],
)
async def test_another_content_type_is_415(world: World, content_type: str) -> None:
    answer = await post(world, COVER, Content_Type=content_type)
    assert (answer.status_code, answer.json()["type"]) == (415, problems.UNSUPPORTED_TYPE.type)


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON ; charset=UTF-8", None])
async def test_json_or_no_content_type_at_all_will_do(world: World, content_type: str | None) -> None:
    async with client(world) as http:
        headers = {"Content-Type": content_type} if content_type else {}
        answer = await http.post("/v1/tasks", content=json.dumps(COVER).encode(), headers=headers)
    assert answer.status_code == 202


async def test_a_compressed_body_is_415(world: World) -> None:
    assert (await post(world, COVER, Content_Encoding="gzip")).status_code == 415


async def test_the_same_key_and_body_give_the_same_task_however_often(world: World) -> None:
    first = await post(world, COVER, Idempotency_Key="once")
    again = await post(world, {**COVER, "count": None}, Idempotency_Key="once")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(world.store.by_id) == 1


async def test_the_same_key_with_another_body_is_refused_by_a_type_of_its_own(world: World) -> None:
    await post(world, COVER, Idempotency_Key="once")
    for other in ({"prompt": "another prompt altogether"}, {"metadata": {"a": "b"}}, {"deadline_seconds": 99}):
        answer = await post(world, {**COVER, **other}, Idempotency_Key="once")
        assert (answer.status_code, answer.json()["type"]) == (422, problems.REUSED_KEY.type)
    assert len(world.store.by_id) == 1


async def test_a_request_that_was_refused_uses_no_key_up(world: World) -> None:
    assert (await post(world, {**COVER, "prompt": 5}, Idempotency_Key="once")).status_code == 422
    assert (await post(world, COVER, Idempotency_Key="once")).status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\tinside"])
async def test_an_idempotency_key_that_cannot_be_one_is_named(world: World, key: str) -> None:
    answer = await post(world, COVER, Idempotency_Key=key)
    assert answer.status_code == 422
    assert set(named(answer)) == {"Idempotency-Key"}


async def test_a_body_over_the_limit_is_413(world: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 10

    async with client(world, max_request_bytes=100) as http:
        announced = await http.post("/v1/tasks", content=b" " * 101)
        chunked = await http.post("/v1/tasks", content=chunks())
    for answer in (announced, chunked):
        assert (answer.status_code, answer.json()["type"]) == (413, problems.TOO_LARGE.type)
        assert answer.headers["connection"] == "close"


async def test_a_store_that_cannot_take_it_is_503(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.store.fault = UnavailableError("the database is away")
    answer = await post(world, COVER)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "database" not in answer.text
    assert [record.message for record in caplog.records] == ["request_fault"]


async def test_what_nobody_thought_of_is_500_without_details(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.store.fault = KeyError("my-password")
    answer = await post(world, COVER)
    assert (answer.status_code, answer.json()["type"]) == (500, problems.INTERNAL.type)
    assert "my-password" not in answer.text + str(caplog.records[0].__dict__)


async def test_warnings_are_shown(world: World) -> None:
    answer = await post(world, {**COVER, "lyrics": "la"})
    assert answer.json()["warnings"] == [{"field": "lyrics", "message": "has few lines"}]


async def test_a_parameter_behind_the_address_is_refused(world: World) -> None:
    async with client(world) as http:
        answer = await http.post("/v1/tasks?dry_run=1", json=COVER)
    assert named(answer) == {"dry_run": "is not a parameter here"}


@pytest.mark.parametrize("within", ["{}", '{{"provider_options":{{"settings":[{}]}}}}'])
async def test_an_object_with_more_members_than_anybody_needs_is_refused_by_name(world: World, within: str) -> None:
    members = "{" + ",".join(f'"k{n}":0' for n in range(257)) + "}"
    answer = await post(world, within.format(members).encode())
    assert answer.status_code == 422
    assert named(answer) == {"body": "holds an object with more than 256 members"}


def test_names_said_twice_are_found_in_a_moment() -> None:
    body = ("{" + ",".join(f'"{n}":0' for n in range(40_000)) + ',"39999":0}').encode()
    began = time.process_time()
    with pytest.raises(problems.ProblemError):
        read_document(body, most_values=100_000)
    assert time.process_time() - began < 10, "each name was compared with all before it"


async def test_only_the_faults_that_are_told_are_put_into_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def look(name: str, known: Iterable[str]) -> str:
        looked.append(name)
        return ""

    monkeypatch.setattr(schemas, "did_you_mean", look)
    await post(world, {**COVER, **{f"field {n}": n for n in range(200)}})
    assert len(looked) == 50
