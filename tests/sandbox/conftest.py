"""The two sandboxes that most tests talk to."""

from collections.abc import AsyncIterator

import pytest

from tests.sandbox.support import Box, Listener, in_process, listening, quick, served


@pytest.fixture
async def box() -> AsyncIterator[Box]:
    """A sandbox in this process whose generations end at once."""
    async with in_process(quick()) as sandbox:
        yield sandbox


@pytest.fixture
async def server() -> AsyncIterator[Box]:
    """The same behind a real socket."""
    async with served(quick()) as sandbox:
        yield sandbox


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    """Somebody to be called back."""
    async with listening() as server:
        yield server
