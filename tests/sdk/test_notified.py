"""What the real service sends, held by four libraries against the secrets that it told."""

import asyncio
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from receiver.sdk import Client, verify_notification
from tests.harness import API_KEY, PROMPT, REFERENCE, Stack, free_port, running, wait_until
from tests.readme import blocks
from tests.sdk.third_parties import Case, believed, of_npm, of_ours, of_python

HERE = "127.0.0.1"
WORDS = "été – 音楽 🎷"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("notified"), settings={"RECEIVER_ALLOWED_PRIVATE_HOSTS": HERE}) as started:
        yield started


@contextmanager
def application() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A user's application that takes everything: its URL, and the heads and bodies that came."""
    came: list[tuple[dict[str, str], bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append((dict(self.headers.items()), self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has in the base class
            return

    server = http.server.ThreadingHTTPServer((HERE, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://{HERE}:{server.server_address[1]}/hooks", came
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_what_the_service_sends_is_genuine_to_every_library_and_nothing_else_is(stack: Stack) -> None:
    with application() as (url, came):
        async with Client(stack.service.url, api_key=API_KEY) as client:
            first = await client.add_endpoint(url)
            assert (await client.test_endpoint(first.endpoint.id)).error is None
            renewed = await client.rotate_secret(first.endpoint.id, overlap_seconds=3600)
            asked = {"provider": "runware", "prompt": PROMPT, "reference_audio": REFERENCE}
            task = await client.submit({**asked, "metadata": {"words": WORDS}})
            await client.wait(task.id)
            await asyncio.to_thread(wait_until, lambda: len(came) >= 3, 60, "the trial, the task and its result came")
            await client.remove_endpoint(first.endpoint.id)
    secrets = {"old": first.secret, "new": renewed.secret}
    genuine = [
        Case(f"{number} under the {age} secret", secret, body, headers)
        for number, (headers, body) in enumerate(came)
        for age, secret in secrets.items()
        if number or age == "old"
    ]
    forged = [
        Case("the trial under a secret of later", renewed.secret, came[0][1], came[0][0]),
        *(replace(case, name=f"{case.name}, changed", body=case.body[:-1] + b" }") for case in genuine),
    ]
    names = {case.name for case in genuine}
    assert believed(of_ours(genuine + forged)) == names
    assert believed(of_python(genuine + forged)) == names
    told = [verify_notification(body, headers, list(secrets.values())) for headers, body in came]
    assert {each.type for each in told} == {"endpoint.test", "task.succeeded", "result.stored"}
    [ended] = [each.task for each in told if each.task is not None]
    assert (ended.id, ended.metadata) == (task.id, {"words": WORDS})
    assert WORDS.encode() in b"".join(body for _, body in came)
    for library, verdicts in of_npm(genuine + forged).items():
        assert believed(verdicts) == names, library


async def test_the_application_in_readme_takes_what_is_genuine(stack: Stack, tmp_path: Path) -> None:
    [block] = [block for block in blocks("python") if "verify_notification(" in block]
    (tmp_path / "app.py").write_text(block)
    port = free_port()
    async with Client(stack.service.url, api_key=API_KEY) as client:
        made = await client.add_endpoint(f"http://{HERE}:{port}/hooks")
        command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "warning"]
        environment = {**os.environ, "WEBHOOK_SECRET": made.secret, "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                await asyncio.to_thread(wait_until, lambda: _answers(port), 60, "the application answers")
                trial = await client.test_endpoint(made.endpoint.id)
                assert (trial.error, trial.status_code) == (None, 204)
                await client.rotate_secret(made.endpoint.id, overlap_seconds=0)
                trial = await client.test_endpoint(made.endpoint.id)
                assert (trial.error, trial.status_code) == ("status", 400)
            finally:
                process.terminate()
            assert process.stdout is not None
            assert "endpoint.test" in process.stdout.read()
        await client.remove_endpoint(made.endpoint.id)


def _answers(port: int) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"http://{HERE}:{port}/").status_code == 404
    return False
