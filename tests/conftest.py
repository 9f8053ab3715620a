"""What every test may rely on."""

import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.postgresql import Server, serving

HERE = Path(__file__).parent


def pytest_configure() -> None:
    """Let Ctrl-C reach what the tests start: a run in the background is started deaf to it, and hands that down."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, the only loop that the service runs on."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server for all tests of this process; each takes a database of its own."""
    with serving() as server:
        yield server


#: What starts whole services waits most, and some of its files take a minute: they begin first, so that the short
#: files fill the time beside them and none of the long ones is left over at the end.
LONGEST_FIRST = (
    "durability",
    "flows",
    "infra",
    "browser",
    "strangers",
    "cli",
    "sdk",
    "test_readme.py",
    "lifecycle",
    "storage",
    "web",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files in front; within a file, and within a room, everything stays in its order."""
    ranks = {room: rank for rank, room in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.relative_to(HERE).parts[0], len(ranks)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let what a test printed or logged travel between processes: half a pair of surrogates is no UTF-8."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report
