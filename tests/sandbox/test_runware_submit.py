import base64
import hashlib
from typing import Any
from uuid import uuid4

import pytest

from tests.sandbox.support import Box, cover

REFERENCE_ID = "11111111-2222-3333-8444-555555555555"


async def test_an_asynchronous_submit_is_acknowledged_with_its_two_fields(box: Box) -> None:
    task = cover()
    answer = await box.runware(task)
    assert answer.status_code == 200
    assert answer.json() == {"data": [{"taskType": "audioInference", "taskUUID": task["taskUUID"]}]}


async def test_an_acknowledgement_may_come_without_its_item(box: Box) -> None:
    await box.faults(ack="empty")
    assert (await box.runware(cover())).json() == {"data": []}


async def test_a_synchronous_submit_is_held_until_its_results_are_there(box: Box) -> None:
    task = cover(deliveryMethod="sync", numberResults=2, includeCost=True)
    items = (await box.runware(task)).json()["data"]
    assert [item["taskUUID"] for item in items] == [task["taskUUID"]] * 2
    assert all(item["audioURL"].startswith("http://sandbox/media/runware/") for item in items)
    assert [item["cost"] for item in items] == [0.15, 0.15]
    assert len({item["audioUUID"] for item in items}) == 2
    assert all("status" not in item for item in items)


async def test_synchronous_is_the_default_and_the_cost_is_left_out_unless_asked_for(box: Box) -> None:
    (item,) = (await box.runware(cover(deliveryMethod=None))).json()["data"]
    assert "audioURL" in item
    assert "cost" not in item


@pytest.mark.parametrize("output_type", ["base64Data", "dataURI"])
async def test_inline_audio_is_the_audio_of_the_ledger(box: Box, output_type: str) -> None:
    task = cover(deliveryMethod="sync", outputType=output_type, outputFormat="WAV")
    (item,) = (await box.runware(task)).json()["data"]
    text = item["audioBase64Data"] if output_type == "base64Data" else item["audioDataURI"]
    audio = base64.b64decode(text.removeprefix("data:audio/wav;base64,"))
    (result,) = (await box.ledger())[0]["results"]
    assert result["url"] is None
    assert (len(audio), hashlib.sha256(audio).hexdigest()) == (result["bytes"], result["sha256"])
    assert audio.startswith(b"RIFF")


@pytest.mark.parametrize(("name", "magic"), [("MP3", b"\xff"), ("wav", b"RIFF"), ("FLAC", b"fLaC")])
async def test_the_output_format_is_honoured_in_any_case(box: Box, name: str, magic: bytes) -> None:
    (item,) = (await box.runware(cover(deliveryMethod="sync", outputFormat=name))).json()["data"]
    audio = await box.client.get(item["audioURL"])
    assert f".{name.lower()}?" in item["audioURL"]
    assert audio.content.startswith(magic)


async def test_the_first_result_has_the_seed_asked_for_and_the_others_have_their_own(box: Box) -> None:
    items = (await box.runware(cover(deliveryMethod="sync", seed=41, numberResults=3))).json()["data"]
    seeds = [item["seed"] for item in items]
    assert seeds[0] == 41
    assert len(set(seeds)) == 3


async def test_a_drawn_seed_may_exceed_the_largest_that_is_accepted(box: Box) -> None:
    items = (await box.runware(*(cover(deliveryMethod="sync", numberResults=4) for _ in range(3)))).json()["data"]
    seeds = [item["seed"] for item in items]
    assert max(seeds) > 1_000_000
    assert max(seeds) < 1 << 32


def without(name: str) -> dict[str, Any]:
    return cover(**{name: None})


@pytest.mark.parametrize(
    ("task", "code", "parameter", "details"),
    [
        (without("taskUUID"), "missingTaskUUID", "taskUUID", {}),
        (cover(taskUUID="12"), "invalidTaskUUID", "taskUUID", {}),
        (cover(taskUUID="11111111-2222-1333-8444-555555555555"), "invalidTaskUUID", "taskUUID", {}),
        (cover(taskUUID=7), "invalidTaskUUID", "taskUUID", {}),
        (without("model"), "missingModel", "model", {}),
        (cover(model="minimax:music@2"), "invalidModel", "model", {}),
        (without("positivePrompt"), "missingPositivePrompt", "positivePrompt", {}),
        (cover(positivePrompt=3), "invalidPositivePrompt", "positivePrompt", {"type": "string"}),
        (cover(positivePrompt="short one"), "invalidPositivePromptLength", "positivePrompt", {"min": 10, "max": 300}),
        (cover(positivePrompt="x" * 301), "invalidPositivePromptLength", "positivePrompt", {"min": 10, "max": 300}),
        (without("inputs"), "missingInputsAudio", "inputs.audio", {}),
        (cover(inputs={"audio": "ftp://x/y.mp3"}), "invalidInputsAudio", "inputs.audio", {}),
        (cover(inputs={"audio": "data:audio/mpeg;base64,AAAA"}), "invalidInputsAudio", "inputs.audio", {}),
        (cover(inputs=[]), "invalidInputs", "inputs", {"type": "object"}),
        (
            cover(inputs={"audio": REFERENCE_ID, "video": "x"}),
            "unsupportedParameter",
            "inputs.video",
            {},
        ),
        (
            cover(settings={"lyrics": "la"}),
            "invalidSettingsLyricsLength",
            "settings.lyrics",
            {"min": 10, "max": 1000},
        ),
        (cover(settings={"lyrics": "x" * 1001}), "invalidSettingsLyricsLength", "settings.lyrics", {}),
        (cover(settings={"tempo": 1}), "unsupportedParameter", "settings.tempo", {}),
        (cover(seed=-1), "invalidSeed", "seed", {"min": 0, "max": 1_000_000, "type": "integer"}),
        (cover(seed=1_000_001), "invalidSeed", "seed", {}),
        (cover(seed=1.5), "invalidSeed", "seed", {}),
        (cover(seed=True), "invalidSeed", "seed", {}),
        (cover(numberResults=0), "invalidNumberResults", "numberResults", {"min": 1, "max": 4}),
        (cover(numberResults=5), "invalidNumberResults", "numberResults", {}),
        (cover(outputType="url"), "invalidOutputType", "outputType", {}),
        (cover(outputType=["URL"]), "invalidOutputType", "outputType", {}),
        (cover(outputFormat="OGG"), "invalidOutputFormat", "outputFormat", {}),
        (cover(deliveryMethod="push"), "invalidDeliveryMethod", "deliveryMethod", {}),
        (cover(webhookURL="nowhere"), "invalidWebhookURL", "webhookURL", {"type": "URI"}),
        (cover(webhookURL="http://a b/c"), "invalidWebhookURL", "webhookURL", {}),
        (cover(webhookURL="http://["), "invalidWebhookURL", "webhookURL", {}),
        (cover(uploadEndpoint=5), "invalidUploadEndpoint", "uploadEndpoint", {}),
        (cover(ttl=59), "invalidTtl", "ttl", {"min": 60}),
        (cover(ttl=60, outputType="dataURI"), "incompatibleTtl", "ttl", {}),
        (cover(includeCost="yes"), "invalidIncludeCost", "includeCost", {"type": "boolean"}),
        (cover(audioSettings={"sampleRate": 7999}), "invalidAudioSettingsSampleRate", "audioSettings.sampleRate", {}),
        (
            cover(audioSettings={"bitrate": 64}, outputFormat="WAV"),
            "unsupportedAudioSettingsBitrate",
            "audioSettings.bitrate",
            {},
        ),
        (cover(lyrics="la la la la la la"), "unsupportedParameter", "lyrics", {}),
    ],
)
async def test_a_task_outside_the_documented_limits_is_refused_in_runwares_shape(
    box: Box, task: dict[str, Any], code: str, parameter: str, details: dict[str, object]
) -> None:
    answer = await box.runware(task)
    assert answer.status_code == 400
    assert answer.json()["data"] == []
    (error,) = answer.json()["errors"]
    assert (error["code"], error["parameter"]) == (code, parameter)
    assert error["message"]
    assert error["documentation"].endswith(f"#request-{parameter.replace('.', '-').lower()}")
    assert error.get("taskUUID") == (task["taskUUID"] if isinstance(task.get("taskUUID"), str) else None)
    assert details.items() <= error.items()
    assert await box.ledger() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"positivePrompt": "x" * 10},
        {"positivePrompt": "ü" * 300},
        {"settings": {"lyrics": "[Verse]\nabc"}},
        {"settings": {"lyrics": "x" * 1000}},
        {"settings": {}},
        {"seed": 0},
        {"seed": 1_000_000},
        {"numberResults": 4},
        {"ttl": 60},
        {"inputs": {"audio": REFERENCE_ID}},
        {"audioSettings": {"sampleRate": 44100, "bitrate": 128}},
    ],
)
async def test_the_edges_of_the_documented_limits_are_accepted(box: Box, fields: dict[str, object]) -> None:
    assert (await box.runware(cover(**fields))).status_code == 200


async def test_a_second_submit_of_a_task_uuid_is_a_conflict_that_the_ledger_counts(box: Box) -> None:
    task = cover()
    await box.runware(task)
    again = await box.runware(task | {"taskUUID": task["taskUUID"].upper()})
    assert again.status_code == 400
    assert again.json()["data"] == []
    assert again.json()["errors"][0]["code"] == "conflictTaskUUID"
    (entry,) = await box.ledger()
    assert (entry["submits"], entry["provider_task_id"]) == (2, task["taskUUID"])


async def test_the_status_of_a_conflict_is_a_switch(box: Box) -> None:
    await box.faults(conflict_status=409, refusal_status=418)
    task = cover()
    answers = [await box.runware(task), await box.runware(task), await box.runware(cover(seed=-1))]
    assert [answer.status_code for answer in answers] == [200, 409, 418]


async def test_one_post_may_mix_good_tasks_wrong_tasks_and_questions(box: Box) -> None:
    known, good, wrong = cover(), cover(), cover(seed=-1)
    await box.runware(known)
    await box.finished(1)
    question = {"taskType": "getResponse", "taskUUID": known["taskUUID"]}
    answer = await box.runware(good, wrong, question, {"taskType": "danceInference"}, {"taskUUID": "x"})
    assert answer.status_code == 200
    assert [item["taskUUID"] for item in answer.json()["data"]] == [known["taskUUID"], good["taskUUID"]]
    codes = [error["code"] for error in answer.json()["errors"]]
    assert codes == ["invalidSeed", "unsupportedTaskType", "missingTaskType"]


async def test_the_status_of_a_mixture_is_a_switch(box: Box) -> None:
    await box.faults(mixed_status=400)
    answer = await box.runware(cover(), cover(seed=-1))
    assert answer.status_code == 400
    assert len(answer.json()["data"]) == 1


async def test_the_same_task_twice_in_one_post_is_accepted_once(box: Box) -> None:
    task = cover()
    answer = await box.runware(task, task)
    assert len(answer.json()["data"]) == 1
    assert answer.json()["errors"][0]["code"] == "conflictTaskUUID"


@pytest.mark.parametrize(
    ("header", "code"), [("", "missingApiKey"), ("Bearer ", "missingApiKey"), ("Bearer invalid", "invalidApiKey")]
)
async def test_a_missing_or_invalid_key_is_a_401_without_task(box: Box, header: str, code: str) -> None:
    answer = await box.runware(cover(), Authorization=header)
    assert answer.status_code == 401
    (error,) = answer.json()["errors"]
    assert error["code"] == code
    assert "taskUUID" not in error


async def test_the_key_may_come_as_the_first_task(box: Box) -> None:
    task = cover()
    answer = await box.runware({"taskType": "authentication", "apiKey": "K"}, task, Authorization="")
    session, acknowledged = answer.json()["data"]
    assert session["connectionSessionUUID"]
    assert acknowledged["taskUUID"] == task["taskUUID"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"{}", b"[]", b"[1]", b"null", b'"x"', b"\xff", b"[" * 100_000, b"[NaN]"]
)
async def test_a_body_that_is_no_array_of_tasks_is_a_400_in_runwares_shape(box: Box, content: bytes) -> None:
    answer = await box.client.post("/runware/v1", content=content)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "invalidRequest"


async def test_other_methods_are_not_for_the_endpoint(box: Box) -> None:
    assert (await box.client.get("/runware/v1")).status_code == 405


async def test_a_dry_run_prices_a_task_without_running_it(box: Box) -> None:
    answer = await box.runware(cover(numberResults=3), **{"X-Runware-Dry-Run": "1"})
    assert answer.json()["data"][0]["cost"] == 0.45
    assert await box.ledger() == []


async def test_other_models_are_taken_unchecked_when_the_switch_says_so(box: Box) -> None:
    await box.faults(models="any")
    answer = await box.runware(cover(model="vendor:other@1", positivePrompt="x", fancy={"a": 1}))
    assert answer.status_code == 200


async def test_task_details_echo_the_whole_request_and_the_whole_response(box: Box) -> None:
    task = cover(webhookURL="http://127.0.0.1:9/callback?token=t")
    await box.faults(drop=1.0)
    await box.runware(task)
    await box.finished(1)
    answer = await box.runware({"taskType": "getTaskDetails", "taskUUID": task["taskUUID"]})
    (details,) = answer.json()["data"]
    assert details["request"] == [task]
    assert details["response"]["data"][0]["audioURL"]


async def test_task_details_of_an_unknown_task_are_not_found(box: Box) -> None:
    answer = await box.runware({"taskType": "getTaskDetails", "taskUUID": str(uuid4())})
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == "taskNotFound"


async def test_the_account_shows_a_balance_that_shrinks(box: Box) -> None:
    question = {"taskType": "accountManagement", "taskUUID": str(uuid4()), "operation": "getDetails"}
    await box.runware(cover(numberResults=2))
    (account,) = (await box.runware(question)).json()["data"]
    assert account["balance"] == pytest.approx(99.7)
