import base64
import io
import re
import wave
from typing import Any

import anyio
import pytest
from tinytag import TinyTag

from tests.sandbox.support import Box, in_process, quick, song

SUBMIT = "/aimlapi/v2/generate/audio"


async def test_a_submit_answers_an_id_and_queued(box: Box) -> None:
    answer = await box.client.post(SUBMIT, json=song())
    assert answer.status_code == 200
    assert set(answer.json()) == {"id", "status"}
    assert answer.json()["status"] == "queued"
    assert re.fullmatch(r"[A-Za-z0-9_-]{21}", answer.json()["id"])
    assert answer.headers["x-inference-id"] == answer.json()["id"]
    assert answer.headers["x-request-id"]


async def test_a_generation_walks_from_queued_over_generating_to_completed() -> None:
    async with in_process(quick(seconds=[0.4, 0.4])) as box:
        generation_id = await box.submitted()
        words: list[str] = []
        while "completed" not in words:
            words.append((await box.looked_at(generation_id)).json()["status"])
            await anyio.sleep(0.01)
        assert words == sorted(words, key=["queued", "generating", "completed"].index)
        assert (await box.ledger())[0]["polls"] == len(words)


async def test_a_generation_is_queued_for_the_first_part_of_its_time() -> None:
    async with in_process(quick(seconds=[1000, 1000])) as box:
        assert (await box.looked_at(await box.submitted())).json()["status"] == "queued"


async def test_a_completed_generation_shows_its_file_and_its_price(box: Box) -> None:
    generation_id = await box.submitted()
    (entry,) = await box.finished(1)
    answer = await box.looked_at(generation_id)
    assert answer.json() == {
        "id": generation_id,
        "status": "completed",
        "audio_file": {"url": entry["results"][0]["url"]},
        "meta": {"usage": {"credits_used": 300_000, "usd_spent": 0.15}},
    }
    assert answer.headers["x-aimlapi-credits-used"] == "300000"
    assert answer.headers["x-aimlapi-usd-spent"] == "0.15"
    assert (entry["billed_usd"], entry["status"]) == (0.15, "success")


async def test_the_link_has_the_shape_of_the_documented_one(box: Box) -> None:
    await box.submitted()
    url = (await box.finished(1))[0]["results"][0]["url"]
    shape = (
        r"http://sandbox/media/aimlapi/moose/music%2Fprod%2Ftts-[0-9]{14}-[A-Za-z0-9]{16}\.mp3"
        r"\?Expires=[0-9]{10}&OSSAccessKeyId=[A-Za-z0-9]+&Signature=[A-Za-z0-9%]+%3D"
    )
    assert re.fullmatch(shape, url)


async def test_no_price_is_in_the_headers_when_the_switch_says_so(box: Box) -> None:
    await box.faults(cost_headers=False)
    generation_id = await box.submitted()
    await box.finished(1)
    assert "x-aimlapi-usd-spent" not in (await box.looked_at(generation_id)).headers


async def test_a_submit_may_be_answered_201_and_with_nulls(box: Box) -> None:
    await box.faults(submit_status=201, null_fields=True)
    answer = await box.client.post(SUBMIT, json=song())
    assert answer.status_code == 201
    nothing = {"audio_file": None, "error": None, "meta": None}
    assert nothing.items() <= answer.json().items()
    await box.finished(1)
    polled = (await box.looked_at(answer.json()["id"])).json()
    assert polled["error"] is None
    assert polled["audio_file"]


@pytest.mark.parametrize(
    ("form", "shape"),
    [
        ("dash", r"[-_][A-Za-z0-9_-]{20}"),
        ("model", r"[0-9a-f-]{36}:minimax/music-cover"),
        ("uuid", r"[0-9a-f-]{36}"),
    ],
)
async def test_ids_take_the_forms_seen_in_samples_and_are_found_again(box: Box, form: str, shape: str) -> None:
    await box.faults(id_form=form)
    generation_id = await box.submitted()
    assert re.fullmatch(shape, generation_id)
    await box.finished(1)
    assert (await box.looked_at(generation_id)).json()["id"] == generation_id


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ([], "Expected object, received array"),
        (song(model="minimax/music-2.0"), "model: Invalid enum value"),
        (song(model=None), "model: Invalid enum value"),
        (song(prompt=None), "prompt: Required"),
        (song(prompt=5), "prompt: Expected string, received number"),
        (song(prompt="short one"), "prompt: String must contain at least 10 character(s)"),
        (song(prompt="x" * 2001), "prompt: String must contain at most 2000 character(s)"),
        (song(lyrics="x" * 9), "lyrics: String must contain at least 10"),
        (song(lyrics="x" * 3001), "lyrics: String must contain at most 3000"),
        ({**song(), "lyrics": None}, "lyrics: Expected string, received null"),
        (song(reference_audio_url=None), "reference_audio_url: Required"),
        (song(reference_audio_url=["x"]), "reference_audio_url: Expected string, received array"),
        (song(reference_audio_url="in.mp3"), "reference_audio_url: Invalid url"),
        (song(reference_audio_url="data:,"), "reference_audio_url: Invalid url"),
        (song(audio_setting=[]), "audio_setting: Expected object, received array"),
        (song(audio_setting={"sample_rate": 22050}), "audio_setting.sample_rate: Invalid enum value"),
        (song(audio_setting={"sample_rate": "44100"}), "audio_setting.sample_rate: Invalid enum value"),
        (song(audio_setting={"bitrate": 100}), "audio_setting.bitrate: Invalid enum value"),
        (song(audio_setting={"format": "flac"}), "audio_setting.format: Invalid enum value"),
        (song(audio_setting={"format": ["mp3"]}), "audio_setting.format: Invalid enum value"),
    ],
)
async def test_a_request_outside_the_schema_is_refused_in_the_problem_envelope(
    box: Box, body: object, complaint: str
) -> None:
    answer = await box.client.post(SUBMIT, json=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json; charset=utf-8"
    problem = answer.json()
    assert complaint in problem["message"]
    assert (problem["status"], problem["title"], problem["instance"]) == (400, "Bad Request", "/v2/generate/audio")
    assert problem["error"] == {"name": "BadRequestException", "message": problem["message"]}
    assert await box.ledger() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "x" * 2000, "lyrics": "y" * 3000},
        {"reference_audio_url": "data:audio/mpeg;base64," + "A" * 400},
        {"reference_audio_url": base64.b64encode(bytes(100)).decode()},
        {"surprise": True},
        {"audio_setting": {}},
    ],
)
async def test_what_the_schema_allows_is_accepted(box: Box, fields: dict[str, Any]) -> None:
    assert (await box.client.post(SUBMIT, json=song(**fields))).status_code == 200


async def test_base64_without_a_prefix_is_refused_when_the_switch_says_so(box: Box) -> None:
    await box.faults(raw_base64="refuse")
    plain = base64.b64encode(bytes(100)).decode()
    assert (await box.client.post(SUBMIT, json=song(reference_audio_url=plain))).status_code == 400


@pytest.mark.parametrize(
    ("sample_rate", "bitrate"), [(16000, 32000), (24000, 64000), (32000, 128000), (44100, 256000), (44100, 32000)]
)
async def test_an_mp3_has_the_rate_and_bit_rate_of_the_request(box: Box, sample_rate: int, bitrate: int) -> None:
    await box.faults(tune_seconds=[1, 1])
    await box.submitted(audio_setting={"sample_rate": sample_rate, "bitrate": bitrate})
    url = (await box.finished(1))[0]["results"][0]["url"]
    tag = TinyTag.get(filename="a.mp3", file_obj=io.BytesIO((await box.client.get(url)).content))
    assert tag.samplerate == sample_rate
    assert tag.bitrate == pytest.approx(bitrate / 1000)


async def test_wav_and_pcm_have_the_rate_of_the_request(box: Box) -> None:
    await box.faults(tune_seconds=[0.5, 0.5])
    await box.submitted(audio_setting={"format": "wav", "sample_rate": 24000})
    await box.submitted(audio_setting={"format": "pcm", "sample_rate": 16000})
    first, second = [entry["results"][0]["url"] for entry in await box.finished(2)]
    with wave.open(io.BytesIO((await box.client.get(first)).content)) as reader:
        assert (reader.getframerate(), reader.getnframes()) == (24000, 12000)
    assert len((await box.client.get(second)).content) == 16000


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer", "Bearer invalid"])
async def test_a_missing_or_invalid_key_is_a_401(box: Box, header: str) -> None:
    answers = [
        await box.client.post(SUBMIT, json=song(), headers={"Authorization": header}),
        await box.client.get(SUBMIT, params={"generation_id": "x"}, headers={"Authorization": header}),
        await box.client.get("/aimlapi/v2/logs", params={"period": "1h"}, headers={"Authorization": header}),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.json()["error"]["name"] for answer in answers} == {"UnauthorizedException"}


async def test_the_general_envelope_has_its_status_as_a_text(box: Box) -> None:
    await box.faults(error_envelope="general")
    answer = await box.client.post(SUBMIT, json=song(prompt="x"))
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"message", "path", "requestId", "statusCode", "timestamp"}
    assert (answer.json()["statusCode"], answer.json()["path"]) == ("400", "/v2/generate/audio")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"prompt":"\\ud800"}'])
async def test_a_body_that_is_no_json_is_a_400_in_the_envelope(box: Box, content: bytes) -> None:
    answer = await box.client.post(SUBMIT, content=content)
    assert answer.status_code == 400
    assert answer.json()["status"] == 400


async def test_an_unknown_generation_is_a_404_that_repeats_only_a_well_formed_id(box: Box) -> None:
    unknown, malformed = await box.looked_at("BV5y0it0TMlupfLEeHc6J"), await box.looked_at("a b\nc")
    assert (unknown.status_code, malformed.status_code) == (404, 404)
    assert unknown.json()["title"] == "Not Found"
    assert unknown.headers["x-inference-id"] == "BV5y0it0TMlupfLEeHc6J"
    assert "x-inference-id" not in malformed.headers


async def test_a_generation_accepted_a_moment_ago_may_not_be_known_yet(box: Box) -> None:
    await box.faults(hidden_seconds=60)
    generation_id = await box.submitted()
    assert (await box.looked_at(generation_id)).status_code == 404
    await box.faults()
    assert (await box.looked_at(generation_id)).status_code == 200


async def test_asking_without_an_id_is_a_400(box: Box) -> None:
    assert (await box.client.get(SUBMIT)).status_code == 400


@pytest.mark.parametrize(
    ("sent", "kept"), [("task-1:a.b_C", True), ("x" * 128, True), ("x" * 129, False), ("a b", False)]
)
async def test_a_client_request_id_is_recorded_and_echoed_or_silently_dropped(
    box: Box, sent: str, *, kept: bool
) -> None:
    answer = await box.client.post(SUBMIT, json=song(), headers={"X-Client-Request-Id": sent})
    assert answer.status_code == 200
    assert answer.headers.get("x-client-request-id") == (sent if kept else None)
    assert (await box.ledger())[0]["client_request_id"] == (sent if kept else None)


async def test_a_client_request_id_does_not_make_a_submit_idempotent(box: Box) -> None:
    headers = {"X-Client-Request-Id": "task-1"}
    answers = [await box.client.post(SUBMIT, json=song(), headers=headers) for _ in range(2)]
    assert answers[0].json()["id"] != answers[1].json()["id"]
    assert [entry["submits"] for entry in await box.ledger()] == [1, 1]


@pytest.mark.parametrize("form", ["object", "detail"])
async def test_a_failed_generation_shows_its_error_in_both_forms_and_costs_nothing(box: Box, form: str) -> None:
    await box.faults(fail=1.0, fail_code="ModerationError", task_error=form)
    generation_id = await box.submitted()
    (entry,) = await box.finished(1)
    answer = (await box.looked_at(generation_id)).json()
    assert answer["status"] == "error"
    name = answer["error"]["name"] if form == "object" else answer["error"]["detail"][0]["type"]
    assert name == entry["errors"][0]["code"] == "ModerationError"
    assert (entry["billed_usd"], entry["status"]) == (0, "error")
    assert "audio_file" not in answer


async def test_a_stalled_generation_is_generating_for_ever(box: Box) -> None:
    await box.faults(stall=1.0)
    generation_id = await box.submitted()
    assert (await box.looked_at(generation_id)).json()["status"] == "generating"


async def test_a_completed_generation_may_lack_its_file(box: Box) -> None:
    await box.faults(no_file=1.0)
    generation_id = await box.submitted()
    await box.finished(1)
    answer = (await box.looked_at(generation_id)).json()
    assert answer["status"] == "completed"
    assert "audio_file" not in answer


async def test_drifting_words_are_those_seen_elsewhere(box: Box) -> None:
    await box.faults(status_words="drift")
    done = [await box.submitted() for _ in range(30)]
    await box.finished(30)
    await box.faults(status_words="drift", stall=1.0)
    stalled = [await box.submitted() for _ in range(40)]
    assert {(await box.looked_at(one)).json()["status"] for one in done} == {"completed", "succeeded", "complete"}
    words = {(await box.looked_at(one)).json()["status"] for one in stalled}
    assert words == {"generating", "active", "processing", "warming"}


async def test_a_poll_answer_may_be_broken_and_the_next_one_good(box: Box) -> None:
    await box.faults(malformed=0.5)
    generation_id = await box.submitted()
    await box.finished(1)
    good = 0
    for _ in range(30):
        answer = await box.looked_at(generation_id)
        assert answer.status_code == 200
        good += answer.content.startswith(b'{"id"') and answer.content.endswith(b'"usd_spent":0.15}}}')
    assert 5 < good < 25
