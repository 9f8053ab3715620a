"""One service for all the named strangers: what one of them leaves behind meets the next."""

from collections.abc import Iterator

import pytest

from tests.strangers.house import House, attacked


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run one service for all tests of this folder; at the end it works, and has said nothing it should not."""
    with attacked(tmp_path_factory.mktemp("house"), targets=6) as house:
        yield house
        house.assert_works()
        house.assert_silent()
