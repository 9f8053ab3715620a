"""A provider that repeats whatever it was told: keys, callback URLs and bodies, in every member it has."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx


@dataclass
class Echo:
    """What the provider has heard. With ``refusing`` it takes nothing and says why, quoting the key."""

    url: str = ""
    refusing: bool = False
    heard: list[str] = field(default_factory=list)
    called_back: list[int] = field(default_factory=list)

    def answer(self, method: str, target: str, authorization: str, body: bytes) -> tuple[int, object]:
        """Say something about a request, and all of the request with it."""
        asked = body.decode()
        key = authorization.removeprefix("Bearer ")
        told = f"{authorization} {target} {asked}"
        self.heard.append(told)
        if self.refusing:
            return 401, {
                "errors": [{"code": "invalidApiKey", "message": f"incorrect key {key} ({told})"}],
                "message": f"incorrect key {key} ({told})",
                "status": 401,
                "error": {"name": key, "message": told},
            }
        if target.startswith("/aimlapi"):
            return self._aimlapi(method, key, told)
        return self._runware(json.loads(asked), key, told)

    def _aimlapi(self, method: str, key: str, told: str) -> tuple[int, object]:
        if method == "POST":
            return 200, {"id": "echo-of-a-generation", "status": "queued", "meta": {"note": told}}
        failure = {"name": key, "message": told, "detail": [{"loc": [key], "msg": told, "type": key}]}
        return 200, {"id": "echo-of-a-generation", "status": "failed", "error": failure, key: told}

    def _runware(self, asked: list[dict[str, Any]], key: str, told: str) -> tuple[int, object]:
        said = []
        for task in asked:
            echo = {"taskUUID": task["taskUUID"], "taskType": task["taskType"], "echo": told, key: key}
            if "webhookURL" in task:
                said.append({**echo, "status": "processing", "webhookURL": task["webhookURL"]})
                threading.Thread(target=self._call_back, args=(task, key, told), daemon=True).start()
            else:
                said.append({**echo, "code": key, "message": told, "status": "error", "parameter": key})
        return 200, {"data": [], "errors": said} if said and "code" in said[0] else {"data": said}

    def _call_back(self, task: dict[str, Any], key: str, told: str) -> None:
        url = task["webhookURL"]
        token = url.rpartition("/")[2]
        own = {"taskUUID": task["taskUUID"]}
        escaped = "".join(f"\\u{ord(letter):04x}" for letter in token)
        bodies: list[bytes] = [
            f"not JSON: {told} {url} {key}".encode(),
            json.dumps({"data": [{**own, "status": key, url: token, "echo": told}]}).encode(),
            json.dumps({"errors": [{**own, "code": token, "message": f"{url} {told}", "type": key}]}).encode(),
            json.dumps({"errors": [{**own, "code": key, "message": url.replace("/", "%2F")}]}).encode(),
            json.dumps({"data": [{"taskUUID": token, "status": "success"}]}).encode(),
            f'{{"data":[{{"taskUUID":"{task["taskUUID"]}","status":"{escaped}"}}]}}'.encode(),
            json.dumps({"data": [{**own, "status": "success", "audioUUID": key, "audioURL": url}]}).encode(),
            json.dumps(
                {
                    "data": [
                        {**own, "status": "success", "audioUUID": token, "audioURL": f"{self.url}/{token}?s={key}"}
                    ]
                }
            ).encode(),
        ]
        for body in bodies:
            self.called_back.append(httpx.post(url, content=body, timeout=20).status_code)


@contextmanager
def echoing() -> Iterator[Echo]:
    """Run it on a free port for the length of the block."""
    echo = Echo()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._do()

        def do_POST(self) -> None:
            self._do()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has in the base class
            return

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            authorization = self.headers.get("authorization", "")
            said: object = {"message": f"no audio for {self.path}"}
            status = 403
            if not re.fullmatch(r"/[A-Za-z0-9_-]{70}\?.*", self.path):
                status, said = echo.answer(self.command, self.path, authorization, body)
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    echo.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield echo
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
