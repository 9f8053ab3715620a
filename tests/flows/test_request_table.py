"""Every row of the request table, through the real service: what a provider has reaches it, the rest is named."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.harness import Stack, basic, running

LYRICS = "[Verse] a line that is our own, and long enough"
UUID = "0b0f7a52-1f3c-4d6e-9a55-0d7d3b1c9e01"
AUDIO = "SUQz" * 100

#: provider, fields → accepted, and done by the sandbox, which checks the wire form against the provider's own page.
ACCEPTED: list[tuple[str, Mapping[str, object]]] = [
    ("runware", {"model": "minimax:music@cover"}),
    ("runware", {"prompt": "p" * 10}),
    ("runware", {"prompt": "é" * 300}),
    ("runware", {"reference_audio": UUID}),
    ("runware", {"lyrics": LYRICS}),
    ("runware", {"lyrics": "l" * 1000}),
    ("runware", {"count": 4}),
    ("runware", {"seed": 0}),
    ("runware", {"seed": 1_000_000}),
    ("runware", {"output_format": "wav"}),
    ("runware", {"output_format": "Flac"}),
    ("runware", {"output_type": "url"}),
    ("runware", {"output_type": "base64Data"}),
    ("runware", {"output_type": "DATAURI"}),
    ("runware", {"ttl_seconds": 60}),
    ("runware", {"include_cost": False}),
    ("runware", {"metadata": {"song": "one"}}),
    ("runware", {"deadline_seconds": 600}),
    ("aimlapi", {"model": "minimax/music-cover"}),
    ("aimlapi", {"prompt": "p" * 10}),
    ("aimlapi", {"reference_audio": AUDIO}),
    ("aimlapi", {"reference_audio": f"data:audio/mpeg;base64,{AUDIO}"}),
    ("aimlapi", {"lyrics": LYRICS}),
    ("aimlapi", {"count": 1}),
    ("aimlapi", {"output_format": "WAV"}),
    ("aimlapi", {"output_format": "Pcm", "sample_rate": 16000}),
    ("aimlapi", {"output_type": "URL"}),
    ("aimlapi", {"sample_rate": 24000, "bitrate": 32000}),
    ("aimlapi", {"sample_rate": 44100, "bitrate": 256000}),
    ("aimlapi", {"metadata": {"song": "two"}}),
]

#: provider, fields, the field that is named.
REFUSED: list[tuple[str, Mapping[str, object], str]] = [
    ("runware", {"prompt": "p" * 9}, "prompt"),
    ("runware", {"prompt": "p" * 301}, "prompt"),
    ("runware", {"model": "minimax:music@other"}, "model"),
    ("runware", {"reference_audio": AUDIO}, "reference_audio"),
    ("runware", {"reference_audio": "ftp://files.example.org/a.mp3"}, "reference_audio"),
    ("runware", {"reference_audio": f"input:{UUID}"}, "reference_audio"),
    ("runware", {"lyrics": "l" * 9}, "lyrics"),
    ("runware", {"lyrics": "l" * 1001}, "lyrics"),
    ("runware", {"count": 0}, "count"),
    ("runware", {"count": 5}, "count"),
    ("runware", {"count": "2"}, "count"),
    ("runware", {"seed": -1}, "seed"),
    ("runware", {"seed": 1_000_001}, "seed"),
    ("runware", {"output_format": "pcm"}, "output_format"),
    ("runware", {"output_type": "file"}, "output_type"),
    ("runware", {"sample_rate": 44100}, "sample_rate"),
    ("runware", {"bitrate": 128000}, "bitrate"),
    ("runware", {"ttl_seconds": 59}, "ttl_seconds"),
    ("runware", {"ttl_seconds": 60, "output_type": "base64Data"}, "ttl_seconds"),
    ("runware", {"upload_endpoint": "not a url"}, "upload_endpoint"),
    ("runware", {"provider_options": {"webhookURL": "https://a.example"}}, "provider_options"),
    ("runware", {"provider_options": {"numberResults": 2}}, "provider_options"),
    ("runware", {"provider_options": {"settings": {"lyrics": LYRICS}}}, "provider_options"),
    ("runware", {"notify_url": "https://app.example.org/hook"}, "notify_url"),
    ("runware", {"provider_task_id": UUID}, "prompt"),
    ("runware", {"colour": "blue"}, "colour"),
    ("aimlapi", {"prompt": "p" * 2001}, "prompt"),
    ("aimlapi", {"lyrics": "l" * 3001}, "lyrics"),
    ("aimlapi", {"reference_audio": UUID}, "reference_audio"),
    ("aimlapi", {"count": 2}, "count"),
    ("aimlapi", {"seed": 7}, "seed"),
    ("aimlapi", {"output_format": "FLAC"}, "output_format"),
    ("aimlapi", {"output_type": "base64Data"}, "output_type"),
    ("aimlapi", {"sample_rate": 48000}, "sample_rate"),
    ("aimlapi", {"bitrate": 320000}, "bitrate"),
    ("aimlapi", {"ttl_seconds": 60}, "ttl_seconds"),
    ("aimlapi", {"include_cost": True}, "include_cost"),
    ("aimlapi", {"upload_endpoint": "https://bucket.example.org/a"}, "upload_endpoint"),
    ("aimlapi", {"metadata": {"k" * 41: "v"}}, "metadata"),
    ("aimlapi", {"deadline_seconds": 0}, "deadline_seconds"),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("request-table")) as both:
        both.faults(seconds=[0.05, 0.1], tune_seconds=[0.5, 1.0])
        yield both


def test_every_accepted_form_is_done_by_the_provider(stack: Stack) -> None:
    submitted = {json.dumps(case): stack.submit(case[0], **case[1])["id"] for case in ACCEPTED}
    tasks = {task["id"]: task for task in stack.wait_for_all()}
    outcomes: dict[str, Any] = {case: tasks[task_id] for case, task_id in submitted.items()}
    wrong = {
        case: (task["status"], task["errors"]) for case, task in outcomes.items() if task["status"] != "succeeded"
    }
    assert not wrong
    for case, task in outcomes.items():
        assert len(task["results"]) == json.loads(case)[1].get("count", 1)


@pytest.mark.parametrize(("provider", "fields", "named"), REFUSED)
def test_what_a_provider_does_not_take_is_refused_by_name_and_nothing_is_sent(
    stack: Stack, provider: str, fields: Mapping[str, object], named: str
) -> None:
    before = len(stack.ledger())
    answer = stack.post("/v1/tasks", {**basic(provider), **fields})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in {problem["field"].split(".")[0] for problem in answer.json()["errors"]}
    assert len(stack.ledger()) == before


@pytest.mark.parametrize(
    ("provider", "fields", "field"),
    [
        ("aimlapi", {"prompt": "p" * 301}, "prompt"),
        ("aimlapi", {"lyrics": "l" * 1001}, "lyrics"),
        ("runware", {"upload_endpoint": "https://bucket.example.org/put?sig=1", "count": 2}, "upload_endpoint"),
    ],
)
def test_what_may_not_do_as_expected_is_accepted_with_a_warning(
    stack: Stack, provider: str, fields: Mapping[str, object], field: str
) -> None:
    task = stack.submit(provider, **fields)
    assert [warning["field"] for warning in task["warnings"]] == [field]
    assert "sig=1" not in json.dumps(task["request"])


def test_further_options_reach_the_wire_beside_our_own(stack: Stack) -> None:
    answer = stack.post(
        "/v1/tasks", {**basic("runware"), "provider_options": {"audioSettings": {"sampleRate": 22050}}}
    )
    assert answer.status_code == 202, answer.text
    assert stack.wait_for(answer.json()["id"])["status"] in {"succeeded", "failed"}


@pytest.mark.parametrize("field", ["provider", "prompt", "reference_audio"])
def test_a_missing_field_is_named(stack: Stack, field: str) -> None:
    body = basic("runware")
    del body[field]
    answer = stack.post("/v1/tasks", body)
    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["errors"]] == [field]
