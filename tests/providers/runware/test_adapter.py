import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from receiver.domain.report import Via
from receiver.domain.request import Checked
from receiver.domain.schedule import next_look
from receiver.domain.task import Recovery
from receiver.lifecycle.ports.provider import Answered, Unanswered
from tests.providers.cases import (
    CALLBACK_URL,
    LYRICS,
    PROMPT,
    REFERENCE,
    RUNWARE_TASK,
    answer,
    checked_task,
    provider,
)


def sent(**fields: object) -> dict[str, object]:
    """The one task object of a submit with a callback URL."""
    asked = checked_task("runware", **fields)
    call = provider("runware").submit(asked, reference=REFERENCE, callback_url=CALLBACK_URL)
    assert call.url == "https://api.runware.ai/v1"
    [task] = json.loads(call.body or b"")
    assert isinstance(task, dict)
    return task


def test_a_plain_submit_says_exactly_this() -> None:
    assert sent() == {
        "taskType": "audioInference",
        "taskUUID": str(RUNWARE_TASK),
        "model": "minimax:music@cover",
        "positivePrompt": PROMPT,
        "inputs": {"audio": REFERENCE},
        "numberResults": 1,
        "outputType": "URL",
        "outputFormat": "MP3",
        "includeCost": True,
        "deliveryMethod": "async",
        "webhookURL": CALLBACK_URL,
    }


def test_a_full_submit_adds_everything_that_was_asked_for() -> None:
    options = {"inputs": {"mask": "m"}, "audioSettings": {"sampleRate": 44100}}
    upload = "https://bucket.example.org/up"
    task = sent(
        lyrics=LYRICS,
        count=3,
        seed=7,
        ttl_seconds=86400,
        output_format="wav",
        include_cost=False,
        upload_endpoint=upload,
        provider_options=options,
    )
    assert task["settings"] == {"lyrics": LYRICS}
    assert (task["numberResults"], task["seed"], task["ttl"]) == (3, 7, 86400)
    assert (task["outputFormat"], task["includeCost"], task["uploadEndpoint"]) == ("WAV", False, upload)
    assert task["inputs"] == {"audio": REFERENCE, "mask": "m"}
    assert task["audioSettings"] == {"sampleRate": 44100}


def test_without_a_callback_url_it_is_asynchronous_all_the_same() -> None:
    call = provider("runware").submit(checked_task("runware"), reference=REFERENCE, callback_url=None)
    [task] = json.loads(call.body or b"")
    assert task["deliveryMethod"] == "async"
    assert "webhookURL" not in task


def test_many_tasks_are_asked_about_in_one_request() -> None:
    adapter = provider("runware")
    asked = checked_task("runware")
    adopted = replace(asked, id=UUID(int=5), provider_task_id="0C9A4D5E-1B2A-4C3D-8E4F-5A6B7C8D9E02")
    call = adapter.poll([asked, adopted])
    assert json.loads(call.body or b"") == [
        {"taskType": "getResponse", "taskUUID": str(RUNWARE_TASK)},
        {"taskType": "getResponse", "taskUUID": "0c9a4d5e-1b2a-4c3d-8e4f-5a6b7c8d9e02"},
    ]
    assert adapter.most_polled_at_once > 1


@pytest.mark.parametrize(("output_type", "batchable"), [("URL", True), ("base64Data", False), ("dataURI", False)])
def test_inline_audio_is_asked_for_alone(output_type: str, batchable: bool) -> None:
    adapter = provider("runware")
    assert adapter.batchable(checked_task("runware", output_type=output_type)) is batchable


def test_the_share_of_one_task_is_the_same_bytes_at_every_poll_and_in_any_company() -> None:
    adapter = provider("runware")
    asked = checked_task("runware")
    others = [replace(asked, id=UUID(int=number)) for number in range(1, 4)]
    own = {
        "taskUUID": str(asked.id),
        "status": "success",
        "audioURL": "https://am.runware.ai/a%2Fb.mp3?s=%3D",
        "cost": 0.150,
    }
    bodies = set()
    for company in (others[:1], others[1:], others):
        data = [{"taskUUID": str(other.id), "status": "processing"} for other in company]
        outcome = adapter.read_poll([*company, asked], answer(200, {"data": [*data, own]}))
        assert isinstance(outcome, Answered)
        bodies.add(outcome.slices[asked.id].body)
    assert len(bodies) == 1


def test_a_callback_that_fails_to_come_is_looked_for_after_the_first_poll_seconds() -> None:
    plan = provider("runware", first_poll_seconds="120").plan(checked_task("runware").request, pushed=True)
    start = checked_task("runware").created_at
    gaps = [next_look(plan, looks=looks, now=start, overdue=False) - start for looks in range(7)]
    assert gaps[0] == timedelta(seconds=120)
    assert gaps[1] == timedelta(seconds=15)
    assert gaps == [gaps[0], *sorted(gaps[1:])]
    assert gaps[-1] == timedelta(seconds=60)


def test_without_a_callback_it_waits_a_little_and_then_backs_off_as_documented() -> None:
    plan = provider("runware").plan(checked_task("runware").request, pushed=False)
    start = checked_task("runware").created_at
    gaps = [(next_look(plan, looks=looks, now=start, overdue=False) - start).total_seconds() for looks in range(8)]
    assert gaps[:4] == [10, 2, 3, 4.5]
    assert gaps[-1] == 15


def test_the_task_id_is_ours_and_a_lost_submit_is_sent_again_under_it() -> None:
    adapter = provider("runware")
    assert adapter.provider_task_id(RUNWARE_TASK) == str(RUNWARE_TASK)
    assert adapter.recovery is Recovery.RESEND
    assert adapter.pushes
    with pytest.raises(ValueError, match="no log"):
        adapter.search(checked_task("runware").created_at, checked_task("runware").created_at, 0)
    assert isinstance(adapter.read_search(answer(200, {"data": []})), Unanswered)


def test_its_own_media_hosts_are_trusted() -> None:
    adapter = provider("runware")
    assert adapter.trusts("https://am.runware.ai/audio/os/x/ws/2/ai/y.mp3")
    assert not adapter.trusts("https://runware.ai.example/a.mp3")
    assert not adapter.trusts("https://cdn.aimlapi.com/a.mp3")


def test_an_answer_about_fifty_tasks_gives_each_its_own() -> None:
    adapter = provider("runware")
    asked = [replace(checked_task("runware"), id=UUID(int=number)) for number in range(50)]
    data = [{"taskUUID": str(task.id), "status": "processing"} for task in asked]
    outcome = adapter.read_poll(asked, answer(200, {"data": data}))
    assert isinstance(outcome, Answered)
    assert all(outcome.slices[task.id].reading.pending for task in asked)
    assert {name for task in asked for name in outcome.slices[task.id].reading.named} == {
        str(task.id) for task in asked
    }


def test_a_checked_request_is_what_the_task_shows() -> None:
    checked: Checked = provider("runware").check(checked_task("runware").request)
    assert checked.request == checked_task("runware").request


OTHER = "00000000-0000-4000-8000-00000000beef"
AUDIO = '"audioURL":"https://im.runware.ai/a.mp3","audioUUID":"a"'


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (f'{{"data":[{{"taskUUID":"{OTHER}",{AUDIO}}}]}}', {OTHER}),
        (f'{{"data":[{{"taskUUID":"{OTHER.upper()}",{AUDIO}}}]}}', {OTHER}),
        (f'{{"data":[{{"task\\u0055UID":"{OTHER}",{AUDIO}}}]}}', {OTHER}),
        (f'{{"data":[{{"taskUUID":"{RUNWARE_TASK}",{AUDIO},"x":{{"task\\u0055UID":"{OTHER}"}}}}]}}',
         {str(RUNWARE_TASK), OTHER}),
        (f'{{"data":[{{"taskUUID":"{RUNWARE_TASK}",{AUDIO},"x":[{{"taskUUID":"{OTHER}"}}]}}]}}',
         {str(RUNWARE_TASK), OTHER}),
        (f'{{"data":[{{{AUDIO},"x":{{"taskUUID":"{OTHER}"}}}}]}}', {OTHER}),
        (f'{{"taskUUID":"{OTHER}","data":[{{{AUDIO}}}]}}', {OTHER}),
        (f'{{"data":[{{"taskUUID":"{OTHER}","taskUUID":"{RUNWARE_TASK}",{AUDIO}}}]}}', {str(RUNWARE_TASK)}),
        (f'{{"data":[{{{AUDIO},"x":"taskUUID"}}]}}', set()),
        (f'{{"data":[{{"taskUUID":"",{AUDIO}}}]}}', set()),
        (f'{{"data":[{{"taskUUID":7,{AUDIO}}}]}}', set()),
    ],
    ids=["its own", "in capitals", "spelt with an escape", "a nested one behind an escape", "a nested one",
         "only nested", "beside the data", "twice", "only a word", "empty", "a number"],
)  # fmt: skip
def test_every_task_that_a_body_names_anywhere_is_found(body: str, named: set[str]) -> None:
    assert provider("runware").read(body.encode(), Via.CALLBACK).named == named
