"""One output of a task as we keep it, and the audio we hold of it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

from receiver.domain.report import Via
from receiver.domain.values import Word, quick

#: A link that dies within this time, its audio not fetched yet, is a matter for a person.
LINK_AT_RISK = timedelta(minutes=15)


class ArtifactStatus(Word):
    """Where the audio of a result stands."""

    PENDING = "pending"
    STORED = "stored"
    FAILED = "failed"
    EXPIRED = "expired"
    ERASED = "erased"


@quick
@dataclass(frozen=True, slots=True)
class Artifact:
    """The audio of one result in our storage, or the work of getting it.

    ``size`` in bytes, ``sha256`` in hex, ``media_type`` by content. ``attempts`` counts every try,
    ``refusals`` the definite ones since ``first_refused_at``. ``due_at`` is None when nothing is to be done.
    """

    status: ArtifactStatus = ArtifactStatus.PENDING
    due_at: datetime | None = None
    attempts: int = 0
    refusals: int = 0
    first_refused_at: datetime | None = None
    object_key: str | None = None
    size: int | None = None
    sha256: str | None = None
    media_type: str | None = None
    duration_seconds: float | None = None
    error: str | None = None


def same_place(one: str | None, other: str | None) -> bool:
    """Tell whether two links name the same object: a fresh signature in the query is no difference."""
    if one is None or other is None:
        return one is other
    return urlsplit(one)[:3] == urlsplit(other)[:3]


@quick
@dataclass(frozen=True, slots=True)
class Result:
    """One output of a task. ``identity`` is unique within the task; ``index`` is the order of first sight.

    ``late`` marks a result that came after the task had ended. ``report_id`` names the report that first
    carried it, from which inline audio is read.
    """

    id: UUID
    index: int
    identity: str
    via: Via
    received_at: datetime
    report_id: UUID
    inline: bool = False
    late: bool = False
    provider_result_id: str | None = None
    seed: int | None = None
    cost_micros: int | None = None
    link: str | None = field(default=None, repr=False)
    link_expires_at: datetime | None = None
    artifact: Artifact = field(default_factory=Artifact)
