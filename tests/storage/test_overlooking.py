from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from receiver.domain.report import Via
from receiver.domain.task import Status
from receiver.lifecycle.ports import Ended
from receiver.storage.store import SqlStore
from tests.storage.making import NOW, changing, given, result, submitted

MINUTE = timedelta(minutes=1)


async def ends(
    store: SqlStore,
    at: datetime,
    status: Status = Status.SUCCEEDED,
    *,
    provider: str = "runware",
    **fields: Any,  # noqa: ANN401 - fields of a Task
) -> None:
    task = submitted(provider)
    await given(store, task)
    await store.apply([changing(task, lambda now: replace(now, status=status, completed_at=at, **fields))])


async def test_tasks_are_counted_in_the_slot_they_ended_in(store: SqlStore) -> None:
    since = NOW - 3 * MINUTE
    outside = (since - timedelta(microseconds=1), NOW)
    for at in (*outside, since, since + MINUTE - timedelta(microseconds=1), since + MINUTE, NOW - MINUTE / 2):
        await ends(store, at)
    await ends(store, since + MINUTE, Status.FAILED)
    await ends(store, since + MINUTE, provider="aimlapi")
    found = await store.insight.ended(since=since, slot=MINUTE, slots=3, providers=["runware", "aimlapi"])
    assert sorted((each.provider, each.status.value, each.slot, each.tasks) for each in found) == [
        ("aimlapi", "succeeded", 1, 1),
        ("runware", "failed", 1, 1),
        ("runware", "succeeded", 0, 2),
        ("runware", "succeeded", 1, 1),
        ("runware", "succeeded", 2, 1),
    ]
    only = await store.insight.ended(since=since, slot=MINUTE, slots=3, providers=["aimlapi"])
    assert [each.provider for each in only] == ["aimlapi"]


async def test_several_models_of_a_provider_are_counted_together_and_nameless_ones_too(store: SqlStore) -> None:
    for model in ("", "a", "b"):
        await ends(store, NOW, model=model)
    assert await store.insight.ended(since=NOW, slot=MINUTE, slots=1, providers=["runware"]) == [
        Ended(0, "runware", Status.SUCCEEDED, tasks=3, awaited=0, missed=0)
    ]


async def test_missed_callbacks_are_counted_among_those_that_were_due(store: SqlStore) -> None:
    await ends(store, NOW, results=(result(),), pushed=True)
    await ends(store, NOW, results=(replace(result(), via=Via.POLL),), pushed=True)
    await ends(store, NOW, results=(replace(result(), via=Via.POLL),), pushed=False)
    [found] = await store.insight.ended(since=NOW, slot=MINUTE, slots=1, providers=["runware"])
    assert (found.tasks, found.awaited, found.missed) == (3, 2, 1)
