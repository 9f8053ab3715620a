"""Audio kept in a bucket behind a real S3 API: the main job, and the bucket away meanwhile."""

import hashlib
from functools import partial
from pathlib import Path

import httpx

from receiver.sdk import Client
from tests.flows.relay import Relay
from tests.harness import API_KEY, Stack, balance, running, wait_until
from tests.storage.bucket import Bucket, make_bucket, serving_s3

MIB = 1024 * 1024


def _settings(bucket: Bucket) -> dict[str, str]:
    return {
        "RECEIVER_ARTIFACT_STORE_URL": bucket.location,
        "RECEIVER_S3_ENDPOINT_URL": bucket.url,
        "RECEIVER_S3_REGION": "eu-central-1",
        "RECEIVER_S3_ACCESS_KEY_ID": "tests",
        "RECEIVER_S3_SECRET_ACCESS_KEY": "a secret of the tests",
    }


def _is_collecting(stack: Stack, task_id: str) -> bool:
    task = stack.task(task_id)
    return task["status"] == "collecting" and bool(task["results"])


def test_the_main_job_keeps_its_audio_in_a_bucket_and_waits_for_one_that_is_away(tmp_path: Path) -> None:
    with serving_s3() as url:
        bucket = make_bucket(url, "covers")
        port = int(url.rpartition(":")[2])
    with running(tmp_path, settings=_settings(bucket)) as stack:
        tasks = [stack.submit(provider)["id"] for provider in ("runware", "aimlapi")]
        for task_id in tasks:
            wait_until(partial(_is_collecting, stack, task_id), 30, "it is collecting")
        assert stack.get("/readyz").status_code == 200
        with serving_s3(port):
            results = [stack.wait_for(task_id)["results"][0] for task_id in tasks]
            urls = [stack.service.url + result["download_url"] for result in results]
            audio = [stack.http.get(url).content for url in urls]
            assert [hashlib.sha256(held).hexdigest() for held in audio] == [
                result["artifact"]["sha256"] for result in results
            ]
            part = stack.http.get(urls[0], headers={"Range": "bytes=100-199"})
            assert (part.status_code, part.content) == (206, audio[0][100:200])
            assert stack.http.delete(f"{stack.service.url}/v1/tasks/{tasks[0]}", headers=stack.headers()).is_success
            balance(stack).assert_exact()
        assert not (tmp_path / "data" / "artifacts").exists()
        assert "a secret of the tests" not in stack.service.words()


def test_a_process_killed_in_the_middle_of_an_upload_leaves_nothing_in_the_bucket(tmp_path: Path) -> None:
    with serving_s3() as url:
        bucket = make_bucket(url, "broken-off")
        wire = Relay()
        wire.lead_to(url)
        wire.most_asked = 2 * MIB
        with running(tmp_path, settings=_settings(Bucket(wire.url, bucket.name))) as stack:
            # Some 6 MB.
            stack.faults(tune_seconds=[150, 150])
            task_id = stack.submit("runware", output_format="WAV")["id"]
            wait_until(wire.held.is_set, 60, "its audio is half-way into the bucket")
            stack.service.kill()
            wire.most_asked = None
            wire.turn("open")
            assert "<UploadId>" not in bucket.uploads()
            assert "<Key>" not in bucket.listed()
            stack.service.start()
            [result] = stack.wait_for(task_id, "succeeded", seconds=60)["results"]
            assert result["artifact"]["bytes"] > 5 * MIB
            balance(stack).assert_exact()
            assert (bucket.listed().count("<Key>"), "<UploadId>" in bucket.uploads()) == (1, False)


async def test_callers_are_sent_to_the_bucket_and_the_python_client_goes_there(tmp_path: Path) -> None:
    with serving_s3() as url:
        settings = {**_settings(make_bucket(url, "linked")), "RECEIVER_DOWNLOAD_LINK_SECONDS": "60"}
        with running(tmp_path, settings=settings) as stack:
            task_id = stack.submit("runware")["id"]
            [result] = stack.wait_for(task_id)["results"]
            answer = stack.get(result["artifact"]["url"])
            assert (answer.status_code, answer.content) == (302, b"")
            # The link is its own key, whoever holds it.
            audio = httpx.get(answer.headers["Location"]).content
            assert hashlib.sha256(audio).hexdigest() == result["artifact"]["sha256"]
            async with Client(stack.service.url, api_key=API_KEY.partition(":")[2]) as client:
                task = await client.task(task_id)
                assert (await client.save(task, task.results[0], tmp_path)).read_bytes() == audio
