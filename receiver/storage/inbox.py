"""The inbox as one instance works on it: what it stores itself goes from hand to hand, the rest is claimed.

A report that comes in is claimed by the very insert that stores it, and kept in memory until it is settled: no
statement claims it, none reads it back. The database stays the truth: a line in hand is a claim like any other, which
ends with its lease or, on a database of its own, with its instance. Where nobody settles beside who receives, or too
much waits, lines are stored free and claimed from the table; on a database that others share so is all but the first
report of a task.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from receiver.domain.errors import UnavailableError
from receiver.domain.report import NewReport, StoredReport
from receiver.lifecycle.ports import Appended, BodyLimits
from receiver.storage import reports
from receiver.storage.claiming import Claims
from receiver.storage.engine import Engine
from receiver.storage.tables import inbox

#: Reports in hand at most, each of up to ``reports.SMALL`` bytes. After a death each of them is claimed alone.
MOST_IN_HAND = 1024
#: With so many in hand whoever comes next waits until some are taken: to receive faster than is settled fills the
#: table, and what goes by the table is written once more and read back. At 64 connections that cost a tenth.
ENOUGH_IN_HAND = 256
#: But no longer than this, in seconds: who settles may be held up by something else.
PATIENCE_SECONDS = 0.25
#: How long what lies free in the table may wait while there is enough in hand: our own questions' answers, and on a
#: shared database what others took. On one of our own a look breaks the turns in which callers are stored.
LOOK_AGAIN, LOOK_AGAIN_SHARED = timedelta(seconds=0.25), timedelta(seconds=0.1)

_Asked = Sequence[tuple[NewReport, BodyLimits]]


class Inbox:
    """Appends reports and hands them out to be settled. ``settles``: whoever appends here also leases here."""

    def __init__(self, engine: Engine, claims: Claims, *, settles: bool) -> None:
        self._engine = engine
        self._claims = claims
        self._append = engine.gather_urgent(self._appended, self._keep)
        self._settles = settles
        #: How long a claim lasts; None until somebody settles.
        self._lease: timedelta | None = None
        # Looked at by the thread that writes, changed by the event loop alone.
        self._in_hand: deque[tuple[datetime, StoredReport]] = deque()
        self._free_lines = True
        self._looked_at: datetime | None = None
        #: Is set while there is room in hand for what comes.
        self._room = asyncio.Event()
        self._room.set()
        self._patience: asyncio.TimerHandle | None = None
        self._patient = True
        self._unread: set[UUID] = set()

    def append(self, report: NewReport, limits: BodyLimits) -> "asyncio.Future[Appended]":
        """Store a report. It is asked for at once, where there is room, and waited for by whoever wants to."""
        return (
            self._asked(report, limits) if self._room.is_set() else asyncio.ensure_future(self._late(report, limits))
        )

    async def _late(self, report: NewReport, limits: BodyLimits) -> Appended:
        await self._room.wait()
        return await self._asked(report, limits)

    def _asked(self, report: NewReport, limits: BodyLimits) -> "asyncio.Future[Appended]":
        appended = self._append((report, limits))
        if self._engine.shared:
            appended.add_done_callback(lambda done: self._look_back(done, report))
        return appended

    async def lease(self, *, now: datetime, limit: int, lease: timedelta, in_hand: bool) -> list[StoredReport]:
        """Return claimed reports: those in hand, in turn with free lines of the table where there are some.

        ``in_hand``: those alone.
        """
        if self._settles:
            self._lease = lease
        self._let_go_of_late(now)
        if in_hand:
            return self._taken(now, limit)
        if not self._looks(now) and (taken := self._taken(now, limit)):
            return taken
        claimed = await self._claimed(now, limit, lease)
        self._looked_at, self._free_lines = now, len(claimed) >= limit
        return claimed or self._taken(now, limit)

    async def defer(self, report_id: UUID, due_at: datetime) -> None:
        await self._engine.write(lambda connection: reports.defer(connection, report_id, due_at, self._claims.owner))

    async def close(self) -> None:
        """Give back what is in hand, uncounted; where that fails, the end of the instance does it."""
        self._settles, self._lease = False, None
        self._make_room()
        left = [report.id for _, report in self._in_hand]
        self._in_hand.clear()
        if left:
            with suppress(UnavailableError):
                await self._engine.write(lambda connection: reports.give_back(connection, left, self._claims.owner))

    def _looks(self, now: datetime) -> bool:
        """Tell whether it is the table's turn; what lies in hand has the one after it."""
        looked_at = self._looked_at
        again = LOOK_AGAIN_SHARED if self._engine.shared else LOOK_AGAIN
        if looked_at is None or not timedelta() <= now - looked_at < again:
            return True
        if self._free_lines:
            # Next time.
            self._looked_at = None
        return False

    def _taken(self, now: datetime, limit: int) -> list[StoredReport]:
        taken: list[StoredReport] = []
        self._patient = True
        while self._in_hand and len(taken) < limit:
            until, report = self._in_hand.popleft()
            if until > now:
                taken.append(report)
            else:
                self._let_go(report)
        if len(self._in_hand) < ENOUGH_IN_HAND:
            self._make_room()
        if taken:
            # They are settled next, and whoever calls back while they are read is stored with that.
            self._engine.expect()
        return taken

    def _let_go_of_late(self, now: datetime) -> None:
        while self._in_hand and self._in_hand[0][0] <= now:
            self._let_go(self._in_hand.popleft()[1])

    def _let_go(self, report: StoredReport) -> None:
        """Give a report whose claim has ended back with the next claim, uncounted: nobody has begun to read it.

        Were the attempt to count, a machine that stands still for long would have each of a thousand good reports
        claimed alone, and set aside at the third time.
        """
        self._unread.add(report.id)
        self._free_lines = True
        self._looked_at = None

    def _appended(self, connection: Connection, asked: _Asked) -> Sequence[reports.Stored | Exception]:
        if self._lease is None or len(self._in_hand) >= MOST_IN_HAND:
            return reports.append(connection, asked)
        now = max(report.received_at for report, _ in asked)
        if self._engine.shared:
            return reports.append(connection, asked, hold=self._claims.hold(connection, now, self._lease))
        return reports.append(connection, asked, self._claims.claim(connection, now, len(asked), self._lease))

    def _look_back(self, appended: "asyncio.Future[Appended]", report: NewReport) -> None:
        """Give a report back with the next claim that may be stored, and claimed, all the same."""
        failed = not appended.cancelled() and isinstance(appended.exception(), UnavailableError)
        if failed and self._lease is not None and len(self._unread) < MOST_IN_HAND:
            self._unread.add(report.id)
            self._looked_at = None

    def _keep(self, stored: reports.Stored) -> Appended:
        """Take in hand what was stored for us; called by the event loop once the commit stands."""
        if stored.free:
            self._free_lines = True
        elif stored.claimed is not None:
            self._in_hand.append(stored.claimed)
            if len(self._in_hand) == ENOUGH_IN_HAND and self._patient and self._patience is None:
                self._room.clear()
                self._patience = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._lose_patience)
        return stored.outcome

    def _lose_patience(self) -> None:
        """Let in who waits, and all who come, until somebody settles again."""
        self._patient = False
        self._make_room()

    def _make_room(self) -> None:
        self._room.set()
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    async def _claimed(self, now: datetime, limit: int, lease: timedelta) -> list[StoredReport]:
        unread = list(self._unread)
        claimed = await self._claims.make(
            inbox, now, limit, lease, lambda connection, claim: reports.lease(connection, claim, unread)
        )
        self._unread.difference_update(unread)
        if not claimed:
            return []
        try:
            # Large bodies would keep the writer from everybody else.
            taken, left = await self._engine.read(lambda connection: reports.bodies(connection, claimed))
        except UnavailableError:
            # Nobody died over them: they are given back with the next claim, as now the database may take no word.
            self._unread.update(claimed)
            raise
        if left:
            try:
                await self._engine.write(lambda connection: reports.give_back(connection, left, self._claims.owner))
            except UnavailableError:
                self._unread.update(left)
        return taken
