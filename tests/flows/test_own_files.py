"""A file of the caller's own becomes a cover at both providers, whether they can reach us or not."""

import hashlib
from pathlib import Path

import httpx
import pytest

from tests.audio import song
from tests.harness import PROMPT, Stack, running, wait_until

BOTH = ("runware", "aimlapi")


def uploaded(stack: Stack, audio: bytes) -> str:
    answer = stack.http.post(f"{stack.service.url}/v1/inputs", content=audio, headers=stack.headers())
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert (told["sha256"], told["bytes"]) == (hashlib.sha256(audio).hexdigest(), len(audio))
    assert told["duration_seconds"] == pytest.approx(7.0, abs=0.05)
    return f"input:{told['id']}"


def given(stack: Stack, task_id: str) -> object:
    """What the provider was given as reference audio, by its own account; None while it has no such task."""
    for line in stack.ledger():
        if task_id in {line["provider_task_id"], line["client_request_id"]}:
            reference: object = line["reference_audio"]
            return reference
    return None


def link_of(stack: Stack, task_id: str) -> str:
    wait_until(lambda: given(stack, task_id) is not None, 30, f"the provider has {task_id}")
    link = given(stack, task_id)
    assert isinstance(link, str)
    assert link.startswith(f"{stack.service.url}/inputs/")
    return link


def test_a_provider_that_can_reach_us_fetches_the_file_as_long_as_its_task_is_under_way(tmp_path: Path) -> None:
    audio = song()
    with running(tmp_path) as stack:
        reference = uploaded(stack, audio)
        stack.faults(stall=1.0)
        waiting = {provider: stack.submit(provider, reference_audio=reference) for provider in BOTH}
        links = {provider: link_of(stack, task["id"]) for provider, task in waiting.items()}
        assert len(set(links.values())) == 2
        for provider, link in links.items():
            whole = httpx.get(link)
            assert (whole.status_code, whole.content) == (200, audio)
            assert whole.headers["content-type"] == "application/octet-stream"
            assert whole.headers["content-disposition"] == 'attachment; filename="reference.wav"'
            assert whole.headers["x-content-type-options"] == "nosniff"
            part = httpx.get(link, headers={"Range": "bytes=100-199"})
            assert (part.status_code, part.content) == (206, audio[100:200])
            assert httpx.head(link).headers["content-length"] == str(len(audio))
            assert httpx.get(link[:-1] + ("A" if link[-1] != "A" else "B")).status_code == 404
            # Killed and started again, the service gives the same link the same bytes.
            if provider == "runware":
                stack.service.kill()
                stack.service.start()
            assert httpx.get(link).content == audio
            assert stack.post(f"/v1/tasks/{waiting[provider]['id']}/cancel", {}).status_code == 200
            assert httpx.get(link).status_code == 404
        stack.faults()
        covers = [stack.submit(provider, reference_audio=reference)["id"] for provider in BOTH]
        for task_id in covers:
            assert stack.wait_for(task_id)["status"] == "succeeded"
            assert httpx.get(link_of(stack, task_id)).status_code == 404
        token = links["runware"].rpartition("/")[2]
        assert token not in stack.get(f"/v1/tasks/{covers[0]}").text + stack.service.words()


def test_a_provider_that_cannot_reach_us_is_given_the_file_itself(tmp_path: Path) -> None:
    audio = song()
    held = {"sha256": hashlib.sha256(audio).hexdigest(), "bytes": len(audio)}
    with running(tmp_path, settings={"RECEIVER_PUBLIC_URL": ""}) as stack:
        reference = uploaded(stack, audio)
        covers = [stack.submit(provider, reference_audio=reference)["id"] for provider in BOTH]
        for task_id in covers:
            assert stack.wait_for(task_id)["status"] == "succeeded"
            assert given(stack, task_id) == held
            assert stack.task(task_id)["request"]["reference_audio"] == reference
        # An answer that was lost: the same request again, after a restart, with the same file.
        stack.faults(only="runware", lose_submit_answer=1.0)
        lost = stack.submit("runware", reference_audio=reference)["id"]
        stack.wait_for(lost, "unknown", "submitted", "succeeded")
        stack.service.kill()
        stack.faults()
        stack.service.start()
        assert stack.wait_for(lost, seconds=60)["status"] == "succeeded"
        assert given(stack, lost) == held
        for task_id in (*covers, lost):
            gone = stack.http.delete(f"{stack.service.url}/v1/tasks/{task_id}", headers=stack.headers())
            assert gone.status_code == 200
        asked = {"provider": "aimlapi", "prompt": PROMPT, "reference_audio": reference}
        refused = stack.post("/v1/tasks", asked)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "reference_audio")
        assert not list((tmp_path / "data").rglob("inputs/*"))
