"""Sessions that were ended: a row for each, until it would have ended by itself."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select

from receiver.storage.engine import Engine
from receiver.storage.running import run
from receiver.storage.statements import Insert
from receiver.storage.tables import ended_sessions
from receiver.storage.types import Moment

_END = Insert(ended_sessions, ("digest", "until"), lambda new: {"until": new["until"]})
#: There are no more rows than people signed out within half a day.
_OVER = delete(ended_sessions).where(ended_sessions.columns.until < bindparam("now", type_=Moment()))
ENDED = select(ended_sessions.columns.until).where(ended_sessions.columns.digest == bindparam("of_digest"))


class SqlEndedSessions:
    """``receiver.lifecycle.ports.EndedSessions`` in a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def end(self, digest: bytes, *, until: datetime, now: datetime) -> None:
        def work(connection: Connection) -> None:
            connection.execute(_OVER, {"now": now})
            run(connection, _END.ready(connection.dialect, [(digest, until)]))

        await self._engine.write(work)

    async def ended(self, digest: bytes) -> bool:
        return await self._engine.read(
            lambda connection: connection.execute(ENDED, {"of_digest": digest}).first() is not None
        )
