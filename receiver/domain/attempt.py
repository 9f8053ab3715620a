"""One outbound call that asks a provider for a generation, and what its outcome means."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from receiver.domain.errors import TaskError
from receiver.domain.values import Word


class AttemptOutcome(Word):
    """How an attempt ended, in the words of its timeline."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    PAUSED = "paused"
    NOT_SENT = "not_sent"
    UNCLEAR = "unclear"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt of a task; open while ``ended_at`` is None. ``ordinal`` counts from 1 within the task.

    ``sent`` and ``answered`` are what went over the wire, without secrets of ours and cut to a bound; None while that
    is not known, and where nothing went.
    """

    ordinal: int
    started_at: datetime
    ended_at: datetime | None = None
    outcome: AttemptOutcome | None = None
    http_status: int | None = None
    detail: str | None = None
    sent: bytes | None = field(default=None, repr=False)
    answered: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has the task. ``report`` is the answer's body when it already says more than that."""

    provider_task_id: str | None = None
    report: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider said no to this very task; sending it again would be refused again."""

    error: TaskError


@dataclass(frozen=True, slots=True)
class Paused:
    """The provider takes nothing from us now (key, balance, rate): the task waits, the provider rests."""

    error: TaskError
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing left this machine."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """The task may have arrived: only the provider can tell."""

    reason: str


SubmitOutcome = Accepted | Refused | Paused | NotSent | Unclear
