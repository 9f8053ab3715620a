"""A generation we asked for: its states, what is known of it, and the change a step makes to it.

queued ──▶ submitted ──▶ collecting ──▶ succeeded | partial | failed
  │           ├──▶ failed          the provider said no, or gave up
  │           └──▶ lost            a day after the deadline; a later result reopens it (task.found)
  ├──▶ unknown ──▶ submitted | collecting | failed | lost      sent, answer lost
  │       └──▶ queued              proven since not to have been sent
  ├──▶ collecting | failed         an early callback
  └──▶ failed                      refused at submit, or queued too long (not_sent)
any non-terminal ──▶ cancelled
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from receiver.domain.attempt import Attempt
from receiver.domain.delivery import Delivery
from receiver.domain.errors import FieldWarning, TaskError
from receiver.domain.event import Event
from receiver.domain.prose import one_line
from receiver.domain.report import NewReport, Verdict, Via
from receiver.domain.request import TaskRequest
from receiver.domain.result import Result
from receiver.domain.values import Word, quick, replace

_LONGEST_FAULT = 300


class Status(Word):
    """Where a task stands."""

    QUEUED = "queued"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    COLLECTING = "collecting"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """True when nothing further is waited for."""
        return self in _TERMINAL


_TERMINAL = frozenset({Status.SUCCEEDED, Status.PARTIAL, Status.FAILED, Status.LOST, Status.CANCELLED})


class Work(Word):
    """What a worker has to do for a task when it falls due."""

    SUBMIT = "submit"
    POLL = "poll"
    LOOKUP = "lookup"


class Recovery(Word):
    """How a provider lets us find out what became of a submit whose answer was lost."""

    RESEND = "resend"  # the task id is ours: ask, then send again under the same id, a conflict proves arrival
    LOOKUP = "lookup"  # a second submit would be a second, billed job: search the provider's log instead


@quick
@dataclass(frozen=True, slots=True)
class Task:
    """A task with its results: the unit that changes in one transaction.

    ``key`` is the time-ordered internal key, ``id`` the public UUID v4. ``pushed``: the provider was given a callback
    URL. ``work`` and ``due_at`` say what to do next and when; both None when nothing is to be done. ``tries`` counts
    fruitless calls in a row; ``fault`` says why the last one was, if that is known. ``attempts`` counts
    submits; one is open while ``attempt_open_since`` is set. ``doubt`` is a failure that so far only a callback told,
    or that callbacks do not agree. ``answer_digest`` is the sha256 of the last poll answer that was news, None also
    where the next is news whatever it says; ``quiet_since`` is when an answer first showed failures, fewer outcomes
    than asked for, and nothing pending. ``looked_at`` is when it was last asked about and found pending.
    ``told_cost_micros`` is a cost told for the whole task, in micro-dollars. A task with ``erased_at`` is a husk and
    never changes again.
    """

    key: UUID
    id: UUID
    request: TaskRequest
    model: str
    created_at: datetime
    deadline_seconds: float
    status: Status = Status.QUEUED
    overdue: bool = False
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[FieldWarning, ...] = ()
    errors: tuple[TaskError, ...] = ()
    results: tuple[Result, ...] = ()
    provider_task_id: str | None = None
    pushed: bool = False
    submitted_at: datetime | None = None
    settled_at: datetime | None = None
    completed_at: datetime | None = None
    deadline_at: datetime | None = None
    told_cost_micros: int | None = None
    polls: int = 0
    callbacks: int = 0
    work: Work | None = None
    due_at: datetime | None = None
    tries: int = 0
    attempts: int = 0
    attempt_open_since: datetime | None = None
    unknown_since: datetime | None = None
    doubt: TaskError | None = None
    doubt_since: datetime | None = None
    answer_digest: bytes | None = None
    quiet_since: datetime | None = None
    looked_at: datetime | None = None
    fault: str | None = None
    erased_at: datetime | None = None

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.request.provider

    @property
    def expected(self) -> int:
        """How many results were asked for."""
        return self.request.count or 1

    @property
    def cost_micros(self) -> int | None:
        """What the task cost in micro-dollars as far as the provider told, else None."""
        told = [result.cost_micros for result in self.results if result.cost_micros is not None]
        if self.told_cost_micros is not None:
            return self.told_cost_micros
        return sum(told) if told else None

    @property
    def missed(self) -> bool | None:
        """Whether a result became known by our own looking although a callback was due; None where none was."""
        if not self.pushed or not self.results:
            return None
        return any(result.via is Via.POLL for result in self.results)


@quick
@dataclass(frozen=True, slots=True)
class Ruling:
    """What was made of one report, and why when it is not plain."""

    report_id: UUID
    verdict: Verdict
    reason: str | None = None


@quick
@dataclass(frozen=True, slots=True)
class Change:
    """What one step does to a task: stored whole, in one transaction, or not at all.

    ``attempt`` is inserted or, if its ordinal exists, replaced. ``report`` is stored with its inbox line. A result of
    another id at the index of a former one takes its place. ``discarded`` are the keys of
    objects that no result names any more, each with the moment it may be removed. ``delivered`` are deliveries of
    the task's events as they are after an attempt; one that was taken up again since stays as it is.
    """

    task: Task
    events: tuple[Event, ...] = ()
    attempt: Attempt | None = None
    report: NewReport | None = None
    rulings: tuple[Ruling, ...] = ()
    discarded: tuple[tuple[str, datetime], ...] = ()
    delivered: tuple[Delivery, ...] = ()


def at_rest(task: Task) -> Task:
    """Return the task with nothing to ask its provider about."""
    return replace(task, work=None, due_at=None, tries=0, fault=None, doubt=None, doubt_since=None, quiet_since=None)


def fault_in(words: str) -> str:
    """Return why a call came to nothing, fit to keep and to show: one printable line of at most 300 characters.

    An adapter passes on what its provider said; what a database refuses would be tried to be kept again and again.
    """
    return one_line(words, _LONGEST_FAULT)
