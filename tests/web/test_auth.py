import pytest

from receiver.web import create_app, problems
from receiver.web.auth import MOST_ATTEMPTS, MOST_PEERS, Attempts, Keys, peer_of
from tests.web.fakes import BEARER, KEY, World
from tests.web.support import client, config, request, served

WRONG = {"Authorization": "Bearer wrong"}


@pytest.mark.parametrize(
    "header",
    [f"Bearer {KEY}", f"bearer {KEY}", f"BEARER  {KEY} "],
)
async def test_the_scheme_is_read_in_any_case(world: World, header: str) -> None:
    async with client(world, headers={"Authorization": header}) as http:
        assert (await http.get("/v1/tasks")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"Authorization", b"")],
        [(b"Authorization", b"Bearer")],
        [(b"Authorization", b"Bearer ")],
        [(b"Authorization", KEY.encode())],
        [(b"Authorization", b"Basic " + KEY.encode())],
        [(b"Authorization", b"Bearer " + KEY.encode()[:-1])],
        [(b"Authorization", b"Bearer " + KEY.encode() + b"x")],
        [(b"Authorization", b"Bearer " + KEY.encode() + b" x")],
        [(b"Authorization", b"Bearer \xc3\xbc\xff")],
        [(b"Authorization", b"Bearer " + KEY.encode()), (b"Authorization", b"Bearer " + KEY.encode())],
        [(b"Cookie", b"key=" + KEY.encode())],
    ],
)
async def test_anything_but_one_good_key_is_401(world: World, headers: list[tuple[bytes, bytes]]) -> None:
    async with client(world, headers={}) as http:
        answer = await http.get("/v1/tasks", headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (401, problems.UNAUTHORIZED.type)
    assert (answer.headers["www-authenticate"], answer.headers["connection"]) == ("Bearer", "close")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/tasks", "/v1/tasks/x", "/v1/nothing", "/v1/%2e%2e/healthz"])
async def test_nothing_below_v1_is_told_to_who_has_no_key(world: World, method: str, path: str) -> None:
    async with client(world, headers={}) as http:
        assert (await http.request(method, path)).status_code == 401


@pytest.mark.parametrize("shown", ["alice:the-secret-of-alice", "the-secret-of-alice"])
async def test_a_key_with_an_id_opens_whole_or_by_its_secret(world: World, shown: str) -> None:
    keys = ("alice:the-secret-of-alice", "bob:the-secret-of-bob")
    async with client(world, headers={"Authorization": f"Bearer {shown}"}, api_keys=keys) as http:
        assert (await http.get("/v1/tasks")).status_code == 200
    assert Keys(keys).holder(shown.encode()) == "alice"


@pytest.mark.parametrize("shown", [b"alice", b"alice:", b":", b"", b"bob:the-secret-of-alice"])
def test_a_part_of_a_key_opens_nothing(shown: bytes) -> None:
    assert Keys(("alice:the-secret-of-alice",)).holder(shown) is None


def test_no_key_opens_where_none_is_set() -> None:
    assert Keys(()).holder(b"") is None


async def test_the_eleventh_wrong_key_in_a_minute_is_429(world: World) -> None:
    async with client(world, headers=WRONG) as http:
        statuses = [(await http.get("/v1/tasks")).status_code for _ in range(MOST_ATTEMPTS)]
        world.system.passed += 20
        refused = await http.get("/v1/tasks")
        assert statuses == [401] * MOST_ATTEMPTS
        assert (refused.status_code, refused.json()["type"]) == (429, problems.TOO_MANY_ATTEMPTS.type)
        assert refused.headers["retry-after"] == "40"
        world.system.passed += 41
        assert (await http.get("/v1/tasks")).status_code == 401


async def test_a_good_key_is_let_in_beside_a_guesser_and_another_peer_is_not_counted(world: World) -> None:
    app = create_app(world.ports, config())
    async with served(app) as server, server.connect() as wire:
        for _ in range(MOST_ATTEMPTS + 1):
            async with server.connect() as guess:
                await guess.send(request("GET", "/v1/tasks", "Authorization: Bearer wrong"))
                await guess.answer()
        await wire.send(request("GET", "/v1/tasks", f"Authorization: {BEARER['Authorization']}"))
        assert (await wire.answer()).status == 200


def test_attempts_are_counted_by_peer_over_a_minute() -> None:
    now = 0.0
    attempts = Attempts(lambda: now)
    for _ in range(MOST_ATTEMPTS):
        attempts.failed("a")
        now += 1.0
    assert (attempts.wait("a"), attempts.wait("b")) == (50, 0)
    now = 60.5
    assert attempts.wait("a") == 0
    attempts.failed("a")
    assert attempts.wait("a") == 1


def test_only_so_many_peers_are_remembered() -> None:
    attempts = Attempts(lambda: 0.0)
    for peer in range(3 * MOST_PEERS):
        attempts.failed(str(peer))
    assert len(attempts._peers) == MOST_PEERS


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.7"),
        ("/run/receiver.sock", "/run/receiver.sock"),
    ],
)
def test_a_peer_is_an_address_or_the_ipv6_network_around_it(host: str, peer: str) -> None:
    assert peer_of({"client": (host, 1)}) == peer


def test_a_connection_without_an_address_is_one_peer_too() -> None:
    assert peer_of({"client": None}) == ""


async def test_the_key_is_looked_at_before_the_body_is_asked_for(world: World) -> None:
    async with served(create_app(world.ports, config())) as server, server.connect() as wire:
        await wire.send(request("POST", "/v1/tasks", "Content-Length: 1000000", "Expect: 100-continue"))
        answer = await wire.answer()
        assert (answer.status, wire.before) == (401, [])
        assert await wire.is_closed()


async def test_without_the_role_there_is_no_private_side(world: World) -> None:
    for role in ("callbacks", "worker"):
        async with client(world, roles=frozenset({role}), metrics_page=lambda: b"up 1\n") as http:
            for path in ("/v1/tasks", "/v1/stats", "/docs", "/openapi.json"):
                assert (await http.get(path)).status_code == 404
            for path in ("/healthz", "/readyz", "/metrics"):
                assert (await http.get(path)).status_code == 200
