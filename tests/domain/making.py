"""Tasks, reports and answers for the tests of the domain, with plain defaults, and what must hold of every task."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count as counting
from uuid import UUID

from receiver.domain.attempt import Accepted, Attempt, SubmitOutcome, Unclear
from receiver.domain.collection import Kept
from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.event import EventType
from receiver.domain.looking import LookRules, looked, lose
from receiver.domain.report import Failure, NewReport, Output, Reading, StoredReport, Via
from receiver.domain.request import TaskRequest
from receiver.domain.result import ArtifactStatus
from receiver.domain.schedule import PollPlan
from receiver.domain.settlement import SettleRules, settle
from receiver.domain.submission import SubmitRules, begin, conclude, create
from receiver.domain.task import Change, Recovery, Status, Task, Work
from receiver.domain.watched import USUAL, Watched

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLAN = PollPlan(first=120.0, interval=15.0, growth=1.5, longest=60.0, overdue=300.0)
LOOKUPS = tuple(timedelta(seconds=seconds) for seconds in (15, 60, 300, 1800, 3600))
DEADLINE = timedelta(seconds=1800)
LOST_AFTER = timedelta(days=1)
QUEUE_MAX = timedelta(days=1)
TASK_ID = UUID("11111111-1111-4111-8111-111111111111")
TASK_KEY = UUID("01900000-0000-7000-8000-000000000001")
GENERATION = "BV5y0it0TMlupfLEeHc6J"
HOST = "https://am.provider.example"
TERMINAL_EVENTS = frozenset(
    {
        EventType.TASK_SUCCEEDED,
        EventType.TASK_PARTIAL,
        EventType.TASK_FAILED,
        EventType.TASK_LOST,
        EventType.TASK_CANCELLED,
    }
)
BROKEN = TaskError(ErrorCode.PROVIDER, "the model broke", provider_code="providerError")
REFUSED = TaskError(ErrorCode.VALIDATION, "the prompt is too long", provider_code="invalidPositivePromptLength")
BUSY = TaskError(ErrorCode.RATE, "too many", retryable=True)


def queued(now: datetime) -> Task:
    """A task that was asked for at this moment, and waits to be sent."""
    return Task(
        key=UUID(int=1),
        id=UUID(int=2),
        request=TaskRequest("runware", "a prompt long enough", "https://files.example.org/a.mp3"),
        model="m",
        created_at=now,
        deadline_seconds=600,
        work=Work.SUBMIT,
    )


def at(seconds: float) -> datetime:
    """The time this long after the task was created."""
    return START + timedelta(seconds=seconds)


def trusts(link: str) -> bool:
    return link.startswith(f"{HOST}/")


def new_task(count: int = 1, recovery: Recovery = Recovery.RESEND, ttl_seconds: int | None = None) -> Task:
    """A task just created: with an id of our choice at a provider that recovers by sending again, else without."""
    runware = recovery is Recovery.RESEND
    request = TaskRequest(
        provider="runware" if runware else "aimlapi",
        prompt="quiet jazz trio, brushes",
        reference_audio="https://files.example.org/in.mp3",
        count=count,
        ttl_seconds=ttl_seconds,
    )
    task = Task(
        key=TASK_KEY,
        id=TASK_ID,
        request=request,
        model="music-cover",
        created_at=START,
        deadline_seconds=DEADLINE.total_seconds(),
        provider_task_id=str(TASK_ID) if runware else None,
    )
    return create(task).task


def asking_inline(task: Task) -> Task:
    """The task, had it asked for the audio inside the answer."""
    return replace(task, request=replace(task.request, output_type="base64Data"))


def submit_rules(recovery: Recovery = Recovery.RESEND, jitter: float = 0.5) -> SubmitRules:
    return SubmitRules(recovery, PLAN, QUEUE_MAX, LOOKUPS, jitter)


def look_rules(recovery: Recovery = Recovery.RESEND, jitter: float = 0.5) -> LookRules:
    return LookRules(PLAN, recovery, LOOKUPS, jitter)


def settle_rules(new_id: Callable[[], UUID] | None = None) -> SettleRules:
    serial = counting(0xA0000000)
    return SettleRules(lambda _: PLAN, trusts, new_id or (lambda: UUID(int=next(serial))))


def sending(task: Task, now: datetime = START, recovery: Recovery = Recovery.RESEND) -> Task:
    """The task with an attempt open."""
    change = begin(task, now, submit_rules(recovery), pushed=recovery is Recovery.RESEND)
    assert change is not None
    assert change.attempt is not None
    return change.task


def answered(task: Task, outcome: SubmitOutcome, now: datetime, recovery: Recovery = Recovery.RESEND) -> Change:
    """What the answer to the task's latest attempt does."""
    attempt = Attempt(task.attempts, task.attempt_open_since or START)
    return conclude(task, outcome, now, submit_rules(recovery), attempt=attempt)


def accepted(recovery: Recovery = Recovery.RESEND) -> Accepted:
    return Accepted(str(TASK_ID) if recovery is Recovery.RESEND else GENERATION)


def submitted(count: int = 1, recovery: Recovery = Recovery.RESEND, ttl_seconds: int | None = None) -> Task:
    """A task that was sent and acknowledged at START."""
    task = sending(new_task(count, recovery, ttl_seconds), recovery=recovery)
    return answered(task, accepted(recovery), START, recovery).task


def unknown(recovery: Recovery = Recovery.RESEND, count: int = 1) -> Task:
    """A task sent at START whose answer was lost."""
    task = sending(new_task(count, recovery), recovery=recovery)
    return answered(task, Unclear("read timeout"), START, recovery).task


def lost(count: int = 1) -> Task:
    """A task given up a day after its deadline."""
    return lose(submitted(count), START + DEADLINE + LOST_AFTER, "no outcome").task


def collecting(count: int = 1) -> Task:
    """A task whose every output was told by callbacks, none of it stored."""
    task = submitted(count)
    for number in range(count):
        task = by_callback(task, says(output(number)), at(10)).task
    assert task.status is Status.COLLECTING
    return task


def output(number: int = 0) -> Output:
    """The output of this number, on the provider's own host."""
    return Output(
        identity=f"audio-{number}",
        provider_result_id=f"audio-{number}",
        link=f"{HOST}/{number}.mp3",
        seed=41 + number,
        cost_micros=150_000,
    )


def says(
    *outputs: Output,
    failures: int = 0,
    pending: bool = False,
    oddities: tuple[str, ...] = (),
    named: frozenset[str] = frozenset({str(TASK_ID)}),
    cost_micros: int | None = None,
) -> Reading:
    """What a body says; by default it names our task, as Runware's bodies do."""
    failed = tuple(Failure(BROKEN) for _ in range(failures))
    return Reading(outputs, failed, pending, oddities, named, cost_micros)


NOTHING = Reading()


def digest(reading: Reading) -> bytes:
    """Stand in for the bytes a reading was made from; links keep themselves out of ``repr``."""
    links = [(output.link, output.inline) for output in reading.outputs]
    return hashlib.sha256(f"{reading}{links}".encode()).digest()


def stored(via: Via, now: datetime, *, serial: int = 1, duplicate_of: UUID | None = None) -> StoredReport:
    return StoredReport(
        id=UUID(int=serial),
        task_key=TASK_KEY,
        provider="runware",
        via=via,
        received_at=now,
        body=b"{}",
        size=2,
        object_key=None,
        duplicate_of=duplicate_of,
        attempts=1,
    )


def by_callback(task: Task, reading: Reading, now: datetime, *, serial: int | None = None) -> Change:
    """What a callback that says this does."""
    serial = 1000 + task.callbacks if serial is None else serial
    rules = settle_rules(counted_ids(serial))
    return settle(task, stored(Via.CALLBACK, now, serial=serial), reading, now, rules)


def asked(
    task: Task, reading: Reading, now: datetime, recovery: Recovery = Recovery.RESEND, *, serial: int | None = None
) -> tuple[Change, Change | None]:
    """What a poll answer that says this does: at once, and when the report it made, if any, is settled."""
    serial = 2000 + task.polls if serial is None else serial
    first = looked(task, reading, new_report(reading, now, serial), now, look_rules(recovery))
    if first.report is None:
        return first, None
    rules = settle_rules(counted_ids(serial))
    return first, settle(first.task, stored(Via.POLL, now, serial=serial), reading, now, rules)


def by_poll(task: Task, reading: Reading, now: datetime, recovery: Recovery = Recovery.RESEND) -> Task:
    """The task after a poll answer that says this, settled if it was news."""
    first, second = asked(task, reading, now, recovery)
    return (second or first).task


def new_report(reading: Reading, now: datetime, serial: int) -> NewReport:
    return NewReport(
        id=UUID(int=serial),
        task_key=TASK_KEY,
        provider="runware",
        via=Via.POLL,
        received_at=now,
        body=b"{}",
        sha256=digest(reading),
        size=2,
    )


def counted_ids(serial: int) -> Callable[[], UUID]:
    """Ids for results that follow from the report that told of them, so that runs can be compared."""
    numbers = counting(1)
    return lambda: UUID(int=(serial << 16) + next(numbers))


def kept(task: Task, index: int = 0) -> Kept:
    return Kept(f"audio/{task.id}/{task.results[index].id}.mp3", 1234, "ab" * 32, "audio/mpeg", 12.5)


def types(change: Change) -> list[EventType]:
    return [event.type for event in change.events]


def flaws(task: Task) -> list[str]:
    """Say what must never be true of a task; above all, that it waits for nothing."""
    pending = [result for result in task.results if result.artifact.status is ArtifactStatus.PENDING]
    waiting = {Status.QUEUED, Status.SUBMITTED, Status.UNKNOWN}
    ended_with_settling = {Status.COLLECTING, Status.SUCCEEDED, Status.PARTIAL, Status.FAILED}
    rules = {
        "work without a time, or a time without work": (task.work is None) == (task.due_at is None),
        "waits for nothing": task.work is not None or task.status not in waiting,
        "collects nothing": task.status is not Status.COLLECTING or bool(pending) or task.work is not None,
        "an artifact that nobody fetches": all(result.artifact.due_at is not None for result in pending),
        "fetches what it has": all(r.artifact.due_at is None for r in task.results if r not in pending),
        "goes on after its end": task.work is None
        or not task.status.terminal
        or task.status is Status.LOST
        or (task.work is Work.POLL and task.doubt is not None),
        "submits what was submitted": task.work is not Work.SUBMIT or task.status in {Status.QUEUED, Status.UNKNOWN},
        "queued, and not to be submitted": task.status is not Status.QUEUED or task.work is Work.SUBMIT,
        "looks a known task up": task.work is not Work.LOOKUP or task.status in {Status.UNKNOWN, Status.LOST},
        "asks without an id": task.work is not Work.POLL or task.provider_task_id is not None,
        "a doubt nobody follows": task.doubt is None or task.work is Work.POLL,
        "a doubt about nothing": task.doubt is None
        or task.status is Status.SUBMITTED
        or any(result.via is Via.CALLBACK for result in task.results),
        "half a doubt": (task.doubt is None) == (task.doubt_since is None),
        "a quiet nobody waits for": task.quiet_since is None or task.status is Status.SUBMITTED,
        "completed_at tells another story": (task.completed_at is not None) == task.status.terminal,
        "settled_at is missing": task.settled_at is not None or task.status not in ended_with_settling,
        "settled too early": task.settled_at is None or task.status in {*ended_with_settling, Status.CANCELLED},
        "submitted_at is missing": task.submitted_at is not None
        or task.status not in {Status.SUBMITTED, Status.COLLECTING, Status.SUCCEEDED, Status.PARTIAL},
        "unknown since never": task.unknown_since is not None or task.status is not Status.UNKNOWN,
        "an unknown that is known": task.unknown_since is None
        or task.status not in {Status.QUEUED, Status.SUBMITTED},
        "no deadline": task.deadline_at is not None or task.status not in {Status.SUBMITTED, Status.UNKNOWN},
        "a deadline of its own": task.status is not Status.SUBMITTED
        or task.deadline_at == (task.submitted_at or START) + DEADLINE,
        "an index with a gap": [result.index for result in task.results] == list(range(len(task.results))),
        "one result twice": len({result.identity for result in task.results}) == len(task.results),
        "one id twice": len({result.id for result in task.results}) == len(task.results),
        "too many results": len(task.results) <= task.expected,
        "an attempt that never began": task.attempt_open_since is None or task.attempts > 0,
        "ended with everything, and not succeeded": task.status is not Status.PARTIAL
        or sum(r.artifact.status is ArtifactStatus.STORED for r in task.results if not r.late) < task.expected,
    }
    return [flaw for flaw, holds in rules.items() if not holds]


def watched(task: Task) -> Watched:
    """What a store hands out of a task that is due for a look."""
    return Watched(
        key=task.key,
        id=task.id,
        request=task.request,
        model=task.model,
        provider_task_id=task.provider_task_id,
        pushed=task.pushed,
        submitted_at=task.submitted_at,
        polls=task.polls,
        callbacks=task.callbacks,
        due_at=task.due_at or START,
        answer_digest=task.answer_digest,
        is_usual=all(getattr(task, name) == value for name, value in USUAL.items()),
    )
