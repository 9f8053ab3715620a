"""Runware: one endpoint, an array of tasks, results by webhook and by ``getResponse``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from receiver.domain.adoption import Adoptable
from receiver.domain.attempt import SubmitOutcome
from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.report import Reading, Via
from receiver.domain.request import Checked, TaskRequest
from receiver.domain.schedule import PollPlan
from receiver.domain.task import Recovery, Task
from receiver.lifecycle.ports.provider import (
    Answered,
    FileWay,
    LogPage,
    Polled,
    ProviderEntry,
    ProviderOption,
    Unanswered,
)
from receiver.providers.runware import answers, reading
from receiver.providers.runware.account import ACCOUNT
from receiver.providers.runware.request import adoptable, check, wire_task
from receiver.providers.wire import calls, links
from receiver.providers.wire.checks import warned_of_private_links

_OPTIONS = (
    # runware.ai/docs, "Authentication": the only REST endpoint.
    ProviderOption("url", "Runware's endpoint, whole", "https://api.runware.ai/v1"),
    # The examples of runware.ai/docs show am. for audio, im. for images, vm. and vs. for video.
    ProviderOption(
        "media_hosts", "hosts a callback's link may name, comma separated, *. for all below", "*.runware.ai"
    ),
    ProviderOption(
        "first_poll_seconds",
        "seconds from a submit to the first look when a callback is due, until durations are learned",
        "120",
    ),
    # runware.ai/docs, "Task polling": exponential backoff from 1 to 2 seconds.
    ProviderOption(
        "poll_seconds",
        "seconds between the first looks at a task that nobody calls back for, until durations are learned",
        "2",
    ),
    calls.PACE,
)
#: The same page asks for an initial delay for long tasks; a cover takes over a minute. In polls' gaps.
_INITIAL_DELAY_GAPS = 5
_GROWTH = 1.5
_LONGEST_GAP_SECONDS = 15.0
#: After a callback failed to come, looks are this far apart at first, and a minute in the end.
_MISSED_GAP_SECONDS = 15.0
_LONGEST_MISSED_GAP_SECONDS = 60.0
_SUBMIT_TIMEOUT_SECONDS = 60.0
#: Together with a submit no longer than a worker may hold a task twice over.
_UPLOAD_TIMEOUT_SECONDS = 150.0


@dataclass(frozen=True, slots=True)
class Runware:
    """The adapter; every answer's source is named in the module that reads it."""

    url: str
    media_hosts: tuple[str, ...]
    first_poll_seconds: float
    poll_seconds: float
    key: str | None = field(repr=False)
    pace: float | None = None

    @property
    def name(self) -> str:
        """The word users choose it by."""
        return "runware"

    @property
    def pushes(self) -> bool:
        """It calls back at ``webhookURL``."""
        return True

    @property
    def recovery(self) -> Recovery:
        """The task's UUID is ours: sent twice, the second is refused with ``conflictTaskUUID``."""
        return Recovery.RESEND

    @property
    def lookups(self) -> tuple[timedelta, ...]:
        """None: there is no log to search."""
        return ()

    @property
    def bills_failures(self) -> bool | None:
        """Nothing is documented."""
        return None

    @property
    def configured(self) -> bool:
        """Whether a key is set."""
        return self.key is not None

    @property
    def most_polled_at_once(self) -> int:
        """A moderate batch: no limit is published for the array of a request."""
        return 50

    @property
    def requests_per_second(self) -> float | None:
        """As the operator set it: no hard limit is documented."""
        return self.pace

    @property
    def searches_per_second(self) -> float | None:
        """There is no log to search."""
        return None

    def check(self, request: TaskRequest) -> Checked:
        """Judge a request against Runware's page of the model."""
        return warned_of_private_links(check(request), self.url)

    def adoptable(self, provider_task_id: str, count: int | None) -> Adoptable:
        """Take a ``taskUUID``, in either case, of one to four results."""
        return adoptable(provider_task_id, count)

    def provider_task_id(self, task_id: UUID) -> str | None:
        """Our id is Runware's ``taskUUID``."""
        return str(task_id)

    def plan(self, request: TaskRequest, *, pushed: bool) -> PollPlan:
        """Trust the callback for a while, then look; without one, look as the documentation advises."""
        if pushed:
            gap = min(_MISSED_GAP_SECONDS, self.first_poll_seconds)
            return PollPlan(self.first_poll_seconds, gap, _GROWTH, _LONGEST_MISSED_GAP_SECONDS)
        first = self.poll_seconds * _INITIAL_DELAY_GAPS
        return PollPlan(first, self.poll_seconds, _GROWTH, _LONGEST_GAP_SECONDS)

    def submit(self, task: Task, *, reference: str, callback_url: str | None) -> HttpRequest:
        """Build the submit: an array of one task, as always."""
        payload = [wire_task(task, reference=reference, callback_url=callback_url)]
        return calls.json_call(
            "POST", self.url, key=self.key, payload=payload, timeout_seconds=_SUBMIT_TIMEOUT_SECONDS
        )

    @property
    def files(self) -> FileWay:
        """``inputs.audio`` is a URL or the UUID of what is stored there."""
        return FileWay.STORED

    def upload(self, audio: str, media_type: str, upload_id: UUID) -> HttpRequest:
        """Build the upload of a file to our account's storage there: runware.ai/docs, "Media storage"."""
        task = {
            "taskType": "mediaStorage",
            "taskUUID": str(upload_id),
            "operation": "upload",
            "media": f"data:{media_type};base64,{audio}",
        }
        return calls.json_call(
            "POST", self.url, key=self.key, payload=[task], timeout_seconds=_UPLOAD_TIMEOUT_SECONDS
        )

    def read_upload(self, answer: HttpAnswer) -> str | SubmitOutcome:
        """Return the UUID that the file goes by there."""
        return answers.read_upload(answer)

    def read_submit(self, task: Task, answer: HttpAnswer) -> SubmitOutcome:
        """Say what an answer to ``submit`` means."""
        return answers.read_submit(task, answer)

    def batchable(self, task: Polled) -> bool:
        """Links are short; inline audio, which an adopted task may have, comes alone: an answer holds one song."""
        return not task.request.adopted and (task.request.output_type or "URL") == "URL"

    def poll(self, tasks: Sequence[Polled]) -> HttpRequest:
        """Build one ``getResponse`` for each task, in one array."""
        payload = [{"taskType": "getResponse", "taskUUID": answers.wire_id(task)} for task in tasks]
        return calls.json_call("POST", self.url, key=self.key, payload=payload)

    def read_poll(self, tasks: Sequence[Polled], answer: HttpAnswer) -> Answered | Unanswered:
        """Give each task its share of the answer."""
        return answers.read_poll(tasks, answer)

    def read(self, body: bytes, via: Via) -> Reading:
        """Read a report in any of the forms seen."""
        return reading.read_body(body, via)

    def doubts(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
        """Return None: nothing is signed."""
        return None

    def trusts(self, link: str) -> bool:
        """Tell whether a link lies on Runware's media hosts or at the very origin we call."""
        return links.trusted(link, self.media_hosts, self.url)

    def search(self, since: datetime, until: datetime, offset: int) -> HttpRequest:
        """Refuse: a submit whose answer was lost is sent again under its UUID, nothing is searched."""
        raise ValueError("Runware has no log to search: ask for the task, then send it again under the same UUID")

    def read_search(self, answer: HttpAnswer) -> LogPage | Unanswered:
        """Refuse, as ``search`` does."""
        return Unanswered(TaskError(ErrorCode.UNKNOWN, "Runware has no log to search"))


def _build(options: Mapping[str, str], key: str | None) -> Runware:
    return Runware(
        url=calls.endpoint("url", options["url"]),
        media_hosts=links.host_patterns("media_hosts", options["media_hosts"]),
        first_poll_seconds=calls.seconds("first_poll_seconds", options["first_poll_seconds"]),
        poll_seconds=calls.seconds("poll_seconds", options["poll_seconds"]),
        key=calls.api_key("RUNWARE_API_KEY", key),
        pace=calls.per_second("requests_per_second", options["requests_per_second"]),
    )


ENTRY = ProviderEntry("runware", _OPTIONS, _build, ACCOUNT)
