"""Whether the providers take our keys, asked by calls that cost nothing; and whether our clock agrees with theirs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from receiver import bootstrap
from receiver.doctor.finding import Finding, Level, failed, ok, skipped, warning
from receiver.domain.adoption import request_of
from receiver.domain.errors import AnswerLostError, ErrorCode, NotSentError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.task import Recovery, Task
from receiver.lifecycle.ports import Provider, System
from receiver.lifecycle.ports.provider import Unanswered
from receiver.outbound import HttpOutbound
from receiver.providers import PROVIDERS
from receiver.settings import Loaded

_PATIENCE_SECONDS = 15.0
#: A Date header tells whole seconds, and the answer was on its way.
_CLOCK_AGREES = timedelta(seconds=10)
_CLOCK_HURTS = timedelta(minutes=2)
_JUMPED_SECONDS = 0.5
#: Some ten covers.
_LITTLE_DOLLARS = 2.0


@dataclass(frozen=True, slots=True)
class Offset:
    """How far a provider's clock is ahead of ours."""

    provider: str
    ahead: timedelta


async def accounts(loaded: Loaded, system: System) -> tuple[list[Finding], list[Offset]]:
    """Look at every provider in the table; return what their clocks showed too. Raises StartError."""
    findings, offsets = [], []
    urls = [options["url"] for options in loaded.options.values()]
    async with HttpOutbound(allowed=bootstrap.allowed_hosts(loaded), provider_urls=urls) as outbound:
        for name, provider in bootstrap.providers_of(loaded).items():
            if not provider.configured:
                key = f"{name.upper()}_API_KEY"
                findings.append(warning(name, f"{key} is not set, so it takes no tasks", f"set {key}"))
                continue
            begun = system.now()
            try:
                answer = await outbound.send(name, _question(provider, system))
            except (NotSentError, AnswerLostError) as error:
                findings.append(failed(name, f"gave no answer: {error}", _no_answer(name, error)))
                continue
            offset = _offset(name, answer.headers, begun, system.now())
            offsets += [] if offset is None else [offset]
            judged = _judged(provider, answer, system)
            findings.append(await _with_balance(judged, name, loaded, outbound, system))
    if findings and not any(provider in loaded.keys for provider in loaded.options):
        enough = f"{findings[0].mend}; one of the providers is enough" if len(findings) > 1 else findings[0].mend
        findings = [replace(finding, level=Level.FAILED) for finding in findings]
        findings[0] = replace(findings[0], mend=enough)
    return findings, offsets


async def _with_balance(
    judged: Finding, name: str, loaded: Loaded, outbound: HttpOutbound, system: System
) -> Finding:
    """Add what money is left, where the provider tells; that it does not is no fault."""
    account = PROVIDERS[name].account
    if judged.level is not Level.OK or account is None:
        return judged
    request = account.ask(loaded.options[name], loaded.keys[name], system.new_id())
    try:
        balance = account.read(await outbound.send(name, _short(request)))
    except (NotSentError, AnswerLostError):
        return judged
    if balance is None:
        return judged
    told = f"{judged.message}; {'-' if balance < 0 else ''}${abs(balance):.2f} left"
    if balance <= 0:
        return failed(name, told, "top up the account")
    return warning(name, told, "top up the account soon") if balance < _LITTLE_DOLLARS else ok(name, told)


def clock(offsets: list[Offset], drift_seconds: float) -> Finding:
    """Judge our clock by the providers', and by how far it drifted from the steady one while we looked."""
    if abs(drift_seconds) > _JUMPED_SECONDS:
        return warning(
            "clock", f"it jumped by {drift_seconds:+.1f} s while we looked", "let it be kept by NTP, slewed"
        )
    if not offsets:
        return skipped("clock", "no provider answered to compare it with")
    worst = max(offsets, key=lambda offset: abs(offset.ahead))
    told = f"{abs(worst.ahead).total_seconds():.0f} s {'behind' if worst.ahead > timedelta() else 'ahead of'}"
    told = f"{told} {worst.provider}'s"
    if abs(worst.ahead) > _CLOCK_HURTS:
        return failed("clock", told, "let it be kept by NTP: links and tokens live by it")
    if abs(worst.ahead) > _CLOCK_AGREES:
        return warning("clock", told, "let it be kept by NTP")
    return ok("clock", f"agrees with {worst.provider}'s")


def _no_answer(name: str, error: NotSentError | AnswerLostError) -> str:
    """Say what to do about a provider that cannot be asked; our own refusals are ours to lift."""
    setting = f"RECEIVER_{name.upper()}_URL"
    if isinstance(error, NotSentError) and ("allowed" in str(error) or "not public" in str(error)):
        return f"correct {setting}, or name its host in RECEIVER_ALLOWED_PRIVATE_HOSTS"
    return f"try again; if it stays, see that this machine may call it, and {setting}"


def _question(provider: Provider, system: System) -> HttpRequest:
    """Build what costs nothing: the newest of its log, or a look at a generation that nobody has."""
    if provider.recovery is Recovery.LOOKUP:
        now = system.now()
        return _short(provider.search(now - timedelta(minutes=1), now, 0))
    return _short(provider.poll([_nobodys(provider, system)]))


def _short(request: HttpRequest) -> HttpRequest:
    return HttpRequest(request.method, request.url, request.headers, request.body, _PATIENCE_SECONDS)


def _nobodys(provider: Provider, system: System) -> Task:
    task_id = system.new_id()
    return Task(
        key=system.new_key(),
        id=task_id,
        request=request_of(provider.name, 1),
        model="",
        created_at=system.now(),
        deadline_seconds=60.0,
        provider_task_id=provider.provider_task_id(task_id),
    )


def _judged(provider: Provider, answer: HttpAnswer, system: System) -> Finding:
    name = provider.name
    looked_up = provider.recovery is Recovery.LOOKUP
    read = provider.read_search(answer) if looked_up else provider.read_poll([_nobodys(provider, system)], answer)
    if not isinstance(read, Unanswered):
        return ok(name, "takes the key")
    match read.error.code:
        case ErrorCode.AUTH:
            return failed(
                name,
                f"does not take the key: {read.error.message}",
                f"correct {name.upper()}_API_KEY, for the service too",
            )
        case ErrorCode.BALANCE:
            return failed(name, f"takes the key, but has no money left: {read.error.message}", "top up the account")
        case ErrorCode.RATE:
            return warning(name, f"takes no more calls for now: {read.error.message}", "try again in a while")
        case ErrorCode.NOT_FOUND | ErrorCode.VALIDATION:
            return ok(name, "takes the key")
        case _:
            return failed(name, f"HTTP {answer.status}: {read.error.message}", f"see RECEIVER_{name.upper()}_URL")


def _offset(name: str, headers: Mapping[str, str], begun: datetime, ended: datetime) -> Offset | None:
    try:
        told = parsedate_to_datetime(headers.get("date", "")).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
    # A whole second, cut: on average half of one has passed.
    return Offset(name, told + timedelta(seconds=0.5) - (begun + (ended - begun) / 2))
