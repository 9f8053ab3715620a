import json
from collections import Counter
from typing import Any

import pytest

from tests.sandbox.support import Box, Listener, cover, in_process, listening, quick, until


def items_of(listener: Listener) -> list[dict[str, Any]]:
    """Return the items of wrapped callbacks."""
    return [item for call in listener.calls for item in json.loads(call.body)["data"]]


async def test_each_result_is_called_back_once_with_its_item(box: Box, listener: Listener) -> None:
    task = cover(numberResults=3, webhookURL=listener.url, includeCost=True)
    await box.runware(task)
    calls = await listener.received(3)
    (entry,) = await box.finished(1)
    assert {(call.method, call.path) for call in calls} == {("POST", "/callbacks?token=t%2F1")}
    assert {call.headers["content-type"] for call in calls} == {"application/json"}
    items = items_of(listener)
    assert sorted(item["audioUUID"] for item in items) == sorted(result["id"] for result in entry["results"])
    assert {item["taskUUID"] for item in items} == {task["taskUUID"]}
    assert sorted(item["audioURL"] for item in items) == sorted(result["url"] for result in entry["results"])


async def test_a_callback_url_alone_makes_a_submit_asynchronous(box: Box, listener: Listener) -> None:
    answer = await box.runware(cover(webhookURL=listener.url, deliveryMethod="sync"))
    assert set(answer.json()["data"][0]) == {"taskType", "taskUUID"}


async def test_the_ledger_holds_every_attempt_with_its_body_as_sent(box: Box) -> None:
    async with listening("500 No", "302 Found", "204 No Content") as listener:
        await box.runware(cover(webhookURL=listener.url))
        calls = await listener.received(3)
        await until(lambda: attempts_are(box, 3))
        (entry,) = await box.ledger()
    assert entry["webhook_url"] == listener.url
    assert [attempt["status_code"] for attempt in entry["callbacks"]] == [500, 302, 204]
    assert [attempt["attempt"] for attempt in entry["callbacks"]] == [1, 2, 3]
    assert [attempt["body"].encode() for attempt in entry["callbacks"]] == [call.body for call in calls]
    assert len({call.body for call in calls}) == 1


async def attempts_are(box: Box, count: int) -> bool:
    return len((await box.ledger())[0]["callbacks"]) == count


async def test_a_callback_is_given_up_after_the_attempts_of_the_switch(box: Box) -> None:
    await box.faults(callback_attempts=2)
    async with listening("503 A", "503 B", "503 C") as listener:
        await box.runware(cover(webhookURL=listener.url))
        await until(lambda: attempts_are(box, 2))
        await box.runware(cover())
        await box.finished(2)
        assert len(listener.calls) == 2


async def test_an_attempt_that_takes_too_long_is_tried_again(box: Box) -> None:
    await box.faults(callback_seconds=0.1)
    async with listening("hang") as listener:
        await box.runware(cover(webhookURL=listener.url))
        await until(lambda: is_confirmed(box))
    late = (await box.ledger())[0]["callbacks"][0]
    assert (late["status_code"], late["error"]) == (None, "TimeoutError")


async def is_confirmed(box: Box) -> bool:
    return any(attempt["status_code"] == 200 for attempt in (await box.ledger())[0]["callbacks"])


async def test_nobody_listening_is_an_error_in_the_ledger_and_no_failure(box: Box) -> None:
    await box.faults(callback_attempts=1)
    await box.runware(cover(webhookURL="http://127.0.0.1:9/nobody"))
    await until(lambda: attempts_are(box, 1))
    (entry,) = await box.ledger()
    assert entry["callbacks"][0]["error"] == "ConnectError"
    assert entry["status"] == "success"


async def test_a_flat_body_is_the_bare_item(box: Box, listener: Listener) -> None:
    await box.faults(body="flat")
    task = cover(webhookURL=listener.url)
    await box.runware(task)
    (call,) = await listener.received(1)
    assert json.loads(call.body)["taskUUID"] == task["taskUUID"]


@pytest.mark.parametrize("form", ["errors", "flat", "error"])
async def test_a_failure_is_called_back_in_each_of_the_three_forms(box: Box, listener: Listener, form: str) -> None:
    await box.faults(fail=1.0, fail_code="providerError", error_body=form)
    task = cover(webhookURL=listener.url)
    await box.runware(task)
    (call,) = await listener.received(1)
    body = json.loads(call.body)
    if form == "errors":
        assert set(body) == {"errors"}
        (body,) = body["errors"]
    if form == "error":
        assert set(body) == {"error", "taskType", "taskUUID"}
        body |= body.pop("error")
    else:
        assert body["status"] == "error"
    assert (body["code"], body["taskUUID"]) == ("providerError", task["taskUUID"])


async def test_dropped_callbacks_are_never_sent_and_the_results_can_be_polled(box: Box, listener: Listener) -> None:
    await box.faults(drop=1.0)
    dropped = cover(webhookURL=listener.url)
    await box.runware(dropped)
    await box.finished(1)
    await box.faults()
    await box.runware(cover(webhookURL=listener.url))
    await listener.received(1)
    assert dropped["taskUUID"] not in {item["taskUUID"] for item in items_of(listener)}
    assert (await box.ledger())[0]["callbacks"] == []
    assert (await box.asked(dropped["taskUUID"]))["data"][0]["audioURL"]


async def test_duplicated_callbacks_carry_the_same_bytes_twice(box: Box, listener: Listener) -> None:
    await box.faults(duplicate=1.0)
    await box.runware(*(cover(webhookURL=listener.url) for _ in range(3)))
    calls = await listener.received(6)
    assert set(Counter(call.body for call in calls).values()) == {2}

    # An attempt enters the ledger with its answer, a moment after it was received.
    async def noted() -> bool:
        return Counter(attempt["copy"] for entry in await box.ledger() for attempt in entry["callbacks"])[2] == 3

    await until(noted)


async def test_reordered_callbacks_let_others_overtake() -> None:
    async with in_process(quick(reorder=0.5)) as box, listening() as listener:
        tasks = [cover(webhookURL=listener.url) for _ in range(12)]
        for task in tasks:
            await box.runware(task)
        await listener.received(12)
        arrived = [item["taskUUID"] for item in items_of(listener)]
        assert sorted(arrived) == sorted(task["taskUUID"] for task in tasks)
        assert arrived != [task["taskUUID"] for task in tasks]


async def test_an_early_callback_arrives_before_the_submit_is_answered(listener: Listener) -> None:
    async with in_process(quick(early=1.0, seconds=[60, 60])) as box:
        await box.runware(cover(webhookURL=listener.url))
        assert len(listener.calls) == 1


async def test_malformed_callbacks_are_not_the_json_they_should_be(box: Box, listener: Listener) -> None:
    await box.faults(malformed=1.0, callback_attempts=1)
    await box.runware(*(cover(webhookURL=listener.url) for _ in range(30)))
    bodies = {call.body[:20] for call in await listener.received(30)}
    assert any(is_broken(call.body) for call in listener.calls)
    assert not any(is_an_item(call.body) for call in listener.calls)
    assert len(bodies) >= 4
    await until(lambda: all_called_back(box, 30))
    attempts = [entry["callbacks"][0] for entry in await box.ledger()]
    assert any("body_base64" in attempt for attempt in attempts)


async def all_called_back(box: Box, count: int) -> bool:
    return sum(bool(entry["callbacks"]) for entry in await box.ledger()) == count


def is_broken(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return True
    return False


def is_an_item(body: bytes) -> bool:
    def refuse(name: str) -> float:
        raise ValueError(name)

    try:
        document = json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict)


async def test_progress_may_be_pushed_too(box: Box, listener: Listener) -> None:
    await box.faults(processing=1.0, stall=1.0)
    await box.runware(cover(webhookURL=listener.url))
    (call,) = await listener.received(1)
    assert json.loads(call.body)["data"][0]["status"] == "processing"


async def test_inline_audio_travels_in_the_callback(box: Box, listener: Listener) -> None:
    await box.runware(cover(webhookURL=listener.url, outputType="base64Data"))
    await listener.received(1)
    assert items_of(listener)[0]["audioBase64Data"]


async def test_the_upload_endpoint_is_written_after_the_callback(box: Box, listener: Listener) -> None:
    await box.faults(upload_seconds=0.01)
    upload = listener.url.replace("/callbacks", "/upload")
    await box.runware(cover(webhookURL=listener.url, uploadEndpoint=upload, outputFormat="WAV"))
    callback, put = await listener.received(2)
    assert (callback.method, put.method) == ("POST", "PUT")
    assert put.headers["content-type"] == "audio/wav"
    await until(lambda: uploads_are(box, 1))
    (entry,) = await box.ledger()
    assert len(put.body) == entry["results"][0]["bytes"] == entry["uploads"][0]["bytes"]


async def uploads_are(box: Box, count: int) -> bool:
    return sum(len(entry["uploads"]) for entry in await box.ledger()) == count


async def test_several_results_overwrite_each_other_at_the_upload_endpoint(box: Box, listener: Listener) -> None:
    await box.faults(upload_seconds=0)
    await box.runware(cover(uploadEndpoint=listener.url, numberResults=3))
    calls = await listener.received(3)
    assert {(call.method, call.path) for call in calls} == {("PUT", "/callbacks?token=t%2F1")}


async def test_nothing_is_uploaded_beyond_this_machine(box: Box) -> None:
    await box.faults(upload_seconds=0)
    await box.runware(cover(uploadEndpoint="https://bucket.example.org/song.mp3"))
    await until(lambda: uploads_are(box, 1))
    assert (await box.ledger())[0]["uploads"][0]["error"] == "NotLoopback"
