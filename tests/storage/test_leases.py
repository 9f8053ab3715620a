import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from receiver.domain.looking import MOST_FRUITLESS_LOOKS, overdue
from receiver.domain.result import Artifact, ArtifactStatus, Result
from receiver.domain.task import Change, Status, Task, Work
from receiver.lifecycle.ports import Queue
from receiver.storage.store import SqlStore, open_store
from tests.storage.making import (
    LEASE,
    LIMITS,
    NOW,
    SECOND,
    changing,
    event,
    given,
    new_key,
    refusing,
    report,
    result,
    stored,
    submitted,
    task,
)


async def due(store: SqlStore, work: Work = Work.POLL, *, now: datetime = NOW, limit: int = 10) -> list[Task]:
    return await store.lease_tasks(work, "runware", now=now, limit=limit, lease=LEASE)


async def test_due_tasks_are_claimed_earliest_first_and_no_more_than_asked_for(store: SqlStore) -> None:
    late, early, future = submitted(), submitted(), submitted()
    early = replace(early, due_at=NOW - SECOND)
    future = replace(future, due_at=NOW + SECOND)
    await given(store, late, early, future)
    assert await due(store, limit=1) == [early]
    assert await due(store) == [late]
    assert await due(store) == []
    assert await due(store, now=NOW + SECOND) == [future]


async def test_a_claim_is_for_one_kind_of_work_of_one_provider(store: SqlStore) -> None:
    new, sent, elsewhere = task(), submitted(), submitted("aimlapi")
    lost = replace(submitted(), status=Status.UNKNOWN, work=Work.LOOKUP)
    await given(store, new, sent, elsewhere, lost)
    assert [each.id for each in await due(store, Work.SUBMIT)] == [new.id]
    assert [each.id for each in await due(store, Work.POLL)] == [sent.id]
    assert [each.id for each in await due(store, Work.LOOKUP)] == [lost.id]


async def test_what_could_be_claimed_is_counted_up_to_a_limit(store: SqlStore) -> None:
    future = replace(submitted(), due_at=NOW + SECOND)
    await given(store, submitted(), submitted(), submitted(), future, task(), submitted("aimlapi"))

    async def count(now: datetime = NOW, limit: int = 10) -> int:
        return await store.due(Work.POLL, "runware", now=now, limit=limit)

    assert [await count(), await count(limit=2), await count(NOW + SECOND)] == [3, 2, 4]
    await due(store, limit=2)
    assert await count() == 1


async def test_concurrent_claims_of_tasks_share_nothing(store: SqlStore) -> None:
    await given(store, *[submitted() for _ in range(50)])
    claims = await asyncio.gather(*(due(store) for _ in range(8)))
    seen = [each.id for claim in claims for each in claim]
    assert len(seen) == len(set(seen)) == 50


async def test_a_claim_ends_by_itself(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    assert len(await due(store)) == 1
    assert await due(store, now=NOW + LEASE - timedelta(microseconds=1)) == []
    assert len(await due(store, now=NOW + LEASE)) == 1


async def test_a_task_put_off_while_it_is_claimed_is_not_due_when_the_claim_ends(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    await due(store)
    await store.apply([changing(one, lambda current: replace(current, due_at=NOW + 3 * LEASE))])
    assert await store.next_due() == {Queue.POLL: NOW + 3 * LEASE}
    assert await due(store, now=NOW + 2 * LEASE) == []
    assert len(await due(store, now=NOW + 3 * LEASE)) == 1


async def test_work_that_ends_under_a_claim_ends_the_claim(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    await due(store)
    await store.apply([changing(one, lambda current: replace(current, work=None, due_at=None))])
    assert await store.next_due() == {}
    await store.apply([changing(one, lambda current: replace(current, work=Work.POLL, due_at=NOW))])
    assert len(await due(store)) == 1


async def test_tasks_are_changed_in_the_transaction_that_claims_them(store: SqlStore, commits: list[int]) -> None:
    many = [task() for _ in range(3)]
    await given(store, *many)
    commits.clear()

    def begin(current: Task) -> Change:
        return Change(replace(current, attempts=1, attempt_open_since=NOW), (event(),))

    leased = await store.lease_tasks(Work.SUBMIT, "runware", now=NOW, limit=10, lease=LEASE, decide=begin)
    assert leased == [replace(each, attempts=1, attempt_open_since=NOW) for each in many]
    assert commits == [1]
    assert [await stored(store, each) for each in many] == leased
    assert [told.seq for told in await store.events(many[0].id)] == [1, 2]
    assert await due(store, Work.SUBMIT) == []


def nothing(_: Task) -> None:
    return None


def other_work(current: Task) -> Change:
    return Change(replace(current, work=Work.POLL), (event(),))


def no_work(current: Task) -> Change:
    return Change(replace(current, work=None, due_at=None))


@pytest.mark.parametrize(("decide", "left_as"), [(nothing, Work.SUBMIT), (other_work, Work.POLL), (no_work, None)])
async def test_a_task_with_nothing_to_do_is_released_at_once_and_left_out(
    store: SqlStore, decide: Callable[[Task], Change | None], left_as: Work | None
) -> None:
    one = task()
    await given(store, one)
    assert await store.lease_tasks(Work.SUBMIT, "runware", now=NOW, limit=9, lease=LEASE, decide=decide) == []
    assert await store.next_due() == ({} if left_as is None else {Queue(left_as.value): NOW})
    assert (await stored(store, one)).work is left_as


async def test_a_task_whose_change_raises_is_left_out_and_comes_again_later(store: SqlStore) -> None:
    bad, good = task(), task()
    await given(store, bad, good)

    def decide(current: Task) -> Change:
        if current.id == bad.id:
            refusing(bad.key).decide(current)
        return Change(replace(current, attempts=1))

    leased = await store.lease_tasks(Work.SUBMIT, "runware", now=NOW, limit=9, lease=LEASE, decide=decide)
    assert [each.id for each in leased] == [good.id]
    assert await store.next_due() == {Queue.SUBMIT: NOW + LEASE}


async def waiting(store: SqlStore, *results: Result) -> Task:
    """A task in the store whose results wait to be collected."""
    one = replace(submitted(), status=Status.COLLECTING, work=None, due_at=None, results=results)
    await given(store, one)
    return one


async def collectable(store: SqlStore, *, now: datetime = NOW, limit: int = 10) -> list[Result]:
    leased = await store.lease_artifacts(now=now, limit=limit, lease=LEASE)
    return [each for work in leased for each in work.task.results if each.id == work.result_id]


async def test_artifacts_whose_link_dies_first_are_claimed_first(store: SqlStore) -> None:
    endless, soon, later = result(0), result(1), result(2)
    soon = replace(soon, link_expires_at=NOW + SECOND)
    later = replace(later, link_expires_at=NOW + 2 * SECOND)
    future = replace(result(3), link_expires_at=NOW, artifact=Artifact(due_at=NOW + SECOND))
    done = replace(result(4), artifact=Artifact(status=ArtifactStatus.STORED))
    await waiting(store, endless, soon, later, future, done)
    assert await collectable(store, limit=1) == [soon]
    assert await collectable(store) == [later, endless]
    assert await collectable(store, now=NOW + SECOND) == [future]


async def test_no_artifact_waits_for_ever_behind_links_that_die_sooner(store: SqlStore) -> None:
    """What has no link that dies is next a day after it fell due, though there is no end of those that have."""
    endless = result(0)
    await waiting(store, endless)
    day = timedelta(days=1)
    for hours in (1, 12, 23):
        now = NOW + timedelta(hours=hours)
        sooner = replace(result(1), link_expires_at=now + timedelta(minutes=30), artifact=Artifact(due_at=now))
        one = await waiting(store, sooner)
        assert await collectable(store, now=now, limit=1) == [sooner]
        await store.apply([changing(one, with_artifact(Artifact(status=ArtifactStatus.STORED)))])
    now = NOW + day
    dies_later = replace(result(1), link_expires_at=now + SECOND, artifact=Artifact(due_at=now))
    await waiting(store, dies_later)
    assert await collectable(store, now=now, limit=1) == [endless]


async def test_links_that_are_dead_already_are_in_no_hurry(store: SqlStore) -> None:
    dead, dying = replace(result(0), link_expires_at=NOW), replace(result(1), link_expires_at=NOW + 9 * SECOND)
    await waiting(store, dead)
    await waiting(store, dying)
    assert await collectable(store, limit=1) == [dying]
    assert await collectable(store, limit=1) == [dead]


async def test_whatever_waits_the_most_wanted_are_claimed_first(store: SqlStore) -> None:
    chance = random.Random(7)
    minutes = [None, -90, *range(1, 3000, 70)]
    results = []
    for number in range(90):
        dies, waits = chance.choice(minutes), chance.randrange(-20, 2900)
        results.append(
            replace(
                result(number),
                link_expires_at=None if dies is None else NOW + timedelta(minutes=dies, seconds=number),
                artifact=Artifact(due_at=NOW - timedelta(minutes=waits, seconds=number)),
            )
        )
    await waiting(store, *results)

    def wanted_by(each: Result) -> datetime:
        due_at, dies_at = each.artifact.due_at, each.link_expires_at
        assert due_at is not None
        latest = due_at + timedelta(days=1)
        return min(dies_at, latest) if dies_at is not None and dies_at > NOW else latest

    left = sorted([each for each in results if (each.artifact.due_at or NOW) <= NOW], key=wanted_by)
    claimed = []
    while some := await collectable(store, limit=7):
        claimed += some
    assert len(left) > 80
    assert [each.index for each in claimed] == [each.index for each in left]


async def test_links_are_dying_that_were_tried_or_wait_for_long(store: SqlStore) -> None:
    soon, minute = NOW + 9 * SECOND, timedelta(minutes=1)
    fresh = replace(result(0), link_expires_at=soon)
    waits = replace(result(1), link_expires_at=soon, artifact=Artifact(due_at=NOW - minute))
    tried = replace(result(2), link_expires_at=soon, artifact=Artifact(due_at=NOW + minute, attempts=1))
    lives = replace(result(3), link_expires_at=NOW + 9 * minute, artifact=Artifact(due_at=NOW - minute))
    done = replace(result(4), link_expires_at=soon, artifact=Artifact(status=ArtifactStatus.STORED, attempts=1))
    await waiting(store, fresh, waits, tried, lives, done)
    assert await store.links_dying(before=NOW + minute, waits_since=NOW - minute) == 2


async def test_work_on_an_artifact_brings_its_task_whole(store: SqlStore) -> None:
    one = await waiting(store, result(0), result(1))
    leased = await store.lease_artifacts(now=NOW, limit=10, lease=LEASE)
    assert [work.task for work in leased] == [one, one]
    assert {work.result_id for work in leased} == {each.id for each in one.results}


async def test_a_claim_on_an_artifact_excludes_others_until_it_ends_or_is_given_back(store: SqlStore) -> None:
    first, second = result(0), result(1)
    await waiting(store, first, second)
    assert len(await collectable(store)) == 2
    assert await collectable(store) == []
    await store.release_artifact(second.id)
    assert await collectable(store) == [second]
    assert len(await collectable(store, now=NOW + LEASE)) == 2


async def test_a_claim_on_a_task_that_is_prolonged_excludes_others_for_longer(store: SqlStore) -> None:
    kept, left = submitted(), submitted()
    await given(store, kept, left)
    # Nobody has claimed them yet: then there is nothing to prolong.
    await store.prolong_tasks([kept.key], now=NOW, lease=LEASE)
    assert len(await due(store)) == 2
    halfway = NOW + LEASE / 2
    await store.prolong_tasks([kept.key, new_key()], now=halfway, lease=LEASE)
    assert await due(store, now=NOW + LEASE) == [left]
    assert await due(store, now=halfway + LEASE) == [kept]


async def test_a_claim_on_an_artifact_that_is_prolonged_excludes_others_for_longer(store: SqlStore) -> None:
    kept, left = result(0), result(1)
    await waiting(store, kept, left)
    assert len(await collectable(store)) == 2
    halfway = NOW + LEASE / 2
    assert await store.prolong_artifacts([kept.id, new_key()], now=halfway, lease=LEASE) == {kept.id}
    assert await collectable(store, now=NOW + LEASE) == [left]
    assert await collectable(store, now=halfway + LEASE) == [kept]


async def test_a_claim_that_is_over_or_is_given_back_is_not_prolonged(store: SqlStore) -> None:
    one = await waiting(store, result(0))
    [held] = one.results
    assert await store.prolong_artifacts([held.id], now=NOW, lease=LEASE) == set()
    assert await collectable(store) == [held]
    await store.apply([changing(one, with_artifact(Artifact(due_at=NOW, attempts=1)))])
    assert await store.prolong_artifacts([held.id], now=NOW, lease=LEASE) == set()
    assert len(await collectable(store)) == 1


def with_artifact(changed: Artifact) -> Callable[[Task], Task]:
    def change(current: Task) -> Task:
        return replace(current, results=tuple(replace(each, artifact=changed) for each in current.results))

    return change


async def test_an_attempt_at_collecting_ends_the_claim_and_a_fresh_link_does_not(store: SqlStore) -> None:
    one = await waiting(store, result(0))
    assert len(await collectable(store)) == 1
    await store.apply([changing(one, with_artifact(Artifact(due_at=NOW)))])
    fresh = replace(one.results[0], link="https://media.example.org/fresh.mp3")
    await store.apply([changing(one, lambda current: replace(current, results=(fresh,)))])
    assert await collectable(store) == []
    await store.apply([changing(one, with_artifact(Artifact(due_at=NOW + SECOND, attempts=1)))])
    assert await collectable(store) == []
    assert len(await collectable(store, now=NOW + SECOND)) == 1
    await store.apply([changing(one, with_artifact(Artifact(status=ArtifactStatus.STORED, attempts=2)))])
    assert await store.next_due() == {}
    assert await collectable(store, now=NOW + 9 * LEASE) == []


async def test_releasing_what_is_not_claimed_changes_nothing(store: SqlStore) -> None:
    one = await waiting(store, result(0))
    await store.release_artifact(one.results[0].id)
    await store.release_artifact(new_key())
    assert len(await collectable(store)) == 1


async def test_the_next_due_time_of_each_queue_is_that_of_its_earliest_unclaimed_work(store: SqlStore) -> None:
    assert await store.next_due() == {}
    await given(
        store,
        replace(task("aimlapi"), due_at=NOW + 9 * SECOND),
        replace(task("runware"), due_at=NOW + 8 * SECOND),
        replace(submitted("runware"), due_at=NOW + 7 * SECOND),
        replace(submitted("aimlapi"), due_at=NOW + 6 * SECOND),
        replace(submitted("aimlapi"), work=Work.LOOKUP, due_at=NOW + 5 * SECOND),
    )
    await waiting(store, replace(result(0), artifact=Artifact(due_at=NOW + 4 * SECOND)))
    await store.append(report(new_key()), LIMITS)
    assert await store.next_due() == {
        Queue.SUBMIT: NOW + 8 * SECOND,
        Queue.POLL: NOW + 6 * SECOND,
        Queue.LOOKUP: NOW + 5 * SECOND,
        Queue.COLLECT: NOW + 4 * SECOND,
        Queue.SETTLE: NOW,
    }


async def test_claimed_work_is_next_due_when_its_claim_ends(store: SqlStore) -> None:
    await given(store, submitted())
    await waiting(store, result(0))
    first, second = report(new_key(), b"1"), report(new_key(), b"2")
    for each in (first, second):
        await store.append(each, LIMITS)
    await due(store)
    await collectable(store)
    await store.lease_inbox(now=NOW, limit=1, lease=LEASE)
    assert await store.next_due() == {Queue.POLL: NOW + LEASE, Queue.COLLECT: NOW + LEASE, Queue.SETTLE: NOW}
    await store.lease_inbox(now=NOW, limit=1, lease=LEASE)
    await store.defer_report(first.id, NOW + 3 * LEASE)
    assert (await store.next_due())[Queue.SETTLE] == NOW + LEASE


async def test_a_restart_voids_every_claim(store: SqlStore) -> None:
    await given(store, submitted(), task())
    await waiting(store, result(0))
    await store.append(report(new_key()), LIMITS)
    for work in (Work.POLL, Work.SUBMIT):
        assert len(await due(store, work)) == 1
    assert len(await collectable(store)) == 1
    assert len(await store.lease_inbox(now=NOW, limit=1, lease=LEASE)) == 1
    await store.void_leases()
    assert set((await store.next_due()).values()) == {NOW}
    assert len(await due(store)) == len(await collectable(store)) == 1
    [again] = await store.lease_inbox(now=NOW, limit=1, lease=LEASE)
    assert again.attempts == 2


async def test_an_instance_gives_back_no_claim_of_another(database: Path) -> None:
    one = submitted()
    async with open_store(database) as first:
        await given(first, one)
        waits = await waiting(first, result(0))
        await due(first)
        await collectable(first)
        name = first.installation_id
    async with open_store(database) as second:
        assert second.installation_id == name
        await second.apply([changing(one, lambda current: current, release=True)])
        assert await second.prolong_artifacts([waits.results[0].id], now=NOW, lease=LEASE) == set()
        await second.release_artifact(waits.results[0].id)
        assert await due(second) == []
        assert await collectable(second) == []


async def test_pushed_tasks_that_wait_for_a_look_are_made_due_at_once(store: SqlStore) -> None:
    later = NOW + 5 * LEASE
    waits = [replace(submitted(), due_at=later) for _ in range(3)]
    polled = replace(submitted(), pushed=False, due_at=later)
    elsewhere = replace(submitted("aimlapi"), due_at=later)
    new = replace(task(), pushed=True, due_at=later)
    already = replace(submitted(), due_at=NOW - SECOND)
    await given(store, *waits, polled, elsewhere, new, already)
    assert await store.make_due(provider="runware", now=NOW) == 3
    assert {each.id for each in await due(store)} == {each.id for each in [*waits, already]}
    assert await store.make_due(provider="runware", now=NOW) == 0


async def test_overdue_tasks_are_found_once_unmarked_and_again_when_they_are_to_be_lost(store: SqlStore) -> None:
    deadline = NOW - LEASE
    day = timedelta(days=1)
    late = replace(submitted(), deadline_at=deadline)
    unknown = replace(submitted(), status=Status.UNKNOWN, deadline_at=deadline)
    marked = replace(submitted(), deadline_at=deadline, overdue=True)
    lost = replace(submitted(), deadline_at=NOW - day, overdue=True)
    ended = replace(submitted(), status=Status.FAILED, deadline_at=deadline)
    await given(store, late, unknown, marked, lost, ended, submitted(), task())
    assert set(await store.overdue(NOW, day, 10, askable=[])) == {late.key, unknown.key, lost.key}
    assert len(await store.overdue(NOW, day, 2, askable=[])) == 2


async def test_attempts_left_open_by_nobody_in_particular_are_found(store: SqlStore) -> None:
    old, young = NOW - LEASE, NOW
    abandoned = replace(submitted(), attempt_open_since=old)
    ended = replace(task(), status=Status.FAILED, work=None, due_at=None, attempt_open_since=old)
    being_sent = replace(task(), attempt_open_since=old)
    fresh = replace(submitted(), attempt_open_since=young)
    await given(store, abandoned, ended, being_sent, fresh, submitted())
    assert set(await store.abandoned(NOW, 10, providers=["runware"])) == {abandoned.key, ended.key}
    assert len(await store.abandoned(NOW, 1, providers=["runware"])) == 1
    assert await store.abandoned(NOW, 10, providers=["aimlapi"]) == []
    assert await store.abandoned(NOW, 10, providers=[]) == []


async def test_what_the_sweep_would_leave_as_it_is_takes_no_place_in_its_batch(store: SqlStore) -> None:
    """What is found is what ``receiver.domain.looking.overdue`` changes."""
    day, later = timedelta(days=1), NOW + SECOND
    old = replace(submitted(), deadline_at=NOW - 2 * day, overdue=True, due_at=later)
    held = [
        replace(old, key=new_key(), id=new_key(), provider_task_id=None, due_at=due_at, tries=tries)
        for due_at in (NOW - day, NOW, later)
        for tries in (0, 1, MOST_FRUITLESS_LOOKS)
    ]
    await given(store, *held)
    for askable in ([], ["aimlapi"], ["aimlapi", "runware"]):
        changed = {one.key for one in held if overdue(one, NOW, day, askable="runware" in askable)}
        assert set(await store.overdue(NOW, day, len(changed), askable=askable)) == changed
        assert changed != set()
