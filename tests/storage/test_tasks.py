import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from uuid import uuid4

import pytest

from receiver.domain.attempt import Attempt, AttemptOutcome
from receiver.domain.errors import ErrorCode, FieldWarning, TaskError
from receiver.domain.event import EventType
from receiver.domain.report import Via
from receiver.domain.request import InlineAudio, TaskRequest
from receiver.domain.result import Artifact, ArtifactStatus
from receiver.domain.task import Change, Status, Task, Work
from receiver.lifecycle.ports import Decision, TakenError, TaskFilter
from receiver.storage.store import SqlStore
from tests.storage.making import NOW, SECOND, changing, event, given, new_key, result, stored, submitted, task

LATER = NOW + SECOND
FULL_REQUEST = TaskRequest(
    provider="runware",
    prompt="смотри, 音楽 🎵",
    reference_audio=InlineAudio("inputs/1", "ab" * 32, 123),
    model="minimax:music@cover",
    lyrics="la la\nla",
    count=2,
    seed=0,
    output_format="MP3",
    output_type="URL",
    sample_rate=44100,
    bitrate=256000,
    ttl_seconds=60,
    include_cost=False,
    upload_endpoint="https://example.org/put?signature=1",
    provider_options={"settings": {"deep": [1, 2.5, None, {"a": True}]}},
)
FULL_RESULT = replace(
    result(1),
    via=Via.POLL,
    inline=True,
    late=True,
    provider_result_id="r-1",
    seed=2**63 - 1,
    cost_micros=150_000,
    link_expires_at=LATER,
    artifact=Artifact(
        status=ArtifactStatus.STORED,
        attempts=3,
        refusals=2,
        first_refused_at=NOW,
        object_key="audio/1.mp3",
        size=2**40,
        sha256="cd" * 32,
        media_type="audio/mpeg",
        duration_seconds=12.25,
        error="once refused",
    ),
)


def full_task() -> Task:
    """A task in which no field has its default."""
    return replace(
        task(),
        request=FULL_REQUEST,
        status=Status.PARTIAL,
        overdue=True,
        metadata=MappingProxyType({"user": "42", "ключ": "значение"}),
        warnings=(FieldWarning("prompt", "is long"), FieldWarning("count", "is two")),
        errors=(
            TaskError(ErrorCode.MODERATION, "no", retryable=True, provider_code="contentPolicyViolation"),
            TaskError(ErrorCode.PROVIDER, "broke"),
        ),
        results=(result(0), FULL_RESULT),
        pushed=True,
        submitted_at=NOW,
        settled_at=LATER,
        completed_at=LATER,
        deadline_at=LATER,
        told_cost_micros=300_000,
        polls=3,
        callbacks=4,
        work=Work.POLL,
        due_at=LATER,
        tries=2,
        attempts=1,
        attempt_open_since=NOW,
        unknown_since=NOW,
        doubt=TaskError(ErrorCode.UNKNOWN, "perhaps"),
        doubt_since=NOW,
        answer_digest=bytes(range(32)),
        quiet_since=NOW,
        looked_at=NOW,
        fault="api.example.com: no connection",
    )


@pytest.mark.parametrize("wanted", [task(), submitted(), full_task()], ids=["new", "submitted", "full"])
async def test_a_task_comes_back_exactly_as_it_was_created(store: SqlStore, wanted: Task) -> None:
    await given(store, wanted)
    assert await stored(store, wanted) == wanted


async def test_every_field_of_a_task_can_change(store: SqlStore) -> None:
    full = full_task()
    bare = replace(
        task(), key=full.key, id=full.id, request=full.request, warnings=full.warnings, metadata=full.metadata
    )
    await given(store, bare)
    await store.apply([changing(bare, lambda _: full)])
    assert await stored(store, full) == full
    await store.apply([changing(full, lambda _: replace(bare, results=full.results))])
    assert await stored(store, full) == replace(bare, results=full.results)


async def test_a_task_that_does_not_exist_is_none(store: SqlStore) -> None:
    assert await store.task(uuid4()) is None


def trying(attempt: Attempt, current: Task) -> Change:
    return Change(current, attempt=attempt)


async def test_an_attempt_is_inserted_and_then_replaced(store: SqlStore) -> None:
    sent = task()
    await given(store, sent)
    begun = Attempt(1, NOW)
    ended = Attempt(1, NOW, LATER, AttemptOutcome.ACCEPTED, 200, "fine")
    for attempt in (begun, ended, Attempt(2, LATER)):
        [change] = await store.apply([Decision(sent.key, partial(trying, attempt))])
        assert change is not None
    rows = await store._engine.read(
        lambda connection: connection.exec_driver_sql(
            "SELECT ordinal, outcome, http_status, detail, ended_at IS NULL FROM attempts"
        ).all()
    )
    assert [tuple(row) for row in rows] == [(1, "accepted", 200, "fine", 0), (2, None, None, None, 1)]


async def test_a_generation_belongs_to_one_task_and_the_second_is_told_which(store: SqlStore) -> None:
    first, second = task(), task()
    await given(store, first)
    with pytest.raises(TakenError) as taken:
        await given(store, replace(second, provider_task_id=first.provider_task_id))
    assert taken.value.task_id == first.id
    assert await store.task(second.id) is None


async def test_twins_created_at_once_are_one_task_and_one_refusal(store: SqlStore) -> None:
    first, second, other = task(), task(), task()
    second = replace(second, provider_task_id=first.provider_task_id)
    answers = await asyncio.gather(
        *(store.create(Change(each)) for each in (first, second, other)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [type(None), TakenError, type(None)]


async def test_the_same_name_at_two_providers_is_two_generations(store: SqlStore) -> None:
    first, second = task("runware"), task("aimlapi")
    second = replace(second, provider_task_id=first.provider_task_id)
    await given(store, first, second, replace(task(), provider_task_id=None), replace(task(), provider_task_id=None))
    assert await store.task(second.id) is not None


async def test_tasks_are_listed_newest_first_in_pages_that_stay_put_while_others_arrive(store: SqlStore) -> None:
    old = [task() for _ in range(25)]
    await given(store, *old)
    seen: list[Task] = []
    page = await store.tasks(TaskFilter(limit=10))
    while page:
        seen += page
        await given(store, task(), task())
        page = await store.tasks(TaskFilter(limit=10, before_key=page[-1].key))
    assert [each.id for each in seen] == [each.id for each in reversed(old)]


FILTERS: Mapping[str, TaskFilter] = {
    "status": TaskFilter(status=Status.SUBMITTED),
    "provider": TaskFilter(provider="aimlapi"),
    "status and provider": TaskFilter(status=Status.QUEUED, provider="aimlapi"),
    "created after": TaskFilter(created_after=NOW + 6 * SECOND),
    "created before": TaskFilter(created_before=NOW + 2 * SECOND),
    "created between": TaskFilter(created_after=NOW + SECOND, created_before=NOW + 3 * SECOND),
    "created never": TaskFilter(created_after=NOW + timedelta(days=1)),
    "metadata": TaskFilter(metadata={"user": "0"}),
    "two pairs of metadata": TaskFilter(metadata={"user": "0", "job": "1"}),
    "metadata and all else": TaskFilter(
        metadata={"job": "0"},
        status=Status.QUEUED,
        provider="runware",
        created_after=NOW + SECOND,
        created_before=NOW + 8 * SECOND,
    ),
}
EXPECTED = {
    "status": [1, 3, 5, 7],
    "provider": [2, 3, 6, 7],
    "status and provider": [2, 6],
    "created after": [6, 7],
    "created before": [0, 1],
    "created between": [1, 2],
    "created never": [],
    "metadata": [0, 3, 6],
    "two pairs of metadata": [3],
    "metadata and all else": [4],
}


@pytest.mark.parametrize("name", FILTERS)
async def test_a_list_holds_what_its_filter_asks_for(store: SqlStore, name: str) -> None:
    made = []
    for number in range(8):
        plain = (submitted if number % 2 else task)("aimlapi" if number & 2 else "runware")
        metadata = {"user": str(number % 3), "job": str(number % 2)}
        made.append(replace(plain, created_at=NOW + number * SECOND, metadata=metadata))
    await given(store, *made)
    assert [each.id for each in await store.tasks(FILTERS[name])] == [made[n].id for n in reversed(EXPECTED[name])]


async def test_the_time_of_creation_is_believed_even_where_keys_tell_another(store: SqlStore) -> None:
    early, late = task(), task()
    early = replace(early, key=new_key(), created_at=NOW)
    late = replace(late, created_at=NOW + SECOND)
    await given(store, early, late)
    assert early.key > late.key
    assert [each.id for each in await store.tasks(TaskFilter(created_after=NOW + SECOND))] == [late.id]
    assert [each.id for each in await store.tasks(TaskFilter(created_before=NOW + SECOND))] == [early.id]


async def test_events_of_a_task_are_numbered_without_a_gap_from_one(store: SqlStore) -> None:
    first, second = task(), task()
    await given(store, first, second)
    await store.apply([changing(first, lambda t: t), changing(second, lambda t: t), changing(first, lambda t: t)])
    events = await store.events(first.id)
    assert [(each.seq, each.type, each.task_id) for each in events] == [
        (1, "task.created", first.id),
        (2, "poll.answered", first.id),
        (3, "poll.answered", first.id),
    ]
    assert [each.seq for each in await store.events(second.id)] == [1, 2]


async def test_a_reader_of_events_goes_on_where_it_stopped(store: SqlStore) -> None:
    many = [task() for _ in range(5)]
    await given(store, *many)
    await store.apply([changing(each, lambda t: t) for each in many])
    everything = await store.events(None)
    assert [each.id for each in everything] == sorted(each.id for each in everything)
    seen, after = [], 0
    while part := await store.events(None, after=after, limit=3):
        seen += part
        after = part[-1].id
    assert seen == everything
    [_, last] = await store.events(many[0].id)
    assert await store.events(many[0].id, after=last.id) == []
    assert await store.events(many[0].id, after=last.id - 1) == [last]


async def test_an_event_keeps_its_data(store: SqlStore) -> None:
    told = {"text": "ü", "number": 2**60, "list": [1, None, {"a": 0.5}], "yes": True}
    new = task()
    await store.create(Change(new, (event(EventType.TASK_CREATED, **told),)))
    [only] = await store.events(new.id)
    assert (only.at, only.data) == (NOW, told)
