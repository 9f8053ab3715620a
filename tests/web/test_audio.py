import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest

from receiver.domain.result import ArtifactStatus, Result
from receiver.domain.task import Task
from receiver.domain.token import Purpose
from receiver.web import create_app, problems
from receiver.web.present import DOWNLOAD_PROVIDER, audio_path
from tests.web.fakes import BEARER, SHA256, World, a_result
from tests.web.support import client, config, request, served

AUDIO = bytes(range(256)) * 100
ETAG = f'"{SHA256}"'


@pytest.fixture
def result(world: World) -> Result:
    return world.stored_result(AUDIO)


@pytest.fixture
def task(world: World, result: Result) -> Task:
    return world.task(results=(result,))


async def get(world: World, task: Task, method: str = "GET", **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client(world) as http:
        return await http.request(method, audio_path(task.id, task.results[0].id), headers=sent)


async def test_the_whole_audio_is_served_as_what_it_is_and_nothing_else(world: World, task: Task) -> None:
    answer = await get(world, task)
    assert (answer.status_code, answer.content) == (200, AUDIO)
    shown = {name: answer.headers[name] for name in answer.headers if name != "content-length"}
    assert shown == {
        "content-type": "audio/mpeg",
        "accept-ranges": "bytes",
        "etag": ETAG,
        "cache-control": "private, no-cache",
        "content-disposition": f'inline; filename="{task.id}-0.mp3"',
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox; default-src 'none'",
        "cross-origin-resource-policy": "same-origin",
    }
    assert answer.headers["content-length"] == str(len(AUDIO))
    assert world.objects.open_streams == 0


async def test_head_tells_the_same_without_the_bytes(world: World, task: Task) -> None:
    whole, head = await get(world, task), await get(world, task, "HEAD")
    assert (head.status_code, head.content, head.headers) == (200, b"", whole.headers)


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, len(AUDIO)),
        ("bytes=-100", len(AUDIO) - 100, len(AUDIO)),
        ("bytes=-999999999", 0, len(AUDIO)),
        ("bytes=25599-99999999", len(AUDIO) - 1, len(AUDIO)),
        ("Bytes=5-6", 5, 7),
    ],
)
async def test_a_range_is_cut_out(world: World, task: Task, asked: str, start: int, end: int) -> None:
    answer = await get(world, task, Range=asked)
    assert (answer.status_code, answer.content) == (206, AUDIO[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(AUDIO)}"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize(
    "asked", ["bytes=25600-", "bytes=999999999-", "bytes=-0", "bytes=" + "9" * 18 + "-", "bytes=25600-25601"]
)
async def test_a_range_beyond_the_end_is_416(world: World, task: Task, asked: str) -> None:
    answer = await get(world, task, Range=asked)
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(AUDIO)}")
    assert answer.json()["type"] == problems.RANGE_NOT_SATISFIABLE.type


@pytest.mark.parametrize(
    "asked",
    ["bytes=0-1,5-6", "bytes=", "bytes=-", "bytes=5-1", "bytes=a-b", "items=0-1", "bytes 0-1", "bytes=" + "9" * 5000],
)
async def test_several_ranges_or_none_that_can_be_read_get_the_whole(world: World, task: Task, asked: str) -> None:
    answer = await get(world, task, Range=asked)
    assert (answer.status_code, len(answer.content)) == (200, len(AUDIO))


@pytest.mark.parametrize(
    ("condition", "status"),
    [(ETAG, 206), (f"W/{ETAG}", 200), ('"other"', 200), ("Sat, 21 Nov 2026 12:00:00 GMT", 200)],
)
async def test_a_range_of_other_bytes_is_not_mixed_in(world: World, task: Task, condition: str, status: int) -> None:
    assert (await get(world, task, Range="bytes=0-9", If_Range=condition)).status_code == status


@pytest.mark.parametrize(
    ("held", "status"), [(ETAG, 304), (f"W/{ETAG}", 304), (f'"x", {ETAG}', 304), ("*", 304), ('"x"', 200)]
)
async def test_who_holds_the_bytes_is_told_so(world: World, task: Task, held: str, status: int) -> None:
    answer = await get(world, task, If_None_Match=held)
    assert (answer.status_code, answer.headers["etag"]) == (status, ETAG)
    assert bool(answer.content) == (status == 200)


@pytest.mark.parametrize(
    ("told", "shown", "extension"),
    [
        ("audio/wav", "audio/wav", "wav"),
        ("audio/flac", "audio/flac", "flac"),
        ("audio/L16;rate=44100;channels=2", "audio/L16;rate=44100;channels=2", "pcm"),
        ("text/html", "application/octet-stream", "bin"),
        ("image/svg+xml", "application/octet-stream", "bin"),
        ("audio/mpeg;\r\nSet-Cookie: a=b", "application/octet-stream", "bin"),
        ("", "application/octet-stream", "bin"),
    ],
)
async def test_the_media_type_is_one_of_ours(world: World, told: str, shown: str, extension: str) -> None:
    task = world.task(results=(world.stored_result(b"RIFF", media_type=told, index=2),))
    answer = await get(world, task)
    assert answer.headers["content-type"] == shown
    assert answer.headers["content-disposition"] == f'inline; filename="{task.id}-2.{extension}"'


@pytest.mark.parametrize("status", [ArtifactStatus.PENDING, ArtifactStatus.FAILED, ArtifactStatus.EXPIRED])
async def test_audio_that_is_not_here_is_404_with_its_status(world: World, status: ArtifactStatus) -> None:
    result = a_result()
    task = world.task(results=(replace(result, artifact=replace(result.artifact, status=status)),))
    answer = await get(world, task)
    assert (answer.status_code, answer.json()["type"]) == (404, problems.NOT_STORED.type)
    assert answer.json()["detail"] == f"its status is {status.value}"


async def test_a_result_of_another_task_is_404(world: World, result: Result) -> None:
    other = world.task()
    async with client(world) as http:
        for path in (audio_path(other.id, result.id), audio_path(uuid4(), result.id), audio_path(other.id, uuid4())):
            assert (await http.get(path)).status_code == 404


async def test_audio_missing_from_the_artifact_store_is_a_fault_of_ours(
    world: World, task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    world.objects.kept.clear()
    assert (await get(world, task)).status_code == 503
    assert [record.message for record in caplog.records] == ["request_fault"]


async def test_an_artifact_store_that_is_away_is_503(world: World, task: Task) -> None:
    world.objects.broken = True
    assert (await get(world, task)).status_code == 503


async def test_the_link_in_the_task_plays_without_a_key_for_15_minutes(world: World, task: Task) -> None:
    async with client(world) as http:
        shown = (await http.get(f"/v1/tasks/{task.id}")).json()
    link = shown["results"][0]["download_url"]
    assert link.startswith(shown["results"][0]["artifact"]["url"] + "?token=")
    async with client(world, headers={}) as http:
        assert (await http.get(link)).content == AUDIO
        assert (await http.get(link, headers={"Range": "bytes=0-1"})).status_code == 206
        assert (await http.head(link)).status_code == 200
        world.system.passed += 14 * 60
        assert (await http.get(link)).status_code == 200
        world.system.passed += 61
        assert (await http.get(link)).status_code == 404


async def test_a_token_opens_its_one_audio_and_nothing_else(world: World, task: Task, result: Result) -> None:
    token = world.token(result.id, purpose=Purpose.DOWNLOAD, provider=DOWNLOAD_PROVIDER)
    other = world.task(results=(world.stored_result(b"other"),))
    elsewhere = audio_path(other.id, other.results[0].id)
    async with client(world, headers={}) as http:
        assert (await http.get(f"{elsewhere}?token={token}")).status_code == 404
        assert (await http.get(f"{audio_path(other.id, result.id)}?token={token}")).status_code == 404
        assert (await http.get(f"/v1/tasks/{task.id}?token={token}")).status_code == 401
        assert (await http.get(f"/v1/tasks?token={token}")).status_code == 401
        assert (await http.post(f"{audio_path(task.id, result.id)}?token={token}")).status_code == 401
        assert (await http.get(audio_path(task.id, result.id))).status_code == 401


@pytest.mark.parametrize("spoilt", ["", "x", "A" * 70, "%00", "%ff", "ü"])
async def test_a_bad_token_is_404_and_asks_no_database(world: World, task: Task, spoilt: str) -> None:
    world.store.fault = AssertionError("the database was asked")
    async with client(world, headers={}) as http:
        answer = await http.get(f"{audio_path(task.id, task.results[0].id)}?token={spoilt}")
    assert answer.status_code == 404
    assert world.metrics.counts["downloads_bad_token",] == 1


async def test_a_wrong_key_is_not_made_good_by_a_token(world: World, task: Task, result: Result) -> None:
    token = world.token(result.id, purpose=Purpose.DOWNLOAD, provider=DOWNLOAD_PROVIDER, lifetime=timedelta(hours=1))
    async with client(world, headers={"Authorization": "Bearer wrong"}) as http:
        assert (await http.get(f"{audio_path(task.id, result.id)}?token={token}")).status_code == 401


async def test_a_source_that_breaks_half_way_ends_the_connection_and_not_the_audio(
    world: World, task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "receiver.web")
    world.objects.breaks_after_chunks = 2
    async with served(create_app(world.ports, config())) as server, server.connect() as wire:
        path = audio_path(task.id, task.results[0].id)
        await wire.send(request("GET", path, f"Authorization: {BEARER['Authorization']}"))
        with pytest.raises(asyncio.IncompleteReadError):
            await wire.answer()
    assert world.objects.open_streams == 0
    assert "request_fault" in [record.message for record in caplog.records]


async def test_a_listener_who_hangs_up_closes_the_stream(world: World) -> None:
    task = world.task(results=(world.stored_result(AUDIO * 4000),))
    async with served(create_app(world.ports, config())) as server:
        async with server.connect() as wire:
            path = audio_path(task.id, task.results[0].id)
            await wire.send(request("GET", path, f"Authorization: {BEARER['Authorization']}"))
            await wire.reader.readexactly(1000)
            assert world.objects.open_streams == 1
        async with asyncio.timeout(60):
            while world.objects.open_streams:
                await asyncio.sleep(0.005)


async def test_a_caller_is_sent_to_the_bucket_where_that_is_set(world: World, task: Task) -> None:
    world.objects.bucket = "https://bucket.example.org"
    path = audio_path(task.id, task.results[0].id)
    async with client(world, download_link_seconds=60) as http:
        answer = await http.get(path)
        assert (answer.status_code, answer.content) == (302, b"")
        key = task.results[0].artifact.object_key
        assert answer.headers["location"] == f"https://bucket.example.org/{key}?Expires=60"
        assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
        # The link is for GET alone, and who has the bytes needs none.
        assert (await http.head(path)).status_code == 200
        assert (await http.get(path, headers={"If-None-Match": ETAG})).status_code == 304
    async with client(world) as http:
        assert (await http.get(path)).content == AUDIO


async def test_a_store_that_gives_out_no_links_is_read_for_the_caller(world: World, task: Task) -> None:
    async with client(world, download_link_seconds=60) as http:
        assert (await http.get(audio_path(task.id, task.results[0].id))).content == AUDIO


async def test_audio_that_was_erased_is_gone_and_says_so(world: World, task: Task, result: Result) -> None:
    erased = replace(result, artifact=replace(result.artifact, status=ArtifactStatus.ERASED, object_key=None))
    answer = await get(world, world.store.put(replace(task, results=(erased,))))
    assert (answer.status_code, answer.json()["type"]) == (410, problems.ERASED.type)
