import json
from dataclasses import replace
from datetime import timedelta, timezone
from uuid import uuid4

import pytest

from receiver.domain.errors import ErrorCode, FieldWarning, TaskError
from receiver.domain.request import InlineAudio, TaskRequest
from receiver.domain.result import ArtifactStatus
from receiver.domain.task import Status, Task, Work
from receiver.lifecycle.ports import Pause
from receiver.web.present import masked, time
from tests.web.fakes import NOON, SHA256, World, a_result
from tests.web.support import client

AT = "2026-11-21T12:00:00.000000Z"


async def shown(world: World, task: Task, **fields: str) -> dict[str, object]:
    async with client(world, api_url=fields.get("api_url")) as http:
        answer: dict[str, object] = (await http.get(f"/v1/tasks/{task.id}")).json()
        return answer


async def test_a_new_task_shows_every_field_and_null_for_what_is_unknown(world: World) -> None:
    task = world.task()
    assert await shown(world, task) == {
        "id": str(task.id),
        "provider": "runware",
        "model": "minimax:music@cover",
        "status": "queued",
        "overdue": False,
        "created_at": AT,
        "submitted_at": None,
        "settled_at": None,
        "completed_at": None,
        "deadline_at": None,
        "erased_at": None,
        "waiting": None,
        "metadata": {},
        "warnings": [],
        "provider_task_id": None,
        "request": {
            "provider": "runware",
            "model": "minimax:music@cover",
            "prompt": "bossa nova, nylon guitar",
            "reference_audio": "https://files.example.org/in.mp3",
            "lyrics": None,
            "count": None,
            "seed": None,
            "output_format": None,
            "output_type": None,
            "sample_rate": None,
            "bitrate": None,
            "ttl_seconds": None,
            "include_cost": None,
            "upload_endpoint": None,
            "provider_options": {},
            "deadline_seconds": 1800,
            "notify_url": None,
        },
        "results": [],
        "errors": [],
        "cost_usd": None,
        "polls": 0,
        "callbacks": 0,
    }


async def test_a_finished_task_shows_its_results_in_order(world: World) -> None:
    stored, pending = world.stored_result(b"x" * 123), a_result(index=1)
    task = world.task(
        status=Status.PARTIAL,
        overdue=True,
        submitted_at=NOON,
        settled_at=NOON,
        completed_at=NOON + timedelta(milliseconds=1),
        deadline_at=NOON,
        metadata={"song": "42"},
        warnings=(FieldWarning("prompt", "is long"),),
        errors=(TaskError(ErrorCode.MODERATION, "no", provider_code="contentPolicyViolation"),),
        provider_task_id="6f1c",
        results=(pending, stored),
        polls=1,
        callbacks=2,
    )
    answer = await shown(world, task)
    assert answer["completed_at"] == "2026-11-21T12:00:00.001000Z"
    assert answer["warnings"] == [{"field": "prompt", "message": "is long"}]
    assert answer["errors"] == [
        {"code": "moderation", "message": "no", "retryable": False, "provider_code": "contentPolicyViolation"}
    ]
    assert (answer["cost_usd"], answer["polls"], answer["callbacks"], answer["overdue"]) == (0.3, 1, 2, True)
    assert isinstance(answer["results"], list)
    first, second = answer["results"]
    path = f"/v1/tasks/{task.id}/results/{stored.id}/audio"
    assert first.pop("download_url").startswith(f"{path}?token=")
    assert first == {
        "id": str(stored.id),
        "index": 0,
        "provider_result_id": "audio-0",
        "via": "callback",
        "late": False,
        "seed": 41,
        "cost_usd": 0.15,
        "received_at": AT,
        "url": "https://am.example.org/audio.mp3?signature=abc",
        "url_expires_at": None,
        "artifact": {
            "status": "stored",
            "url": path,
            "bytes": 123,
            "sha256": SHA256,
            "media_type": "audio/mpeg",
            "duration_seconds": 12.3,
        },
    }
    assert second["download_url"] is None
    assert second["artifact"] == {
        "status": "pending",
        "url": f"/v1/tasks/{task.id}/results/{pending.id}/audio",
        "bytes": None,
        "sha256": None,
        "media_type": None,
        "duration_seconds": None,
    }


@pytest.mark.parametrize("status", [one for one in ArtifactStatus if one is not ArtifactStatus.STORED])
async def test_only_stored_audio_has_a_download_link(world: World, status: ArtifactStatus) -> None:
    result = world.stored_result(b"x")
    task = world.task(results=(replace(result, artifact=replace(result.artifact, status=status)),))
    assert '"download_url": null' in json.dumps(await shown(world, task))


async def test_a_download_link_is_absolute_when_our_own_address_is_set(world: World) -> None:
    task = world.task(results=(world.stored_result(b"x"),))
    answer = json.dumps(await shown(world, task, api_url="https://api.example.org/music/"))
    assert f'"download_url": "https://api.example.org/music/v1/tasks/{task.id}/results/' in answer


async def test_a_request_shows_no_secret_that_came_with_it(world: World) -> None:
    request = TaskRequest(
        provider="runware",
        prompt="bossa nova",
        reference_audio=InlineAudio("inputs/1", "cd" * 32, 4096),
        upload_endpoint="https://user:pw@files.example.org/put?signature=abc",
    )
    answer = await shown(world, world.task(request=request))
    assert isinstance(answer["request"], dict)
    assert answer["request"]["reference_audio"] == {"sha256": "cd" * 32, "bytes": 4096}
    assert answer["request"]["upload_endpoint"] == "https://[redacted]@files.example.org/put?[redacted]"


async def test_our_own_tokens_are_cut_out_of_every_foreign_string(world: World) -> None:
    token = world.token(uuid4())
    task = world.task(
        metadata={"k": token},
        errors=(TaskError(ErrorCode.UNKNOWN, f"bad webhookURL https://h/callbacks/runware/{token}"),),
        results=(replace(a_result(), link=f"https://h/?{token}", provider_result_id=token),),
    )
    world.store.record(task.id, "task.failed", {"message": token})
    async with client(world) as http:
        for path in ("", "/events"):
            answer = await http.get(f"/v1/tasks/{task.id}{path}")
            assert token not in answer.text
            assert "[redacted]" in answer.text


async def test_what_no_encoding_can_carry_is_still_shown(world: World) -> None:
    result = world.stored_result(b"x")
    odd = replace(result, artifact=replace(result.artifact, duration_seconds=float("nan")))
    task = world.task(metadata={"k": "lone \ud800"}, results=(odd,))
    answer = await shown(world, task)
    assert answer["metadata"] == {"k": "lone ?"}


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (None, None),
        ("https://h/p", "https://h/p"),
        ("https://h/p?a=b#c", "https://h/p?[redacted]"),
        ("https://h/p#c?d", "https://h/p#[redacted]"),
        ("https://u@h", "https://[redacted]@h"),
        ("https://h/p@q", "https://h/p@q"),
    ],
)
def test_a_link_is_shown_without_what_may_be_secret_in_it(link: str | None, expected: str | None) -> None:
    assert masked(link) == expected


def test_moments_are_shown_in_utc() -> None:
    assert time(NOON.astimezone(timezone(timedelta(hours=5)))) == AT


async def test_a_task_whose_provider_rests_says_so_with_the_reason_and_until_when(world: World) -> None:
    task = world.task(work=Work.SUBMIT)
    error = TaskError(ErrorCode.AUTH, "HTTP 401: invalid key")
    world.store.paused["runware"] = Pause("runware", NOON + timedelta(seconds=40), error)
    assert (await shown(world, task))["waiting"] == {
        "for": "provider",
        "message": "runware takes nothing from us: HTTP 401: invalid key",
        "until": "2026-11-21T12:00:40.000000Z",
    }
