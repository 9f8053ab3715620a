"""Uploads of reference audio over the real store and folder: what is taken, what is refused, what stays behind."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from receiver.domain.token import Purpose
from receiver.storage.objects import open_objects
from receiver.storage.store import open_store
from tests.audio import song
from tests.web.fakes import World
from tests.web.support import client

SONG = song(6.0)


@dataclass
class House:
    http: httpx.AsyncClient
    world: World
    folder: Path

    async def upload(self, content: bytes | AsyncIterator[bytes], **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post("/v1/inputs", content=content, headers=named)

    def files(self) -> list[Path]:
        return [path for path in (self.folder / "artifacts").rglob("*") if path.is_file()]


@pytest.fixture
async def house(world: World, tmp_path: Path) -> AsyncIterator[House]:
    async with open_store(tmp_path / "receiver.db") as store, open_objects(str(tmp_path / "artifacts")) as objects:
        world.ports = replace(world.ports, store=store, objects=objects)
        async with client(world) as http:
            yield House(http, world, tmp_path)


async def test_the_same_file_is_the_same_input_and_lies_there_once(house: House) -> None:
    first, second = (
        await house.upload(SONG),
        await house.upload(SONG, content_type="application/x-www-form-urlencoded"),
    )
    assert (first.status_code, first.json()) == (201, second.json())
    assert first.json()["duration_seconds"] == 6.0
    assert [path.read_bytes() for path in house.files()] == [SONG]


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 65536 + 1):
        yield bytes(65536)


@pytest.mark.parametrize(
    ("content", "headers", "status", "words"),
    [
        (b"", {}, 415, "the file is empty"),
        (b"a song, in words", {}, 415, "looks like text"),
        (SONG[:-1000], {}, 415, "not taken"),
        (SONG, {"content_type": "multipart/form-data; boundary=x"}, 415, "curl --data-binary"),
        (SONG, {"content_type": "application/json"}, 415, "send the file itself"),
        (SONG, {"content_encoding": "gzip"}, 415, "must not be compressed"),
        (song(5.99), {}, 422, "body plays for 5.99 seconds; 6 seconds to 6 minutes are taken"),
        (song(360.01), {}, 422, "body plays for 6 min 1 s"),
        (bytes(50 * 1024 * 1024 + 1), {}, 413, "50 MiB"),
        (50 * 1024 * 1024, {}, 413, "50 MiB"),
    ],
    ids=["empty", "text", "half", "form", "json", "gzip", "short", "long", "announced", "unannounced"],
)
async def test_what_is_no_reference_audio_is_refused_in_words_and_nothing_stays(
    house: House, content: bytes | int, headers: dict[str, str], status: int, words: str
) -> None:
    answer = await house.upload(in_pieces(content) if isinstance(content, int) else content, **headers)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert house.files() == []
    assert await house.world.ports.store.inputs.unused() == (0, 0)


async def test_more_files_than_may_wait_are_refused_until_one_is_used(house: House) -> None:
    house.world.ports = replace(house.world.ports, limits=replace(house.world.ports.limits, max_unused_inputs=1))
    async with client(house.world) as http:
        taken = (await http.post("/v1/inputs", content=SONG)).json()
        other = await http.post("/v1/inputs", content=song(6.5))
        assert (other.status_code, other.json()["type"]) == (429, "urn:receiver:problem:too-many-inputs")
        assert int(other.headers["retry-after"]) > 0
        asked = {
            "provider": "runware",
            "prompt": "bossa nova, nylon guitar",
            "reference_audio": taken["reference_audio"].upper().replace("INPUT", "input"),
        }
        task = await http.post("/v1/tasks", json=asked)
        assert task.status_code == 202
        assert task.json()["request"]["reference_audio"] == taken["reference_audio"]
        assert (await http.post("/v1/inputs", content=song(6.5))).status_code == 201


async def test_an_upload_needs_a_key(house: House) -> None:
    answer = await house.http.post("/v1/inputs", content=SONG, headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401
    assert house.files() == []


async def test_a_file_is_given_to_its_tasks_token_alone_and_without_a_key(house: House) -> None:
    taken = (await house.upload(SONG)).json()
    asked = {"provider": "runware", "prompt": "bossa nova, slow", "reference_audio": taken["reference_audio"]}
    made = (await house.http.post("/v1/tasks", json=asked)).json()
    other = (await house.http.post("/v1/tasks", json={**asked, "reference_audio": "https://a.example/b"})).json()
    keys = {}
    for one in (made, other):
        task = await house.world.ports.store.task(UUID(one["id"]))
        assert task is not None
        keys[one["id"]] = task.key
    subject = keys[made["id"]]
    token = house.world.token(subject, purpose=Purpose.INPUT, provider="input")
    bad = [
        *(house.world.token(subject, purpose=one, provider="input") for one in Purpose if one is not Purpose.INPUT),
        house.world.token(subject, purpose=Purpose.INPUT, provider="runware"),
        house.world.token(UUID(taken["id"]), purpose=Purpose.INPUT, provider="input"),
        house.world.token(keys[other["id"]], purpose=Purpose.INPUT, provider="input"),
        house.world.token(subject, purpose=Purpose.INPUT, provider="input", lifetime=timedelta(seconds=-1)),
        token + "A",
        "x",
    ]
    async with client(house.world, headers={}) as nobody:
        given = await nobody.get(f"/inputs/{token}", headers={"Host": "hooks.example.org"})
        assert (given.status_code, given.content) == (200, SONG)
        assert given.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert given.headers["cross-origin-resource-policy"] == "same-origin"
        assert given.headers["cache-control"] == "no-store"
        assert (await nobody.get(f"/inputs/{token}", headers={"Range": "bytes=-10"})).content == SONG[-10:]
        assert (await nobody.get(f"/inputs/{token}", headers={"Range": "bytes=9999999-"})).status_code == 416
        for wrong in bad:
            answer = await nobody.get(f"/inputs/{wrong}")
            assert (answer.status_code, answer.headers["connection"]) == (404, "close")
