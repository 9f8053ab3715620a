"""Claims made in transactions of their own, and what becomes of one whose commit was never answered.

Where the database goes away at the very commit of a claim, nobody knows whether the claim stands, so nobody does what
was claimed: it would lie there until the claim ran out. The next claim of its kind lets it go first.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection, Table, update

from receiver.domain.errors import UnavailableError
from receiver.storage.claim import Claim, Hold
from receiver.storage.engine import Engine
from receiver.storage.tables import inbox, tasks

T = TypeVar("T")
#: Returns the time that leases go by, given this process's own.
Moment = Callable[[Connection, datetime], datetime]
#: Of one kind; a database that fails at every commit while it takes everything before is not to fill our memory.
_MOST_DOUBTED = 100


class Claims:
    """Makes the claims of one instance, ``owner``."""

    def __init__(self, engine: Engine, owner: UUID, moment: Moment | None) -> None:
        self.owner = owner
        self.moment = moment or engine.moment
        self._told = moment
        self._engine = engine
        self._doubted: dict[str, list[Claim]] = {}

    def claim(self, connection: Connection, now: datetime, limit: int, lease: timedelta) -> Claim:
        """Return a claim on so much from now on, by the time that all who share the database go by."""
        by_all = self.moment(connection, now)
        return Claim(by_all, by_all + lease, self.owner, limit)

    def hold(self, connection: Connection, now: datetime, lease: timedelta) -> Hold:
        """Return a claim on what is being stored, for which nobody has to ask what time it is."""
        return Hold(self.owner, lease, None if self._told is None else self._told(connection, now) + lease)

    async def make(
        self,
        table: Table,
        now: datetime,
        limit: int,
        lease: timedelta,
        work: Callable[[Connection, Claim], T],
        *,
        kind: str = "",
    ) -> T:
        """Let ``work`` claim rows of a table and return its value after the commit. Raises UnavailableError.

        ``kind`` tells apart claims on one table that are made at the same time.
        """
        doubted = self._doubted.setdefault(f"{table.name} {kind}", [])
        made: list[Claim] = []

        def claimed(connection: Connection) -> T:
            for earlier in doubted:
                _let_go(connection, table, earlier)
            made.append(self.claim(connection, now, limit, lease))
            return work(connection, made[-1])

        known = len(doubted)
        try:
            value = await self._engine.write(claimed)
        except UnavailableError:
            if self._engine.shared:
                # Where the database is ours alone it fails before the commit or as a whole.
                doubted[:] = [*doubted, *made[-1:]][-_MOST_DOUBTED:]
            raise
        del doubted[:known]
        return value


def _let_go(connection: Connection, table: Table, claim: Claim) -> None:
    """Undo a claim that may stand: no other of this owner ends at the same microsecond."""
    columns = table.columns
    statement = update(table).where(columns.lease_until == claim.until, columns.lease_owner == claim.owner)
    if table is tasks:
        # Only a task with work has a lease; the index of due work is smaller than the table.
        statement = statement.where(tasks.columns.work.is_not(None))
    if table is inbox:
        # Nobody died over them.
        statement = statement.values(attempts=inbox.columns.attempts - 1)
    connection.execute(statement.values(lease_until=None, lease_owner=None))
