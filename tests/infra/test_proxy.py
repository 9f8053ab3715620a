"""Caddy as it is shipped, in front of the real service: what passes, what does not, and what its log says."""

import hashlib
import json
import random
from collections.abc import Iterator

import httpx
import pytest

from tests.harness import API_KEY, balance, basic
from tests.infra.proxied import Proxied, proxied

MEBIBYTE = 1024 * 1024
SECRET = API_KEY.partition(":")[2]
NOBODYS = "/callbacks/runware/AWxhcmtsYXJrbGFya2xhcmtsYXJrbGFya2xhcmtsYXJr"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    with proxied(tmp_path_factory.mktemp("proxied")) as site:
        yield site


def told(answer: httpx.Response) -> dict[str, object]:
    """What an answer says, without what differs from one to the next."""
    kept = {name: value for name, value in answer.headers.items() if name not in {"date", "connection"}}
    return {"status": answer.status_code, "headers": dict(sorted(kept.items())), "body": answer.text}


def test_the_main_job_passes_through_tls(site: Proxied) -> None:
    task = site.stack.wait_for(site.stack.submit("runware", count=2)["id"])
    assert task["status"] == "succeeded"
    assert [result["via"] for result in task["results"]] == ["callback", "callback"]
    [entry] = site.stack.ledger()
    assert entry["webhook_url"].startswith(f"{site.outside.base_url}/callbacks/runware/")
    # One that was not answered in time on a busy machine comes again.
    assert 200 in {call["status_code"] for call in entry["callbacks"]} <= {200, None}
    balance(site.stack).assert_exact()


def test_a_callback_of_thirty_mebibytes_arrives_whole(site: Proxied) -> None:
    site.stack.faults(stall=1.0)
    task = site.stack.submit("runware")
    site.stack.wait_for_attempt(task["id"])
    path = site.webhook_paths()[-1]
    body = json.dumps({"data": [], "padding": random.Random(1).randbytes(15 * MEBIBYTE).hex()}).encode()
    answer = site.outside.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
    [report] = site.stack.get(f"/v1/tasks/{task['id']}/reports").json()["data"]
    raw = site.stack.get(f"/v1/reports/{report['id']}/raw").content
    assert hashlib.sha256(raw).digest() == hashlib.sha256(body).digest()
    site.stack.faults()


def test_the_door_tells_a_good_token_to_whoever_asks(site: Proxied) -> None:
    site.stack.wait_for_attempt(site.stack.submit("runware")["id"])
    path = site.webhook_paths()[-1]
    assert site.outside.get(path).status_code == 204
    assert site.outside.head(path).status_code == 204
    assert site.outside.head(NOBODYS).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/tasks",
        "/v1/../v1/tasks",
        "/v1/tasks/..%2f..%2fcallbacks%2frunware%2fx",
        "/v1/../callbacks/runware/x",
        "/callbacks/..%2fv1%2ftasks",
        "/callbacks/%2e%2e/v1/tasks",
        "//v1/tasks",
        "/callbacks/runware/x/",
        "/metrics",
        "/healthz",
        "/readyz",
        "/docs",
        "/openapi.json",
        "/_sandbox/ledger",
        "/callbacks",
        "/inputs/",
    ],
)
def test_the_private_side_is_not_there_on_the_public_name(site: Proxied, path: str) -> None:
    # As it is written here: a client would tidy the path.
    url = httpx.URL(site.outside.base_url).copy_with(raw_path=path.encode())
    # Without a body: the service closes before it has read one, and Caddy may lose the words of the answer with it.
    nothing = told(site.outside.post(NOBODYS))
    assert told(site.outside.get(url, headers={"Authorization": f"Bearer {SECRET}"})) == nothing
    assert told(site.outside.get(url)) == nothing


def test_nothing_differs_between_a_wrong_token_and_a_wrong_address(site: Proxied) -> None:
    addresses = [NOBODYS, "/callbacks/lark/AAAAAAAAAAAAAAAAAAAAAAAA", "/inputs/AAAAAAAAAAAAAAAA", "/nowhere"]
    assert len({json.dumps(told(site.outside.get(address))) for address in addresses}) == 1


def test_a_large_callback_with_a_wrong_token_is_never_confirmed(site: Proxied) -> None:
    # The service closes before it has read the body; where that is seen before the 404, Caddy can only say 503.
    with site.outside.stream("POST", NOBODYS, content=bytes(4 * MEBIBYTE)) as answer:
        assert answer.status_code in {404, 503}


def test_other_methods_are_not_there(site: Proxied) -> None:
    path = site.webhook_paths()[-1]
    assert {site.outside.request(method, path).status_code for method in ("PUT", "DELETE", "OPTIONS")} == {404}


def test_a_name_that_is_not_ours_is_never_confirmed(site: Proxied) -> None:
    answer = site.outside.post(NOBODYS, headers={"Host": "hooks.example.org"})
    assert answer.status_code == 404


def test_a_head_above_what_the_service_takes_is_refused(site: Proxied) -> None:
    assert site.outside.get(NOBODYS, headers={"X-Long": "a" * 8 * 1024}).status_code == 404
    assert site.outside.get(NOBODYS, headers={"X-Long": "a" * 40 * 1024}).status_code == 431


def test_the_private_side_has_a_name_of_its_own(site: Proxied) -> None:
    assert site.inside.get("/v1/tasks").status_code == 401
    headers = {"Authorization": f"Bearer {SECRET}"}
    answer = site.inside.post("/v1/tasks", json=basic("aimlapi"), headers=headers)
    assert answer.status_code == 202
    assert site.inside.get("/v1/tasks", headers=headers).json()["data"][0]["id"] == answer.json()["id"]
    assert site.inside.post(site.webhook_paths()[-1], content=b"{}").status_code == 404


def test_prometheus_finds_what_the_alerts_live_on(site: Proxied) -> None:
    site.stack.wait_for(site.stack.submit("aimlapi")["id"])
    page = site.inside.get("/metrics", headers={"Authorization": f"Bearer {SECRET}"})
    assert page.status_code == 200
    names = {line.partition("{")[0] for line in page.text.splitlines()}
    assert names >= {
        "receiver_callback_seconds_bucket",
        "receiver_callbacks_total",
        "receiver_settle_lag_seconds_bucket",
        "receiver_tasks_created_total",
        "receiver_polls_answered_total",
        "receiver_submit_seconds_count",
        "receiver_collect_seconds_bucket",
        "receiver_requests_total",
    }


def test_while_the_service_is_away_a_callback_is_told_to_come_again(site: Proxied) -> None:
    path = site.webhook_paths()[-1]
    site.stack.service.stop()
    try:
        answer = site.outside.post(path, content=b'{"away":1}', headers={"Authorization": f"Bearer {SECRET}"})
    finally:
        site.stack.service.start()
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json()["type"] == "urn:receiver:problem:unavailable"
    assert site.outside.post(path, content=b'{"back":1}').status_code == 200


def test_no_log_holds_a_token_or_a_key(site: Proxied) -> None:
    tokens = [path.rpartition("/")[2] for path in site.webhook_paths()]
    assert len(tokens) > 2
    for words in (site.words(), site.stack.service.words()):
        assert words.count("\n") > 2
        assert [token for token in tokens if token in words] == []
        assert SECRET not in words
        assert "/callbacks/" not in words
