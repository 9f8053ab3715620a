"""Requests to a JSON API with a bearer key, the meaning its HTTP codes share, and the options of a provider."""

import json
import math
from collections.abc import Mapping
from datetime import timedelta

from receiver.domain.attempt import Paused
from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.lifecycle.ports.provider import ProviderOption, Unanswered
from receiver.providers.wire.links import problem_with
from receiver.providers.wire.values import retry_after

#: Reasons that lie with our account or our pace: the provider rests, the task waits.
OF_OUR_ACCOUNT = frozenset({ErrorCode.AUTH, ErrorCode.BALANCE, ErrorCode.RATE})
_LONGEST_OPTION_SECONDS = 86_400
_SUCCESSES = range(200, 300)
_REFUSALS = range(400, 500)
_TIMEOUT = 408


def json_call(
    method: str,
    url: str,
    *,
    key: str | None,
    payload: object = None,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float = 30.0,
) -> HttpRequest:
    """Build a call; without a key none is sent, and the provider will say so."""
    sent = {"Accept": "application/json", **(headers or {})}
    if key is not None:
        sent["Authorization"] = f"Bearer {key}"
    if payload is None:
        return HttpRequest(method, url, sent, None, timeout_seconds)
    sent["Content-Type"] = "application/json"
    body = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return HttpRequest(method, url, sent, body, timeout_seconds)


def succeeded(status: int) -> bool:
    """Tell whether an HTTP code is one of success."""
    return status in _SUCCESSES


def leaves_open(status: int) -> bool:
    """Tell whether an HTTP code leaves open if the request took effect: not a success, not a clear no.

    A redirect is among them (we follow none): what stood behind the first address may have acted.
    """
    return status not in _SUCCESSES and (status not in _REFUSALS or status == _TIMEOUT)


def paused(error: TaskError, answer: HttpAnswer) -> Paused:
    """Return the outcome of a submit that our account or our pace forbids for now."""
    return Paused(error, retry_after(answer.headers))


def unanswered(error: TaskError, answer: HttpAnswer, *, pauses: bool = False) -> Unanswered:
    """Return the outcome of a question that brought nothing usable."""
    return Unanswered(error, pauses, retry_after(answer.headers))


def api_key(name: str, value: str | None) -> str | None:
    """Return a key fit for a header, None when there is none; raises ValueError without showing it."""
    key = (value or "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError(f"{name} holds spaces, line breaks or characters that no key has")
    return key or None


def endpoint(option: str, value: str) -> str:
    """Return an API's URL without a slash at its end; raises ValueError."""
    url = value.strip()
    problem = problem_with(url)
    if problem is None and ("?" in url or "#" in url):
        problem = "must not have a query or a fragment"
    if problem is not None:
        # Not shown: what stands before an @ may be a password.
        raise ValueError(f"{option} {problem}")
    return url.rstrip("/")


#: The option every provider has; what a provider documents may be its default. A process that leaves a call waiting
#: for longer than a lease would do its work twice, hence the least.
PACE = ProviderOption(
    "requests_per_second",
    "calls begun in a second, of every kind and by all processes that share a database; empty for no limit",
    "",
)
_PACES = (0.1, 10_000.0)


def per_second(option: str, value: str) -> float | None:
    """Return how many calls may begin in a second, None for any number; raises ValueError."""
    if not value.strip():
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    least, most = _PACES
    if not least <= number <= most:
        raise ValueError(f"{option}: {value!r} is not a number of calls a second from {least:g} to {most:g}")
    return number


def rising_seconds(option: str, value: str) -> tuple[timedelta, ...]:
    """Return times that rise, comma separated, in seconds; raises ValueError."""
    times = [seconds(option, part.strip()) for part in value.split(",")]
    if times != sorted(set(times)):
        raise ValueError(f"{option}: {value!r} does not rise")
    return tuple(timedelta(seconds=time) for time in times)


def seconds(option: str, value: str) -> float:
    """Return a positive number of seconds, a day at most; raises ValueError."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number <= _LONGEST_OPTION_SECONDS:
        raise ValueError(f"{option}: {value!r} is not a number of seconds above 0, up to {_LONGEST_OPTION_SECONDS}")
    return number
