"""Audio up and down: what lands on a disk is whole or absent, and nothing that lies there is harmed."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from receiver import sdk
from receiver.sdk import Client
from tests.cli.fake_service import (
    AUDIO,
    KEY,
    RESULT_ID,
    TASK_ID,
    Answer,
    FakeService,
    problem,
    serving,
    succeeded,
)

TASK = f"/v1/tasks/{TASK_ID}"
STORED = f"{TASK}/results/{RESULT_ID}/audio"
NAME = f"{TASK_ID}-0.mp3"


@pytest.fixture
def service() -> Iterator[FakeService]:
    with serving() as fake:
        fake.says("GET", TASK, Answer(200, succeeded()))
        fake.says("GET", STORED, Answer(200, AUDIO))
        yield fake


@pytest.fixture
async def client(service: FakeService) -> AsyncIterator[Client]:
    async with Client(service.url, api_key=KEY, timeout_seconds=5) as connected:
        yield connected


async def test_a_result_is_saved_under_a_name_of_ours_and_nothing_else_is_left(
    client: Client, tmp_path: Path
) -> None:
    task = await client.task(TASK_ID)
    path = await client.save(task, task.results[0], tmp_path)
    assert path == tmp_path / NAME
    assert path.read_bytes() == AUDIO
    assert list(tmp_path.iterdir()) == [path]


async def test_what_is_there_already_is_not_fetched_again(
    client: Client, service: FakeService, tmp_path: Path
) -> None:
    task = await client.task(TASK_ID)
    await client.save(task, task.results[0], tmp_path)
    asked = len(service.asked)
    await client.save(task, task.results[0], tmp_path)
    assert len(service.asked) == asked


async def test_a_file_that_holds_something_else_stays_as_it_is(
    client: Client, service: FakeService, tmp_path: Path
) -> None:
    task = await client.task(TASK_ID)
    (tmp_path / NAME).write_text("mine")
    with pytest.raises(FileExistsError):
        await client.save(task, task.results[0], tmp_path)
    assert len(service.asked) == 1
    assert (tmp_path / NAME).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
async def test_a_link_in_the_place_of_the_file_leads_nowhere(client: Client, tmp_path: Path, target: str) -> None:
    task = await client.task(TASK_ID)
    folder = tmp_path / "covers"
    folder.mkdir()
    (tmp_path / "elsewhere").write_text("theirs")
    (folder / NAME).symlink_to(tmp_path / target)
    with pytest.raises(FileExistsError):
        await client.save(task, task.results[0], folder)
    assert (tmp_path / "elsewhere").read_text() == "theirs"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "came", [AUDIO[:-1], AUDIO + b"x", b"X" + AUDIO[1:]], ids=["cut short", "longer", "other bytes"]
)
async def test_audio_that_is_not_the_task_s_leaves_no_file(
    client: Client, service: FakeService, tmp_path: Path, came: bytes
) -> None:
    service.says("GET", STORED, Answer(200, came))
    task = await client.task(TASK_ID)
    with pytest.raises(sdk.DownloadError):
        await client.save(task, task.results[0], tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_audio_that_something_in_between_encoded_is_refused(
    client: Client, service: FakeService, tmp_path: Path
) -> None:
    service.says("GET", STORED, Answer(200, AUDIO, {"content-encoding": "gzip"}))
    task = await client.task(TASK_ID)
    with pytest.raises(sdk.DownloadError, match="encoded"):
        await client.save(task, task.results[0], tmp_path)


async def test_audio_in_a_bucket_is_fetched_there_once_and_without_the_key(
    client: Client, service: FakeService, tmp_path: Path
) -> None:
    with serving() as bucket:
        service.says("GET", STORED, Answer(302, b"", {"location": f"{bucket.url}/covers/a.mp3?Signature=s%2Fx"}))
        bucket.says("GET", "/covers/a.mp3", Answer(200, AUDIO))
        task = await client.task(TASK_ID)
        path = await client.save(task, task.results[0], tmp_path)
        assert path.read_bytes() == AUDIO
        [asked] = bucket.asked
        assert asked.query == {"Signature": ["s/x"]}
        assert "authorization" not in asked.headers
        assert KEY not in str(asked)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(200, b"X" + AUDIO[1:]), sdk.DownloadError),
        (Answer(403, b"<Code>AccessDenied</Code>"), sdk.DownloadError),
        (Answer(503, b"<Code>SlowDown</Code>"), sdk.UnavailableError),
        (Answer(302, b"", {"location": "/on/and/on"}), sdk.DownloadError),
        (None, sdk.AnswerLostError),
    ],
    ids=["other bytes", "refused", "busy", "sent on", "no answer"],
)
async def test_a_bucket_that_does_not_give_the_audio_leaves_no_file(
    client: Client, service: FakeService, tmp_path: Path, answer: Answer | None, error: type[sdk.ClientError]
) -> None:
    with serving() as bucket:
        service.says("GET", STORED, Answer(302, b"", {"location": f"{bucket.url}/a.mp3?Signature=secret"}))
        bucket.says("GET", "/a.mp3", answer)
        task = await client.task(TASK_ID)
        with pytest.raises(error) as caught:
            await client.save(task, task.results[0], tmp_path)
        assert len(bucket.asked) == 1
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["bytes", "file"])
async def test_a_reference_is_handed_over_as_it_is(
    client: Client, service: FakeService, tmp_path: Path, kind: str
) -> None:
    digest = hashlib.sha256(AUDIO).hexdigest()
    taken = {"id": "abc", "sha256": digest, "bytes": len(AUDIO), "duration_seconds": 12.5, "new": 1}
    service.says("POST", "/v1/inputs", Answer(201, taken))
    (tmp_path / "song.mp3").write_bytes(AUDIO)
    given = await client.upload(AUDIO if kind == "bytes" else tmp_path / "song.mp3")
    assert given == sdk.Input("abc", digest, len(AUDIO), 12.5)
    assert given.reference == "input:abc"
    [asked] = service.asked
    assert asked.body == AUDIO
    assert asked.headers["content-type"] == "application/octet-stream"


async def test_a_service_that_holds_something_else_is_not_believed(client: Client, service: FakeService) -> None:
    taken = {"id": "abc", "sha256": "0" * 64, "bytes": 1, "duration_seconds": None}
    service.says("POST", "/v1/inputs", Answer(201, taken))
    with pytest.raises(sdk.UnexpectedAnswerError):
        await client.upload(AUDIO)


async def test_a_reference_that_is_refused_is_refused_by_field(client: Client, service: FakeService) -> None:
    no = problem(422, "No", errors=[{"field": "body", "message": "is no audio"}])
    service.says("POST", "/v1/inputs", no)
    with pytest.raises(sdk.InvalidRequestError) as caught:
        await client.upload(b"words")
    assert caught.value.remarks == (sdk.Remark("body", "is no audio"),)
