"""Record: write down what came of a step, waiting for a database that is out of order."""

from collections.abc import Sequence
from datetime import timedelta

from receiver.domain.errors import UnavailableError
from receiver.domain.schedule import back_off
from receiver.domain.task import Change
from receiver.lifecycle.ports import Decision, Ports

#: The longest rest between two tries, in seconds: what waits here goes on as soon as the database does.
LONGEST_REST = 2.0


async def record(
    ports: Ports, decisions: Sequence[Decision], *, within: timedelta | None = None
) -> list[Change | None]:
    """Apply decisions, again and again while the database cannot take them, and return what each did.

    What a step brought home may be the only trace of a billed job, and its lease holds the work back meanwhile: to
    give up is to wait until that ends. ``within`` bounds the tries; then UnavailableError.
    """
    until = None if within is None else ports.system.monotonic() + within.total_seconds()
    tries = 0
    while True:
        try:
            return await ports.store.apply(decisions)
        except UnavailableError:
            if until is not None and ports.system.monotonic() >= until:
                raise
        tries += 1
        await ports.system.sleep(back_off(tries, ports.system.jitter(), base=0.5, cap=LONGEST_REST).total_seconds())
