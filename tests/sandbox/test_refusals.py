import pytest

from tests.sandbox.support import Box, cover, in_process, quick, song

SUBMIT = "/aimlapi/v2/generate/audio"


async def test_refused_submits_are_neither_accepted_nor_billed(box: Box) -> None:
    await box.faults(http_429=1.0)
    runware, aimlapi = await box.runware(cover()), await box.client.post(SUBMIT, json=song())
    assert (runware.status_code, aimlapi.status_code) == (429, 429)
    assert runware.json()["errors"][0]["code"] == "rateLimitExceeded"
    assert aimlapi.json()["title"] == "Too Many Requests"
    assert await box.ledger() == []


async def test_a_429_has_a_retry_after_only_when_asked_for(box: Box) -> None:
    await box.faults(http_429=1.0)
    assert "retry-after" not in (await box.runware(cover())).headers
    await box.faults(http_429=1.0, retry_after=7)
    assert (await box.runware(cover())).headers["retry-after"] == "7"
    assert (await box.client.post(SUBMIT, json=song())).headers["retry-after"] == "7"


async def test_server_faults_are_of_four_kinds_one_of_them_a_web_page(box: Box) -> None:
    await box.faults(http_5xx=1.0)
    answers = [await box.runware(cover()) for _ in range(40)]
    answers += [await box.client.post(SUBMIT, json=song()) for _ in range(40)]
    assert {answer.status_code for answer in answers} == {500, 502, 503, 504}
    pages = {answer.headers["content-type"].split(";")[0] for answer in answers if answer.status_code == 502}
    assert pages == {"text/html"}
    assert all(answer.json() for answer in answers if answer.status_code != 502)


async def test_a_share_of_requests_is_refused_and_the_rest_go_through(box: Box) -> None:
    await box.faults(http_429=0.3)
    statuses = [(await box.runware(cover())).status_code for _ in range(60)]
    assert 5 < statuses.count(429) < 35
    assert len(await box.ledger()) == statuses.count(200)


async def test_refusals_may_hit_polls_alone(box: Box) -> None:
    await box.faults(http_5xx=1.0, http_on="poll")
    task = cover()
    assert (await box.runware(task)).status_code == 200
    generation_id = await box.submitted()
    asked = await box.runware({"taskType": "getResponse", "taskUUID": task["taskUUID"]})
    assert asked.status_code >= 500
    assert (await box.looked_at(generation_id)).status_code >= 500
    assert (await box.client.get("/aimlapi/v2/logs", params={"period": "1h"})).status_code >= 500
    assert {entry["polls"] for entry in await box.ledger()} == {0}


async def test_refusals_may_hit_submits_alone(box: Box) -> None:
    generation_id = await box.submitted()
    await box.faults(http_429=1.0, http_on="submit")
    assert (await box.looked_at(generation_id)).status_code == 200
    assert (await box.client.post(SUBMIT, json=song())).status_code == 429


async def test_a_refused_poll_can_be_repeated(box: Box) -> None:
    task, generation_id = cover(), await box.submitted()
    await box.runware(task)
    await box.finished(2)
    await box.faults(http_429=0.5)
    question = {"taskType": "getResponse", "taskUUID": task["taskUUID"]}
    runware = {(await box.runware(question)).status_code for _ in range(20)}
    aimlapi = {(await box.looked_at(generation_id)).status_code for _ in range(20)}
    assert runware == aimlapi == {200, 429}


@pytest.mark.parametrize(
    ("status", "code"), [(402, "insufficientCredits"), (403, "permissionDenied"), (418, "unknownError")]
)
async def test_any_status_can_be_asked_for_and_names_the_tasks(box: Box, status: int, code: str) -> None:
    await box.faults(http_error=1.0, http_error_status=status)
    one, other = cover(), cover()
    answer = await box.runware(one, other)
    assert answer.status_code == status
    assert [error["taskUUID"] for error in answer.json()["errors"]] == [one["taskUUID"], other["taskUUID"]]
    assert {error["code"] for error in answer.json()["errors"]} == {code}
    assert (await box.client.post(SUBMIT, json=song())).json()["status"] == status


async def test_an_error_may_come_in_a_200(box: Box) -> None:
    await box.faults(http_error=1.0, http_error_status=200)
    runware, aimlapi = await box.runware(cover()), await box.client.post(SUBMIT, json=song())
    assert (runware.status_code, aimlapi.status_code) == (200, 200)
    assert runware.json()["errors"][0]["code"] == "insufficientCredits"
    assert aimlapi.json()["status"] == 500


async def test_an_invalid_key_can_be_simulated_for_a_good_one(box: Box) -> None:
    await box.faults(http_error=1.0, http_error_status=401)
    (error,) = (await box.runware(cover())).json()["errors"]
    assert error["code"] == "invalidApiKey"
    assert "taskUUID" not in error


@pytest.mark.parametrize(("how", "status"), [("bad_gateway", 502), ("unreadable", 200)])
async def test_a_lost_answer_may_look_like_a_proxys_page_while_the_task_runs(how: str, status: int) -> None:
    async with in_process(quick(lose_submit_answer=1.0, lose_submit_how=how)) as box:
        answers = [await box.runware(cover()), await box.client.post(SUBMIT, json=song())]
        assert {answer.status_code for answer in answers} == {status}
        assert {answer.headers["content-type"].split(";")[0] for answer in answers} == {"text/html"}
        assert {entry["status"] for entry in await box.finished(2)} == {"success"}
