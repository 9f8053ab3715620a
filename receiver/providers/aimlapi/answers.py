"""What AIMLAPI's answers to our own calls mean: a submit, a question about a generation, a page of its log."""

from collections.abc import Mapping
from dataclasses import replace

from receiver.domain.attempt import Accepted, Refused, SubmitOutcome, Unclear
from receiver.domain.errors import ErrorCode, TaskError, UnreadableError
from receiver.domain.exchange import HttpAnswer
from receiver.domain.looking import Found
from receiver.lifecycle.ports.provider import Answered, LogPage, Polled, Slice, Unanswered
from receiver.providers.aimlapi.reading import (
    FAILED,
    NOTHING,
    RULES,
    envelope_code,
    generation_error,
    generation_id,
    parse_body,
    read_generation,
)
from receiver.providers.wire.calls import OF_OUR_ACCOUNT, leaves_open, paused, succeeded, unanswered
from receiver.providers.wire.failures import judge
from receiver.providers.wire.strict_json import mapping, sequence, text
from receiver.providers.wire.values import code_of, first_text, money_in_header, sentence, spaced, word

# docs.aimlapi.com, "Errors": 400 validation, 401 key, 403 out of credits, 404, 429 rate or concurrency. Clients
# expect 402 for want of money, so both are taken for it.
_MEANING = {
    401: ErrorCode.AUTH,
    402: ErrorCode.BALANCE,
    403: ErrorCode.BALANCE,
    404: ErrorCode.NOT_FOUND,
    429: ErrorCode.RATE,
}
_FORBIDDEN = 403
_NOT_FOUND = 404
#: docs.aimlapi.com, "Request tracing and cost": what the generation cost, beside the body.
_COST_HEADER = "x-aimlapi-usd-spent"
#: docs.aimlapi.com, GET /v2/logs: up to 100 rows a page.
ROWS = 100
_NO_BODY: Mapping[str, object] = {}


def read_submit(answer: HttpAnswer) -> SubmitOutcome:
    """Say whether AIMLAPI has the task: docs.aimlapi.com, "music-cover", POST /v2/generate/audio.

    A second submit would be a second, billed job, so what is not clearly yes or no stays unclear. The HTTP code is
    looked at first: an error envelope has a ``status`` too.
    """
    value, code = _opened(answer)
    if leaves_open(code):
        return Unclear(f"HTTP {code}")
    if not succeeded(code):
        error = _error(value, code)
        return paused(error, answer) if error.code in OF_OUR_ACCOUNT else Refused(error)
    if _status(value) in FAILED:
        return Refused(generation_error(value, _status(value)))
    name = generation_id(value)
    if name is None:
        return _nameless(value, answer)
    try:
        reading = read_generation(value)
    except UnreadableError:
        return Accepted(name)
    return Accepted(name, answer.body if reading.outputs or reading.failures else None)


def read_poll(task: Polled, answer: HttpAnswer) -> Answered | Unanswered:
    """Read the answer about one generation; 404 proves nothing, for how long one stays known is not documented."""
    value, code = _opened(answer)
    if code == _NOT_FOUND:
        return Answered({task.id: Slice(NOTHING, read_generation(parse_body(NOTHING)), sliced=True)})
    if not succeeded(code):
        error = _error(value, code)
        return unanswered(error, answer, pauses=_is_of_our_account(error, value, code))
    try:
        # Empty where it cannot be read; then that says why.
        reading = read_generation(value or parse_body(answer.body))
    except UnreadableError as error:
        unreadable = TaskError(ErrorCode.PROVIDER, f"an answer that cannot be read: {error}", retryable=True)
        return unanswered(unreadable, answer)
    if reading.named - {task.provider_task_id or ""}:
        other = TaskError(ErrorCode.PROVIDER, "the answer is about another generation", retryable=True)
        return unanswered(other, answer)
    over = bool(reading.outputs or reading.failures)
    # The charge may be recorded after the end: before it, the header tells nothing.
    cost = money_in_header(answer.headers, _COST_HEADER) if over else None
    return Answered({task.id: Slice(answer.body, reading, cost_micros=cost)})


def read_search(answer: HttpAnswer) -> LogPage | Unanswered:
    """Read one page of the log: docs.aimlapi.com, GET /v2/logs. Rows name our task in ``client_request_id``."""
    value, code = _opened(answer)
    rows = value.get("data")
    if not succeeded(code) or not isinstance(rows, list):
        error = _error(value, code)
        if succeeded(code):
            error = replace(error, message="AIMLAPI answered with something else than a page of its log")
        # The log has a limit of its own: whoever exceeds it may submit and ask as before.
        pauses = error.code is not ErrorCode.RATE and _is_of_our_account(error, value, code)
        return unanswered(error, answer, pauses=pauses)
    found: dict[str, Found] = {}
    for row in map(mapping, sequence(rows)):
        ours, theirs = text(row.get("client_request_id")), text(row.get("inference_id"))
        failed = row.get("status") == "failed"
        # Were one submit in the log twice, the row that has a result is the one to follow.
        if ours is not None and theirs is not None and (ours not in found or found[ours].failed):
            found[ours] = Found(theirs, failed)
    more = mapping(value.get("pagination")).get("has_more")
    return LogPage(len(rows), found, more if isinstance(more, bool) else len(rows) >= ROWS)


def _is_of_our_account(error: TaskError, value: Mapping[str, object], code: int) -> bool:
    """Tell whether the answer to a question of ours is to stop everything.

    403 is documented as out of credits, but asking is free, and a generation that is not ours, or a log that the key
    may not read, might answer with it for ever: it does so only if its words speak of the account.
    """
    return error.code in OF_OUR_ACCOUNT and (code != _FORBIDDEN or _words_of(value)[0] in OF_OUR_ACCOUNT)


def _opened(answer: HttpAnswer) -> tuple[Mapping[str, object], int]:
    """Return the body's object, empty if unreadable, and the HTTP code, or that of an envelope inside a success."""
    try:
        value = parse_body(answer.body)
    except UnreadableError:
        return _NO_BODY, answer.status
    inner = envelope_code(value)
    return value, inner if inner is not None and succeeded(answer.status) else answer.status


def _nameless(value: Mapping[str, object], answer: HttpAnswer) -> SubmitOutcome:
    """Judge a success without an id: an error in words alone is believed only if it speaks of our account."""
    code, retryable, name = _words_of(value)
    if code in OF_OUR_ACCOUNT:
        return paused(TaskError(code, _message(value, name or code.value), retryable, name), answer)
    return Unclear("a success without a generation's id")


def _error(value: Mapping[str, object], code: int) -> TaskError:
    """Return what an envelope says, in any of its forms; the HTTP code tells the class."""
    by_word, _, name = _words_of(value)
    if leaves_open(code) or succeeded(code):
        meaning, retryable = ErrorCode.PROVIDER, True
    else:
        meaning = _MEANING.get(code, ErrorCode.VALIDATION)
        retryable = meaning is ErrorCode.RATE
    if meaning is ErrorCode.VALIDATION and by_word is ErrorCode.MODERATION:
        meaning = by_word
    said = _message(value, "no reason given")
    return TaskError(meaning, f"AIMLAPI answered with HTTP {code}: {said}", retryable, name)


def _words_of(value: Mapping[str, object]) -> tuple[ErrorCode, bool, str | None]:
    """Classify an envelope by its words: the error's name, else its message."""
    error = mapping(value.get("error"))
    name = code_of(error.get("name"), value.get("title"))
    code, retryable = judge(name, RULES)
    if code is ErrorCode.UNKNOWN:
        code, retryable = judge(spaced(_message(value, "")), RULES)
    return code, retryable, None if name is None else word(name)


def _message(value: Mapping[str, object], otherwise: str) -> str:
    error = mapping(value.get("error"))
    said = first_text(error.get("message"), value.get("message"), value.get("error"), value.get("title"))
    return sentence(said or otherwise)


def _status(value: Mapping[str, object]) -> str:
    return (text(value.get("status")) or "").strip().lower()
