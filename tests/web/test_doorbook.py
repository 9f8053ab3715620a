from datetime import timedelta
from uuid import UUID

import pytest

from receiver.domain.token import Purpose, SigningKey, TokenSigner
from receiver.web.callbacks import CallbackDoor
from receiver.web.doorbook import MOST_SHOWN, SHOWN_EVERY_SECONDS, DoorBook, Stranger
from tests.web.fakes import World
from tests.web.support import config, request, served

KEY = UUID("01900000-0000-7000-8000-000000000001")


async def knock(world: World, *targets: str, method: str = "GET") -> DoorBook:
    book = DoorBook(world.ports)
    async with served(CallbackDoor(world.ports, config(), book)) as house:
        for target in targets:
            async with house.connect() as wire:
                await wire.send(request(method, target))
                await wire.answer()
    return book


def forged(world: World) -> str:
    stranger = TokenSigner([SigningKey("theirs", b"s" * 32)], installation=b"i" * 16)
    return stranger.issue(Purpose.CALLBACK, "runware", KEY, world.system.now() + timedelta(hours=1))


async def test_it_is_told_why_an_address_leads_nowhere(world: World) -> None:
    expired = world.token(KEY, lifetime=timedelta(hours=-1))
    book = await knock(
        world,
        "/callbacks/runware",
        "/callbacks/nobody/x",
        "/callbacks/runware/cut-off",
        f"/callbacks/runware/{forged(world)}",
        f"/callbacks/runware/{expired}",
        f"/callbacks/runware/{world.token(KEY, purpose=Purpose.DOWNLOAD)}",
        f"/callbacks/aimlapi/{world.token(KEY)}",
    )
    assert book.strangers == {
        Stranger.NO_ADDRESS: 1,
        Stranger.NO_PROVIDER: 1,
        Stranger.NO_TOKEN: 1,
        Stranger.FORGED: 1,
        Stranger.OUTDATED: 3,
    }
    assert book.outcomes == {}


async def test_whoever_was_turned_away_is_shown_without_the_path(world: World) -> None:
    token = forged(world)
    book = await knock(world, f"/callbacks/runware/{token}", method="POST")
    [shown] = book.shown
    assert (shown.why, shown.method, shown.provider, shown.peer) == (Stranger.FORGED, "POST", "runware", "127.0.0.1")
    assert token not in repr(shown)


async def test_a_storm_is_counted_whole_and_shown_as_one(world: World) -> None:
    book = await knock(world, *["/callbacks/a"] * 5)
    assert (book.strangers.total(), len(book.shown)) == (5, 1)


def test_so_many_are_shown_and_no_more_the_last_first(world: World) -> None:
    book = DoorBook(world.ports)
    for number in range(MOST_SHOWN + 5):
        world.system.passed += SHOWN_EVERY_SECONDS
        book.turned_away(
            {"raw_path": b"/callbacks/a", "method": f"ODD{number}", "client": (f"203.0.113.{number}", 1)}
        )
    assert len(book.shown) == MOST_SHOWN
    assert (book.shown[0].peer, book.shown[0].method) == (f"203.0.113.{MOST_SHOWN + 4}", "other")


@pytest.mark.parametrize("times", [1, 2])
async def test_what_became_of_callbacks_is_counted(world: World, times: int) -> None:
    book = DoorBook(world.ports)
    async with served(CallbackDoor(world.ports, config(), book)) as house:
        for _ in range(times):
            async with house.connect() as wire:
                await wire.send(request("POST", f"/callbacks/runware/{world.token(KEY)}", body=b"{}"))
                assert (await wire.answer()).status == 200
    assert book.outcomes == {("runware", "accepted"): 1, **({("runware", "duplicate"): 1} if times > 1 else {})}
