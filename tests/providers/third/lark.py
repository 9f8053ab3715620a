"""Lark: one song for a submit, known by an id of Lark's own, told by signed callbacks or when asked.

There is no such provider. This file is what adding one takes, whole: ``tests/flows/test_third_provider.py`` lays it
into a copy of ``receiver/providers`` and holds it to every gate. "Lark's page" stands for its documentation.
"""

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode
from uuid import UUID

from receiver.domain.adoption import Adoptable
from receiver.domain.attempt import Accepted, Refused, SubmitOutcome, Unclear
from receiver.domain.errors import ErrorCode, TaskError, UnreadableError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.looking import Found
from receiver.domain.report import Failure, Output, Reading, Via
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
    Slice,
    Unanswered,
)
from receiver.providers.wire import calls, links
from receiver.providers.wire.checks import Findings
from receiver.providers.wire.failures import judge, rule
from receiver.providers.wire.options import check_options, merged
from receiver.providers.wire.strict_json import mapping, parse, sequence, text
from receiver.providers.wire.values import first_text, money, sentence, since_1970, word

_OPTIONS = (
    ProviderOption("url", "Lark's base URL", "https://api.lark.example/v1"),
    ProviderOption(
        "media_hosts", "hosts a result's link may name, comma separated, *. for all below", "media.lark.example"
    ),
    # Lark's page, "Callbacks": each account has a secret of its own.
    ProviderOption(
        "webhook_secret", "whsec_…, which Lark signs its callbacks with; without it tasks are polled", "", secret=True
    ),
    ProviderOption("first_poll_seconds", "seconds from a submit to the first look when a callback is due", "60"),
    # Lark's page, "Asking": no more than once in 5 seconds for a song.
    ProviderOption("poll_seconds", "seconds between looks at a task that nobody calls back for", "5"),
    ProviderOption(
        "lookup_seconds",
        "when to search the list for a submit without an answer: rising seconds from it",
        "15,60,300",
    ),
    calls.PACE,
)
# Lark's page, "Songs": the model, the words of a song's status, and the fields of a submit.
_MODEL = "lark/cover-1"
_PENDING = frozenset({"queued", "singing"})
_DONE, _FAILED = "done", "failed"
_FORMATS = ("mp3", "wav")
_PROMPT = range(10, 1001)
_LYRICS = range(10, 3001)
_OURS = ("model", "prompt", "lyrics", "reference_url", "format", "client_reference", "callback_url")
# Lark's page, "Errors": the HTTP code tells the class, the code in words the reason.
_MEANING = {401: ErrorCode.AUTH, 402: ErrorCode.BALANCE, 404: ErrorCode.NOT_FOUND, 429: ErrorCode.RATE}
_RULES = (
    rule(r"\b(moderation|blocked)\b", ErrorCode.MODERATION),
    rule(r"\binvalid\b", ErrorCode.VALIDATION),
    rule(r"\b(overloaded|internal)\b", ErrorCode.PROVIDER, retryable=True),
)
_NOT_FOUND = 404
#: A body that says nothing: what is kept of an answer that knows no such song.
_NOTHING = b'{"error":{"code":"not_found"}}'
#: A submit makes one song, so every report of it speaks of the same one.
_IDENTITY = "song"
_LONGEST_ID = 200
_SONG_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_SUBMIT_TIMEOUT_SECONDS = 60.0
_MISSED_GAP_SECONDS = 15.0
# Standard Webhooks, "Webhook metadata" and "Signature scheme": the three headers, the version, the key's form and
# size. The tolerance is that of its reference libraries.
_ID, _TIMESTAMP, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_VERSION, _PREFIX = "v1", "whsec_"
_SECRET_BYTES = range(24, 65)
_TOLERANCE = timedelta(seconds=300)


@dataclass(frozen=True, slots=True)
class Lark:
    """The adapter."""

    url: str
    media_hosts: tuple[str, ...]
    first_poll_seconds: float
    poll_seconds: float
    lookup_times: tuple[timedelta, ...]
    key: str | None = field(repr=False)
    secret: bytes | None = field(repr=False)
    pace: float | None = None
    files: FileWay = FileWay.NONE  # songs are fetched by Lark, or not at all
    bills_failures: bool | None = None  # Lark's page does not say
    searches_per_second: float | None = None  # nor whether its list has a limit of its own

    @property
    def name(self) -> str:
        """The word users choose it by."""
        return "lark"

    @property
    def pushes(self) -> bool:
        """It calls back at ``callback_url``; that is asked for only where we can tell its callbacks from others."""
        return self.secret is not None

    @property
    def recovery(self) -> Recovery:
        """``client_reference`` correlates and does not deduplicate: a second submit is a second, billed song."""
        return Recovery.LOOKUP

    @property
    def lookups(self) -> tuple[timedelta, ...]:
        """Few: the list shows a song as soon as it is taken."""
        return self.lookup_times

    @property
    def configured(self) -> bool:
        """Whether a key is set."""
        return self.key is not None

    @property
    def most_polled_at_once(self) -> int:
        """One: the question names a single song."""
        return 1

    @property
    def requests_per_second(self) -> float | None:
        """As the operator set it: none is documented."""
        return self.pace

    def check(self, request: TaskRequest) -> Checked:
        """Judge a request: Lark's page, "Songs"."""
        findings = Findings()
        if request.count not in {None, 1}:
            findings.refuse("count", "must be 1: Lark makes one song for each request")
        if request.output_type is not None and request.output_type.casefold() != "url":
            findings.refuse("output_type", "must be URL: Lark answers with a link only")
        lacking = ("seed", "sample_rate", "bitrate", "ttl_seconds", "include_cost", "upload_endpoint")
        findings.lacks("Lark", {name: getattr(request, name) for name in lacking})
        model = _MODEL if request.model is None else request.model
        findings.model(model, _MODEL, request.provider_options)
        findings.length("prompt", request.prompt, _PROMPT)
        findings.text("prompt", request.prompt)
        if request.lyrics is not None:
            findings.length("lyrics", request.lyrics, _LYRICS)
            findings.text("lyrics", request.lyrics)
        if isinstance(request.reference_audio, str):
            findings.url("reference_audio", request.reference_audio)
        else:
            findings.refuse("reference_audio", "must be a URL: Lark takes no audio inside a request")
        spelt = findings.spelt("output_format", request.output_format or _FORMATS[0], _FORMATS)
        check_options(request.provider_options, _OURS, findings)
        checked = replace(request, model=model, count=1, output_type="URL", output_format=spelt)
        return Checked(checked, tuple(findings.problems), tuple(findings.warnings))

    def adoptable(self, provider_task_id: str, count: int | None) -> Adoptable:
        """Take a song's id; each submit makes one song."""
        findings = Findings()
        if not _SONG_ID.fullmatch(provider_task_id):
            findings.refuse("provider_task_id", "must be the id of a song at Lark")
        if count not in {None, 1}:
            findings.refuse("count", "must be 1: Lark makes one song for each request")
        return Adoptable(provider_task_id, 1, tuple(findings.problems))

    def provider_task_id(self, task_id: UUID) -> str | None:
        """Lark chooses its ids itself."""
        return None

    def plan(self, request: TaskRequest, *, pushed: bool) -> PollPlan:
        """Trust the callback for a while, then look; without one, look at the documented pace."""
        if pushed:
            return PollPlan(self.first_poll_seconds, min(_MISSED_GAP_SECONDS, self.first_poll_seconds))
        return PollPlan(self.poll_seconds, self.poll_seconds)

    def upload(self, audio: str, media_type: str, upload_id: UUID) -> HttpRequest:
        """Refuse: there is nothing to upload to."""
        raise ValueError("Lark stores nothing")

    def read_upload(self, answer: HttpAnswer) -> str | SubmitOutcome:
        """Refuse, as ``upload`` does."""
        raise ValueError("Lark stores nothing")

    def submit(self, task: Task, *, reference: str, callback_url: str | None) -> HttpRequest:
        """Build the submit, marked with our task's id, so that Lark's list can name it."""
        wanted = task.request
        ours: dict[str, object | None] = {
            "model": task.model,
            "prompt": wanted.prompt,
            "lyrics": wanted.lyrics,
            "reference_url": reference,
            "format": wanted.output_format,
            "client_reference": str(task.id),
            "callback_url": callback_url if self.pushes else None,
        }
        given = {name: value for name, value in ours.items() if value is not None}
        return calls.json_call(
            "POST",
            f"{self.url}/songs",
            key=self.key,
            payload=merged(given, wanted.provider_options),
            timeout_seconds=_SUBMIT_TIMEOUT_SECONDS,
        )

    def read_submit(self, task: Task, answer: HttpAnswer) -> SubmitOutcome:
        """Say whether Lark has the task; what is not clearly yes or no stays unclear."""
        if calls.leaves_open(answer.status):
            return Unclear(f"HTTP {answer.status}")
        value = _opened(answer.body)
        if not calls.succeeded(answer.status):
            error = _error(value, answer.status)
            return calls.paused(error, answer) if error.code in calls.OF_OUR_ACCOUNT else Refused(error)
        if (name := _song_id(value)) is None:
            return Unclear("a success without a song's id")
        try:
            reading = _read_song(value)
        except UnreadableError:
            return Accepted(name)
        return Accepted(name, answer.body if reading.outputs or reading.failures else None)

    def batchable(self, task: Polled) -> bool:
        """Each is asked about alone."""
        return False

    def poll(self, tasks: Sequence[Polled]) -> HttpRequest:
        """Ask about one song; raises ValueError for a task whose song is not known."""
        (task,) = tasks
        if task.provider_task_id is None:
            raise ValueError("the task has no song id to ask about")
        return calls.json_call("GET", f"{self.url}/songs/{quote(task.provider_task_id, safe='')}", key=self.key)

    def read_poll(self, tasks: Sequence[Polled], answer: HttpAnswer) -> Answered | Unanswered:
        """Read the answer about one song; that it is not known proves nothing."""
        (task,) = tasks
        if answer.status == _NOT_FOUND:
            return Answered({task.id: Slice(_NOTHING, Reading(), sliced=True)})
        if not calls.succeeded(answer.status):
            error = _error(_opened(answer.body), answer.status)
            return calls.unanswered(error, answer, pauses=error.code in calls.OF_OUR_ACCOUNT)
        try:
            reading = self.read(answer.body, Via.POLL)
        except UnreadableError as error:
            message = f"an answer that cannot be read: {error}"
            return calls.unanswered(TaskError(ErrorCode.PROVIDER, message, retryable=True), answer)
        if reading.named - {task.provider_task_id}:
            other = TaskError(ErrorCode.PROVIDER, "the answer is about another song", retryable=True)
            return calls.unanswered(other, answer)
        return Answered({task.id: Slice(answer.body, reading)})

    def read(self, body: bytes, via: Via) -> Reading:
        """Read a song: the same object in a callback, in the answer to a submit and when asked."""
        value = parse(body)
        if not isinstance(value, dict):
            raise UnreadableError(f"{word(value)} instead of an object")
        return _read_song(mapping(value))

    def doubts(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
        """Verify as Standard Webhooks says: HMAC-SHA256 over id, timestamp and body, any of several signatures."""
        name, moment, given = (headers.get(header, "") for header in (_ID, _TIMESTAMP, _SIGNATURE))
        if self.secret is None:
            return "no webhook_secret is set that its signature could be verified with"
        if not (name and moment and given):
            return "not signed"
        sent_at = since_1970(moment)
        if sent_at is None or abs(now - sent_at) > _TOLERANCE:
            return "its timestamp is not within 300 seconds of our clock"
        # Two updates: a body may be large, and joining would copy it.
        mac = hmac.new(self.secret, f"{name}.{moment}.".encode("latin-1", "replace"), "sha256")
        mac.update(body)
        expected = base64.b64encode(mac.digest())
        versions = (signature.partition(",") for signature in given.split(" "))
        signatures = [value.encode("latin-1", "replace") for version, _, value in versions if version == _VERSION]
        # All of them, always: how long it takes must not tell which one fits.
        fits = [hmac.compare_digest(expected, signature) for signature in signatures]
        return None if any(fits) else "its signature does not fit"

    def trusts(self, link: str) -> bool:
        """Tell whether a link lies on Lark's media host or at the very origin we call."""
        return links.trusted(link, self.media_hosts, self.url)

    def search(self, since: datetime, until: datetime, offset: int) -> HttpRequest:
        """Build one page of the list of songs made between two moments: Lark's page, "Listing"."""
        asked = {"from": _iso(since), "to": _iso(until), "offset": str(offset)}
        return calls.json_call("GET", f"{self.url}/songs?{urlencode(asked)}", key=self.key)

    def read_search(self, answer: HttpAnswer) -> LogPage | Unanswered:
        """Read one page of the list; its rows name our task in ``client_reference``."""
        value = _opened(answer.body)
        rows = value.get("songs")
        if not calls.succeeded(answer.status) or not isinstance(rows, list):
            error = _error(value, answer.status)
            return calls.unanswered(error, answer, pauses=error.code in calls.OF_OUR_ACCOUNT)
        found = {
            ours: Found(theirs, failed=row.get("status") == _FAILED)
            for row in map(mapping, sequence(rows))
            if (ours := text(row.get("client_reference"))) and (theirs := _song_id(row))
        }
        return LogPage(len(rows), found, has_more=value.get("more") is True)


def _opened(body: bytes) -> Mapping[str, object]:
    try:
        return mapping(parse(body))
    except UnreadableError:
        return {}


def _song_id(value: Mapping[str, object]) -> str | None:
    found = text(value.get("id"))
    usable = found is not None and len(found) <= _LONGEST_ID and found.isprintable() and " " not in found
    return found if usable else None


def _read_song(value: Mapping[str, object]) -> Reading:
    """Read a song, which always has an id: Lark's page, "Songs". Raises UnreadableError for anything else."""
    name = _song_id(value)
    if name is None and mapping(value.get("error")).get("code") == "not_found":
        return Reading()
    if name is None:
        raise UnreadableError("an object without a song's id")
    status = text(value.get("status"))
    cost = money(value.get("price_usd"))
    link = links.link(mapping(value.get("audio")).get("url"))
    outputs: tuple[Output, ...] = ()
    failures: tuple[Failure, ...] = ()
    oddities: tuple[str, ...] = ()
    if status == _DONE and link is not None:
        outputs = (Output(_IDENTITY, name, link=link, link_expires_at=links.expiry(link), cost_micros=cost),)
    elif status == _DONE:
        oddities = ("done without a link",)
    elif status == _FAILED:
        failures = (Failure(_failure(value), name),)
    elif status not in _PENDING:
        oddities = (f"status {word(value.get('status'))}",)
    pending = status in _PENDING
    return Reading(outputs, failures, pending, oddities, frozenset({name}), cost)


def _failure(value: Mapping[str, object]) -> TaskError:
    error = mapping(value.get("error"))
    name = text(error.get("code"))
    code, retryable = judge(name, _RULES)
    said = sentence(first_text(error.get("message"), name) or "Lark gave no reason")
    return TaskError(code, said, retryable, None if name is None else word(name))


def _error(value: Mapping[str, object], status: int) -> TaskError:
    """Return what an error envelope says: Lark's page, "Errors"."""
    told = _failure(value)
    if calls.leaves_open(status) or calls.succeeded(status):
        code, retryable = ErrorCode.PROVIDER, True
    else:
        code = _MEANING.get(status, ErrorCode.VALIDATION if told.code is ErrorCode.UNKNOWN else told.code)
        retryable = code is ErrorCode.RATE
    return TaskError(code, f"Lark answered with HTTP {status}: {told.message}", retryable, told.provider_code)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _webhook_secret(value: str) -> bytes | None:
    """Return the key inside a secret, None when there is none; raises ValueError without showing it."""
    if not value:
        return None
    try:
        secret = base64.b64decode(value.removeprefix(_PREFIX), validate=True)
    except ValueError:
        secret = b""
    if not value.startswith(_PREFIX) or len(secret) not in _SECRET_BYTES:
        raise ValueError("webhook_secret must be whsec_ and the base64 of 24 to 64 bytes")
    return secret


def _build(options: Mapping[str, str], key: str | None) -> Lark:
    return Lark(
        url=calls.endpoint("url", options["url"]),
        media_hosts=links.host_patterns("media_hosts", options["media_hosts"]),
        first_poll_seconds=calls.seconds("first_poll_seconds", options["first_poll_seconds"]),
        poll_seconds=calls.seconds("poll_seconds", options["poll_seconds"]),
        lookup_times=calls.rising_seconds("lookup_seconds", options["lookup_seconds"]),
        key=calls.api_key("LARK_API_KEY", key),
        secret=_webhook_secret(options["webhook_secret"]),
        pace=calls.per_second("requests_per_second", options["requests_per_second"]),
    )


ENTRY = ProviderEntry("lark", _OPTIONS, _build)
