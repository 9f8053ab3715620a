"""What one provider speaks, as values: the seam a new provider is added at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from receiver.domain.adoption import Adoptable
from receiver.domain.attempt import SubmitOutcome
from receiver.domain.errors import TaskError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.looking import Found
from receiver.domain.report import Reading, Via
from receiver.domain.request import Checked, TaskRequest
from receiver.domain.schedule import PollPlan
from receiver.domain.task import Recovery, Task
from receiver.domain.values import quick


class Polled(Protocol):
    """A task as far as it takes to ask about it."""

    @property
    def id(self) -> UUID:
        """Our id."""

    @property
    def request(self) -> TaskRequest:
        """What was asked for."""

    @property
    def provider_task_id(self) -> str | None:
        """The provider's id, None where it is not known."""


@quick
@dataclass(frozen=True, slots=True)
class Slice:
    """One task's share of a poll answer.

    ``body`` is what is kept verbatim and must give ``reading`` again through ``Provider.read``; ``sliced`` says
    that it was cut out of an answer for several tasks. ``cost_micros`` is a cost told outside the body.
    """

    body: bytes = field(repr=False)
    reading: Reading
    sliced: bool = False
    cost_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A poll that was answered: the slices by task id; a task without one was not answered for."""

    slices: Mapping[UUID, Slice]


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A poll that brought nothing usable. ``pauses`` the provider when the reason lies with our account."""

    error: TaskError
    pauses: bool = False
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class LogPage:
    """One page of a provider's log: its number of rows, what was found in them by our own task id, and whether
    older rows follow.
    """

    rows: int

    found: Mapping[str, Found]
    has_more: bool


class FileWay(StrEnum):
    """How a provider that cannot reach us is given a file: in the submit, from its own storage, or not at all."""

    INLINE = "inline"
    STORED = "stored"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ProviderOption:
    """A setting of one provider: ``RECEIVER_<PROVIDER>_<NAME>`` in the environment, upper case.

    ``default`` is text as it would stand in the environment. The value of a ``secret`` is never shown.
    """

    name: str
    meaning: str
    default: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """How a provider is asked what money is left, where it can be: a call that costs nothing.

    ``ask`` gets every option by name, the key and a fresh id. ``read`` returns US dollars, None for an answer that
    does not tell.
    """

    ask: Callable[[Mapping[str, str], str, UUID], HttpRequest]
    read: Callable[[HttpAnswer], float | None]


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """A provider's line in the table: its options and how it is made from them.

    ``build`` gets every option by name (defaults filled in) and the key ``<PROVIDER>_API_KEY``, None when unset. It
    raises ValueError, naming the option, for a value it cannot take.
    """

    name: str
    options: tuple[ProviderOption, ...]
    build: "Callable[[Mapping[str, str], str | None], Provider]"
    account: Account | None = None


class Provider(Protocol):
    """What one provider speaks: requests and readings as values, no I/O, no clock, no state."""

    @property
    def name(self) -> str:
        """The word users choose it by, ``[a-z0-9_]+``."""

    @property
    def pushes(self) -> bool:
        """Whether it calls back at all."""

    @property
    def recovery(self) -> Recovery:
        """How a submit whose answer was lost is found again."""

    @property
    def lookups(self) -> tuple[timedelta, ...]:
        """When to search its log after a submit whose answer was lost (``recovery`` LOOKUP), from the submit on."""

    @property
    def bills_failures(self) -> bool | None:
        """Whether it documents that a generation that failed is billed; None where it documents nothing of that."""

    @property
    def configured(self) -> bool:
        """Whether a key is set."""

    @property
    def most_polled_at_once(self) -> int:
        """How many tasks one poll request may ask about."""

    @property
    def requests_per_second(self) -> float | None:
        """How many calls of every kind may begin in a second for one account; None for no limit."""

    @property
    def searches_per_second(self) -> float | None:
        """How many pages of its log may be asked for in a second; None where they have no limit of their own."""

    def check(self, request: TaskRequest) -> Checked:
        """Judge a request: every field named that is missing, out of range or not this provider's."""

    def adoptable(self, provider_task_id: str, count: int | None) -> Adoptable:
        """Judge an id of a generation that was started elsewhere and the number of its results, None if not told."""

    def provider_task_id(self, task_id: UUID) -> str | None:
        """Return the provider's id of a task before it is sent, when we choose it; else None."""

    def plan(self, request: TaskRequest, *, pushed: bool) -> PollPlan:
        """Return how often to look."""

    def submit(self, task: Task, *, reference: str, callback_url: str | None) -> HttpRequest:
        """Build the submit. ``reference`` is the reference audio as it goes on the wire (a link, an id or base64)."""

    @property
    def files(self) -> FileWay:
        """How a file of the caller's gets there when the provider cannot reach us."""

    def upload(self, audio: str, media_type: str, upload_id: UUID) -> HttpRequest:
        """Build what puts base64 audio into the provider's own storage (``files`` STORED only).

        It must neither generate nor cost anything: it is sent again whenever it is not answered.
        """

    def read_upload(self, answer: HttpAnswer) -> str | SubmitOutcome:
        """Return what a submit names the uploaded audio by, or the outcome of the submit that cannot be made."""

    def read_submit(self, task: Task, answer: HttpAnswer) -> SubmitOutcome:
        """Say what a complete answer to ``submit`` means."""

    def batchable(self, task: Polled) -> bool:
        """Tell whether the task may be polled together with others (not when its answer is large)."""

    def poll(self, tasks: Sequence[Polled]) -> HttpRequest:
        """Build one question about ``tasks``, 1 to ``most_polled_at_once`` of them."""

    def read_poll(self, tasks: Sequence[Polled], answer: HttpAnswer) -> Answered | Unanswered:
        """Read the answer to ``poll``."""

    def read(self, body: bytes, via: Via) -> Reading:
        """Read a report; raise UnreadableError for a body without any known form."""

    def doubts(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
        """Return why a callback is not genuine, or None when it is or the provider signs nothing.

        ``headers`` have lower-case names; ``body`` is as received. The task's own token has been verified before.
        """

    def trusts(self, link: str) -> bool:
        """Tell whether a link lies on this provider's own media hosts."""

    def search(self, since: datetime, until: datetime, offset: int) -> HttpRequest:
        """Build a search of the provider's log (``recovery`` LOOKUP only)."""

    def read_search(self, answer: HttpAnswer) -> LogPage | Unanswered:
        """Read one page of the log."""
