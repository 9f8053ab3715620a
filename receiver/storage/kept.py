"""What is kept of tasks' reports already: what a new one is held against when it is stored."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection, select

from receiver.domain.report import Via
from receiver.storage.statements import ForKeys
from receiver.storage.tables import reports

_KNOWN = ForKeys(
    select(
        reports.columns.task_key,
        reports.columns.id,
        reports.columns.via,
        reports.columns.size,
        reports.columns.sha256,
        reports.columns.duplicate_of,
    ),
    reports.columns.task_key,
)
# By itself: to ask an enumeration for a member takes longer than to compare it.
_CALLBACK = Via.CALLBACK


@dataclass(slots=True)
class Kept:
    """What is kept of one task's reports; bodies, their bytes and duplicates are counted for callbacks alone."""

    by_digest: dict[bytes, UUID] = field(default_factory=dict)
    ids: set[UUID] = field(default_factory=set)
    bodies: int = 0
    size: int = 0
    duplicates: int = 0

    def add(self, report_id: UUID, via: Via, size: int, digest: bytes, *, repeats: bool) -> None:
        """Take in a report, be it stored already or about to be."""
        self.ids.add(report_id)
        if not repeats:
            self.by_digest.setdefault(digest, report_id)
        if via is not _CALLBACK:
            return
        if repeats:
            self.duplicates += 1
        else:
            self.bodies += 1
            self.size += size


#: What is kept of a task that nothing was heard of; of no task of its own, so nothing is added to it.
NOTHING = Kept()


def kept_of(connection: Connection, task_keys: AbstractSet[UUID], *, each: bool) -> dict[UUID, Kept]:
    """Return what is kept of tasks; of those alone of which something is, unless it is wanted of ``each``."""
    kept = {key: Kept() for key in task_keys} if each else {}
    for key, report_id, via, size, digest, duplicate_of in _KNOWN.rows(connection, list(task_keys)):
        kept.setdefault(key, Kept()).add(report_id, Via(via), size, digest, repeats=duplicate_of is not None)
    return kept
