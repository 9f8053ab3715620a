import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, cast
from uuid import uuid4

import pytest
from sqlalchemy import Connection

from receiver.domain.errors import TooManyBodiesError, UnavailableError
from receiver.domain.report import NewReport, Verdict, Via
from receiver.domain.task import Change
from receiver.lifecycle.ports import Appended, BodyLimits, Decision
from receiver.storage.engine import Engine
from receiver.storage.reports import ROOM
from receiver.storage.store import SqlStore
from tests.storage.engines import fill_the_disk_once
from tests.storage.making import (
    LEASE,
    LIMITS,
    NOW,
    SECOND,
    changing,
    given,
    new_key,
    report,
    settling,
    stored,
    submitted,
)

T = TypeVar("T")


async def test_a_callback_is_stored_raw_with_its_inbox_line_and_touches_no_task(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    body = bytes(range(256))
    new = replace(report(one.key, body), content_type="text/plain; charset=☃")
    assert await store.append(new, LIMITS) is Appended.ACCEPTED
    assert await stored(store, one) == one
    [leased] = await store.lease_inbox(now=NOW, limit=10, lease=LEASE)
    assert leased.body == body
    found = await store.report(new.id)
    assert found == leased
    assert (found.task_key, found.provider, found.via, found.received_at, found.size, found.attempts) == (
        one.key,
        "runware",
        Via.CALLBACK,
        NOW,
        256,
        1,
    )


async def test_a_report_of_a_task_we_do_not_know_is_stored_too(store: SqlStore) -> None:
    orphan = report(new_key())
    assert await store.append(orphan, LIMITS) is Appended.ACCEPTED
    assert await store.report(orphan.id) is not None


async def test_a_large_body_that_lies_elsewhere_is_named_and_left_to_the_caller(store: SqlStore) -> None:
    large = replace(report(new_key(), b"in the object store"), body=b"", object_key="reports/1")
    again = replace(large, id=new_key(), object_key="reports/2")
    assert await store.append(large, LIMITS) is Appended.ACCEPTED
    assert await store.append(again, LIMITS) is Appended.DUPLICATE
    first, second = await store.lease_inbox(now=NOW, limit=10, lease=LEASE)
    assert (first.body, first.object_key, first.size) == (b"", "reports/1", 19)
    assert (second.body, second.object_key, second.duplicate_of) == (b"", None, large.id)
    found = await store.report(again.id)
    assert found is not None
    assert (found.body, found.object_key) == (b"", "reports/1")


async def test_the_same_bytes_for_the_same_task_are_a_duplicate_kept_without_its_body(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    first, again = report(one.key, b"same"), report(one.key, b"same")
    other_body, other_task = report(one.key, b"other"), report(new_key(), b"same")
    answers = [await store.append(each, LIMITS) for each in (first, again, other_body, other_task)]
    assert answers == [Appended.ACCEPTED, Appended.DUPLICATE, Appended.ACCEPTED, Appended.ACCEPTED]
    leased = await store.lease_inbox(now=NOW, limit=10, lease=LEASE)
    assert [(each.id, each.duplicate_of, each.body) for each in leased] == [
        (first.id, None, b"same"),
        (again.id, first.id, b""),
        (other_body.id, None, b"other"),
        (other_task.id, None, b"same"),
    ]
    found = await store.report(again.id)
    assert found is not None
    assert (found.body, found.duplicate_of) == (b"same", first.id)
    assert [each.duplicate_of for each in await store.reports(one.id)] == [None, first.id, None]


async def test_duplicates_that_come_at_the_same_moment_are_told_apart(store: SqlStore, commits: list[int]) -> None:
    keys = [new_key() for _ in range(200)]
    bodies = [(key, b"%d" % (number // 2)) for key in keys for number in range(10)]
    answers = await asyncio.gather(*(store.append(report(key, body), LIMITS) for key, body in bodies))
    assert Counter(answers) == {Appended.ACCEPTED: 1000, Appended.DUPLICATE: 1000}
    assert sum(commits) == 2000
    assert len(commits) < 40
    seen = 0
    while leased := await store.lease_inbox(now=NOW, limit=256, lease=LEASE):
        seen += len(leased)
        for each in leased:
            assert (each.body == b"") == (each.duplicate_of is not None)
    assert seen == 2000


async def test_beyond_the_limit_only_the_number_of_duplicates_grows(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    few = BodyLimits(duplicates=3)
    answers = await asyncio.gather(*(store.append(report(one.key, b"same"), few) for _ in range(10)))
    answers += [await store.append(report(one.key, b"same"), few) for _ in range(5)]
    assert Counter(answers) == {Appended.ACCEPTED: 1, Appended.DUPLICATE: 14}
    leased = await store.lease_inbox(now=NOW, limit=256, lease=LEASE)
    assert len(leased) == len(await store.reports(one.id)) == 4
    await store.apply([settling(each) for each in leased])
    assert (await stored(store, one)).callbacks == 15
    # What is counted apart is not counted into the task: the next change would count it again.
    await store.apply([changing(one, lambda current: replace(current, polls=1))])
    assert (await stored(store, one)).callbacks == 15


async def test_a_task_may_have_so_many_different_bodies_and_no_more(store: SqlStore) -> None:
    key, few = new_key(), BodyLimits(bodies=3)
    for number in range(3):
        assert await store.append(report(key, b"%d" % number), few) is Appended.ACCEPTED
    too_much = report(key, b"3")
    with pytest.raises(TooManyBodiesError):
        await store.append(too_much, few)
    assert await store.report(too_much.id) is None
    assert await store.append(report(key, b"0"), few) is Appended.DUPLICATE
    assert await store.append(report(new_key(), b"3"), few) is Appended.ACCEPTED


async def test_a_task_may_have_so_many_bytes_and_no_more(store: SqlStore) -> None:
    key, small = new_key(), BodyLimits(size=10)
    assert await store.append(report(key, b"123456"), small) is Appended.ACCEPTED
    with pytest.raises(TooManyBodiesError):
        await store.append(report(key, b"12345"), small)
    assert await store.append(report(key, b"1234"), small) is Appended.ACCEPTED


async def test_limits_hold_for_callbacks_that_come_at_the_same_moment(store: SqlStore) -> None:
    key = new_key()
    answers = await asyncio.gather(
        *(store.append(report(key, b"%d" % number), LIMITS) for number in range(100)), return_exceptions=True
    )
    assert Counter(map(type, answers)) == {Appended: 64, TooManyBodiesError: 36}


async def test_answers_to_our_own_questions_use_up_no_room_for_callbacks(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)

    def answered(answer: NewReport) -> Decision:
        return Decision(one.key, lambda current: Change(current, report=answer))

    await store.apply([answered(report(one.key, b"poll %d" % number, via=Via.POLL)) for number in range(5)])
    few = BodyLimits(bodies=1, size=10)
    assert await store.append(report(one.key, b"callback"), few) is Appended.ACCEPTED
    assert await store.append(report(one.key, b"poll 3"), few) is Appended.DUPLICATE


async def test_a_report_that_cannot_be_stored_does_not_fail_those_beside_it(store: SqlStore) -> None:
    known = report(new_key(), b"known")
    await store.append(known, LIMITS)
    asked = [report(new_key(), b"%d" % number) for number in range(20)]
    asked[7] = replace(asked[7], content_type="\ud800")
    asked[9] = replace(asked[9], id=known.id)
    answers = await asyncio.gather(*(store.append(each, LIMITS) for each in asked), return_exceptions=True)
    assert Counter(type(answer).__name__ for answer in answers) == {
        "Appended": 18,
        # What cannot be text: each driver has its own name for it.
        "UnicodeEncodeError" if store.shared is False else "DBAPIError": 1,
        "IntegrityError": 1,
    }
    assert len(await store.lease_inbox(now=NOW, limit=256, lease=LEASE)) == 19


async def test_a_full_disk_is_our_fault_and_stores_nothing(store: SqlStore) -> None:
    await fill_the_disk_once(store)
    large = report(new_key(), b"x" * 2_000_000)
    with pytest.raises(UnavailableError, match="full"):
        await store.append(large, LIMITS)
    assert await store.report(large.id) is None
    assert await store.append(large, LIMITS) is Appended.ACCEPTED


async def test_reports_are_claimed_oldest_first_and_by_nobody_twice(store: SqlStore) -> None:
    asked = [report(new_key(), b"%d" % number) for number in range(10)]
    for each in asked:
        await store.append(each, LIMITS)
    first = await store.lease_inbox(now=NOW, limit=4, lease=LEASE)
    second = await store.lease_inbox(now=NOW, limit=100, lease=LEASE)
    assert [each.id for each in first + second] == [each.id for each in asked]
    assert await store.lease_inbox(now=NOW + LEASE - SECOND, limit=100, lease=LEASE) == []


async def test_concurrent_claims_share_nothing(store: SqlStore) -> None:
    for number in range(50):
        await store.append(report(new_key(), b"%d" % number), LIMITS)
    claims = await asyncio.gather(*(store.lease_inbox(now=NOW, limit=10, lease=LEASE) for _ in range(8)))
    seen = [each.id for claim in claims for each in claim]
    assert len(seen) == len(set(seen)) == 50


async def test_every_claim_counts_before_the_body_is_read(store: SqlStore) -> None:
    await store.append(report(new_key()), LIMITS)
    for attempt in (1, 2, 3):
        [leased] = await store.lease_inbox(now=NOW + attempt * LEASE, limit=1, lease=LEASE)
        assert leased.attempts == attempt


async def test_a_report_given_back_waits_and_its_attempt_is_not_counted(store: SqlStore) -> None:
    later, next_one = report(new_key(), b"1"), report(new_key(), b"2")
    for each in (later, next_one):
        await store.append(each, LIMITS)
    await store.lease_inbox(now=NOW, limit=1, lease=LEASE)
    await store.defer_report(later.id, NOW + 5 * SECOND)
    assert [each.id for each in await store.lease_inbox(now=NOW + SECOND, limit=5, lease=LEASE)] == [next_one.id]
    [again] = await store.lease_inbox(now=NOW + 5 * SECOND, limit=5, lease=LEASE)
    assert (again.id, again.attempts) == (later.id, 1)


class Faulty:
    """An engine whose next ``faults`` reads fail."""

    def __init__(self, engine: Engine, faults: int) -> None:
        self._engine = engine
        self.faults = faults

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    async def read(self, work: Callable[[Connection], T]) -> T:
        if self.faults:
            self.faults -= 1
            raise UnavailableError("the disk does not answer")
        return await self._engine.read(work)


async def test_a_fault_of_the_database_while_bodies_are_read_counts_no_attempt(store: SqlStore) -> None:
    for number in range(3):
        await store.append(report(new_key(), b"%d" % number), LIMITS)
    faulty = Faulty(store._engine, faults=5)
    own = SqlStore(cast("Engine", faulty), store.installation_id, uuid4(), lambda _: None)
    for _ in range(5):
        with pytest.raises(UnavailableError):
            await own.lease_inbox(now=NOW, limit=10, lease=LEASE)
    leased = await own.lease_inbox(now=NOW, limit=10, lease=LEASE)
    assert [each.attempts for each in leased] == [1, 1, 1]
    assert await own.lease_inbox(now=NOW, limit=10, lease=LEASE) == []


async def test_a_report_that_was_claimed_before_and_not_settled_is_claimed_alone(store: SqlStore) -> None:
    asked = [report(new_key(), b"%d" % number) for number in range(6)]
    for each in asked[:3]:
        await store.append(each, LIMITS)
    await store.lease_inbox(now=NOW, limit=10, lease=LEASE)
    await store.defer_report(asked[0].id, NOW + LEASE)
    for each in asked[3:]:
        await store.append(each, LIMITS)
    claims = []
    while leased := await store.lease_inbox(now=NOW + LEASE, limit=10, lease=LEASE):
        claims.append([(asked.index(next(a for a in asked if a.id == each.id)), each.attempts) for each in leased])
        await store.apply([settling(each) for each in leased])
    assert claims == [[(0, 1)], [(1, 2)], [(2, 2)], [(3, 1), (4, 1), (5, 1)]]


async def test_a_report_that_does_not_exist_is_none(store: SqlStore) -> None:
    assert await store.report(uuid4()) is None
    assert await store.reports(uuid4()) == []


async def test_the_reports_of_a_task_are_listed_oldest_first_with_what_was_made_of_them(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    first, second = report(one.key, b"1"), replace(report(one.key, b"22"), received_at=NOW + SECOND)
    for each in (second, first):
        await store.append(each, LIMITS)
    await store.apply([settling(first)])
    listed = await store.reports(one.id)
    assert [(each.id, each.size, each.verdict, each.sha256) for each in listed] == [
        (first.id, 1, Verdict.SETTLED, hashlib.sha256(b"1").digest()),
        (second.id, 2, None, hashlib.sha256(b"22").digest()),
    ]


async def test_large_bodies_are_claimed_a_few_at_a_time_and_one_that_is_larger_than_the_room_alone(
    store: SqlStore,
) -> None:
    one = submitted()
    await given(store, one)
    sizes = [ROOM - 20_000, 15_000, ROOM + 1, 10, 15_000]
    sent = [report(one.key, bytes([number]) * size) for number, size in enumerate(sizes)]
    for each in sent:
        await store.append(each, LIMITS)
    batches = []
    while leased := await store.lease_inbox(now=NOW, limit=10, lease=LEASE):
        assert all(each.body == first.body for each, first in ((e, s) for e in leased for s in sent if s.id == e.id))
        assert {each.attempts for each in leased} == {1}
        batches.append([sizes[next(n for n, s in enumerate(sent) if s.id == each.id)] for each in leased])
        await store.apply([settling(each) for each in leased])
    assert batches == [[ROOM - 20_000, 15_000, 10], [ROOM + 1], [15_000]]
