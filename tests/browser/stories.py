"""A task for every way that a task can go, made by the service and the sandbox themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

from tests.harness import Stack, running, wait_until

#: So that a task whose time is up is lost soon after, a lost answer stays lost, and a refused link is not given up.
SETTINGS = {
    "RECEIVER_DEADLINE_SECONDS": "2",
    "RECEIVER_LOST_AFTER_SECONDS": "1",
    "RECEIVER_AIMLAPI_LOOKUP_SECONDS": "900,3600",
    "RECEIVER_REFUSAL_SECONDS": "600",
    "RECEIVER_RUNWARE_FIRST_POLL_SECONDS": "2",
    "RECEIVER_ALLOWED_PRIVATE_HOSTS": "127.0.0.1",
}
_SONGS = (
    "bossa nova, nylon guitar, brushed drums",
    "slow tango for two bandoneons and a double bass",
    "a lullaby, music box and strings",
    "brass band march through a rainy town",
    "harpsichord, baroque, restless",
)


@contextmanager
def told(folder: Path) -> Iterator[Stack]:
    """Run the service until every story has been told, and leave it running for the length of the block."""
    with application() as url, running(folder, settings=SETTINGS) as stack:
        for path in ("hears", "is-out-of-order", "wants-nothing-any-more"):
            stack.post("/v1/endpoints", {"url": f"{url}/{path}?key=a-secret-of-theirs"})
        tell(stack)
        wait_until(lambda: _all_told(stack), 60, "the application was told, or refused to be")
        yield stack


class _Application(BaseHTTPRequestHandler):
    """The user's application: each of its addresses has an answer of its own."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        path = self.path.partition("?")[0]
        self.send_response({"/is-out-of-order": 500, "/wants-nothing-any-more": 410}.get(path, 204))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name for it
        """Say nothing."""


@contextmanager
def application() -> Iterator[str]:
    """Run the user's application and yield where it is."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Application)
    thread = Thread(target=partial(server.serve_forever, 0.02))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _all_told(stack: Stack) -> bool:
    hears, fails, stopped = stack.get("/v1/endpoints").json()["data"]
    return not hears["pending"] and bool(fails["failures"]) and bool(stopped["dead"])


def tell(stack: Stack) -> dict[str, list[str]]:
    """Let every story happen; return the ids of its tasks by the name of the story."""
    stories: dict[str, list[str]] = {}

    def happen(name: str, faults: dict[str, Any], *requests: dict[str, Any]) -> None:
        stack.faults(**faults)
        stories[name] = [_submitted(stack, number, request) for number, request in enumerate(requests)]

    runware, aimlapi = {"provider": "runware"}, {"provider": "aimlapi"}
    pair, four = {**runware, "count": 2}, {**runware, "count": 4}
    # What takes longest begins first; whatever was accepted under some faults keeps them.
    happen("lost", {"stall": 1.0}, {**runware, "deadline_seconds": None})
    _taken(stack, stories["lost"])
    happen("refused by moderation", {"fail": 1.0, "fail_code": "contentPolicyViolation"}, runware)
    _taken(stack, stories["refused by moderation"])
    happen("in part", {"fail": 0.5}, four, four, four)
    _taken(stack, stories["in part"])
    happen("callbacks lost", {"drop": 1.0}, runware, runware)
    _taken(stack, stories["callbacks lost"])
    happen("told twice", {"duplicate": 1.0}, runware, pair)
    _taken(stack, stories["told twice"])
    happen("told in unknown words", {"malformed": 1.0}, runware, runware, runware, runware)
    _taken(stack, stories["told in unknown words"])
    happen("told as documented", {}, runware, pair, aimlapi, runware, aimlapi)
    for ids in stories.values():
        for task_id in ids:
            stack.wait_for(task_id)
    happen("never sent", {"http_error": 1.0, "http_error_status": 400, "http_on": "submit"}, aimlapi)
    stack.wait_for(stories["never sent"][0])
    happen("answer lost", {"lose_submit_answer": 1.0, "only": "aimlapi"}, aimlapi)
    stack.wait_for(stories["answer lost"][0], "unknown")
    happen("audio not there yet", {"media": "gone"}, runware)
    stack.wait_for(stories["audio not there yet"][0], "collecting")
    happen("under way", {"stall": 1.0}, runware, aimlapi, runware)
    _taken(stack, stories["under way"])
    stack.post(f"/v1/tasks/{stories['under way'][2]}/cancel", {})
    happen("queued", {"http_error": 1.0, "http_error_status": 402, "http_on": "submit"}, aimlapi)
    stack.wait_for_attempt(stories["queued"][0])
    _knock(stack)
    return stories


def _submitted(stack: Stack, number: int, request: dict[str, Any]) -> str:
    provider = str(request["provider"])
    asked = {
        "deadline_seconds": 1800,
        "prompt": _SONGS[number % len(_SONGS)],
        "metadata": {"song": f"{17 + number}", "user": "42"},
        **{name: value for name, value in request.items() if name != "provider"},
    }
    return str(stack.submit(provider, **asked)["id"])


def _taken(stack: Stack, task_ids: list[str]) -> None:
    """Wait until each was accepted, so that the next faults are not its own."""
    for task_id in task_ids:
        wait_until(lambda task_id=task_id: stack.task(task_id)["submitted_at"] is not None, 30, f"{task_id} was sent")  # type: ignore[misc] # a default binds it


def _knock(stack: Stack) -> None:
    """Come to the callback door as strangers do, and once with a body that is not understood."""
    door = f"{stack.service.url}/callbacks"
    for path in ("", "/nobody/x", "/runware/cut-off", f"/runware/{'A' * 70}"):
        httpx.post(door + path, content=b"{}")
    urls = [entry["webhook_url"] for entry in stack.ledger() if entry["webhook_url"]]
    httpx.post(urls[-1], content=b'{"data":[{"taskType":"audioInference","status":"half done"}]}')
