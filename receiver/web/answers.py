"""The shapes of what we answer, field by field: the document of the interface is made of them, and answers are held
to them by the tests. What is unknown is null, never absent.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from receiver.domain.errors import ErrorCode
from receiver.domain.event import EventType
from receiver.domain.report import Verdict, Via
from receiver.domain.result import ArtifactStatus
from receiver.domain.task import Status
from receiver.domain.waiting import WaitsFor

Id = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
Moment = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$",
        examples=["2026-11-21T09:30:00.000000Z"],
        json_schema_extra={"format": "date-time"},
    ),
]
#: A moment as callers may write it: with any zone, but with one.
AnyMoment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-21T09:30:00Z"])]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Dollars = Annotated[float, Field(description="In US dollars, as far as the provider told.")]
Count = Annotated[int, Field(ge=0)]


class Shape(BaseModel):
    """An object that has exactly these fields."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Remark(Shape):
    """A field and what is to be said of it."""

    field: str
    message: str


class Waiting(Shape):
    """Who or what has to move next."""

    what: WaitsFor = Field(alias="for", strict=False)
    message: str
    until: Moment | None = Field(description="When something of ours happens at the latest; null when that is open.")


class HashedAudio(Shape):
    """Audio that was sent along, as its hash and size."""

    sha256: Sha256
    bytes: Count


class Input(Shape):
    """A file that was uploaded."""

    id: Id
    reference_audio: str = Field(description="What a request says to use it: `input:<id>`.")
    sha256: Sha256
    bytes: Count
    duration_seconds: float
    media_type: str


class TaskRequest(Shape):
    """What was asked for, as validated."""

    provider: str
    model: str | None
    prompt: str | None
    reference_audio: str | HashedAudio | None
    lyrics: str | None
    count: int | None
    seed: int | None
    output_format: str | None
    output_type: str | None
    sample_rate: int | None
    bitrate: int | None
    ttl_seconds: int | None
    include_cost: bool | None
    upload_endpoint: str | None = Field(description="Without what may be secret in it.")
    notify_url: str | None = Field(description="The same.")
    provider_options: dict[str, object]
    deadline_seconds: float


class Artifact(Shape):
    """The audio that we hold of a result."""

    status: ArtifactStatus = Field(strict=False)
    url: str = Field(description="Where its bytes are, once stored; with the key.")
    bytes: Count | None
    sha256: Sha256 | None
    media_type: str | None
    duration_seconds: float | None


class Result(Shape):
    """One output of a generation."""

    id: Id
    index: Count = Field(description="In the order in which results were first seen.")
    provider_result_id: str | None
    via: Via = Field(strict=False, description="How the first report that carried it came.")
    late: bool = Field(description="It came after the task had ended.")
    seed: int | None
    cost_usd: Dollars | None
    received_at: Moment
    url: str | None = Field(description="The provider's own link, which dies.")
    url_expires_at: Moment | None
    download_url: str | None = Field(description="Our link for a player: no key, 15 minutes, made anew at each read.")
    artifact: Artifact


class TaskProblem(Shape):
    """Why a task, or one of its results, failed."""

    code: ErrorCode = Field(strict=False)
    message: str
    retryable: bool = Field(description="Whether the same request may succeed; we never repeat it by ourselves.")
    provider_code: str | None = Field(description="The provider's own word.")


class Task(Shape):
    """A generation, from our promise to its audio."""

    id: Id
    provider: str
    model: str | None
    status: Status = Field(strict=False)
    overdue: bool = Field(description="Past its deadline; it is still looked for.")
    created_at: Moment
    submitted_at: Moment | None
    settled_at: Moment | None = Field(description="When the outcome of every result was known.")
    completed_at: Moment | None
    deadline_at: Moment | None
    erased_at: Moment | None
    waiting: Waiting | None = Field(description="What a task under way waits for.")
    metadata: dict[str, str]
    warnings: list[Remark]
    provider_task_id: str | None
    request: TaskRequest
    results: list[Result]
    errors: list[TaskProblem]
    cost_usd: Dollars | None
    polls: Count = Field(description="How often the provider was asked.")
    callbacks: Count = Field(description="How many callbacks came, repeats too.")


class Tasks(Shape):
    """One page of tasks, newest first."""

    data: list[Task]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class Event(Shape):
    """One line of a timeline."""

    id: Annotated[int, Field(ge=1)] = Field(description="Grows over all tasks; streams resume behind it.")
    task_id: Id
    seq: Annotated[int, Field(ge=1)] = Field(description="Counts the events of one task without a gap.")
    type: EventType = Field(strict=False)
    at: Moment
    data: dict[str, object]


class Events(Shape):
    """Events, oldest first."""

    data: list[Event]


class Report(Shape):
    """What a provider said of a task once, without its words."""

    id: Id
    task_id: Id
    provider: str
    via: Via = Field(strict=False)
    received_at: Moment
    bytes: Count
    sha256: Sha256
    sliced: bool = Field(description="It was cut out of an answer about several tasks.")
    duplicate_of: Id | None
    verdict: Verdict | None = Field(strict=False, description="What was made of it; null while it waits.")
    reason: str | None


class Reports(Shape):
    """The reports of a task, oldest first."""

    data: list[Report]


class Outcome(Shape):
    """What a report means for its task."""

    verdict: Verdict = Field(strict=False)
    reason: str | None
    status: Status | None = Field(strict=False)
    results: Count
    cost_usd: Dollars | None


class Replayed(Shape):
    """A report that was read again."""

    report_id: Id
    task_id: Id | None
    before: Outcome
    after: Outcome
    applied: bool = Field(description="Whether its task was changed by this.")


class Replays(Shape):
    """Reports that were read again, one page."""

    data: list[Replayed]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class Quantiles(Shape):
    """How long it took from the submit until the outcome was known, in seconds."""

    p50: float | None
    p99: float | None


class LearnedLooks(Shape):
    """What the latest tasks taught about when to look at the next."""

    tasks: Count = Field(description="From how many.")
    first_look_seconds: float = Field(description="The age at which a task is first looked at that is not pushed.")
    nearly_all_seconds: float = Field(description="The age by which 99 of 100 tasks have ended.")


class Figures(Shape):
    """What was counted of one model of one provider."""

    provider: str
    model: str | None
    tasks: Count
    statuses: dict[Status, Count]
    seconds: Quantiles
    callback_miss_rate: float | None = Field(description="The share of results that were pushed and never arrived.")
    polls_per_task: float | None
    cost_usd: Dollars | None
    looks: LearnedLooks | None = Field(
        description="Null until enough tasks have ended, and where this process has no role `worker`."
    )


class Statistics(Shape):
    """Figures by provider and model."""

    data: list[Figures]
    since: Moment | None


class Erased(Shape):
    """What became of a wish to erase."""

    count: Count
    more: bool = Field(description="There is more of the kind: ask again.")


class Acknowledgement(Shape):
    """A callback is durable."""

    status: Literal["accepted", "duplicate"]


class Health(Shape):
    """That this process lives."""

    status: Literal["ok"]


class Ready(Shape):
    """Whether this process can take work."""

    status: Literal["ready", "unavailable"]
    worker: Literal["running", "stopped"] = Field(
        default="running", description="Only there where the process has the role `worker`."
    )


class Problem(Shape):
    """Why a request was refused (RFC 9457)."""

    type: str = Field(description="Stable: programs match on it.")
    title: str
    status: int
    detail: str
    errors: list[Remark] = Field(description="Every field, parameter or header at fault.")
