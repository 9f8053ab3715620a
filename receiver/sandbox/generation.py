"""One accepted generation: its fate, its results, and all that was sent and asked about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import anyio

from receiver.sandbox.chance import Chance
from receiver.sandbox.encode import Encoding
from receiver.sandbox.moment import Moment
from receiver.sandbox.reference import Reference
from receiver.sandbox.tune import Recipe

PRICE_USD = 0.15


class Provider(StrEnum):
    """The two providers."""

    RUNWARE = "runware"
    AIMLAPI = "aimlapi"


class Status(StrEnum):
    """Where a result, or a whole generation, stands."""

    PROCESSING = "processing"
    SUCCESS = "success"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a result failed: the provider's code and its sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished result's audio: length and hash of the decoded bytes, its link (None for inline) and its end."""

    url: str | None
    bytes: int
    sha256: str
    finished_at: datetime
    url_expires_at: datetime | None


@dataclass(slots=True)
class Result:
    """One result of a generation. `seconds` is its scaled duration; `stalls` and `fails` are its fate."""

    index: int
    id: str
    seed: int
    recipe: Recipe
    encoding: Encoding
    seconds: float
    stalls: bool
    fails: bool
    artifact: Artifact | None = None
    failure: Failure | None = None

    @property
    def status(self) -> Status:
        """Where this result stands."""
        if self.artifact is not None:
            return Status.SUCCESS
        return Status.PROCESSING if self.failure is None else Status.ERROR


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP call of one callback; `status_code` is None, and `error` a name, when no answer came.

    `copy` is 1 for the callback, 2 for its duplicate, 0 for one that only reports progress.
    """

    sent_at: datetime
    attempt: int
    copy: int
    result_id: str
    status_code: int | None
    error: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """One PUT to an uploadEndpoint."""

    sent_at: datetime
    result_id: str
    status_code: int | None
    error: str | None
    bytes: int


@dataclass(frozen=True, slots=True)
class Order:
    """What a provider accepted, in terms both share; `wire` is the request as it came."""

    provider: Provider
    wire: Mapping[str, object]
    batch: tuple[object, ...]
    encoding: Encoding
    count: int = 1
    id: str | None = None
    seed: int | None = None
    inline: bool = False
    ttl_seconds: float | None = None
    webhook_url: str | None = None
    upload_url: str | None = None
    client_request_id: str | None = None
    reference: Reference = ""


@dataclass(slots=True)
class Generation:
    """An accepted order and everything that has happened to it.

    `accepted_clock` and `finished_clock` are of the event loop's clock. `polls` counts answered questions about
    it, `looks` refused ones too. `called_back` is set when the first callback has been tried or dropped.
    """

    order: Order
    chance: Chance
    id: str
    accepted_at: datetime
    accepted_clock: float
    results: tuple[Result, ...]
    calls_back_early: bool = False
    submits: int = 1
    polls: int = 0
    looks: int = 0
    callbacks: list[Attempt] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    finished: Moment = field(default_factory=Moment)
    finished_clock: float | None = None
    called_back: Moment = field(default_factory=Moment)

    @property
    def status(self) -> Status:
        """Processing until the last result is known; then success where any result is there."""
        statuses = {result.status for result in self.results}
        if Status.PROCESSING in statuses:
            return Status.PROCESSING
        return Status.SUCCESS if Status.SUCCESS in statuses else Status.ERROR

    def is_hidden(self, seconds: float) -> bool:
        """Whether it was accepted so lately that polls do not know of it yet."""
        return anyio.current_time() - self.accepted_clock < seconds

    @property
    def billed_usd(self) -> float:
        """What the account is charged: from acceptance on, less what failed."""
        return round(PRICE_USD * sum(result.status is not Status.ERROR for result in self.results), 6)
