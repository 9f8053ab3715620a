"""What is kept for long enough goes, a few rows at a time, and nothing of which a part is still under way."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from receiver.domain.attempt import Attempt
from receiver.domain.erasure import retire_audio
from receiver.domain.result import Artifact, ArtifactStatus, Result
from receiver.domain.task import Change, Status, Task
from receiver.lifecycle.ports import Decision
from receiver.storage.store import SqlStore
from receiver.storage.tables import metadata
from tests.storage.making import LEASE, LIMITS, NOW, given, new_key, report, result, settling, submitted

DAY = timedelta(days=1)
#: The keys of these tests tell a time in 2026 or before.
LATER = NOW + 400 * DAY
STORED = Artifact(status=ArtifactStatus.STORED, object_key="audio/ab/abc.mp3", size=3, sha256="abc")


def ended(at: datetime, *results: Result) -> Task:
    return replace(submitted(), status=Status.SUCCEEDED, work=None, due_at=None, completed_at=at, results=results)


async def rows(store: SqlStore) -> dict[str, int]:
    """How many rows there are, of the tables that have some."""
    tables = [table for table in metadata.sorted_tables if table.name not in {"installation", "doomed_objects"}]
    counts = await store._engine.read(
        lambda connection: {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables
        }
    )
    return {name: count for name, count in counts.items() if count}


async def test_a_task_goes_with_all_that_belongs_to_it(store: SqlStore) -> None:
    old = replace(ended(NOW, replace(result(), artifact=STORED)), metadata={"a": "b"})
    young = ended(LATER, replace(result(), artifact=replace(STORED, object_key="audio/cd/cde.mp3")))
    await given(store, old, young)
    told = replace(report(old.key), object_key="reports/x", body=b"")
    await store.append(told, LIMITS)
    await store.lease_inbox(now=NOW, limit=9, lease=LEASE)
    await store.apply([settling(told)])
    left = await rows(store)
    assert left["tasks"] == 2
    assert await store.retire_tasks(NOW, 9, lambda _: {}) == 0
    assert await store.retire_tasks(LATER, 9, lambda task: {"audio/ab/abc.mp3": NOW}) == 1
    assert await store.task(old.id) is None
    assert await store.task(young.id) == young
    assert await rows(store) == {"tasks": 1, "requests": 1, "results": 1, "artifacts": 1, "events": 1}
    assert await store.condemn(LATER, 9, lease=LEASE) == ["audio/ab/abc.mp3", "reports/x"]


@pytest.mark.parametrize(
    "busy",
    [
        replace(submitted(), results=(replace(result(), artifact=STORED),)),
        replace(submitted(), status=Status.COLLECTING, work=None, due_at=None, results=(result(),)),
        # A result came late, and its audio is on its way.
        ended(NOW, result(), replace(result(1), artifact=STORED)),
    ],
)
async def test_nothing_that_is_under_way_is_let_go(store: SqlStore, busy: Task) -> None:
    busy = replace(busy, key=new_key(), id=new_key(), provider_task_id=str(new_key()))
    await given(store, busy)
    told = report(busy.key)
    await store.append(told, LIMITS)
    await store.lease_inbox(now=NOW, limit=9, lease=LEASE)
    await store.apply([settling(told)])
    assert await store.retire_tasks(LATER, 9, lambda _: {}) == 0
    assert await store.retire_reports(LATER, 9) == 0
    assert await store.with_audio(LATER, 9) == []


async def test_reports_go_once_they_are_settled_and_their_task_is_over_or_not_known(store: SqlStore) -> None:
    over, strangers = ended(NOW), new_key()
    await given(store, over)
    kept = [report(over.key, b"one"), report(strangers, b"two"), report(over.key, b"three")]
    for each in kept[:2]:
        await store.append(each, LIMITS)
    await store.lease_inbox(now=NOW, limit=9, lease=LEASE)
    await store.apply([settling(each) for each in kept[:2]])
    await store.append(kept[2], LIMITS)
    attempt = Attempt(1, NOW, sent=b"POST x", answered=b"HTTP 200")
    await store.apply([Decision(over.key, lambda now: Change(now, attempt=attempt))])
    assert await store.retire_reports(LATER, 1) == 1
    assert await store.retire_reports(LATER, 9) == 1
    # So does what was said in answer to its submit.
    assert await store.insight.attempt(over.id, 1) == Attempt(1, NOW)
    assert await store.retire_reports(LATER, 9) == 0
    assert [(await store.report(each.id)) is None for each in kept] == [True, True, False]
    assert (await rows(store))["inbox"] == 1


async def test_audio_goes_and_what_it_was_stays_told(store: SqlStore) -> None:
    one = ended(NOW, replace(result(), artifact=STORED))
    await given(store, one)
    assert await store.with_audio(NOW, 9) == []
    assert await store.with_audio(LATER, 9) == [one.key]
    await store.apply([Decision(one.key, lambda task: retire_audio(task, LATER, NOW))])
    found = await store.task(one.id)
    assert found is not None
    artifact = found.results[0].artifact
    assert (artifact.status, artifact.object_key, artifact.sha256) == (ArtifactStatus.ERASED, None, "abc")
    assert [told.type for told in await store.events(one.id)][-1] == "result.erased"
    assert await store.with_audio(LATER, 9) == []
    assert await store.condemn(NOW, 9, lease=LEASE) == ["audio/ab/abc.mp3"]


async def test_the_reports_that_hold_the_audio_itself_go_with_it_and_no_others(store: SqlStore) -> None:
    carried = ended(NOW, replace(result(), artifact=STORED, inline=True, link=None))
    linked = ended(NOW, replace(result(), artifact=replace(STORED, object_key="audio/cd/cde.mp3")))
    young = ended(LATER, replace(result(), artifact=STORED, inline=True, link=None))
    await given(store, carried, linked, young)
    told = {
        "inline": report(carried.key, b"base64"),
        "spooled": replace(report(carried.key, b"more base64"), object_key="reports/x", body=b""),
        # The callback of a result whose link came by a look.
        "long": report(linked.key, b"base64" * 4000),
        "link": report(linked.key, b"a link"),
        "not yet over": report(young.key, b"base64 too"),
    }
    for each in told.values():
        await store.append(each, LIMITS)
    await store.lease_inbox(now=NOW, limit=9, lease=LEASE)
    await store.apply([settling(each) for each in told.values()])
    unread = report(carried.key, b"late base64")
    await store.append(unread, LIMITS)
    await store.retire_carriers([carried.key, linked.key, young.key], NOW + DAY)
    left = {name for name, each in told.items() if await store.report(each.id) is not None}
    assert left == {"link", "not yet over"}
    assert await store.report(unread.id) is not None
    assert await store.condemn(LATER, 9, lease=LEASE) == ["reports/x"]


def test_audio_of_a_task_that_is_reopened_meanwhile_stays() -> None:
    one = ended(NOW, replace(result(), artifact=STORED))
    assert retire_audio(one, LATER, NOW) is not None
    assert retire_audio(replace(one, status=Status.COLLECTING, completed_at=None), LATER, NOW) is None
