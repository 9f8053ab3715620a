"""Idempotency: names that stand for one task for a day, looked up and kept with the task they stand for."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, delete, select, tuple_

from receiver.domain.errors import ReusedKeyError
from receiver.domain.task import Change
from receiver.lifecycle.ports import Once
from receiver.storage.running import run
from receiver.storage.statements import Insert
from receiver.storage.tables import idempotency

KEPT = timedelta(hours=24)
#: Forgotten with each new name, so that the table stays as small as a day.
_FORGOTTEN_AT_ONCE = 16

Asked = tuple[Change, Once | None]

_KEEP = Insert(
    idempotency,
    ("caller", "name", "digest", "task_id", "created_at"),
    lambda new: {name: new[name] for name in ("digest", "task_id", "created_at")},
)


class Names:
    """The names of one batch of new tasks: those that stand for a task already, and those that are given now."""

    def __init__(self, connection: Connection, asked: Sequence[Asked]) -> None:
        """Look up every name of the batch at once."""
        self._given: dict[tuple[str, str], tuple[bytes, UUID]] = {}
        self._new: list[tuple[object, ...]] = []
        self._newest: datetime | None = None
        wanted = {(once.caller, once.name): change.task.created_at for change, once in asked if once is not None}
        if not wanted:
            return
        columns = idempotency.columns
        known = select(columns.caller, columns.name, columns.digest, columns.task_id, columns.created_at).where(
            tuple_(columns.caller, columns.name).in_(list(wanted))
        )
        for caller, name, digest, task_id, created_at in connection.execute(known):
            if created_at > wanted[caller, name] - KEPT:
                self._given[caller, name] = digest, task_id

    def stands_for(self, once: Once | None) -> UUID | ReusedKeyError | None:
        """Return the task a name stands for, the refusal of another request under it, or None when it is new."""
        found = None if once is None else self._given.get((once.caller, once.name))
        if once is None or found is None:
            return None
        digest, task_id = found
        return task_id if digest == once.digest else ReusedKeyError()

    def give(self, once: Once | None, change: Change) -> None:
        """Let a name stand for the task that is made now."""
        if once is None:
            return
        task = change.task
        self._given[once.caller, once.name] = once.digest, task.id
        self._new.append((once.caller, once.name, once.digest, task.id, task.created_at))
        self._newest = task.created_at

    def write(self, connection: Connection) -> None:
        """Keep the names given, and forget some that are older than a day."""
        if self._newest is None:
            return
        run(connection, _KEEP.ready(connection.dialect, self._new))
        columns = idempotency.columns
        old = select(columns.caller, columns.name).where(columns.created_at < self._newest - KEPT)
        forgotten = tuple_(columns.caller, columns.name).in_(old.limit(_FORGOTTEN_AT_ONCE))
        connection.execute(delete(idempotency).where(forgotten))
