"""Submit: write down the intent, then ask the provider, then write down what its answer means."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from uuid import UUID

from anyio import to_thread

from receiver.domain.attempt import (
    Accepted,
    Attempt,
    NotSent,
    Paused,
    Refused,
    SubmitOutcome,
    Unclear,
)
from receiver.domain.errors import (
    AnswerLostError,
    ErrorCode,
    FieldProblem,
    InvalidRequestError,
    NotFoundError,
    NotSentError,
    ReceiverError,
    TaskError,
    UnavailableError,
)
from receiver.domain.exchange import HttpAnswer
from receiver.domain.input import PREFIX, named
from receiver.domain.report import NewReport, Via
from receiver.domain.request import Checked, InlineAudio, TaskRequest
from receiver.domain.schedule import back_off
from receiver.domain.submission import begin, conclude, create
from receiver.domain.task import Change, Status, Task, Work
from receiver.domain.token import Purpose
from receiver.lifecycle import transcript
from receiver.lifecycle.lateness import observe_lateness
from receiver.lifecycle.ports import Caller, Decision, FileWay, Once, Pause, Ports, Provider, Queue
from receiver.lifecycle.posting import notify_url_problems
from receiver.lifecycle.reception import Reception
from receiver.lifecycle.record import record
from receiver.lifecycle.reference import BY_LINK_ONLY, Carried, carried_bytes, on_the_wire
from receiver.lifecycle.rules import submit_rules

#: A callback may come as late as this after the task was given up; its URL stays valid until then.
TOKEN_GRACE = timedelta(days=7)
#: A base64 reference of 50 MiB, which is as much as the providers take.
MOST_INLINE_CHARACTERS = 70 * 1024 * 1024
#: Longer text without a scheme is base64: no media id is that long.
_LONGEST_ID = 256
#: Longer base64 is decoded and hashed in a thread: 64 MiB take a third of a second.
_DECODED_AT_ONCE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller asks for: the request and what is ours alone. ``deadline_seconds`` None means the default."""

    request: TaskRequest
    metadata: Mapping[str, str] = field(default_factory=dict)
    deadline_seconds: float | None = None


async def intend(ports: Ports, asked: Asked, caller: Caller | None = None) -> tuple[Task, bool]:
    """Check a request, make its intent durable and return the queued task.

    With a ``caller``, asking the same again within a day returns the first task, and True beside it. Raises
    InvalidRequestError naming every field at fault, ReusedKeyError, UnavailableError when it cannot be stored.
    """
    provider = ports.providers.get(asked.request.provider)
    if provider is None:
        known = ", ".join(sorted(ports.providers))
        raise InvalidRequestError((FieldProblem("provider", f"must be one of: {known}"),))
    task_id = ports.system.new_id()
    request, inline = await _take_aside(_spelt(asked.request), f"inputs/{task_id}")
    checked = provider.check(request)
    problems = (*_problems(ports, provider, checked), *await notify_url_problems(ports, request.notify_url))
    if problems:
        raise InvalidRequestError(problems)
    if inline is not None:
        await ports.objects.keep_bytes(inline, f"inputs/{task_id}")
    now = ports.system.now()
    task = Task(
        key=ports.system.new_key(),
        id=task_id,
        request=checked.request,
        model=checked.request.model or "",
        created_at=now,
        deadline_seconds=asked.deadline_seconds or ports.limits.deadline.total_seconds(),
        metadata=asked.metadata,
        warnings=checked.warnings,
        provider_task_id=provider.provider_task_id(task_id),
    )
    change = create(task)
    try:
        earlier = await ports.store.create(change, _once(caller, task))
    except ReceiverError:
        if inline is not None:
            await ports.objects.remove(f"inputs/{task_id}")
        raise
    if earlier is not None:
        if inline is not None:
            await ports.objects.remove(f"inputs/{task_id}")
        first = await ports.store.task(earlier)
        if first is None:
            raise UnavailableError("the task this idempotency key stands for is being erased")
        return first, True
    ports.system.checkpoint("submit.after_intent")
    ports.metrics.count("tasks_created", provider=provider.name)
    ports.wake(Queue.SUBMIT)
    return change.task, False


def _problems(ports: Ports, provider: Provider, checked: Checked) -> tuple[FieldProblem, ...]:
    """Return all that is wrong with a request: what the provider says, and what this installation lacks for it."""
    problems = list(checked.problems)
    is_ours = named(checked.request.reference_audio) is not None
    if is_ours and ports.limits.public_url is None and provider.files is FileWay.NONE:
        problems.append(FieldProblem("reference_audio", f"{provider.name} {BY_LINK_ONLY}"))
    if not provider.configured:
        problems.append(
            FieldProblem("provider", f"no key is set for {provider.name}: set {provider.name.upper()}_API_KEY")
        )
    return tuple(problems)


async def lease(ports: Ports, provider: Provider, limit: int) -> list[Task]:
    """Claim tasks to submit, each with an attempt opened and committed before this returns."""
    now = ports.system.now()
    pushed = _callback_base(ports, provider) is not None

    due: dict[UUID, datetime | None] = {}
    opened: dict[UUID, Attempt] = {}

    def decide(task: Task) -> Change | None:
        due[task.key] = task.due_at
        change = begin(task, now, submit_rules(ports, provider, task), pushed=pushed)
        if change is not None and change.task.attempt_open_since == now and change.attempt is not None:
            opened[task.key] = change.attempt
        return change

    try:
        leased = await ports.store.lease_tasks(
            Work.SUBMIT, provider.name, now=now, limit=limit, lease=ports.limits.lease, decide=decide
        )
    except UnavailableError:
        # Whether these attempts stand is not known, but that nothing was sent is. Taken for interrupted, they would
        # be looked for at a provider who never heard of them, and where none may be sent twice that is their end.
        await record(ports, [_unsent(ports, provider, key, attempt) for key, attempt in opened.items()])
        raise
    begun = [task for task in leased if task.attempt_open_since == now]
    observe_lateness(ports, Queue.SUBMIT, [due[task.key] for task in begun], now)
    return begun


def _unsent(ports: Ports, provider: Provider, task_key: UUID, attempt: Attempt) -> Decision:
    """Close an attempt of ours that is open though nothing was sent, if it is."""

    def decide(task: Task) -> Change | None:
        if (task.attempts, task.attempt_open_since) != (attempt.ordinal, attempt.started_at):
            return None
        outcome = NotSent("the database was lost before anything was sent")
        return conclude(task, outcome, ports.system.now(), submit_rules(ports, provider, task), attempt=attempt)

    return Decision(task_key, decide, release=True)


async def submit(
    ports: Ports,
    task: Task,
    reception: Reception,
    heed: Callable[[Pause], None],
    carried: Carried | None = None,
) -> None:
    """Send one leased task and record the outcome, even when the lease was lost meanwhile.

    ``heed`` is told at once of the rest of the provider that begins with it, if one does; then that is stored. Raises
    UnavailableError when it cannot be. A file that goes along waits for room in ``carried``.
    """
    provider = ports.providers[task.provider]
    started_at, begun_at = task.attempt_open_since or ports.system.now(), ports.system.monotonic()
    ports.system.checkpoint("submit.before_send")
    asked = await _ask(ports, provider, task, carried or Carried())
    outcome = asked.outcome
    ports.system.checkpoint("submit.after_send")
    now = ports.system.now()
    attempt = Attempt(task.attempts, started_at, http_status=asked.status, sent=asked.sent, answered=asked.answered)
    rules = submit_rules(ports, provider, task)
    report = _report(ports, task, outcome)
    rest = await reception.note(outcome, ports.system.monotonic() - begun_at)
    if isinstance(outcome, Paused):
        rest = outcome.retry_after or back_off(task.tries + 1, rules.jitter, base=5.0)
    pause = None if rest is None else Pause(provider.name, now + rest, _why(outcome, reception))
    if pause is not None:
        # Before anything is written, which may take long: until then many more would be sent.
        heed(pause)

    def decide(current: Task) -> Change:
        change = conclude(current, outcome, now, rules, attempt=attempt)
        return replace(change, report=report)

    [change] = await record(ports, [Decision(task.key, decide, release=True)])
    ports.system.checkpoint("submit.after_outcome")
    ports.metrics.observe("submit_seconds", (now - started_at).total_seconds(), provider=provider.name)
    if change is not None:
        _wake_for(ports, change)
    if pause is not None:
        await ports.store.pause(pause)


def _why(outcome: SubmitOutcome, reception: Reception) -> TaskError:
    """Return why a provider rests: in its words, or in ours where it had none."""
    if isinstance(outcome, Paused):
        return outcome.error
    reason = f" ({outcome.reason})" if isinstance(outcome, Unclear) else ""
    message = f"the last {reception.unclear_in_a_row} submits got no clear answer{reason}"
    return TaskError(ErrorCode.PROVIDER, message, retryable=True)


def callback_url(ports: Ports, provider: Provider, task: Task) -> str | None:
    """Return the URL made for this one task, or None when the provider does not push or cannot reach us."""
    base = _callback_base(ports, provider)
    if base is None:
        return None
    lifetime = timedelta(seconds=task.deadline_seconds) + ports.limits.lost_after + TOKEN_GRACE
    expires_at = ports.system.now() + lifetime
    return f"{base}/{ports.tokens.issue(Purpose.CALLBACK, provider.name, task.key, expires_at)}"


def _callback_base(ports: Ports, provider: Provider) -> str | None:
    if not provider.pushes or ports.limits.public_url is None:
        return None
    return f"{ports.limits.public_url.rstrip('/')}/callbacks/{provider.name}"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What came of a call, and what went over the wire, if anything did."""

    outcome: SubmitOutcome
    status: int | None = None
    sent: bytes | None = None
    answered: bytes | None = None


async def _ask(ports: Ports, provider: Provider, task: Task, carried: Carried) -> _Asked:
    async with AsyncExitStack() as held:
        try:
            await held.enter_async_context(carried.room(await carried_bytes(ports, task)))
            reference = await on_the_wire(ports, provider, task)
            if not isinstance(reference, str):
                return _Asked(reference)
            back = callback_url(ports, provider, task)
            request = provider.submit(task, reference=reference, callback_url=back)
            sent = transcript.of_submit(ports, provider, task, reference=reference, callback_url=back)
            # It is in the request now, and may be large.
            del reference
        except NotFoundError:
            message = "the reference audio is gone from our storage"
            return _Asked(Refused(TaskError(ErrorCode.NOT_SENT, message, retryable=True)))
        except Exception as error:  # noqa: BLE001 - nothing has left yet, whatever went wrong: it may be tried again
            ports.metrics.count("submits_not_built", provider=provider.name)
            return _Asked(NotSent(f"the request could not be made ({type(error).__name__})"))
        try:
            answer: HttpAnswer = await ports.outbound.send(provider.name, request)
        except NotSentError as error:
            return _Asked(NotSent(str(error)))
        except AnswerLostError as error:
            return _Asked(Unclear(str(error)), sent=sent)
    outcome = provider.read_submit(task, answer)
    return _Asked(outcome, answer.status, sent, transcript.of_answer(answer))


def _report(ports: Ports, task: Task, outcome: SubmitOutcome) -> NewReport | None:
    """Keep an acknowledgement that says more than "accepted", so that it settles like any other report."""
    if not isinstance(outcome, Accepted) or outcome.report is None:
        return None
    return NewReport(
        id=ports.system.new_key(),
        task_key=task.key,
        provider=task.provider,
        via=Via.SUBMIT,
        received_at=ports.system.now(),
        body=outcome.report,
        sha256=hashlib.sha256(outcome.report).digest(),
        size=len(outcome.report),
    )


def _wake_for(ports: Ports, change: Change) -> None:
    if change.report is not None:
        ports.wake(Queue.SETTLE)
    if change.task.status is Status.UNKNOWN:
        ports.wake(Queue.LOOKUP)
    ports.wake(Queue.POLL)


def _once(caller: Caller | None, task: Task) -> Once | None:
    """Name what is asked by its digest, inline audio by its hash: where we keep that differs each time."""
    if caller is None:
        return None
    request = {part.name: getattr(task.request, part.name) for part in fields(task.request)}
    if isinstance(task.request.reference_audio, InlineAudio):
        request["reference_audio"] = {"sha256": task.request.reference_audio.sha256}
    if task.request.notify_url is None:
        # As it was before there was such a field.
        del request["notify_url"]
    said = {
        **request,
        "provider_options": dict(task.request.provider_options),
        "metadata": dict(task.metadata),
        "deadline_seconds": task.deadline_seconds,
    }
    text = json.dumps(said, sort_keys=True, default=dict)
    return Once(caller.id, caller.idempotency_key, hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())


def _spelt(request: TaskRequest) -> TaskRequest:
    """Spell the id of an input one way, so that asking again the same is seen as the same."""
    input_id = named(request.reference_audio)
    return request if input_id is None else replace(request, reference_audio=f"{PREFIX}{input_id}")


async def _take_aside(request: TaskRequest, object_key: str) -> tuple[TaskRequest, bytes | None]:
    """Do what ``_take_inline`` does, without holding up everybody else over large audio."""
    if len(str(request.reference_audio)) <= _DECODED_AT_ONCE:
        return _take_inline(request, object_key)
    return await to_thread.run_sync(_take_inline, request, object_key)


def _take_inline(request: TaskRequest, object_key: str) -> tuple[TaskRequest, bytes | None]:
    """Replace base64 or a data URI by its hash and size; a link, an id or ``input:<id>`` stays as it is."""
    text = request.reference_audio
    if isinstance(text, InlineAudio) or not _looks_inline(text):
        return request, None
    if len(text) > MOST_INLINE_CHARACTERS:
        raise InvalidRequestError((FieldProblem("reference_audio", "is larger than 50 MiB"),))
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    try:
        audio = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        problem = FieldProblem("reference_audio", "is neither a URL nor whole base64 (or a base64 data: URI)")
        raise InvalidRequestError((problem,)) from None
    inline = InlineAudio(object_key, hashlib.sha256(audio).hexdigest(), len(audio))
    return replace(request, reference_audio=inline), text.encode()


def _looks_inline(text: str) -> bool:
    """Tell base64 from a link, a media id or ``input:<id>``."""
    if text.startswith("data:"):
        return True
    return len(text) > _LONGEST_ID and "://" not in text[:64] and not text.startswith("input:")
