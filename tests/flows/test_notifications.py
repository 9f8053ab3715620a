"""The user's application is told: signed, in order, at least once, whatever its endpoint does and who dies."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from receiver.domain.delivery import spell_secret
from tests.flows.listener import (
    Application,
    Script,
    application,
    breaks_off,
    hangs,
    never_ends,
    registered,
    resets_amid_body,
    says,
)
from tests.harness import Stack, running, wait_until

SECRET = spell_secret(b"a secret of thirty-two bytes....")
FORMER = spell_secret(b"the one before, still overlapped")
SETTINGS = {"RECEIVER_NOTIFY_SECRET": f"{SECRET},{FORMER}", "RECEIVER_NOTIFY_TIMEOUT_SECONDS": "6"}


@pytest.fixture(scope="module")
def configured() -> Iterator[Application]:
    with application() as app:
        yield app


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, configured: Application) -> Iterator[Stack]:
    settings = {**SETTINGS, "RECEIVER_NOTIFY_URL": configured.url}
    with running(tmp_path_factory.mktemp("notify"), settings=with_loopback(settings)) as started:
        yield started


def with_loopback(settings: dict[str, str]) -> dict[str, str]:
    # The sandbox and the endpoints take free ports of this machine.
    return {**settings, "RECEIVER_ALLOWED_PRIVATE_HOSTS": "127.0.0.1"}


def deliveries(stack: Stack, **wanted: str) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={value}" for name, value in wanted.items())
    found: list[dict[str, Any]] = stack.get(f"/v1/deliveries?{query}").json()["data"]
    return found


def test_what_happens_is_told_in_order_as_every_route_shows_it(stack: Stack, configured: Application) -> None:
    task = stack.wait_for(stack.submit("runware", count=2)["id"])
    wait_until(lambda: len(deliveries(stack, task_id=task["id"], status="sent")) == 3, 60, "all three were delivered")
    told = [post.verified(SECRET) for post in configured.posts if task["id"].encode() in post.body]
    assert [note.type for note in told] == ["result.stored", "result.stored", "task.succeeded"]
    # Either secret is good while one takes the place of the other.
    assert [post.verified(FORMER).type for post in configured.posts][-1] == "task.succeeded"
    shown = stack.task(task["id"])
    for result in shown["results"]:
        assert result["download_url"] is not None
        result["download_url"] = None
    assert told[2].data == shown
    assert [note.data for note in told[:2]] == [
        {"task_id": task["id"], "result": shown["results"][number]}
        for number in sorted(
            range(2),
            key=lambda number: [note.result and note.result.id for note in told].index(
                shown["results"][number]["id"]
            ),
        )
    ]
    assert [event["type"] for event in stack.events(task["id"])].count("delivery.sent") == 3


@pytest.mark.parametrize("script", [resets_amid_body, never_ends, says(204), says(299, b"x" * 100_000)])
def test_any_2xx_takes_it_whatever_comes_behind(stack: Stack, script: Script) -> None:
    with application(script) as app:
        endpoint = registered(stack, app, types=["task.cancelled"])
        told = stack.post(f"/v1/endpoints/{endpoint['id']}/test", {}).json()
        assert told["delivered"] is True
        assert app.posts[0].verified(endpoint["secret"]).type == "endpoint.test"
        remove(stack, endpoint)


FAILING = (
    (says(500), "status", 500),
    (says(302, b"", "Location: http://127.0.0.1:9/"), "redirect", 302),
    (breaks_off, "answer", None),
    (hangs, "timeout", None),
)


def test_what_fails_comes_again_under_its_id(stack: Stack) -> None:
    with ExitStack() as open_apps:
        apps = [open_apps.enter_context(application(script, says(200))) for script, _, _ in FAILING]
        endpoints = [registered(stack, app, types=["task.failed"]) for app in apps]
        stack.faults(fail=1.0)
        task = stack.wait_for(stack.submit("aimlapi")["id"])
        stack.faults()
        assert task["status"] == "failed"
        for app, endpoint, (_, error, status) in zip(apps, endpoints, FAILING, strict=True):
            first, second = app.wait_for(2)
            assert first.id == second.id
            assert second.at - first.at > 4
            assert second.verified(endpoint["secret"]).task_id == task["id"]
            [delivery] = sent(stack, endpoint)
            assert delivery["id"] == first.id
            outcomes = [(outcome["error"], outcome["status_code"]) for outcome in delivery["outcomes"]]
            assert outcomes == [(error, status), (None, 200)]
            remove(stack, endpoint)


def test_a_retry_after_is_honoured(stack: Stack) -> None:
    with application(says(429, b"", "Retry-After: 1"), says(503, b"", "Retry-After: 1"), says(200)) as app:
        endpoint = registered(stack, app, types=["task.succeeded"])
        stack.wait_for(stack.submit("aimlapi")["id"])
        posts = app.wait_for(3)
        # By the schedule the third would come after five minutes.
        assert len({post.id for post in posts}) == 1
        assert posts[1].at - posts[0].at >= 0.9
        remove(stack, endpoint)


def test_an_endpoint_that_is_gone_is_stopped_and_what_died_is_sent_when_it_is_back(stack: Stack) -> None:
    with application(says(410), says(200)) as app:
        endpoint = registered(stack, app, types=["task.succeeded"])
        path = f"/v1/endpoints/{endpoint['id']}"
        stack.wait_for(stack.submit("aimlapi")["id"])
        wait_until(lambda: stack.get(path).json()["status"] == "stopped", 30, "it is stopped")
        assert stack.get(path).json()["reason"] == "gone"
        [dead] = deliveries(stack, endpoint_id=endpoint["id"], status="dead")
        stack.wait_for(stack.submit("aimlapi")["id"])
        assert len(deliveries(stack, endpoint_id=endpoint["id"])) == 1
        assert stack.post("/v1/deliveries/redrive", {"id": dead["id"]}).json()["count"] == 0
        assert stack.post(f"{path}/resume", {}).json()["status"] == "active"
        assert stack.post("/v1/deliveries/redrive", {"endpoint_id": endpoint["id"]}).json()["count"] == 1
        first, second = app.wait_for(2)
        assert first.id == second.id == dead["id"]
        remove(stack, endpoint)


def test_a_tasks_own_url_is_told_in_the_place_of_its_endpoint(stack: Stack) -> None:
    with application(says(410), says(200)) as app:
        endpoint = registered(stack, app, types=["task.succeeded"])
        own = app.url.replace("/hooks", "/songs/17?a=b")
        task = stack.wait_for(stack.submit("aimlapi", notify_url=own)["id"])
        [post] = app.wait_for(1)
        assert (post.target, post.verified(endpoint["secret"]).task_id) == ("/songs/17?a=b", task["id"])
        # That path is gone, and the endpoint is not.
        wait_until(lambda: bool(deliveries(stack, task_id=task["id"], status="dead")), 30, "its notification is dead")
        stack.wait_for(stack.submit("aimlapi")["id"])
        assert app.wait_for(2)[1].target == "/hooks"
        assert stack.get(f"/v1/endpoints/{endpoint['id']}").json()["status"] == "active"
        remove(stack, endpoint)


def test_a_service_that_dies_between_two_attempts_goes_on_with_the_second(stack: Stack) -> None:
    with application(says(500), says(200)) as app:
        endpoint = registered(stack, app, types=["task.failed"])
        stack.faults(fail=1.0)
        task = stack.wait_for(stack.submit("aimlapi")["id"])
        stack.faults()
        asked = f"endpoint_id={endpoint['id']}&error=status"
        wait_until(lambda: bool(stack.get(f"/v1/deliveries?{asked}").json()["data"]), 30, "the first is on record")
        stack.service.kill()
        stack.service.start()
        first, second = app.wait_for(2)
        assert first.id == second.id
        assert second.verified(endpoint["secret"]).task_id == task["id"]
        assert [delivery["attempts"] for delivery in sent(stack, endpoint)] == [2]


def sent(stack: Stack, endpoint: dict[str, Any]) -> list[dict[str, Any]]:
    """Wait until nothing is on its way to an endpoint and return what was sent."""
    of = endpoint["id"]
    wait_until(lambda: not deliveries(stack, endpoint_id=of, status="pending"), 60, "nothing is on its way")
    return deliveries(stack, endpoint_id=of, status="sent")


def remove(stack: Stack, endpoint: dict[str, Any]) -> None:
    stack.http.delete(f"{stack.service.url}/v1/endpoints/{endpoint['id']}", headers=stack.headers())
