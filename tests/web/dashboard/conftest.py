"""What the tests of the pages begin with: the real store, and a browser without a browser."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from receiver.storage.store import open_store
from tests.web.dashboard.browsing import Browser, browsing
from tests.web.fakes import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world of its own for each test, over the SQLite store: what the pages ask of it no fake could answer."""
    world = World()
    async with open_store(tmp_path / "receiver.db") as store:
        world.ports = replace(world.ports, store=store)
        yield world


@pytest.fixture
async def browser(world: World) -> AsyncIterator[Browser]:
    """Somebody who is signed in."""
    async with browsing(world) as browser:
        await browser.sign_in()
        yield browser
