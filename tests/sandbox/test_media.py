import gzip
import hashlib
from datetime import datetime
from urllib.parse import unquote

import anyio
import httpx
import pytest

from tests.sandbox.support import Box, cover


async def a_link(box: Box, **fields: object) -> str:
    """Return the link of a finished Runware result."""
    await box.runware(cover(**fields))
    count = len(await box.ledger())
    return str((await box.finished(count))[-1]["results"][0]["url"])


@pytest.fixture
async def aimlapi_link(box: Box) -> str:
    await box.submitted()
    return str((await box.finished(1))[0]["results"][0]["url"])


async def test_a_link_serves_exactly_the_bytes_of_the_ledger(box: Box) -> None:
    answer = await box.client.get(await a_link(box))
    (result,) = (await box.ledger())[0]["results"]
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/mpeg"
    assert len(answer.content) == result["bytes"] == int(answer.headers["content-length"])
    assert hashlib.sha256(answer.content).hexdigest() == result["sha256"]


async def test_a_link_needs_no_key(box: Box, aimlapi_link: str) -> None:
    assert (await box.client.get(aimlapi_link, headers={"Authorization": ""})).status_code == 200


async def test_a_link_is_good_only_byte_for_byte(box: Box, aimlapi_link: str) -> None:
    path, _, query = aimlapi_link.partition("?")
    expires, account, signature = query.split("&")
    changed = [
        path,
        f"{unquote(path)}?{query}",
        f"{path}?{unquote(query)}",
        f"{path}?{account}&{expires}&{signature}",
        f"{path}?{expires}&{account}",
        f"{path}?{expires}9&{account}&{signature}",
        f"{path}?Expires=9999999999&{account}&{signature}",
        f"{path}?{query}&more=1",
        f"{path.replace('.mp3', '.wav')}?{query}",
        f"{path}?{query.lower()}",
        f"{path}?Expires=%C2%B2&{account}&{signature}",
    ]
    answers = [await box.client.get(url) for url in changed]
    assert [answer.status_code for answer in answers] == [403] * len(changed)
    assert (await box.client.get(aimlapi_link)).status_code == 200


async def test_a_link_ends_after_the_media_seconds(box: Box) -> None:
    await box.faults(media_seconds=0)
    answer = await box.client.get(await a_link(box))
    assert answer.status_code == 403
    assert "Request has expired" in answer.text


async def test_a_ttl_is_the_lifetime_of_a_link_and_short_media_seconds_cut_it(box: Box) -> None:
    await box.runware(cover(ttl=604_800), cover(), cover(ttl=60))
    await box.finished(3)
    await box.faults(media_seconds=5)
    await box.runware(cover(ttl=3600))
    await box.finished(4)
    lives = [
        round(seconds_of(entry["results"][0]["url_expires_at"]) - seconds_of(entry["results"][0]["finished_at"]))
        for entry in await box.ledger()
    ]
    assert lives == [604_800, 86_400, 60, 5]


def seconds_of(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("asked", "status", "got", "part"),
    [
        ("bytes=0-9", 206, "bytes 0-9/{}", slice(0, 10)),
        ("bytes=10-", 206, "bytes 10-{last}/{}", slice(10, None)),
        ("bytes=-7", 206, "bytes {tail}-{last}/{}", slice(-7, None)),
        ("bytes=5-99999999", 206, "bytes 5-{last}/{}", slice(5, None)),
        ("bytes=99999999-", 416, "bytes */{}", slice(0, 0)),
        ("bytes=-", 200, None, slice(None)),
        ("lines=1-2", 200, None, slice(None)),
    ],
)
async def test_a_range_is_served(box: Box, asked: str, status: int, got: str | None, part: slice) -> None:
    link = await a_link(box)
    audio = (await box.client.get(link)).content
    answer = await box.client.get(link, headers={"Range": asked})
    size = len(audio)
    expected = None if got is None else got.format(size, last=size - 1, tail=size - 7)
    assert (answer.status_code, answer.headers.get("content-range")) == (status, expected)
    assert answer.content == audio[part]


async def test_a_head_request_tells_the_length(server: Box) -> None:
    link = await a_link(server)
    answer = await server.client.head(link)
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == (await server.ledger())[0]["results"][0]["bytes"]


async def test_truncated_audio_looks_complete_or_breaks_off(server: Box) -> None:
    await server.runware(cover(), cover())
    first, second = [entry["results"][0] for entry in await server.finished(2)]
    await server.faults(media="truncated")
    short = await server.client.get(first["url"])
    assert first["bytes"] // 2 - len(short.content) in {0, 1}
    with pytest.raises(httpx.RemoteProtocolError):
        await server.client.get(second["url"])


async def test_truncated_mp3_never_ends_with_a_whole_frame(box: Box) -> None:
    # So short that every other one has its middle between two frames.
    await box.faults(tune_seconds=[0.1, 0.2])
    await box.runware(*(cover(numberResults=4) for _ in range(8)))
    entries = await box.finished(8)
    results = [result for entry in entries for result in entry["results"]]
    whole = {result["url"]: (await box.client.get(result["url"])).content for result in results}
    await box.faults(media="truncated")
    # Every second task's answer breaks off instead.
    for result in [result for entry in entries[::2] for result in entry["results"]]:
        short = (await box.client.get(result["url"])).content
        follows = whole[result["url"]][len(short) : len(short) + 2]
        assert not (follows[0] == 0xFF and follows[1] & 0xE0 == 0xE0)


async def test_a_web_page_may_come_instead_of_audio(box: Box) -> None:
    link = await a_link(box)
    await box.faults(media="html")
    answer = await box.client.get(link)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


async def test_a_packed_answer_begins_with_the_audio_and_swells(box: Box) -> None:
    link = await a_link(box)
    await box.faults(media="gzip")
    async with box.client.stream("GET", link) as answer:
        packed = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert len(packed) < 1024 * 1024
    content = gzip.decompress(packed)
    (result,) = (await box.ledger())[0]["results"]
    assert hashlib.sha256(content[: result["bytes"]]).hexdigest() == result["sha256"]
    assert len(content) > 60 * 1024 * 1024


async def test_an_endless_answer_goes_on_until_the_reader_leaves(server: Box) -> None:
    link = await a_link(server)
    await server.faults(media="endless")
    size = 0
    with anyio.fail_after(60):
        async with server.client.stream("GET", link) as answer:
            assert "content-length" not in answer.headers
            async for chunk in answer.aiter_raw():
                size += len(chunk)
                if size > 2 * 1024 * 1024:
                    break
    assert (await server.client.get("/healthz")).json() == {"status": "ok"}


async def test_audio_may_be_gone_before_its_time(box: Box) -> None:
    link = await a_link(box)
    await box.faults(media="gone")
    assert (await box.client.get(link)).status_code == 404


async def test_media_faults_may_hit_one_provider_alone(box: Box, aimlapi_link: str) -> None:
    link = await a_link(box)
    await box.faults(media="gone", only="runware")
    assert (await box.client.get(link)).status_code == 404
    assert (await box.client.get(aimlapi_link)).status_code == 200


async def all_that_is_sent(link: str) -> bytes:
    """Return every byte that comes on a connection until it is closed, whatever the framing says."""
    url = httpx.URL(link)
    async with await anyio.connect_tcp(url.host, url.port or 0) as stream:
        await stream.send(b"GET " + url.raw_path + b" HTTP/1.1\r\nHost: " + url.host.encode() + b"\r\n\r\n")
        return b"".join([piece async for piece in stream])


async def test_a_length_may_be_too_low_with_the_rest_behind_it(server: Box) -> None:
    link = await a_link(server)
    (result,) = (await server.ledger())[0]["results"]
    await server.faults(media="understated")
    short = await server.client.get(link)
    assert result["bytes"] // 2 - len(short.content) in {0, 1}
    body = (await all_that_is_sent(link)).partition(b"\r\n\r\n")[2]
    assert hashlib.sha256(body).hexdigest() == result["sha256"]


async def test_a_length_may_be_too_high_for_what_comes(server: Box) -> None:
    link = await a_link(server)
    (result,) = (await server.ledger())[0]["results"]
    await server.faults(media="overstated")
    head, _, body = (await all_that_is_sent(link)).partition(b"\r\n\r\n")
    assert f"content-length: {2 * result['bytes']}".encode() in head.lower()
    assert hashlib.sha256(body).hexdigest() == result["sha256"]


async def test_each_look_may_give_a_link_that_lives_anew(box: Box) -> None:
    link = await a_link(box)
    await box.faults(fresh_links=True, media_seconds=60)
    entry = (await box.ledger())[0]
    answer = await box.runware({"taskType": "getResponse", "taskUUID": entry["provider_task_id"]})
    fresh = answer.json()["data"][0]["audioURL"]
    assert fresh != link
    assert fresh.partition("?")[0] == link.partition("?")[0]
    assert (await box.ledger())[0]["results"][0]["url"] == fresh
    assert (await box.client.get(fresh)).content == (await box.client.get(link)).content
