"""A browser for the tests of one file; without one on the machine they are skipped, and say so."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import VARIABLE, find, opened
from tests.infra.tools import absent


# For one file: the driver's loop would be in the way of the asynchronous tests of the next.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a file; each opens windows of its own."""
    path = find() or absent(f"no browser is installed: it comes with Debian's chromium, or is named in {VARIABLE}")
    with opened(path) as browser:
        yield browser
