"""Two processes tell the user's application from one PostgreSQL, and are killed amid and between their attempts."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.flows.listener import Application, Post, application, hangs, registered, says
from tests.flows.replicas import Replicas, replicas
from tests.harness import Stack, wait_until
from tests.postgresql import Server

TASKS = 4
WORKERS = ("worker-1", "worker-2")
SETTINGS = {
    "RECEIVER_LEASE_SECONDS": "3",
    "RECEIVER_NOTIFY_TIMEOUT_SECONDS": "6",
    "RECEIVER_ALLOWED_PRIVATE_HOSTS": "127.0.0.1",
}
#: Answered so in turn, then with a 200 for ever: the first is held until whoever asks is killed.
AGAIN_SOON = says(503, b"", "Retry-After: 1")
REFUSED = 8


def told_all(stack: Stack, endpoint: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what an endpoint is to be told, once all of it was taken."""
    found: list[dict[str, Any]] = []

    def done() -> bool:
        answer = stack.get(f"/v1/deliveries?endpoint_id={endpoint['id']}&limit=100").json()
        found[:] = answer["data"]
        return len(found) == 2 * TASKS and all(delivery["status"] == "sent" for delivery in found)

    wait_until(done, 120, "everything was delivered")
    return found


def assert_told(app: Application, endpoint: dict[str, Any], sent: list[dict[str, Any]], refused: int) -> None:
    """At least once, under one id each, nothing else, and what is about one task in its order."""
    notes = [(post, post.verified(endpoint["secret"])) for post in app.posts]
    ids = {delivery["id"] for delivery in sent}
    assert {post.id for post in app.posts} == ids
    assert len({(note.type, note.task_id) for _, note in notes}) == len(ids)
    seen: dict[str, list[tuple[str, Post]]] = defaultdict(list)
    for post, note in notes:
        seen[str(note.task_id)].append((note.type, post))
    assert len(seen) == TASKS
    taken = {post.id for post in app.posts[refused:]}
    assert taken == ids
    for about in seen.values():
        # What ends a task is not told before somebody has taken what came before it.
        first = next(number for number, (kind, _) in enumerate(about) if kind == "task.succeeded")
        assert all(kind == "result.stored" for kind, _ in about[:first])
        assert any(app.posts.index(post) >= refused for _, post in about[:first])
        assert all(kind == "task.succeeded" for kind, _ in about[first + 1 :]), [kind for kind, _ in about]


def killed_and_back(shared: Replicas, *names: str) -> None:
    shared.kill(*names)
    shared.start(*names)


def test_nothing_is_lost_or_told_out_of_turn_when_either_of_two_workers_is_killed(
    tmp_path: Path, postgresql: Server
) -> None:
    scripts = [hangs, *[AGAIN_SOON] * (REFUSED - 1), says(200)]
    with (
        replicas(tmp_path, postgresql.database(), settings=SETTINGS) as shared,
        application(*scripts) as failing,
        application() as steady,
    ):
        shared.start("api", *WORKERS)
        stack = shared.stack
        endpoints = {app.url: registered(stack, app) for app in (failing, steady)}
        ids = [stack.submit("aimlapi")["id"] for _ in range(TASKS)]
        # Amid a call: it cannot be known which of them makes it.
        failing.wait_for(1)
        killed_and_back(shared, *WORKERS)
        for count, worker in ((4, WORKERS[0]), (REFUSED, WORKERS[1])):
            failing.wait_for(count)
            killed_and_back(shared, worker)
        for task_id in ids:
            assert stack.wait_for(task_id)["status"] == "succeeded"
        for app, refused in ((failing, REFUSED), (steady, 0)):
            sent = told_all(stack, endpoints[app.url])
            assert_told(app, endpoints[app.url], sent, refused)
