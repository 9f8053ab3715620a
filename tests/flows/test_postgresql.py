"""The main job with tasks in PostgreSQL, and what comes of it when that goes away and comes back."""

import html
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from receiver.bootstrap import new_keys
from tests.harness import TERMINAL, Stack, balance, basic, running, wait_until
from tests.postgresql import Server, serving

#: Links within the dashboard; of lists that lead from one to another only so many are opened.
_LINK = re.compile(r'<a [^>]*?href="(/[^"/][^"]*|/)"')
_MOST_PAGES = 60
SIGNING_KEY = new_keys()["signing_key"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of our own, which may be stopped, and which syncs: what it has acknowledged outlives that."""
    with serving(durable=True, on_port=True) as opened:
        yield opened


def settings(server: Server) -> dict[str, str]:
    return {"RECEIVER_DATABASE_URL": server.database(), "RECEIVER_SIGNING_KEYS": SIGNING_KEY}


def test_covers_arrive_whole_with_their_tasks_in_postgresql(server: Server, tmp_path: Path) -> None:
    with running(tmp_path, settings=settings(server)) as stack:
        by_callback, by_poll = stack.submit("runware", count=2), stack.submit("aimlapi")
        ended = [stack.wait_for(task["id"]) for task in (by_callback, by_poll)]
        assert [task["status"] for task in ended] == ["succeeded", "succeeded"]
        assert [[result["via"] for result in task["results"]] for task in ended] == [["callback"] * 2, ["poll"]]
        balance(stack).assert_exact()
        assert [event["seq"] for event in stack.events(by_callback["id"])] == list(
            range(1, len(stack.events(by_callback["id"])) + 1)
        )
        # Nothing of the service is left in the database when it has stopped, least of all a transaction.
        stack.service.stop()
        assert server.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'receiver'") == [(0,)]


def test_every_page_and_every_list_tells_of_tasks_in_postgresql(server: Server, tmp_path: Path) -> None:
    with running(tmp_path, settings=settings(server)) as stack:
        task_ids = [stack.submit(name)["id"] for name in ("runware", "aimlapi")]
        for task_id in task_ids:
            stack.wait_for(task_id)
        with httpx.Client(base_url=stack.service.url, timeout=60, follow_redirects=True) as client:
            lists = ["tasks", "stats"]
            lists += [f"tasks/{task_id}{of}" for task_id in task_ids for of in ("", "/events", "/reports")]
            for name in lists:
                answer = client.get(f"/v1/{name}", headers=stack.headers())
                assert answer.status_code == 200, f"{name}: {answer.text}"
            key = stack.headers()["Authorization"].removeprefix("Bearer ")
            signed_in = client.post(
                "/login", data={"key": key}, headers={"Origin": stack.service.url}, follow_redirects=False
            )
            # It is for secure places alone, of which a browser takes this machine for one.
            cookie = signed_in.headers["set-cookie"].partition(";")[0]
            seen, ahead = set[str](), ["/"]
            # For which a browser asks for the key.
            beside = {"/docs"}
            while ahead and len(seen) < _MOST_PAGES:
                path = ahead.pop(0)
                answer = client.get(path, headers={"Accept": "text/html", "Cookie": cookie})
                assert answer.status_code == 200, f"{path}: {answer.text}"
                seen.add(path)
                if answer.headers["content-type"].startswith("text/html"):
                    linked = (html.unescape(href) for href in _LINK.findall(answer.text))
                    ahead += [href for href in dict.fromkeys(linked) if href not in {*seen, *ahead, *beside}]
        assert {"/", "/tasks", "/reports", "/deliveries", "/providers", f"/tasks/{task_ids[0]}"} <= seen


class Submitting(threading.Thread):
    """Someone who submits without a pause, and keeps what was answered."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(daemon=True)
        self._stack = stack
        self.over = threading.Event()
        self.answers: Counter[int] = Counter()
        self.without_advice = 0
        self.slowest_seconds = 0.0

    def wait_for(self, status: int, more: int) -> None:
        """Wait until a status was answered so many times more."""
        before = self.answers[status]
        wait_until(lambda: self.answers[status] >= before + more, 30, f"{status} is answered")

    def run(self) -> None:
        number = 0
        with httpx.Client(timeout=60, headers=self._stack.headers()) as client:
            while not self.over.wait(0.05):
                number += 1
                began = time.monotonic()
                body = basic("runware" if number % 3 else "aimlapi")
                answer = client.post(f"{self._stack.service.url}/v1/tasks", json=body)
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
                self.answers[answer.status_code] += 1
                self.without_advice += answer.status_code == 503 and "retry-after" not in answer.headers


def test_postgresql_goes_away_under_load_and_nothing_is_lost(server: Server, tmp_path: Path) -> None:
    with running(tmp_path, settings=settings(server)) as stack:
        assert stack.service.child is not None
        process = stack.service.child.pid
        submitting = Submitting(stack)
        submitting.start()
        # Shut down, which breaks off what is under way, then dead from one moment to the next.
        for how in (signal.SIGINT, signal.SIGQUIT):
            submitting.wait_for(202, 8)
            server.stop(how)
            submitting.wait_for(503, 1)
            assert httpx.get(f"{stack.service.url}/readyz").status_code == 503
            server.start()
        submitting.wait_for(202, 5)
        submitting.over.set()
        submitting.join(60)
        assert submitting.answers.keys() == {202, 503}
        assert submitting.without_advice == 0
        assert submitting.slowest_seconds < 20
        wait_until(lambda: all(task["status"] in TERMINAL for task in stack.tasks()), 60, "every task has ended")
        found = balance(stack)
        found.assert_exact()
        assert found.statuses["succeeded"] >= submitting.answers[202]
        # The same process, which was never restarted, and said in a line each time what was the matter.
        assert stack.service.child.pid == process
        assert not stack.service.dead
        words = stack.service.words()
        assert words.count('"store_unavailable"') >= 1
        assert words.count('"store_available"') >= 1
        assert "Traceback" not in words, words[words.index("Traceback") - 500 :][:3000]
