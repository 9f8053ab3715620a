"""What is asked of a database, whichever it is: the forms that work has, and that none of it stays when it fails."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from receiver.storage.faults import fault
from receiver.storage.running import Ready, run

_SAVE = (Ready("SAVEPOINT step", ()),)
_GO_BACK = (Ready("ROLLBACK TO SAVEPOINT step", ()),)
_LET_GO = (Ready("RELEASE SAVEPOINT step", ()),)

T = TypeVar("T")
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

#: One outcome for each item, in their order; an exception is raised to that item's caller.
Finish = Callable[[Connection], Sequence[Outcome | Exception]]
#: Reads and thinks, calling its last argument every few milliseconds if it takes long, and returns what then writes.
Prepare = Callable[[Connection, Sequence[Item], Callable[[], None]], Finish[Outcome]]
#: What serves many callers at once: one outcome for each item, in their order.
Serve = Callable[[Connection, Sequence[Item]], Sequence[Outcome | Exception]]

#: How much may share one transaction: what waits behind it waits for all of it.
MOST_WEIGHT = 256


def unprepared(work: Serve[Item, Outcome]) -> Prepare[Item, Outcome]:
    """Return what prepares nothing, and has ``work`` do it all when it is time to write."""
    return lambda _, items, __: lambda connection: work(connection, items)


def undone_if_it_fails(connection: Connection, work: Callable[[Connection], T]) -> T:
    """Run ``work`` so that nothing of it stays when it raises, and everything before it does.

    After a fault of the database there is nothing to go back to: SQLite may have ended the transaction itself.
    """
    run(connection, _SAVE)
    try:
        value = work(connection)
    except BaseException as error:
        if fault(error) is None:
            # Not released: a statement that was left half read forbids it, and the commit does it anyway.
            run(connection, _GO_BACK)
        raise
    run(connection, _LET_GO)
    return value
