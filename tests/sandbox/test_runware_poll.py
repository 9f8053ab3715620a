from collections.abc import Awaitable, Callable
from itertools import count
from uuid import uuid4

from receiver.sandbox.chance import Chance
from tests.sandbox.support import Box, cover, in_process, quick, until


async def test_a_running_task_answers_processing_with_the_original_task_type() -> None:
    async with in_process(quick(stall=1.0)) as box:
        task = cover()
        await box.runware(task)
        item = {"taskType": "audioInference", "taskUUID": task["taskUUID"], "status": "processing"}
        assert await box.asked(task["taskUUID"]) == {"data": [item]}
        assert (await box.ledger())[0]["polls"] == 1


async def test_a_stalled_task_stays_processing_in_the_ledger(box: Box) -> None:
    await box.faults(stall=1.0)
    await box.runware(cover())
    await box.faults()
    await box.runware(cover())
    stalled, done = await box.finished(1)
    assert (stalled["status"], stalled["stalled"], stalled["results"]) == ("processing", True, [])
    assert (done["status"], done["stalled"]) == ("success", False)


async def test_a_finished_task_answers_all_its_results_at_each_poll(box: Box) -> None:
    task = cover(numberResults=3, includeCost=True)
    await box.runware(task)
    (entry,) = await box.finished(1)
    first, second = await box.asked(task["taskUUID"]), await box.asked(task["taskUUID"])
    assert first == second
    assert {item["status"] for item in first["data"]} == {"success"}
    assert [item["audioUUID"] for item in first["data"]] == [result["id"] for result in entry["results"]]
    assert [item["audioURL"] for item in first["data"]] == [result["url"] for result in entry["results"]]
    assert "errors" not in first


async def test_results_appear_one_by_one() -> None:
    def durations(seed: int) -> list[float]:
        return sorted(Chance(seed, "runware", 1).between(0, 1000, "seconds", index) for index in range(4))

    # A seed whose first task has one result within a moment and the others long after this test.
    seed = next(seed for seed in count() if durations(seed)[0] < 0.5 and durations(seed)[1] > 100)
    async with in_process(quick(seed, seconds=[0, 1000])) as box:
        task = cover(numberResults=4)
        await box.runware(task)

        async def words() -> list[str]:
            return sorted(item["status"] for item in (await box.asked(task["taskUUID"]))["data"])

        assert len(await words()) == 4
        await until(lambda: are(words, ["processing"] * 3 + ["success"]))


async def are(words: Callable[[], Awaitable[list[str]]], expected: list[str]) -> bool:
    return await words() == expected


async def test_a_failed_task_answers_its_error_and_nothing_else(box: Box) -> None:
    await box.faults(fail=1.0, fail_code="contentPolicyViolation")
    task = cover()
    await box.runware(task)
    (entry,) = await box.finished(1)
    answer = await box.asked(task["taskUUID"])
    assert set(answer) == {"errors"}
    assert answer["errors"][0]["code"] == "contentPolicyViolation"
    assert answer["errors"][0]["status"] == "error"
    assert answer["errors"][0]["taskUUID"] == task["taskUUID"]
    assert (entry["status"], entry["billed_usd"]) == ("error", 0)
    assert entry["errors"][0]["code"] == "contentPolicyViolation"


async def test_each_result_of_a_task_fails_by_itself(box: Box) -> None:
    await box.faults(fail=0.5)
    tasks = [cover(numberResults=4) for _ in range(10)]
    await box.runware(*tasks)
    entries = await box.finished(10)
    mixed = [entry for entry in entries if entry["errors"] and entry["results"]]
    assert mixed
    for entry in mixed:
        answer = await box.asked(entry["provider_task_id"])
        assert (len(answer["data"]), len(answer["errors"])) == (len(entry["results"]), len(entry["errors"]))
        assert entry["status"] == "success"
        assert entry["billed_usd"] == round(0.15 * len(entry["results"]), 6)


async def test_the_failures_of_one_task_can_be_equal_byte_for_byte(box: Box) -> None:
    await box.faults(fail=1.0)
    task = cover(numberResults=2)
    await box.runware(task)
    await box.finished(1)
    one, other = (await box.asked(task["taskUUID"]))["errors"]
    assert one == other


async def test_a_synchronous_task_that_fails_is_a_500_with_its_error(box: Box) -> None:
    await box.faults(fail=1.0)
    answer = await box.runware(cover(deliveryMethod="sync"))
    assert answer.status_code == 500
    assert answer.json()["errors"][0]["code"] == "timeoutProvider"


async def test_an_unknown_task_answers_nothing_or_an_error_as_the_switch_says(box: Box) -> None:
    assert await box.asked(str(uuid4())) == {"data": []}
    await box.faults(unknown_task="error")
    assert (await box.asked(str(uuid4())))["errors"][0]["code"] == "taskNotFound"


async def test_a_task_accepted_a_moment_ago_may_not_be_known_yet_though_its_uuid_is_taken(box: Box) -> None:
    await box.faults(hidden_seconds=60)
    task = cover()
    await box.runware(task)
    await box.finished(1)
    assert await box.asked(task["taskUUID"]) == {"data": []}
    assert (await box.runware(task)).json()["errors"][0]["code"] == "conflictTaskUUID"
    await box.faults()
    assert (await box.asked(task["taskUUID"]))["data"][0]["status"] == "success"
    [entry] = await box.ledger()
    assert (entry["submits"], entry["polls"], entry["looks"]) == (2, 1, 2)


async def test_one_post_asks_about_many_tasks(box: Box) -> None:
    tasks = [cover() for _ in range(5)]
    await box.runware(*tasks)
    await box.finished(5)
    questions = [{"taskType": "getResponse", "taskUUID": task["taskUUID"]} for task in tasks]
    items = (await box.runware(*questions)).json()["data"]
    assert [item["taskUUID"] for item in items] == [task["taskUUID"] for task in tasks]


async def test_polls_forget_a_finished_task_when_told_to(box: Box) -> None:
    task = cover()
    await box.runware(task)
    await box.finished(1)
    await box.faults(result_seconds=0)
    assert (await box.asked(task["taskUUID"]))["errors"][0]["code"] == "taskExpired"


async def test_drifting_status_words_come_from_the_list_seen_elsewhere(box: Box) -> None:
    await box.faults(status_words="drift")
    tasks = [cover() for _ in range(40)]
    await box.runware(*tasks)
    await box.finished(40)
    words = {(await box.asked(task["taskUUID"]))["data"][0].get("status") for task in tasks}
    assert words == {"success", "completed", None}


async def test_drifting_words_for_waiting_and_errors_inside_data(box: Box) -> None:
    await box.faults(status_words="drift", stall=1.0)
    waiting = [cover() for _ in range(40)]
    await box.runware(*waiting)
    words = {(await box.asked(task["taskUUID"]))["data"][0]["status"] for task in waiting}
    await box.faults(status_words="drift", fail=1.0)
    failing = [cover() for _ in range(40)]
    await box.runware(*failing)
    await box.finished(40)
    answers = [await box.asked(task["taskUUID"]) for task in failing]
    assert words == {"processing", "pending", "queued"}
    assert any(answer.get("data", [{}])[0].get("error", {}).get("code") for answer in answers)
    assert any("errors" in answer for answer in answers)


async def test_extra_fields_are_added_to_items_and_errors(box: Box) -> None:
    await box.faults(extra_fields=True, fail=0.5)
    tasks = [cover() for _ in range(10)]
    await box.runware(*tasks)
    await box.finished(10)
    answers = [await box.asked(task["taskUUID"]) for task in tasks]
    assert any("pipeline" in item for answer in answers for item in answer.get("data", []))
    errors = [error for answer in answers for error in answer.get("errors", [])]
    assert errors[0]["responseStatusCode"] == "audio_generation_failed"


async def test_ids_are_found_whatever_their_case(box: Box) -> None:
    task = cover()
    await box.runware(task)
    await box.finished(1)
    assert (await box.asked(task["taskUUID"].upper()))["data"][0]["taskUUID"] == task["taskUUID"]


async def test_a_question_without_a_task_uuid_is_refused(box: Box) -> None:
    answer = await box.runware({"taskType": "getResponse"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "missingTaskUUID"
