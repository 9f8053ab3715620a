"""Record: write down what came of a step, waiting for a database that is out of order."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from receiver.domain.errors import UnavailableError
from receiver.domain.schedule import back_off
from receiver.domain.task import Change
from receiver.lifecycle.ports import Decision, Ports

#: The longest rest between two tries, in seconds: what waits here goes on as soon as the database does.
LONGEST_REST = 2.0

_Answer = TypeVar("_Answer")


async def record(
    ports: Ports, decisions: Sequence[Decision], *, within: timedelta | None = None
) -> list[Change | None]:
    """Apply decisions, again and again while the database cannot take them, and return what each did.

    What a step brought home may be the only trace of a billed job, and its lease holds the work back meanwhile: to
    give up is to wait until that ends. ``within`` bounds the tries; then UnavailableError.

    What failed at its very commit may be written all the same. Then a decision meets its own change at the next try:
    one that brings a report is undone alone, as a report of that id is there (``decision_failed``, None), so that the
    first stands; of others an event may stand twice. No report, result or attempt does.
    """
    return await insist(ports, lambda: ports.store.apply(decisions), within=within)


async def insist(ports: Ports, call: Callable[[], Awaitable[_Answer]], *, within: timedelta | None = None) -> _Answer:
    """Call the store again and again while it is unavailable, for ``within`` if given; then UnavailableError."""
    until = None if within is None else ports.system.monotonic() + within.total_seconds()
    tries = 0
    while True:
        try:
            return await call()
        except UnavailableError:
            if until is not None and ports.system.monotonic() >= until:
                raise
        tries += 1
        await ports.system.sleep(back_off(tries, ports.system.jitter(), base=0.5, cap=LONGEST_REST).total_seconds())
