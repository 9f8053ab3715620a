"""A service that says what a test wants it to say, over a real socket, and remembers what it was asked."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

TASK_ID = "3f2c81aa-7b1e-4c5e-9d0f-a1b2c3d4e5f6"
RESULT_ID = "91aa0c1d-2b3c-4d4e-8f50-616263646566"
AUDIO = b"ID3\x04 not music, but bytes" * 1000
KEY = "k1:0123456789abcdef0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: a JSON value or bytes."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes


class FakeService:
    """Answers by method and path. Of several answers each is given once, the last for ever."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._answers: dict[tuple[str, str], list[Answer | None]] = {}
        self.url = ""

    def says(self, method: str, path: str, *answers: Answer | None) -> None:
        """Give these answers, one after the other; None closes the connection without one."""
        self._answers[method, path] = list(answers)

    def answer(self, asked: Asked) -> Answer | None:
        self.asked.append(asked)
        answers = self._answers.get((asked.method, asked.path))
        if answers is None:
            return problem(404, "There is nothing here")
        return answers.pop(0) if len(answers) > 1 else answers[0]


def problem(status: int, title: str, *, detail: str = "", errors: object = (), **headers: str) -> Answer:
    """Problem details as the service writes them."""
    body = {"type": "urn:x", "title": title, "status": status, "detail": detail or title, "errors": errors}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, body, {"content-type": "application/problem+json", **named})


def task(status: str = "queued", **changes: object) -> dict[str, Any]:
    """A task document, whole, of Runware with one result asked for."""
    document: dict[str, Any] = {
        "id": TASK_ID,
        "provider": "runware",
        "model": "minimax:music@cover",
        "status": status,
        "overdue": False,
        "created_at": "2026-11-20T10:00:00.000000Z",
        "submitted_at": None,
        "settled_at": None,
        "completed_at": None,
        "deadline_at": None,
        "metadata": {},
        "warnings": [],
        "provider_task_id": TASK_ID,
        "request": {"provider": "runware", "model": None, "prompt": "bossa nova, nylon guitar", "count": 1},
        "results": [],
        "errors": [],
        "cost_usd": None,
        "polls": 0,
        "callbacks": 0,
    }
    return {**document, **deepcopy(changes)}


def result(status: str = "stored", **changes: object) -> dict[str, Any]:
    """A result document whose audio is AUDIO."""
    artifact = {
        "status": status,
        "url": f"/v1/tasks/{TASK_ID}/results/{RESULT_ID}/audio",
        "bytes": len(AUDIO),
        "sha256": hashlib.sha256(AUDIO).hexdigest(),
        "media_type": "audio/mpeg",
        "duration_seconds": 12.3,
    }
    document: dict[str, Any] = {
        "id": RESULT_ID,
        "index": 0,
        "provider_result_id": "p-1",
        "via": "callback",
        "late": False,
        "seed": 41,
        "cost_usd": 0.15,
        "received_at": "2026-11-20T10:00:24.100000Z",
        "url": None,
        "url_expires_at": None,
        "download_url": None,
        "artifact": artifact,
    }
    return {**document, **deepcopy(changes)}


def succeeded(**changes: object) -> dict[str, Any]:
    """A task that ended well."""
    whole: dict[str, object] = {
        "submitted_at": "2026-11-20T10:00:00.200000Z",
        "settled_at": "2026-11-20T10:00:24.100000Z",
        "completed_at": "2026-11-20T10:00:25.000000Z",
        "results": [result()],
        "cost_usd": 0.15,
        "callbacks": 1,
    }
    return {**task("succeeded", **whole), **deepcopy(changes)}


@contextmanager
def serving() -> Iterator[FakeService]:
    """A fake service on a free port of this machine."""
    fake = FakeService()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._do()

        def do_POST(self) -> None:
            self._do()

        def do_DELETE(self) -> None:
            self._do()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has in the base class
            return

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = fake.answer(Asked(self.command, parts.path, parse_qs(parts.query), headers, body))
            if answer is None:
                self.close_connection = True
                return
            content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {"content-type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            if "content-length" not in answer.headers:
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            if "content-length" in answer.headers:
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
