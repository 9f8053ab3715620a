import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import pytest

from receiver.sandbox.config import SandboxConfig
from receiver.sandbox.server import bind, run
from tests.sandbox.support import KEY, Box, cover, listening, quick, served, song

SAMPLES = Path(__file__).parent / "samples"
PROGRAM = """
import asyncio, sys
from receiver.sandbox.config import SandboxConfig
from receiver.sandbox.faults_reader import faults_from_text
from receiver.sandbox.server import run
faults = faults_from_text(dict(word.split("=", 1) for word in sys.argv[1:]))
asyncio.run(run("127.0.0.1", 0, SandboxConfig(faults=faults), lambda url: print(url, flush=True)))
print("ended", flush=True)
"""


class Program:
    """A sandbox in a process of its own."""

    def __init__(self, *faults: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *faults],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def stop(self, number: int = signal.SIGTERM) -> tuple[float, int, str, str]:
        """Send a signal; return the seconds until the end, the exit status, and what was printed."""
        begun = time.monotonic()
        self.process.send_signal(number)
        said, complained = self.process.communicate(timeout=120)
        return time.monotonic() - begun, self.process.returncode, said, complained


@pytest.fixture
def program() -> Iterator[Program]:
    started = Program("seconds=0.6,0.6", "tune_seconds=0.2,0.2", "media=ok")
    yield started
    if started.process.poll() is None:
        started.stop()


def test_the_documented_aimlapi_client_completes_with_nothing_changed_but_address_key_and_patience(
    program: Program, tmp_path: Path
) -> None:
    text = (SAMPLES / "aimlapi_music_cover.py.txt").read_text(encoding="utf-8")
    for before, after in (
        ("https://api.aimlapi.com", f"{program.url}/aimlapi"),
        ("<YOUR_AIMLAPI_KEY>", "a-key"),
        ("time.sleep(15)", "time.sleep(0.1)"),
    ):
        assert before in text
        text = text.replace(before, after)
    client = tmp_path / "client.py"
    client.write_text(text, encoding="utf-8")
    ran = subprocess.run([sys.executable, client], capture_output=True, text=True, timeout=120, check=True)
    assert "Generation ID:" in ran.stdout
    assert "Checking again in 15 seconds." in ran.stdout
    assert "Processing complete:" in ran.stdout
    assert "'status': 'completed', 'audio_file': {'url': 'http" in ran.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_soon_whatever_is_in_flight(program: Program, number: int) -> None:
    with httpx.Client(base_url=program.url, headers=KEY, trust_env=False) as client:
        client.post("/runware/v1", json=[cover(webhookURL="http://127.0.0.1:9/nobody")])
        while not (finished := client.get("/_sandbox/ledger").json()["tasks"][0]["results"]):
            time.sleep(0.01)
        client.put("/_sandbox/faults", json={"stall": 1.0, "media": "endless"}).raise_for_status()
        held = subprocess.Popen(
            [sys.executable, "-c", HOLD, program.url, finished[0]["url"]], stdout=subprocess.PIPE, text=True
        )
        assert held.stdout is not None
        assert held.stdout.readline().strip() == "streaming"
        while len(client.get("/_sandbox/ledger").json()["tasks"]) < 2:
            time.sleep(0.01)
        address = ("127.0.0.1", int(program.url.rpartition(":")[2]))
        unread, unfinished = socket.create_connection(address), socket.create_connection(address)
        unread.sendall(f"GET {finished[0]['url'].removeprefix(program.url)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        unfinished.sendall(b"POST /runware/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n[")
        seconds, status, said, complained = program.stop(number)
    unread.close()
    unfinished.close()
    assert held.communicate(timeout=120)[0].split() == ["503", "ended"]
    assert (status, said, complained) == (0, "ended\n", "")
    # Each of the four would go on for ever; how soon a loaded machine gets round to ending them is not ours to say.
    assert seconds < 30


HOLD = """
import sys, threading, uuid, httpx
url, link = sys.argv[1:]
task = {"taskType": "audioInference", "taskUUID": str(uuid.uuid4()), "model": "minimax:music@cover",
        "positivePrompt": "bossa nova, nylon guitar", "inputs": {"audio": "https://files.example.org/in.mp3"}}
def hold():
    print(httpx.post(url + "/runware/v1", json=[task], headers={"Authorization": "Bearer k"}, timeout=60).status_code)
waiting = threading.Thread(target=hold)
with httpx.stream("GET", link, timeout=120) as answer:
    chunks = answer.iter_raw()
    next(chunks)
    print("streaming", flush=True)
    waiting.start()
    for _ in chunks:
        pass
waiting.join()
print("ended", flush=True)
"""


async def test_cancelling_stops_it_as_cleanly_and_frees_the_port() -> None:
    async with served(quick(stall=1.0)) as box, listening("hang") as listener:
        await box.runware(cover(webhookURL=listener.url))
    port = int(box.url.rpartition(":")[2])
    bind("127.0.0.1", port).close()
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(f"{box.url}/healthz")


async def test_a_bound_socket_may_be_handed_in() -> None:
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    async with anyio.create_task_group() as group:

        async def ready_then_stop(url: str) -> None:
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(f"{url}/healthz")).status_code == 200
            group.cancel_scope.cancel()

        def ready(url: str) -> None:
            assert url == f"http://127.0.0.1:{port}"
            group.start_soon(ready_then_stop, url)

        await run(config=quick(), ready=ready, listener=listener)


async def test_a_taken_port_is_an_error_at_once() -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            await run("127.0.0.1", taken.getsockname()[1], SandboxConfig())


async def test_links_never_follow_the_host_header(server: Box) -> None:
    await server.client.post("/runware/v1", json=[cover()], headers={"Host": "evil.example"})
    (entry,) = await server.finished(1)
    assert entry["results"][0]["url"].startswith(f"{server.url}/media/")


async def test_links_start_with_the_base_url_that_was_given() -> None:
    urls: list[str] = []
    ready = anyio.Event()

    def note(url: str) -> None:
        urls.append(url)
        ready.set()

    async def serve() -> None:
        await run("127.0.0.1", 0, quick(), note, base_url="http://sandbox:9090/")

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        await ready.wait()
        async with httpx.AsyncClient(base_url=urls[0], headers=KEY, trust_env=False) as client:
            box = Box(client, urls[0])
            await box.submitted()
            (entry,) = await box.finished(1)
            link = entry["results"][0]["url"]
            assert link.startswith("http://sandbox:9090/media/aimlapi/moose/music%2Fprod%2F")
            assert (await client.get(link.replace("http://sandbox:9090", urls[0]))).status_code == 200
        group.cancel_scope.cancel()


@pytest.mark.parametrize("provider", ["runware", "aimlapi"])
async def test_a_lost_answer_is_a_closed_connection_and_an_accepted_billed_task(server: Box, provider: str) -> None:
    await server.faults(lose_submit_answer=1.0)
    submit = {
        "runware": server.client.post("/runware/v1", json=[cover()]),
        "aimlapi": server.client.post("/aimlapi/v2/generate/audio", json=song()),
    }
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await submit.pop(provider)
    submit.popitem()[1].close()
    (entry,) = await server.finished(1)
    assert (entry["provider"], entry["billed_usd"], entry["status"]) == (provider, 0.15, "success")


async def test_a_lost_answer_is_found_again_by_the_same_task_uuid(server: Box) -> None:
    await server.faults(lose_submit_answer=1.0)
    task = cover()
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await server.runware(task)
    again = await server.runware(task)
    assert again.json()["errors"][0]["code"] == "conflictTaskUUID"
    assert (await server.ledger())[0]["submits"] == 2


async def test_a_body_beyond_the_limit_is_a_413_in_each_providers_shape() -> None:
    config = SandboxConfig(max_body_bytes=1000)
    async with served(config) as box:
        runware = await box.client.post("/runware/v1", content=b"[" + b" " * 2000)
        aimlapi = await box.client.post("/aimlapi/v2/generate/audio", content=b"{" + b" " * 2000)
        faults = await box.client.put("/_sandbox/faults", content=b" " * 100_000)
    assert (runware.status_code, aimlapi.status_code, faults.status_code) == (413, 413, 400)
    assert runware.json()["errors"]
    assert aimlapi.json()["status"] == 413


async def test_odd_requests_are_never_answered_with_a_server_error(server: Box) -> None:
    dice = random.Random(1)
    values: list[object] = [None, True, -1, 1e308, 10**30, "", "x" * 5000, [], [[]], {}, {"a": {}}, "\x00", "ü", "%"]
    paths = ["/runware/v1", "/aimlapi/v2/generate/audio", "/_sandbox/faults", "/media/%2e%2e%2f", "/media/x?Expires="]
    for number in range(300):
        task = cover() | song() | {name: dice.choice(values) for name in dice.sample([*cover(), *song()], 3)}
        method = "PUT" if number % 5 == 2 else dice.choice(["POST", "GET", "POST"])
        body = [task, dice.choice(values)] if dice.random() < 0.2 else [task]
        path = paths[number % 5]
        answer = await server.client.request(method, path, json=body if "runware" in path else task)
        assert answer.status_code < 500 or "shutting" in answer.text, (path, task, answer.text)


async def test_a_trailing_slash_is_no_route_and_no_redirect(server: Box) -> None:
    assert (await server.client.post("/runware/v1/", json=[])).status_code == 404
