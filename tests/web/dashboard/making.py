"""Tasks in the store, with whatever strangers may have written into them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from receiver.domain.errors import ErrorCode, FieldWarning, TaskError
from receiver.domain.event import Event, EventType
from receiver.domain.report import NewReport, Verdict, Via
from receiver.domain.request import TaskRequest
from receiver.domain.result import Artifact, ArtifactStatus, Result
from receiver.domain.task import Change, Ruling, Status, Task
from receiver.lifecycle.ports import BodyLimits, Decision
from tests.web.fakes import World

#: What no page may run, break at, or turn around.
HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>'",
    "{{ 7*7 }}{% raw %}",
    "\u202eevil\u2066\u200f",
    "w" * 10_000,
    "&lt;b&gt;",
)


def request(**fields: Any) -> TaskRequest:  # noqa: ANN401 - fields of a TaskRequest
    """Return a request with fields of its own."""
    asked = TaskRequest("runware", "bossa nova, nylon guitar", "https://files.example.org/in.mp3", "m")
    return replace(asked, **fields)


async def made(world: World, *events: Event, **fields: Any) -> Task:  # noqa: ANN401 - fields of a Task
    """Keep a task in the store as it is, and return it."""
    asked = fields.pop("request", request())
    task = Task(
        key=world.system.new_key(),
        id=uuid4(),
        request=asked,
        model=fields.pop("model", asked.model or ""),
        created_at=fields.pop("created_at", world.system.now()),
        deadline_seconds=1800,
        metadata=fields.pop("metadata", {}),
        warnings=fields.pop("warnings", ()),
    )
    created = Event(EventType.TASK_CREATED, task.created_at, {"provider": task.provider, "count": 1})
    await world.ports.store.create(Change(task, (created,)))
    changed = replace(task, **fields)
    if fields or events:
        await world.ports.store.apply([Decision(task.key, lambda _: Change(changed, events))])
    return changed


def a_result(world: World, *, words: str = "x", index: int = 0, audio: bytes = b"", **fields: Any) -> Result:  # noqa: ANN401 - fields of a Result
    """Return a result; with ``audio`` its bytes lie in the object store."""
    result_id = uuid4()
    artifact = Artifact(ArtifactStatus.PENDING, error=words)
    if audio:
        world.objects.kept[f"audio/{result_id}"] = audio
        artifact = Artifact(
            ArtifactStatus.STORED,
            object_key=f"audio/{result_id}",
            size=len(audio),
            sha256="ab" * 32,
            media_type="audio/mpeg",
            duration_seconds=12.3,
        )
    plain = Result(
        id=result_id,
        index=index,
        identity=str(result_id),
        via=Via.CALLBACK,
        received_at=world.system.now() + timedelta(seconds=30),
        report_id=uuid4(),
        provider_result_id=words,
        seed=41,
        cost_micros=150_000,
        link="https://am.example.org/audio.mp3?signature=abc",
        artifact=artifact,
    )
    return replace(plain, **fields)


async def succeeded(world: World, **fields: Any) -> Task:  # noqa: ANN401 - fields of a Task
    """A task that went the usual way: sent, called back, stored."""
    start = world.system.now()
    result = a_result(world, audio=b"ID3 not really music")

    def at(seconds: float) -> Any:  # noqa: ANN401 - a moment
        return start + timedelta(seconds=seconds)

    events = (
        Event(
            EventType.ATTEMPT_MADE, at(0.5), {"attempt": 1, "outcome": "accepted", "http_status": 200, "seconds": 0.3}
        ),
        Event(EventType.TASK_SUBMITTED, at(0.5), {"provider_task_id": "theirs"}),
        Event(EventType.POLL_ANSWERED, at(10), {"outputs": 0, "failures": 0, "pending": True}),
        Event(EventType.RESULT_RECEIVED, at(30), {"result_id": str(result.id), "index": 0, "via": "callback"}),
        Event(EventType.TASK_SETTLED, at(30), {"results": 1, "failed": 0}),
        Event(EventType.RESULT_STORED, at(31), {"result_id": str(result.id), "bytes": 20, "duration_seconds": 12.3}),
        Event(EventType.TASK_SUCCEEDED, at(31), {"stored": 1, "expected": 1}),
    )
    return await made(
        world,
        *events,
        status=Status.SUCCEEDED,
        submitted_at=at(0.5),
        settled_at=at(30),
        completed_at=at(31),
        results=(result,),
        **fields,
    )


async def called_back(world: World, task: Task, body: bytes) -> UUID:
    """Keep a callback of a task and what was made of it."""
    report = NewReport(
        id=world.system.new_key(),
        task_key=task.key,
        provider=task.provider,
        via=Via.CALLBACK,
        received_at=world.system.now() + timedelta(seconds=30),
        body=body,
        size=len(body),
        sha256=bytes(32),
    )
    await world.ports.store.append(report, BodyLimits())
    event = Event(EventType.CALLBACK_RECEIVED, report.received_at, {"report_id": str(report.id), "bytes": len(body)})
    await world.ports.store.apply(
        [
            Decision(
                task.key,
                lambda now: Change(now, (event,), rulings=(Ruling(report.id, Verdict.SETTLED),)),
                reports=(report.id,),
            )
        ]
    )
    return report.id


async def hostile(world: World, words: str) -> Task:
    """Keep a task in every field of which a stranger wrote these words."""
    now = world.system.now()
    asked = request(
        prompt=words,
        reference_audio=words,
        lyrics=words,
        upload_endpoint=words,
        model=words,
        provider_options={words: {"deep": [words]}},
    )
    event = Event(EventType.ATTEMPT_MADE, now, {"attempt": 1, "outcome": words, "detail": words, "http_status": 500})
    strange = Event(EventType.POLL_ANSWERED, now, {"outputs": 1, "oddities": [words]})
    failed = Event(EventType.RESULT_FAILED, now, {"result_id": words, "message": words})
    given = Event(EventType.DELIVERY_FAILED, now, {"url": words, "reason": words})
    return await made(
        world,
        event,
        strange,
        failed,
        given,
        request=asked,
        status=Status.FAILED,
        completed_at=now,
        provider_task_id=words,
        metadata={words[:40]: words[:500]},
        warnings=(FieldWarning("prompt", words),),
        errors=(TaskError(ErrorCode.PROVIDER, words, provider_code=words),),
        results=(
            a_result(world, words=words, link="javascript:alert(1)"),
            a_result(world, index=1, audio=b"\0" * 10),
            replace(
                a_result(world, words=words, index=2, link=f"https://x.example/{words}"),
                artifact=Artifact(ArtifactStatus.FAILED, error=words),
            ),
        ),
    )
