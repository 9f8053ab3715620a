"""What Runware's answers to our own calls mean: for a submit, and for each task of a poll."""

from collections.abc import Sequence

from receiver.domain.attempt import Accepted, Paused, Refused, SubmitOutcome, Unclear
from receiver.domain.errors import ErrorCode, TaskError, UnreadableError
from receiver.domain.exchange import HttpAnswer
from receiver.domain.report import Via
from receiver.domain.task import Task
from receiver.lifecycle.ports.provider import Answered, Slice, Unanswered
from receiver.providers.runware.reading import (
    Part,
    belongs,
    named_in,
    parse_body,
    parts_of,
    read_body,
    read_parts,
    slice_of,
)
from receiver.providers.runware.words import Complaint, complaint
from receiver.providers.wire.calls import OF_OUR_ACCOUNT, leaves_open, paused, succeeded, unanswered
from receiver.providers.wire.strict_json import mapping

# Runware's "runware-run" skill, "Errors"; 403 is a permission there, unlike at other providers.
_MEANING = {
    401: ErrorCode.AUTH,
    402: ErrorCode.BALANCE,
    403: ErrorCode.AUTH,
    404: ErrorCode.NOT_FOUND,
    429: ErrorCode.RATE,
}
_KEY_OR_PACE = frozenset({401, 403, 429})
# Whatever the body says, these are about our account.
_ALWAYS_OURS = frozenset({401, 402, 429})


def wire_id(task: Task) -> str:
    """Return the UUID a task goes by at Runware: its own, or that of a generation that was adopted."""
    return (task.provider_task_id or str(task.id)).lower()


def read_submit(task: Task, answer: HttpAnswer) -> SubmitOutcome:
    """Say whether Runware has the task: runware.ai/docs, "Audio inference" (acknowledgement) and "Errors".

    Codes of 500 and above are never read further: their bodies describe the fault, not the task. Errors come with 400
    and also with 200, so below that the body decides first.
    """
    if leaves_open(answer.status):
        return Unclear(f"HTTP {answer.status}")
    try:
        value = parse_body(answer.body)
        return _acknowledged(task, value, answer)
    except UnreadableError as error:
        return Unclear(str(error)) if succeeded(answer.status) else _refused(_by_status(answer), answer)


def read_poll(tasks: Sequence[Task], answer: HttpAnswer) -> Answered | Unanswered:
    """Give each task what the answer to ``getResponse`` says of it: runware.ai/docs, "Task polling".

    An error that names a task is that task's outcome, also with HTTP 400, which one failed task gives a whole batch.
    An error that names none is about our question, unless it can only be about the generation. A task that is not
    mentioned gets a slice that says nothing, but only if nothing in the answer is left unattributed.
    """
    if leaves_open(answer.status):
        return unanswered(_by_status(answer), answer)
    try:
        value = parse_body(answer.body)
        parts = parts_of(value)
        about_us = _about_us(parts, answer)
        if about_us is not None:
            return unanswered(about_us.error, answer, pauses=True)
        return _slices(tasks, parts, named_in(value) if len(tasks) == 1 else frozenset(), answer)
    except UnreadableError as error:
        unreadable = TaskError(ErrorCode.PROVIDER, f"an answer that cannot be read: {error}", retryable=True)
        wrong = unreadable if succeeded(answer.status) else _by_status(answer)
        return unanswered(wrong, answer, pauses=wrong.code in OF_OUR_ACCOUNT)


def _acknowledged(task: Task, value: object, answer: HttpAnswer) -> SubmitOutcome:
    parts = parts_of(value)
    own = [part for part in parts if part.task_id in {None, str(task.id)}]
    complaints = [complaint(part.value) for part in own if _is_failure(part)]
    if any(found.taken for found in complaints):
        # The UUID is ours alone, so whoever holds it there is our own earlier send.
        return Accepted(str(task.id))
    if len(own) > len(complaints):
        reading = read_parts(own, named_in(value), Via.SUBMIT)
        return Accepted(str(task.id), answer.body if reading.outputs or reading.failures else None)
    if complaints:
        return _refused_by(complaints, answer)
    if answer.status in _ALWAYS_OURS or not (parts or succeeded(answer.status)):
        return _refused(_by_status(answer), answer)
    if not parts and mapping(value).get("data") == []:
        # Runware's new Python SDK takes an acknowledgement without an item.
        return Accepted(str(task.id))
    return Unclear("the answer does not speak of this task")


def _refused_by(complaints: Sequence[Complaint], answer: HttpAnswer) -> SubmitOutcome:
    for found in complaints:
        if found.error.code in OF_OUR_ACCOUNT:
            return paused(found.error, answer)
    error = complaints[0].error
    if answer.status in _ALWAYS_OURS or (answer.status in _MEANING and error.code is ErrorCode.UNKNOWN):
        error = TaskError(_MEANING[answer.status], error.message, error.retryable, error.provider_code)
    return _refused(error, answer)


def _refused(error: TaskError, answer: HttpAnswer) -> Refused | Paused:
    return paused(error, answer) if error.code in OF_OUR_ACCOUNT else Refused(error)


def _is_failure(part: Part) -> bool:
    if part.is_error:
        return True
    reading = read_parts([part], frozenset(), Via.SUBMIT)
    return bool(reading.failures) and not reading.outputs


def _about_us(parts: Sequence[Part], answer: HttpAnswer) -> Complaint | None:
    """Return an error about our key, money or pace.

    One that names a task counts only with the HTTP code of a refused call: a generation, too, may have failed for
    want of credits, and taking that for ours would keep the provider at rest for as long as the task is asked about.
    """
    for part in parts:
        if not part.is_error:
            continue
        found = complaint(part.value)
        if found.error.code not in OF_OUR_ACCOUNT or found.upstream:
            continue
        refused = answer.status in _KEY_OR_PACE and found.error.code is not ErrorCode.BALANCE
        if part.task_id is None or refused or found.of_no_task:
            return found
    return None


def _slices(
    tasks: Sequence[Task], parts: Sequence[Part], named: frozenset[str], answer: HttpAnswer
) -> Answered | Unanswered:
    alone = len(tasks) == 1
    asked = {wire_id(task): task for task in tasks}
    shares: dict[str, list[Part]] = {name: [] for name in asked}
    strays: list[Part] = []
    for part in parts:
        if part.task_id in shares and belongs(part):
            shares[part.task_id].append(part)
        elif part.task_id is None and alone and belongs(part):
            shares[next(iter(shares))].append(part)
        elif part.task_id is None or part.task_id in shares:
            strays.append(part)
    told = {name for name, share in shares.items() if share}
    if not told and (strays or not succeeded(answer.status)):
        return _about_the_question(strays, answer)
    spoken_for = told if strays else set(asked)
    if alone and sum(map(len, shares.values())) == len(parts):
        # Nothing in it is of another task, so it is kept byte for byte.
        return Answered({tasks[0].id: Slice(answer.body, read_parts(parts, named, Via.POLL))})
    return Answered({asked[name].id: _slice(shares[name]) for name in spoken_for})


def _slice(share: Sequence[Part]) -> Slice:
    body = slice_of(share)
    # Read from its own bytes: what is kept can be read again and says the same.
    return Slice(body, read_body(body, Via.POLL), sliced=True)


def _about_the_question(strays: Sequence[Part], answer: HttpAnswer) -> Unanswered:
    errors = [complaint(part.value).error for part in strays if part.is_error]
    error = errors[0] if errors else _by_status(answer)
    pauses = not errors and answer.status in _MEANING and error.code in OF_OUR_ACCOUNT
    return unanswered(error, answer, pauses=pauses)


def _by_status(answer: HttpAnswer) -> TaskError:
    if leaves_open(answer.status):
        code, retryable = ErrorCode.PROVIDER, True
    else:
        code = _MEANING.get(answer.status, ErrorCode.VALIDATION)
        retryable = code is ErrorCode.RATE
    return TaskError(code, f"Runware answered with HTTP {answer.status}", retryable)
