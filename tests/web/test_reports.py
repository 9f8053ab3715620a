import random
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from receiver.domain.token import Purpose
from receiver.web.redaction import Redactor
from tests.web.fakes import KEY, World
from tests.web.support import client

PROVIDER_KEY = "rw-provider-key/with+odd=characters"


async def test_reports_are_listed_without_their_bodies(world: World) -> None:
    task = world.task()
    report_id = world.store.keep_report(task, b'{"data":[]}')
    async with client(world) as http:
        answer = await http.get(f"/v1/tasks/{task.id}/reports")
    assert answer.json() == {
        "data": [
            {
                "id": str(report_id),
                "task_id": str(task.id),
                "provider": "runware",
                "via": "callback",
                "received_at": "2026-11-21T12:00:00.000000Z",
                "bytes": 11,
                "sha256": "01" * 32,
                "sliced": False,
                "duplicate_of": None,
                "verdict": None,
                "reason": None,
            }
        ]
    }


async def test_a_task_without_reports_is_told_from_no_task(world: World) -> None:
    task = world.task()
    async with client(world) as http:
        assert (await http.get(f"/v1/tasks/{task.id}/reports")).json() == {"data": []}
        assert (await http.get(f"/v1/tasks/{uuid4()}/reports")).status_code == 404
        assert (await http.get(f"/v1/reports/{uuid4()}/raw")).status_code == 404


@pytest.mark.parametrize("object_key", [None, "reports/1"])
async def test_a_report_is_handed_out_verbatim_as_a_file_that_nothing_runs(
    world: World, object_key: str | None
) -> None:
    body = b"<script>alert(1)</script>\x00\xff"
    world.objects.kept["reports/1"] = body
    report_id = world.store.keep_report(world.task(), body, object_key=object_key)
    async with client(world) as http:
        answer = await http.get(f"/v1/reports/{report_id}/raw")
    assert answer.content == body
    length = {} if object_key else {"content-length": str(len(body))}
    assert dict(answer.headers) == {
        "content-type": "application/octet-stream",
        **length,
        "content-disposition": f'attachment; filename="report-{report_id}.bin"',
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox; default-src 'none'",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }


async def test_a_body_that_is_not_where_it_was_stored_is_a_fault_of_ours(world: World) -> None:
    report_id = world.store.keep_report(world.task(), b"x", object_key="reports/gone")
    async with client(world) as http:
        assert (await http.get(f"/v1/reports/{report_id}/raw")).status_code == 503


async def test_our_own_tokens_and_keys_are_cut_out_of_what_a_provider_repeats(world: World) -> None:
    task = world.task()
    tokens = [world.token(task.key, purpose=purpose) for purpose in Purpose]
    url = f"https://hooks.example.org/callbacks/runware/{tokens[0]}"
    escaped = PROVIDER_KEY.replace("/", "\\/")
    body = f'{{"webhookURL":"{url}","n":"{"|".join(tokens)}","k":"{KEY}","p":"{PROVIDER_KEY}","q":"{escaped}"}}'
    report_id = world.store.keep_report(task, body.encode())
    async with client(world, secrets=(PROVIDER_KEY,)) as http:
        answer = await http.get(f"/v1/reports/{report_id}/raw")
    masked = "|".join(["[redacted]"] * len(tokens))
    assert answer.text == (
        '{"webhookURL":"https://hooks.example.org/callbacks/runware/[redacted]",'
        f'"n":"{masked}","k":"[redacted]","p":"[redacted]","q":"[redacted]"}}'
    )


async def test_a_large_report_is_searched_on_its_way_and_never_whole_in_memory(world: World) -> None:
    token = world.token(world.task().key)
    filling = b"x" * 3_000_000
    world.objects.kept["reports/1"] = body = filling + token.encode() + filling
    world.objects.chunk_bytes = 100_000
    report_id = world.store.keep_report(world.task(), b"", object_key="reports/1")
    async with client(world) as http:
        answer = await http.get(f"/v1/reports/{report_id}/raw")
    assert answer.content == filling + b"[redacted]" + filling
    assert "content-length" not in answer.headers
    pieces = [
        piece async for piece in Redactor(world.tokens, (), world.system.sleep).stream(world.objects._chunks(body))
    ]
    assert b"".join(pieces) == answer.content
    assert max(map(len, pieces)) <= 64 * 1024
    assert world.objects.open_streams == 0


@pytest.mark.parametrize("chunk", [1, 1000, 65_536, 1_000_000])
async def test_a_stream_is_cut_like_the_whole(world: World, chunk: int) -> None:
    redactor = Redactor(world.tokens, ("a-long-secret",), world.system.sleep)
    chance = random.Random(chunk)
    size = 3_000 if chunk == 1 else 700_000
    words = [world.token(uuid4()), "a-long-secret", "\\u0061-long-secret", "AQE", "callbacks/runware/"]
    text = "".join(chance.choice(words) + "x" * chance.randrange(4000) for _ in range(size // 2000)).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(text), chunk):
            yield text[at : at + chunk]

    assert b"".join([piece async for piece in redactor.stream(chunks())]) == redactor.data(text)
    assert redactor.data(text) != text
