"""The document of the interface: valid, whole, true, and shown to whoever may see it."""

import base64
import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import httpx
import openapi_spec_validator
import pytest

from receiver.web import create_app, openapi_callbacks, problems
from receiver.web.context import DescribedRoute
from receiver.web.dashboard.routing import PageRoute
from receiver.web.docs import DOCUMENT, PAGE
from tests.web import interface
from tests.web.fakes import BEARER, KEY, World
from tests.web.support import client, config

COVER = {
    "provider": "runware",
    "prompt": "bossa nova, nylon guitar",
    "reference_audio": "https://files.example.org/in.mp3",
}
TELLING = (DOCUMENT, PAGE)


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in interface.document()["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_document_is_valid_openapi_3_1() -> None:
    document = interface.document()
    assert document["openapi"] == "3.1.0"
    openapi_spec_validator.validate(document)


def test_every_route_is_described_and_everything_described_is_a_route() -> None:
    routes = create_app(World().ports, config(metrics_page=bytes)).routes
    # Pages and the files that they are made with are for people.
    assert all(isinstance(route, DescribedRoute | PageRoute) for route in routes)
    served = {
        (route.path, method)
        for route in routes
        if isinstance(route, DescribedRoute)
        for method in (route.methods or set()) - {"HEAD"}
    }
    # The door stands in front of the router.
    served |= {(openapi_callbacks.PATH, method) for method in ("GET", "POST")}
    assert {(path, method.upper()) for path, method, _ in operations()} == served


async def test_what_the_door_is_described_to_take_it_takes(world: World) -> None:
    task = world.task()
    path = openapi_callbacks.PATH.format(provider="runware", token=world.token(task.key))
    async with client(world, headers={}) as http:
        for method, status in (("GET", 204), ("POST", 200)):
            assert (await http.request(method, path)).status_code == status


def test_every_operation_has_a_name_of_its_own_and_says_what_it_is_for() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    for path, method, operation in operations():
        assert operation["summary"], (path, method)
        assert operation["description"], (path, method)
        assert all(parameter["description"] for parameter in operation.get("parameters", ())), (path, method)


def test_every_kind_of_refusal_is_described_somewhere() -> None:
    told = set(re.findall(r"urn:receiver:problem:[a-z-]+", str(interface.document())))
    # It answers to methods that are not described.
    assert told == {kind.type for kind in problems.KINDS} - {problems.METHOD_NOT_ALLOWED.type}


def test_the_headers_that_carry_a_promise_are_described() -> None:
    told = {
        name.lower()
        for _, _, one in operations()
        for answer in one["responses"].values()
        for name in answer.get("headers", {})
    } | {parameter["name"].lower() for _, _, one in operations() for parameter in one.get("parameters", ())}
    promised = {"idempotency-key", "idempotent-replayed", "location", "retry-after", "etag", "range", "content-range"}
    assert promised | {"last-event-id", "www-authenticate"} <= told


async def test_the_examples_of_a_request_are_taken(world: World) -> None:
    examples = interface.document()["paths"]["/v1/tasks"]["post"]["requestBody"]["content"]["application/json"][
        "examples"
    ]
    assert {"runware", "aimlapi"} <= examples.keys()
    async with client(world) as http:
        for name in ("runware", "aimlapi"):
            answer = await http.post("/v1/tasks", json=examples[name]["value"])
            assert answer.status_code == 202, answer.text


async def test_a_process_describes_what_it_serves_and_no_more(world: World) -> None:
    async with client(world, roles=frozenset({"api"})) as http:
        paths = (await http.get(DOCUMENT)).json()["paths"]
        assert (await http.get(PAGE)).status_code == 200
    assert "/v1/tasks" in paths
    assert openapi_callbacks.PATH not in paths


async def test_an_answer_with_one_field_more_or_less_would_be_noticed(world: World) -> None:
    async with client(world) as http:
        task = (await http.post("/v1/tasks", json=COVER)).json()
    path = f"/v1/tasks/{task['id']}"
    spoils: list[Callable[[dict[str, Any]], object]] = [
        lambda one: one.update(extra=1),
        lambda one: one.pop("polls"),
        lambda one: one.update(status="done"),
        lambda one: one.update(created_at="yesterday"),
        lambda one: one["request"].update(extra=1),
    ]
    for spoil in spoils:
        spoilt = deepcopy(task)
        spoil(spoilt)
        with pytest.raises(AssertionError):
            check(path, 200, spoilt)
    with pytest.raises(AssertionError):
        check(path, 418, task)
    check(path, 200, task)


def check(path: str, status: int, answer: object) -> None:
    body = httpx.Response(200, json=answer).content
    interface.check("GET", path, status, {"content-type": "application/json"}, body)


@pytest.mark.parametrize("path", TELLING)
async def test_document_and_page_need_a_key_which_a_browser_may_give_as_a_password(world: World, path: str) -> None:
    async with client(world, headers={}) as http:
        refused = await http.get(path)
        assert refused.status_code == 401
        assert refused.headers["content-type"] == problems.MEDIA_TYPE
        assert re.fullmatch(r'Basic realm="[^"]+", charset="UTF-8"', refused.headers["www-authenticate"])
        assert (await http.get(path, headers=BEARER)).status_code == 200
        for user in ("", "me"):
            assert (await http.get(path, auth=(user, KEY))).status_code == 200
        assert (await http.get(path, auth=("me", "x" * 40))).status_code == 401
        for sent in ("Basic", "Basic !", "Basic " + base64.b64encode(b"\xff\xfe").decode()):
            assert (await http.get(path, headers={"Authorization": sent})).status_code == 401


async def test_a_key_with_a_name_is_a_user_and_a_password(world: World) -> None:
    async with client(world, headers={}, api_keys=(f"tests:{KEY}",)) as http:
        assert (await http.get(PAGE, auth=("tests", KEY))).status_code == 200


async def test_guessing_passwords_is_braked_like_guessing_keys(world: World) -> None:
    async with client(world, headers={}) as http:
        answers = [(await http.get(PAGE, auth=("me", f"guess-{n}"))).status_code for n in range(11)]
    assert answers == [401] * 10 + [429]


async def test_nothing_of_a_task_is_opened_by_a_password(world: World) -> None:
    async with client(world, headers={}, metrics_page=bytes) as http:
        for path in ("/v1/tasks", "/v1/events", "/metrics"):
            answer = await http.get(path, auth=("me", KEY))
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("path", [*TELLING, "/metrics"])
async def test_what_the_operator_made_public_needs_no_key(world: World, path: str) -> None:
    async with client(world, headers={}, metrics_page=bytes) as http:
        assert (await http.get(path)).status_code == 401
    async with client(world, headers={}, metrics_page=bytes, metrics_public=True) as http:
        assert (await http.get(path)).status_code == 200
        assert (await http.get("/v1/tasks")).status_code == 401


async def test_the_document_tells_no_address_that_a_caller_made_up(world: World) -> None:
    async with client(world) as http:
        told = await http.get(DOCUMENT, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert "evil" not in told.text
    assert told.json()["servers"] == [{"url": "/"}]
    async with client(world, api_url="https://api.example.org/receiver") as http:
        assert (await http.get(DOCUMENT)).json()["servers"] == [{"url": "https://api.example.org/receiver"}]


async def test_a_parameter_is_refused_here_too(world: World) -> None:
    async with client(world) as http:
        for path in TELLING:
            assert (await http.get(f"{path}?x=1")).status_code == 422
