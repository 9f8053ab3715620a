"""AIMLAPI: a submit, an id, and asking until it is done; it calls nobody back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode
from uuid import UUID

from receiver.domain.adoption import Adoptable
from receiver.domain.attempt import SubmitOutcome
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
from receiver.providers.aimlapi import answers, reading
from receiver.providers.aimlapi.account import ACCOUNT
from receiver.providers.aimlapi.request import adoptable, check, wire_body
from receiver.providers.wire import calls, links
from receiver.providers.wire.checks import warned_of_private_links

# docs.aimlapi.com, "music-cover".
_GENERATIONS = "/v2/generate/audio"
# docs.aimlapi.com, "Request tracing and cost".
_LOGS = "/v2/logs"
_OPTIONS = (
    ProviderOption("url", "AIMLAPI's base URL", "https://api.aimlapi.com"),
    # The only host in the samples of "music-cover".
    ProviderOption(
        "media_hosts", "hosts a result's link may name, comma separated, *. for all below", "cdn.aimlapi.com"
    ),
    # "music-cover": "repeatedly request the result from the server every 15 seconds".
    ProviderOption("poll_seconds", "seconds between looks at a task, until durations are learned", "15"),
    ProviderOption(
        "lookup_seconds",
        "when to search the log for a submit whose answer was lost: seconds from the submit, rising, comma separated",
        "15,60,300,1800,3600",
    ),
    calls.PACE,
)
_SUBMIT_TIMEOUT_SECONDS = 60.0
#: "Request tracing and cost": a wider one is refused, and with it whatever else is searched for.
_LONGEST_WINDOW = timedelta(days=92)
#: A reference without a scheme at its beginning is the audio itself.
_SCHEME = 16
#: 50 MB of audio, the most there may be, are 67 MB of base64.
_INLINE_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Aimlapi:
    """The adapter; every answer's source is named in the module that reads it."""

    url: str
    media_hosts: tuple[str, ...]
    poll_seconds: float
    lookup_times: tuple[timedelta, ...]
    key: str | None = field(repr=False)
    pace: float | None = None

    @property
    def name(self) -> str:
        """The word users choose it by."""
        return "aimlapi"

    @property
    def pushes(self) -> bool:
        """No parameter for a callback is documented for audio."""
        return False

    @property
    def recovery(self) -> Recovery:
        """``X-Client-Request-Id`` correlates and does not deduplicate: a second submit is a second, billed job."""
        return Recovery.LOOKUP

    @property
    def lookups(self) -> tuple[timedelta, ...]:
        """Sparse and long: only finished generations are in the log."""
        return self.lookup_times

    @property
    def bills_failures(self) -> bool | None:
        """``Failed requests are not billed`` (docs.aimlapi.com, "Errors")."""
        return False

    @property
    def configured(self) -> bool:
        """Whether a key is set."""
        return self.key is not None

    @property
    def most_polled_at_once(self) -> int:
        """One: the question names a single generation."""
        return 1

    @property
    def requests_per_second(self) -> float | None:
        """As the operator set it: only for the log a limit is documented."""
        return self.pace

    @property
    def searches_per_second(self) -> float | None:
        """``200 requests per 60 s`` (docs.aimlapi.com, "Request tracing and cost"), and some left for others."""
        return 3.0

    def check(self, request: TaskRequest) -> Checked:
        """Judge a request against AIMLAPI's page of the model."""
        return warned_of_private_links(check(request), self.url)

    def adoptable(self, provider_task_id: str, count: int | None) -> Adoptable:
        """Take a generation's id; each has one result."""
        return adoptable(provider_task_id, count)

    def provider_task_id(self, task_id: UUID) -> str | None:
        """AIMLAPI chooses its ids itself."""
        return None

    def plan(self, request: TaskRequest, *, pushed: bool) -> PollPlan:
        """Look at the documented pace."""
        return PollPlan(self.poll_seconds, self.poll_seconds)

    def submit(self, task: Task, *, reference: str, callback_url: str | None) -> HttpRequest:
        """Build the submit, marked with our task's id, so that AIMLAPI's log can name it."""
        return calls.json_call(
            "POST",
            self.url + _GENERATIONS,
            key=self.key,
            payload=wire_body(task, reference=reference),
            headers={"X-Client-Request-Id": str(task.id)},
            timeout_seconds=_SUBMIT_TIMEOUT_SECONDS if "://" in reference[:_SCHEME] else _INLINE_TIMEOUT_SECONDS,
        )

    @property
    def files(self) -> FileWay:
        """``reference_audio_url`` is "a URL or a Base64-encoded" text."""
        return FileWay.INLINE

    def upload(self, audio: str, media_type: str, upload_id: UUID) -> HttpRequest:
        """Refuse: a submit cannot name a file that was uploaded before."""
        raise ValueError("AIMLAPI has no upload that a submit could name")

    def read_upload(self, answer: HttpAnswer) -> str | SubmitOutcome:
        """Refuse: nothing is uploaded."""
        raise ValueError("AIMLAPI has no upload that a submit could name")

    def read_submit(self, task: Task, answer: HttpAnswer) -> SubmitOutcome:
        """Say what an answer to ``submit`` means."""
        return answers.read_submit(answer)

    def batchable(self, task: Polled) -> bool:
        """Each is asked about alone."""
        return False

    def poll(self, tasks: Sequence[Polled]) -> HttpRequest:
        """Ask about one generation; raises ValueError for a task whose generation is not known."""
        (task,) = tasks
        if task.provider_task_id is None:
            raise ValueError("the task has no generation id to ask about")
        # Older ids hold ":" and "/".
        name = quote(task.provider_task_id, safe="")
        return calls.json_call("GET", f"{self.url}{_GENERATIONS}?generation_id={name}", key=self.key)

    def read_poll(self, tasks: Sequence[Polled], answer: HttpAnswer) -> Answered | Unanswered:
        """Read the answer about one generation."""
        (task,) = tasks
        return answers.read_poll(task, answer)

    def read(self, body: bytes, via: Via) -> Reading:
        """Read a generation object."""
        return reading.read_generation(reading.parse_body(body))

    def doubts(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
        """Return None: nothing is signed."""
        return None

    def trusts(self, link: str) -> bool:
        """Tell whether a link lies on AIMLAPI's media host or at the very origin we call."""
        return links.trusted(link, self.media_hosts, self.url)

    def search(self, since: datetime, until: datetime, offset: int) -> HttpRequest:
        """Build one page of the log between two moments, newest first; of all models."""
        since = max(since, until - _LONGEST_WINDOW)
        asked = {"start": _iso(since), "end": _iso(until), "limit": str(answers.ROWS), "offset": str(offset)}
        return calls.json_call("GET", f"{self.url}{_LOGS}?{urlencode(asked)}", key=self.key)

    def read_search(self, answer: HttpAnswer) -> LogPage | Unanswered:
        """Read one page of the log."""
        return answers.read_search(answer)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _build(options: Mapping[str, str], key: str | None) -> Aimlapi:
    return Aimlapi(
        url=calls.endpoint("url", options["url"]),
        media_hosts=links.host_patterns("media_hosts", options["media_hosts"]),
        poll_seconds=calls.seconds("poll_seconds", options["poll_seconds"]),
        lookup_times=calls.rising_seconds("lookup_seconds", options["lookup_seconds"]),
        key=calls.api_key("AIMLAPI_API_KEY", key),
        pace=calls.per_second("requests_per_second", options["requests_per_second"]),
    )


ENTRY = ProviderEntry("aimlapi", _OPTIONS, _build, ACCOUNT)
