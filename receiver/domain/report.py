"""What a provider said about a task: raw bytes that arrived, and the reading an adapter makes of them."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from receiver.domain.errors import TaskError
from receiver.domain.values import Word, quick


class Via(Word):
    """The channel a report came by."""

    CALLBACK = "callback"
    POLL = "poll"
    SUBMIT = "submit"


class Verdict(Word):
    """What settling made of a report."""

    SETTLED = "settled"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    QUARANTINED = "quarantined"


@quick
@dataclass(frozen=True, slots=True)
class NewReport:
    """A report to be stored: ``body`` is verbatim (``sliced``: cut from a batched answer for this task).

    A body too large for the database is put into the object store first; then ``body`` is empty,
    ``object_key`` names it, and ``size`` and ``sha256`` are still those of the body. ``doubt`` says why a callback
    is not genuine, where the provider signs: it is kept and never settled, and its ``sha256`` is one that no genuine
    callback has.
    """

    id: UUID
    task_key: UUID
    provider: str
    via: Via
    received_at: datetime
    body: bytes = field(repr=False)
    sha256: bytes
    size: int
    object_key: str | None = None
    content_type: str | None = None
    sliced: bool = False
    doubt: str | None = None


@quick
@dataclass(frozen=True, slots=True)
class StoredReport:
    """A report as it waits to be settled. ``duplicate_of`` names the report whose bytes it repeats (then
    ``body`` is empty). ``attempts`` counts how often settling began, this time included.
    """

    id: UUID
    task_key: UUID
    provider: str
    via: Via
    received_at: datetime
    body: bytes = field(repr=False)
    size: int
    object_key: str | None
    duplicate_of: UUID | None
    attempts: int
    doubt: str | None = None


@quick
@dataclass(frozen=True, slots=True)
class Output:
    """One audio a provider says it made.

    ``identity`` tells this output from every other of its task and is the same in every report that carries
    it. Exactly one of ``link`` (byte for byte as received) and ``inline`` (base64 text or data URI) is set.
    """

    identity: str
    provider_task_id: str | None = None
    provider_result_id: str | None = None
    link: str | None = field(default=None, repr=False)
    link_expires_at: datetime | None = None
    inline: str | None = field(default=None, repr=False)
    seed: int | None = None
    cost_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure a provider reports; which of several results failed is not said."""

    error: TaskError
    provider_task_id: str | None = None


@quick
@dataclass(frozen=True, slots=True)
class Reading:
    """What an adapter understood of one report.

    ``pending`` is true when the body says that something is still being made. ``oddities`` are words or
    shapes the adapter does not know, shortened and printable. ``named`` holds every provider task id found
    anywhere in the body. ``cost_micros`` is a cost told for the task as a whole.
    """

    outputs: tuple[Output, ...] = ()
    failures: tuple[Failure, ...] = ()
    pending: bool = False
    oddities: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()
    cost_micros: int | None = None

    @property
    def says_nothing(self) -> bool:
        """True for an answer that neither confirms nor denies: it proves nothing."""
        return not (self.outputs or self.failures or self.pending or self.oddities)
