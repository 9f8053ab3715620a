import pytest

from receiver.web import create_app
from tests.web.fakes import BEARER, World
from tests.web.support import client, config, request, served


async def status(world: World, host: str, **fields: object) -> int:
    names = fields.get("api_hosts", frozenset())
    assert isinstance(names, frozenset)
    async with client(world, api_hosts=names, loopback=bool(fields.get("loopback"))) as http:
        return (await http.get("/v1/tasks", headers={"Host": host})).status_code


@pytest.mark.parametrize("host", ["api.example.org", "API.Example.org", "api.example.org:8443", "api.example.org."])
async def test_our_names_are_answered(world: World, host: str) -> None:
    assert await status(world, host, api_hosts=frozenset({"Api.example.org"})) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "api.example.org.evil.example", "", "localhost", "api.example.org:x"]
)
async def test_other_names_are_404(world: World, host: str) -> None:
    assert await status(world, host, api_hosts=frozenset({"api.example.org"})) == 404


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "a.localhost", "127.0.0.1:80", "127.8.8.8", "[::1]:8080", "[::1]"]
)
async def test_on_loopback_the_names_of_this_machine_are_answered(world: World, host: str) -> None:
    assert await status(world, host, loopback=True) == 200


@pytest.mark.parametrize(
    "host", ["rebound.example:8080", "10.0.0.1", "[::2]", "::1]", "localhost.evil.example", "[::1]x"]
)
async def test_on_loopback_a_strangers_name_is_404(world: World, host: str) -> None:
    assert await status(world, host, loopback=True) == 404


async def test_on_loopback_our_own_names_are_answered_too(world: World) -> None:
    assert await status(world, "api.example.org", loopback=True, api_hosts=frozenset({"api.example.org"})) == 200


async def test_without_a_setting_every_name_is_answered(world: World) -> None:
    assert await status(world, "whatever.example") == 200


async def test_a_stranger_learns_nothing_not_even_that_a_key_is_needed(world: World) -> None:
    async with client(world, headers={}, loopback=True) as http:
        answer = await http.get("/v1/tasks", headers={"Host": "rebound.example"})
    assert answer.status_code == 404


async def test_under_the_public_name_there_is_no_page_of_ours(world: World) -> None:
    async with client(world, headers={"Accept": "text/html"}, api_hosts=frozenset({"api.example.org"})) as http:
        for path in ("/inputs/", "/inputs/x", "/inputs/x/y", "/login", "/"):
            answer = await http.get(path, headers={"Host": "hooks.example.org"})
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_health_is_asked_by_address_and_answered(world: World) -> None:
    async with client(world, headers={}, api_hosts=frozenset({"api.example.org"})) as http:
        assert (await http.get("/healthz", headers={"Host": "10.1.2.3:8080"})).status_code == 200


async def test_two_host_headers_are_none(world: World) -> None:
    app = create_app(world.ports, config(loopback=True))
    async with served(app) as server, server.connect() as wire:
        await wire.send(request("GET", "/v1/tasks", "Host: localhost", f"Authorization: {BEARER['Authorization']}"))
        assert (await wire.answer()).status in {400, 404}
