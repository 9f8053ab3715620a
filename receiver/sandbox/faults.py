"""Every fault and switch of the sandbox: its name, its kind, its default and its meaning.

A *share* is the part of tasks (or callbacks, or requests) that are hit, 0 to 1. Shares that decide the fate of a
task are drawn when the task is accepted; switches of form act at the moment the sandbox speaks.
"""

from dataclasses import dataclass, fields
from enum import Enum
from typing import Annotated, TypeAlias, get_type_hints

FaultValue: TypeAlias = str | int | float | bool | tuple[float, float] | None

MEDIA_SECONDS = 86_400.0


class Kind(Enum):
    """How the value of a fault is written."""

    SHARE = "a share, 0 to 1"
    SECONDS = "a number of seconds, 0 or more"
    SPAN = "two numbers of seconds, [from, to]"
    COUNT = "a whole number, 0 or more"
    STATUS = "an HTTP status, 200 to 599"
    CHOICE = "one of its words"
    TEXT = "a text"
    FLAG = "true or false"


@dataclass(frozen=True, slots=True)
class About:
    """What stands beside a fault's type: its kind, its meaning and, for a choice, its words."""

    kind: Kind
    meaning: str
    words: tuple[str, ...] = ()


def _share(meaning: str) -> About:
    return About(Kind.SHARE, meaning)


def _seconds(meaning: str) -> About:
    return About(Kind.SECONDS, meaning)


def _count(meaning: str) -> About:
    return About(Kind.COUNT, meaning)


def _status(meaning: str) -> About:
    return About(Kind.STATUS, meaning)


def _choice(words: str, meaning: str) -> About:
    return About(Kind.CHOICE, meaning, tuple(words.split()))


def _flag(meaning: str) -> About:
    return About(Kind.FLAG, meaning)


@dataclass(frozen=True, slots=True)
class Faults:
    """All faults and switches with their defaults; the defaults are the providers' documented behaviour."""

    only: Annotated[
        str | None,
        _choice("runware aimlapi", "the whole document holds for this provider; the other has the defaults"),
    ] = None
    seconds: Annotated[
        tuple[float, float], About(Kind.SPAN, "how long a generation takes, before the time scale")
    ] = (20.0, 40.0)
    tune_seconds: Annotated[tuple[float, float], About(Kind.SPAN, "length of the audio, never scaled")] = (6.0, 9.0)

    # The fate of a task, drawn when it is accepted.
    stall: Annotated[float, _share("share of tasks that never finish")] = 0.0
    fail: Annotated[float, _share("share of results that fail at the provider, each result by itself")] = 0.0
    fail_code: Annotated[str | None, About(Kind.TEXT, "their Runware code, or AIMLAPI error name")] = None
    lose_submit_answer: Annotated[float, _share("share of submits accepted and billed, but not answered")] = 0.0
    lose_submit_how: Annotated[
        str, _choice("close bad_gateway unreadable", "the connection closed, a 502, or a 200 that is not JSON")
    ] = "close"

    # What Runware sends by itself.
    drop: Annotated[float, _share("share of callbacks never sent")] = 0.0
    duplicate: Annotated[float, _share("share of callbacks sent twice, the second up to 1 s later")] = 0.0
    reorder: Annotated[float, _share("share of callbacks held back up to 2 s, so that others overtake")] = 0.0
    early: Annotated[float, _share("share of tasks that call back before their submit is answered")] = 0.0
    malformed: Annotated[float, _share("share of callbacks, or AIMLAPI poll answers, with a broken body")] = 0.0
    processing: Annotated[float, _share("share of tasks that also push a callback of status processing")] = 0.0
    body: Annotated[str, _choice("wrapped flat", "a callback is {data:[item]}, or the bare item")] = "wrapped"
    error_body: Annotated[str, _choice("errors flat error", "form of the callback of a failure")] = "errors"
    callback_attempts: Annotated[int, _count("how often one callback is tried")] = 8
    callback_seconds: Annotated[float, _seconds("how long one attempt may take")] = 5.0
    upload_seconds: Annotated[float, _seconds("how long after the callback uploadEndpoint is written")] = 2.0

    # What polls of either provider know.
    hidden_seconds: Annotated[float, _seconds("polls know nothing of a task for this long after it was accepted")] = (
        0.0
    )

    # Requests turned away at the door, drawn for each request.
    http_429: Annotated[float, _share("share of requests answered 429")] = 0.0
    retry_after: Annotated[int | None, _count("seconds in the Retry-After of those 429; none by default")] = None
    http_5xx: Annotated[float, _share("share of requests answered 500, 502 (a web page), 503 or 504")] = 0.0
    http_error: Annotated[float, _share("share of requests answered http_error_status")] = 0.0
    http_error_status: Annotated[int, _status("status of http_error; 200 is an error body in a 200")] = 402
    http_on: Annotated[str, _choice("all submit poll", "the requests that these refusals hit")] = "all"

    # Forms of Runware's answers.
    ack: Annotated[str, _choice("item empty", "acknowledgement with its item, or an empty data list")] = "item"
    conflict_status: Annotated[int, _status("status of conflictTaskUUID")] = 400
    mixed_status: Annotated[int, _status("status when only some tasks of one POST are refused")] = 200
    refusal_status: Annotated[int | None, _status("one status for every other Runware refusal")] = None
    unknown_task: Annotated[str, _choice("empty error", "getResponse for an unknown task")] = "empty"
    result_seconds: Annotated[float | None, _seconds("polls forget a finished task after this long")] = None
    status_words: Annotated[str, _choice("documented drift", "drift: words that no page shows")] = "documented"
    extra_fields: Annotated[bool, _flag("unknown fields in every Runware item and error")] = False
    models: Annotated[str, _choice("cover any", "any: other models are taken too, their fields unchecked")] = "cover"

    # Forms of AIMLAPI's answers.
    submit_status: Annotated[int, _status("status of an accepted submit")] = 200
    id_form: Annotated[
        str, _choice("short dash model uuid", "21 characters, the same led by - or _, uuid:model, uuid")
    ] = "short"
    null_fields: Annotated[bool, _flag("audio_file, error and meta are null instead of absent")] = False
    no_file: Annotated[float, _share("share of completed generations without audio_file")] = 0.0
    error_envelope: Annotated[str, _choice("problem general", "envelope of a refused request")] = "problem"
    task_error: Annotated[
        str, _choice("object detail", "error of a failed generation: name and message, or a detail list")
    ] = "object"
    cost_headers: Annotated[bool, _flag("x-aimlapi-credits-used and -usd-spent on finished polls")] = True
    raw_base64: Annotated[str, _choice("accept refuse", "reference audio as base64 without data:")] = "accept"
    logs_per_minute: Annotated[int, _count("requests a minute on /v2/logs before a 429")] = 200

    # Media.
    media: Annotated[
        str,
        _choice("ok truncated html gzip endless gone understated overstated", "what the link of a result serves"),
    ] = "ok"
    media_seconds: Annotated[float, _seconds("lifetime of a link without ttl; below a day it cuts ttl short too")] = (
        MEDIA_SECONDS
    )
    fresh_links: Annotated[bool, _flag("each look at a finished result gets a link signed anew")] = False


@dataclass(frozen=True, slots=True)
class FaultOption:
    """One fault as a flag offers it; where `optional`, null (no value) is allowed."""

    name: str
    kind: Kind
    default: FaultValue
    words: tuple[str, ...]
    optional: bool
    meaning: str


def fault_options() -> tuple[FaultOption, ...]:
    """Return every fault in its order, for flags and documentation."""
    hints = get_type_hints(Faults, include_extras=True)
    usual = Faults()
    options: list[FaultOption] = []
    for entry in fields(Faults):
        about: About = hints[entry.name].__metadata__[0]
        default: FaultValue = getattr(usual, entry.name)
        options.append(FaultOption(entry.name, about.kind, default, about.words, default is None, about.meaning))
    return tuple(options)
