"""The probe of `receiver doctor`: who may ask, what is answered, and that nothing comes of it."""

from datetime import timedelta
from uuid import UUID

import httpx
import pytest

from receiver.domain.token import Purpose
from receiver.web import create_app
from receiver.web.doctor import ANSWERED, ASKED, probe_path
from tests.web.fakes import World
from tests.web.support import config

NONCE = UUID("01900000-0000-4000-8000-000000000001")
LIFETIME = timedelta(minutes=1)


def asked(world: World, **fields: object) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(world.ports, config(**fields)))
    return httpx.AsyncClient(transport=transport, base_url="http://hooks.example.org")


def path(world: World) -> str:
    return probe_path(world.ports.tokens, NONCE, world.ports.system.now() + LIFETIME)


async def test_a_nonce_is_answered_by_a_proof_of_the_same_and_the_size_of_the_body(world: World) -> None:
    async with asked(world) as http:
        answer = await http.post(path(world), content=b"x" * 1000)
    assert answer.status_code == 200
    document = answer.json()
    assert document["bytes"] == 1000
    now = world.ports.system.now()
    assert world.ports.tokens.verify(Purpose.DOCTOR, ANSWERED, document["answer"], now) == NONCE
    assert world.ports.tokens.verify(Purpose.DOCTOR, ASKED, document["answer"], now) is None
    assert answer.headers["cache-control"] == "no-store"
    assert world.store.appended == []


async def test_the_answer_opens_nothing(world: World) -> None:
    async with asked(world) as http:
        token = (await http.post(path(world))).json()["answer"]
        for provider in ("doctor", "answer", "runware", "aimlapi"):
            assert (await http.post(f"/callbacks/{provider}/{token}")).status_code == 404


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose is not Purpose.DOCTOR])
@pytest.mark.parametrize("provider", ["doctor", "answer", "runware"])
async def test_no_other_token_opens_it(world: World, purpose: Purpose, provider: str) -> None:
    token = world.token(NONCE, purpose=purpose, provider=provider)
    async with asked(world) as http:
        assert (await http.post(f"/callbacks/doctor/{token}")).status_code == 404


@pytest.mark.parametrize("provider", ["runware", "aimlapi"])
async def test_its_token_opens_no_callback(world: World, provider: str) -> None:
    token = path(world).rpartition("/")[2]
    async with asked(world) as http:
        assert (await http.post(f"/callbacks/{provider}/{token}")).status_code == 404
        assert (await http.get(f"/callbacks/doctor/{token}")).status_code == 404
        assert (await http.post(f"/callbacks/doctor/{token}/")).status_code == 404


async def test_it_dies_soon(world: World) -> None:
    late = path(world)
    world.system.passed += LIFETIME.total_seconds() + 1
    async with asked(world) as http:
        assert (await http.post(late)).status_code == 404


async def test_a_body_beyond_the_limit_of_a_callback_is_refused_like_one(world: World) -> None:
    async with asked(world, max_callback_bytes=2000) as http:
        assert (await http.post(path(world), content=b"x" * 2000)).json()["bytes"] == 2000
        assert (await http.post(path(world), content=b"x" * 2001)).status_code == 413


async def test_a_process_without_the_role_of_callbacks_does_not_answer(world: World) -> None:
    async with asked(world, roles=frozenset({"api"})) as http:
        assert (await http.post(path(world))).status_code == 404
