from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from starlette.applications import Starlette

from receiver.domain.result import Result
from receiver.domain.token import Purpose
from receiver.web import WebConfig, create_app, problems
from receiver.web.present import DOWNLOAD_PROVIDER, audio_path
from tests.web.fakes import KEY, World
from tests.web.support import client, config

SUBJECT = UUID("01900000-0000-7000-8000-000000000001")
#: Every route that takes a token, by the purpose it takes.
ROUTES = {
    Purpose.CALLBACK: ("POST", "/callbacks/{provider}/{token}"),
    Purpose.DOWNLOAD: ("GET", "{audio}?token={token}"),
}

#: An id of nothing; always the same, for it names a test.
NOBODY = UUID("5f0c3a6e-7c5d-4a44-9b6e-0d9d3f1f6a11")


@pytest.mark.parametrize("route", ROUTES, ids=lambda purpose: purpose.name)
@pytest.mark.parametrize("provider", ["runware", "aimlapi", DOWNLOAD_PROVIDER], ids=["runware", "aimlapi", "none"])
@pytest.mark.parametrize("purpose", list(Purpose), ids=lambda purpose: purpose.name)
async def test_a_token_opens_exactly_the_route_of_its_purpose_and_provider(
    world: World, route: Purpose, purpose: Purpose, provider: str
) -> None:
    stored = world.stored_result(b"audio")
    result = Result(SUBJECT, 0, "a", stored.via, stored.received_at, stored.report_id, artifact=stored.artifact)
    task = world.task(key=SUBJECT, results=(result,))
    method, template = ROUTES[route]
    token = world.token(SUBJECT, purpose=purpose, provider=provider)
    path = template.format(provider="runware", token=token, audio=audio_path(task.id, SUBJECT))
    own_provider = "runware" if route is Purpose.CALLBACK else DOWNLOAD_PROVIDER
    async with client(world, headers={}) as http:
        answer = await http.request(method, path)
        assert answer.status_code == (200 if purpose is route and provider == own_provider else 404)
        world.system.passed += 3601
        assert (await http.request(method, path)).status_code == 404


async def test_a_token_is_no_key(world: World) -> None:
    for purpose in Purpose:
        token = world.token(SUBJECT, purpose=purpose, lifetime=timedelta(hours=1))
        async with client(world, headers={"Authorization": f"Bearer {token}"}) as http:
            assert (await http.get("/v1/tasks")).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "/v1/tasks", "DELETE, GET, HEAD, POST"),
        ("PUT", "/v1/tasks", "DELETE, GET, HEAD, POST"),
        ("POST", f"/v1/tasks/{NOBODY}", "DELETE, GET, HEAD"),
        ("POST", "/v1/events", "GET, HEAD"),
        ("DELETE", f"/v1/reports/{NOBODY}/raw", "GET, HEAD"),
        ("POST", audio_path(NOBODY, NOBODY), "GET, HEAD"),
        ("OPTIONS", "/v1/tasks", "DELETE, GET, HEAD, POST"),
    ],
)
async def test_another_method_is_405_and_names_those_there_are(
    world: World, method: str, path: str, allow: str
) -> None:
    async with client(world) as http:
        answer = await http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert answer.json()["type"] == problems.METHOD_NOT_ALLOWED.type


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/tasks/", "/v2/tasks", "/docs/", "/favicon.ico", "/metrics"])
async def test_what_is_not_there_is_a_404_without_redirect(world: World, path: str) -> None:
    async with client(world) as http:
        answer = await http.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, problems.NOT_FOUND.type)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_every_answer_but_health_forbids_keeping_and_guessing(world: World) -> None:
    task = world.task()
    async with client(world) as http:
        answers = [
            await http.get(path)
            for path in (
                "/v1/tasks",
                f"/v1/tasks/{task.id}",
                "/v1/events",
                "/v1/nothing",
                "/nothing",
                "/v1/tasks?x=1",
            )
        ]
        answers.append(await http.get("/v1/tasks", headers={"Authorization": "Bearer wrong"}))
        health = await http.get("/healthz")
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert {answer.headers["x-content-type-options"] for answer in [*answers, health]} == {"nosniff"}
    assert "cache-control" not in health.headers


async def test_requests_are_counted_by_route_and_never_by_path(world: World) -> None:
    task = world.task()
    async with client(world) as http:
        await http.get(f"/v1/tasks/{task.id}")
        await http.get(f"/v1/tasks/{uuid4()}")
        await http.get("/whatever/some-secret")
    assert world.metrics.counts["requests", "/v1/tasks/{id}", "2xx"] == 1
    assert world.metrics.counts["requests", "/v1/tasks/{id}", "4xx"] == 1
    assert world.metrics.counts["requests", "other", "4xx"] == 1


async def test_a_problem_has_the_shape_of_rfc_9457(world: World) -> None:
    async with client(world) as http:
        answer = await http.get("/v1/tasks?limit=0")
    message = "must be a whole number from 1 to 200"
    assert answer.json() == {
        "type": "urn:receiver:problem:invalid-request",
        "title": "The request cannot be accepted as it is",
        "status": 422,
        "detail": f"limit {message}",
        "errors": [{"field": "limit", "message": message}],
    }


def test_the_types_of_problems_are_a_contract() -> None:
    assert {kind.name: kind.status for kind in problems.KINDS} == {
        "invalid-json": 400,
        "unauthorized": 401,
        "not-found": 404,
        "not-stored": 404,
        "method-not-allowed": 405,
        "body-too-slow": 408,
        "already-terminal": 409,
        "generation-taken": 409,
        "endpoint-configured": 409,
        "audio-erased": 410,
        "endpoint-taken": 409,
        "too-many-endpoints": 409,
        "body-too-large": 413,
        "unsupported-media-type": 415,
        "range-not-satisfiable": 416,
        "invalid-request": 422,
        "idempotency-key-reused": 422,
        "too-many-attempts": 429,
        "too-many-bodies": 429,
        "not-audio": 415,
        "too-many-inputs": 429,
        "too-many-uploads": 429,
        "too-many-replays": 429,
        "too-many-trials": 429,
        "too-many-redrives": 429,
        "too-many-streams": 429,
        "too-many-waits": 429,
        "internal": 500,
        "unavailable": 503,
    }


async def test_no_address_is_built_from_what_a_caller_claims(world: World) -> None:
    task = world.task(results=(world.stored_result(b"x"),))
    claims = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "Forwarded": "host=evil.example",
    }
    async with client(world) as http:
        answer: httpx.Response = await http.get(f"/v1/tasks/{task.id}", headers=claims)
    assert "evil.example" not in answer.text + str(answer.headers)


async def test_what_opens_and_closes_with_the_application_is_run(world: World) -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        steps.append("open")
        yield
        steps.append("closed")

    app = create_app(world.ports, config(), lifespan=lifespan)
    async with app.router.lifespan_context(app):
        assert steps == ["open"]
    assert steps == ["open", "closed"]


def test_a_role_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no role web"):
        WebConfig(roles=frozenset({"web"}))


def test_room_for_less_than_one_body_is_refused() -> None:
    with pytest.raises(ValueError, match="room for at least one body"):
        WebConfig(max_callback_bytes=10, callback_room_bytes=9)


def test_the_config_shows_no_key() -> None:
    assert KEY not in repr(WebConfig(api_keys=(KEY,), secrets=(KEY,)))
