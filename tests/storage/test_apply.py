import asyncio
import hashlib
import threading
from dataclasses import replace

import pytest

from receiver.domain.attempt import Accepted, Attempt
from receiver.domain.errors import UnavailableError
from receiver.domain.event import Event, EventType
from receiver.domain.report import Verdict, Via
from receiver.domain.result import ArtifactStatus
from receiver.domain.schedule import PollPlan
from receiver.domain.submission import SubmitRules, conclude
from receiver.domain.task import Change, Recovery, Status, Task, Work
from receiver.lifecycle.ports import Decision, Queue
from receiver.storage.store import SqlStore
from tests.storage.engines import ON_SQLITE, fill_the_disk_once
from tests.storage.making import (
    LEASE,
    LIMITS,
    NOW,
    changing,
    event,
    given,
    new_key,
    refusing,
    report,
    result,
    settling,
    stored,
    submitted,
    task,
)


def polled(current: Task) -> Task:
    return replace(current, polls=current.polls + 1)


async def unbroken(store: SqlStore, *tasks: Task) -> None:
    for each in tasks:
        seqs = [told.seq for told in await store.events(each.id)]
        assert seqs == list(range(1, len(seqs) + 1))


async def test_nothing_to_decide_is_answered_with_nothing(store: SqlStore, commits: list[int]) -> None:
    assert await store.apply([]) == []
    assert commits == []


async def test_decisions_return_what_they_did_in_their_order(store: SqlStore) -> None:
    first, second = submitted(), submitted()
    await given(store, first, second)
    changes = await store.apply(
        [changing(second, polled), Decision(first.key, lambda _: None), changing(first, polled)]
    )
    assert [None if change is None else change.task.id for change in changes] == [second.id, None, first.id]
    assert await stored(store, first) == polled(first)
    assert await stored(store, second) == polled(second)


async def test_decisions_about_one_task_see_each_others_changes(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    changes = await store.apply([changing(one, polled) for _ in range(100)])
    assert [change.task.polls for change in changes if change is not None] == list(range(1, 101))
    assert (await stored(store, one)).polls == 100
    await unbroken(store, one)


async def test_callers_who_come_together_share_a_transaction_and_lose_no_change(
    store: SqlStore, commits: list[int]
) -> None:
    one = submitted()
    await given(store, one)
    commits.clear()
    await asyncio.gather(*(store.apply([changing(one, polled)]) for _ in range(200)))
    assert (await stored(store, one)).polls == 200
    assert len(commits) <= 10
    await unbroken(store, one)


async def test_a_decision_that_raises_is_undone_alone_and_its_reports_are_set_aside(store: SqlStore) -> None:
    one, other = submitted(), submitted()
    await given(store, one, other)
    bad, good = report(one.key, b"bad"), report(other.key, b"good")
    for each in (bad, good):
        await store.append(each, LIMITS)
    changes = await store.apply(
        [changing(one, polled), refusing(one.key, bad.id), settling(good, result()), changing(one, polled)]
    )
    assert [change is not None for change in changes] == [True, False, True, True]
    assert (await stored(store, one)).polls == 2
    assert len((await stored(store, other)).results) == 1
    [summary] = await store.reports(one.id)
    assert (summary.verdict, summary.reason) == (Verdict.QUARANTINED, "error: LookupError")
    [summary] = await store.reports(other.id)
    assert (summary.verdict, summary.reason) == (Verdict.SETTLED, None)
    assert await store.lease_inbox(now=NOW, limit=10, lease=LEASE) == []
    await unbroken(store, one, other)


def impossible(current: Task) -> Change:
    """A change that no database takes: half a surrogate pair is no text."""
    return Change(replace(current, model="x", provider_task_id="\ud800"), (event(),))


def not_json(current: Task) -> Change:
    return Change(replace(current, polls=5), (Event(EventType.POLL_ANSWERED, NOW, {"cost": float("nan")}),))


def somebody_else(_: Task) -> Change:
    return Change(submitted())


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        # Each driver has its own name for it.
        (impossible, {"error: UnicodeEncodeError", "error: DBAPIError"}),
        (not_json, {"error: ValueError"}),
        (somebody_else, {"error: ValueError"}),
    ],
)
async def test_a_change_that_cannot_be_written_is_found_among_many_and_undone_alone(
    store: SqlStore, change: object, reasons: set[str]
) -> None:
    many = [submitted() for _ in range(40)]
    await given(store, *many)
    bad = report(many[17].key, b"bad")
    await store.append(bad, LIMITS)
    decisions = [changing(each, polled) for each in many]
    assert callable(change)
    decisions[17] = Decision(many[17].key, change, reports=(bad.id,))
    changes = await store.apply(decisions)
    assert [number for number, each in enumerate(changes) if each is None] == [17]
    assert [(await stored(store, each)).polls for each in many] == [1] * 17 + [0] + [1] * 22
    [summary] = await store.reports(many[17].id)
    assert summary.verdict is Verdict.QUARANTINED
    assert summary.reason in reasons
    await unbroken(store, *many)


async def test_two_tasks_cannot_claim_one_generation(store: SqlStore) -> None:
    holder, thief, bystander = submitted(), submitted(), submitted()
    await given(store, holder, thief, bystander)
    changes = await store.apply(
        [
            changing(bystander, polled),
            changing(thief, lambda current: replace(current, provider_task_id=holder.provider_task_id)),
        ]
    )
    assert [change is not None for change in changes] == [True, False]
    assert (await stored(store, thief)).provider_task_id == thief.provider_task_id
    assert (await stored(store, bystander)).polls == 1


async def test_reports_of_a_task_that_does_not_exist_are_set_aside(store: SqlStore) -> None:
    orphan = report(new_key(), b"whose?")
    await store.append(orphan, LIMITS)
    [leased] = await store.lease_inbox(now=NOW, limit=10, lease=LEASE)
    assert await store.apply([settling(leased, result())]) == [None]
    assert await store.lease_inbox(now=NOW + 2 * LEASE, limit=10, lease=LEASE) == []
    rulings = await store._engine.read(
        lambda connection: connection.exec_driver_sql("SELECT verdict, reason FROM rulings").all()
    )
    assert [tuple(row) for row in rulings] == [("quarantined", "unknown task")]


async def test_a_report_in_a_change_is_stored_and_waits_to_be_settled(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    answer = replace(report(one.key, b"answer", via=Via.POLL), sliced=True)
    await store.apply([Decision(one.key, lambda current: Change(polled(current), report=answer))])
    [summary] = await store.reports(one.id)
    assert (summary.id, summary.via, summary.sliced, summary.sha256) == (
        answer.id,
        Via.POLL,
        True,
        hashlib.sha256(b"answer").digest(),
    )
    [waiting] = await store.lease_inbox(now=NOW, limit=10, lease=LEASE)
    assert (waiting.id, waiting.body, waiting.duplicate_of) == (answer.id, b"answer", None)


async def test_our_own_answer_is_never_a_mere_repeat_of_a_callback(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    await store.append(report(one.key, b"same"), LIMITS)
    answer = report(one.key, b"same", via=Via.POLL)
    await store.apply([Decision(one.key, lambda current: Change(current, report=answer))])
    waiting = await store.lease_inbox(now=NOW, limit=10, lease=LEASE)
    assert [(each.via, each.body, each.duplicate_of) for each in waiting] == [
        (Via.CALLBACK, b"same", None),
        (Via.POLL, b"same", None),
    ]


async def test_results_are_added_changed_and_otherwise_left_alone(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    first, second = result(0), result(1)
    await store.apply([changing(one, lambda current: replace(current, results=(first, second)))])
    cheaper = replace(second, cost_micros=5)
    await store.apply([changing(one, lambda current: replace(current, results=(first, cheaper)))])
    assert (await stored(store, one)).results == (first, cheaper)
    done = replace(first, artifact=replace(first.artifact, status=ArtifactStatus.STORED, due_at=None, attempts=1))
    await store.apply([changing(one, lambda current: replace(current, results=(done, cheaper)))])
    assert (await stored(store, one)).results == (done, cheaper)


async def test_a_decision_changes_nothing_by_returning_none_and_still_closes_its_reports(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    known = report(one.key)
    await store.append(known, LIMITS)
    assert await store.apply([Decision(one.key, lambda _: None, reports=(known.id,))]) == [None]
    assert await store.lease_inbox(now=NOW, limit=10, lease=LEASE) == []
    assert await stored(store, one) == one


async def test_releasing_gives_the_lease_back_and_not_releasing_keeps_it(store: SqlStore) -> None:
    kept, released = submitted(), submitted()
    await given(store, kept, released)
    assert len(await store.lease_tasks(Work.POLL, "runware", now=NOW, limit=5, lease=LEASE)) == 2
    await store.apply([changing(kept, polled), changing(released, polled, release=True)])
    again = await store.lease_tasks(Work.POLL, "runware", now=NOW, limit=5, lease=LEASE)
    assert [each.id for each in again] == [released.id]


async def test_a_decision_that_raises_keeps_its_lease_so_that_it_is_not_tried_at_once(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    await store.lease_tasks(Work.POLL, "runware", now=NOW, limit=5, lease=LEASE)
    await store.apply([replace(refusing(one.key), release=True)])
    assert await store.lease_tasks(Work.POLL, "runware", now=NOW, limit=5, lease=LEASE) == []
    assert len(await store.lease_tasks(Work.POLL, "runware", now=NOW + LEASE, limit=5, lease=LEASE)) == 1


@ON_SQLITE
async def test_callbacks_are_taken_while_a_large_batch_is_decided(store: SqlStore) -> None:
    many = [submitted() for _ in range(100)]
    await given(store, *many)
    deciding, queued, appended = threading.Event(), threading.Event(), threading.Event()
    order: list[str] = []

    def slow(current: Task) -> Change:
        deciding.set()
        assert queued.wait(60)
        if current.id == many[99].id:
            # Had the callback to wait for this batch, it would never be answered.
            assert appended.wait(60)
            order.append("decided")
        return Change(polled(current))

    batch = asyncio.ensure_future(store.apply([Decision(each.key, slow) for each in many]))
    assert await asyncio.to_thread(deciding.wait, 10)
    callback = asyncio.ensure_future(store.append(report(many[0].key), LIMITS))
    await asyncio.sleep(0)
    queued.set()
    await callback
    order.append("appended")
    appended.set()
    assert None not in await batch
    assert order == ["appended", "decided"]


@ON_SQLITE
async def test_what_is_written_during_a_decision_comes_after_it(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    deciding, queued = threading.Event(), threading.Event()

    def slow(current: Task) -> Change:
        deciding.set()
        assert queued.wait(60)
        return Change(polled(current))

    first = asyncio.ensure_future(store.apply([Decision(one.key, slow)]))
    assert await asyncio.to_thread(deciding.wait, 10)
    second = asyncio.ensure_future(store.apply([changing(one, polled)]))
    third = asyncio.ensure_future(store.lease_tasks(Work.POLL, "runware", now=NOW, limit=1, lease=LEASE))
    await asyncio.sleep(0)
    queued.set()
    await asyncio.gather(first, second, third)
    assert (await stored(store, one)).polls == 2


async def test_a_full_disk_is_said_and_nothing_of_the_batch_stays(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    large = report(one.key, b"x" * 2_000_000, via=Via.POLL)

    def decide(current: Task) -> Change:
        return Change(polled(current), (event(),), report=large)

    await fill_the_disk_once(store)
    with pytest.raises(UnavailableError, match="full"):
        await store.apply([Decision(one.key, decide)])
    assert await stored(store, one) == one
    [change] = await store.apply([Decision(one.key, decide)])
    assert change is not None
    await unbroken(store, one)


async def test_looking_at_a_task_makes_it_due_and_a_task_that_rests_stays_at_rest(store: SqlStore) -> None:
    later = replace(submitted(), due_at=NOW + 10 * LEASE)
    ended = replace(task(), status=Status.FAILED, work=None, due_at=None)
    await given(store, later, ended)
    await store.look_at(later.key, NOW)
    await store.look_at(ended.key, NOW)
    await store.look_at(new_key(), NOW)
    assert await store.next_due() == {Queue.POLL: NOW}
    assert await stored(store, later) == replace(later, due_at=NOW)
    assert await stored(store, ended) == ended


async def test_the_provider_task_id_of_another_task_fails_the_second_and_leaves_no_loop(store: SqlStore) -> None:
    first, second, third = (replace(task("aimlapi"), provider_task_id=None) for _ in range(3))
    await given(store, first, second, third)
    rules = SubmitRules(Recovery.LOOKUP, PollPlan(15.0, 15.0), LEASE, (), 0.5)

    def sent(current: Task) -> Decision:
        attempt = Attempt(current.attempts, NOW)
        named = Accepted("one-generation")
        return Decision(current.key, lambda now: conclude(now, named, NOW, rules, attempt=attempt), release=True)

    def begin(current: Task) -> Change:
        begun = replace(current, attempts=1, attempt_open_since=NOW)
        return Change(begun, attempt=Attempt(1, NOW))

    leased = await store.lease_tasks(Work.SUBMIT, "aimlapi", now=NOW, limit=9, lease=LEASE, decide=begin)
    assert len(leased) == 3
    await store.apply([sent(leased[0]), sent(leased[1])])
    await store.apply([sent(leased[2])])
    tasks = [await stored(store, each) for each in leased]
    assert [each.status for each in tasks] == [Status.SUBMITTED, Status.FAILED, Status.FAILED]
    for each in tasks[1:]:
        assert (each.work, each.attempt_open_since, each.provider_task_id) == (None, None, None)
        assert str(leased[0].id) in each.errors[-1].message
        assert [told.type for told in await store.events(each.id)][1:] == ["attempt.made", "task.failed"]
    await unbroken(store, *tasks)


async def test_objects_that_a_change_discards_are_remembered_until_they_are_removed(store: SqlStore) -> None:
    one = submitted()
    await given(store, one)
    await store.apply([Decision(one.key, lambda now: Change(polled(now), discarded=(("audio/a/b.mp3", NOW),)))])
    assert await store.condemn(NOW, 9, lease=LEASE) == ["audio/a/b.mp3"]
