"""What the tests of the web side begin with."""

import pytest

from tests.web.fakes import World


@pytest.fixture
def world() -> World:
    """A world of its own for each test."""
    return World()
