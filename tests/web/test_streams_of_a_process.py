"""SIGTERM, with streams open, callers waiting and one who reads nothing: the service is gone in a moment."""

import socket
import threading
import time
from pathlib import Path

import httpx

from tests.harness import running, wait_until
from tests.web.support import request


def test_at_sigterm_streams_end_whole_and_the_service_waits_for_none_of_them(tmp_path: Path) -> None:
    settings = {"RECEIVER_MAX_STREAMS": "4", "RECEIVER_MAX_WAITS": "1", "RECEIVER_STOP_SECONDS": "60"}
    with running(tmp_path, settings=settings) as stack:
        stack.faults(seconds=[600, 600])
        task = stack.submit("runware")
        stream = {**stack.headers(), "Accept": "text/event-stream"}
        heard: list[int] = []
        ended: list[str] = []

        def listen(path: str, **headers: str) -> None:
            # A chunked answer that is cut off raises, and is not among those that ended.
            with httpx.stream("GET", stack.service.url + path, headers={**stream, **headers}, timeout=120) as answer:
                for line in answer.iter_lines():
                    heard.extend([1] if line.startswith("data: ") else [])
            ended.append(path)

        def wait(seconds: float) -> httpx.Response:
            url = f"{stack.service.url}/v1/tasks/{task['id']}?wait={seconds}"
            return httpx.get(url, headers=stack.headers(), timeout=120)

        def wait_long() -> None:
            # While somebody else looks whether this one waits, it is one too many.
            while (answer := wait(60)).status_code == httpx.codes.TOO_MANY_REQUESTS:
                time.sleep(0.1)
            ended.append(str(answer.json()["status"]))

        deaf = socket.create_connection(("127.0.0.1", int(stack.service.url.rpartition(":")[2])))
        deaf.sendall(request("GET", "/v1/events", *(f"{name}: {value}" for name, value in stream.items())))
        threads = [
            *(threading.Thread(target=listen, args=[path]) for path in ("/v1/events", _events(task["id"]))),
            threading.Thread(target=wait_long),
        ]
        for thread in threads:
            thread.start()
        stack.wait_for(task["id"], "submitted")
        # Of two streams: created, attempted, submitted.
        wait_until(lambda: len(heard) >= 6, 20, "both streams tell of the submit")
        # One may wait at a time: whoever is refused has proved that it does.
        wait_until(lambda: wait(0.01).status_code == httpx.codes.TOO_MANY_REQUESTS, 20, "the caller waits")
        seconds = stack.service.stop(seconds=90)
        for thread in threads:
            thread.join(60)
        deaf.close()
        assert sorted(ended) == sorted(["/v1/events", _events(task["id"]), "submitted"])
        # Half of what it would give to work under way: nothing of this was waited for.
        assert seconds < 30
        assert "Traceback" not in stack.service.words()


def _events(task_id: str) -> str:
    return f"/v1/tasks/{task_id}/events"
