"""Tasks, reports and decisions for the tests of the store, in one short call each."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID, uuid4

from receiver.domain.event import Event, EventType
from receiver.domain.report import NewReport, StoredReport, Verdict, Via
from receiver.domain.request import TaskRequest
from receiver.domain.result import Artifact, Result
from receiver.domain.task import Change, Ruling, Status, Task, Work
from receiver.lifecycle.ports import BodyLimits, Decision
from receiver.storage.store import SqlStore

NOW = datetime(2026, 11, 20, 12, 0, 0, 123_456, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=60)
LIMITS = BodyLimits()

_numbers = count(1)


def new_key() -> UUID:
    """A UUID v7 later than every one before it."""
    number = next(_numbers)
    return UUID(int=(0x19A_0000_0000 + number) << 80 | 0x7 << 76 | 0x2 << 62 | number)


def task(provider: str = "runware") -> Task:
    """A queued task that is due."""
    task_id = uuid4()
    return Task(
        key=new_key(),
        id=task_id,
        request=TaskRequest(provider, "a quiet cover", "https://files.example.org/a.mp3", count=1),
        model="minimax:music@cover",
        created_at=NOW,
        deadline_seconds=1800.0,
        provider_task_id=str(task_id),
        work=Work.SUBMIT,
        due_at=NOW,
    )


def submitted(provider: str = "runware") -> Task:
    """A task the provider has, due for a look."""
    return replace(
        task(provider),
        status=Status.SUBMITTED,
        work=Work.POLL,
        pushed=True,
        submitted_at=NOW,
        deadline_at=NOW + timedelta(seconds=1800),
    )


def event(kind: EventType = EventType.POLL_ANSWERED, **data: object) -> Event:
    return Event(kind, NOW, data)


async def given(store: SqlStore, *tasks: Task) -> None:
    """Let tasks exist, each with the event of its creation."""
    for each in tasks:
        await store.create(Change(each, (event(EventType.TASK_CREATED),)))


async def stored(store: SqlStore, of: Task) -> Task:
    found = await store.task(of.id)
    assert found is not None
    return found


def report(task_key: UUID, body: bytes = b"{}", *, via: Via = Via.CALLBACK) -> NewReport:
    return NewReport(
        id=new_key(),
        task_key=task_key,
        provider="runware",
        via=via,
        received_at=NOW,
        body=body,
        sha256=hashlib.sha256(body).digest(),
        size=len(body),
        content_type="application/json",
    )


def result(index: int = 0) -> Result:
    """A result whose audio is to be collected at once."""
    return Result(
        id=uuid4(),
        index=index,
        identity=f"output-{index}",
        via=Via.CALLBACK,
        received_at=NOW,
        report_id=new_key(),
        link=f"https://media.example.org/{index}.mp3",
        artifact=Artifact(due_at=NOW),
    )


def settling(of: StoredReport | NewReport, *results: Result) -> Decision:
    """A decision that adds results, says so twice in the timeline and closes the report."""

    def decide(current: Task) -> Change:
        changed = replace(current, callbacks=current.callbacks + 1, results=(*current.results, *results))
        told = (event(EventType.CALLBACK_RECEIVED), event(EventType.RESULT_RECEIVED))
        return Change(changed, told, rulings=(Ruling(of.id, Verdict.SETTLED),))

    return Decision(of.task_key, decide, reports=(of.id,))


def changing(of: Task, change: Callable[[Task], Task], *, release: bool = False) -> Decision:
    """A decision that changes a task and adds one event."""
    return Decision(of.key, lambda current: Change(change(current), (event(),)), release=release)


def refusing(of: UUID, *reports: UUID) -> Decision:
    """A decision that raises."""

    def decide(_: Task) -> Change:
        raise LookupError("not on my watch")

    return Decision(of, decide, reports=reports)
