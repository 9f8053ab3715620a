"""Deliveries: made with their events, claimed in order, recorded once, sent again, forgotten."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from receiver.domain.delivery import Delivery, DeliveryError, DeliveryStatus, Told, concluded
from receiver.domain.endpoint import (
    CONFIGURED_ID,
    FAILING_FOR,
    MOST_FAILURES,
    Endpoint,
    EndpointStatus,
    failed,
    paused,
    resumed,
    succeeded,
)
from receiver.domain.erasure import erase
from receiver.domain.event import Event, EventType
from receiver.domain.task import Change, Status, Task
from receiver.lifecycle.ports import (
    Backlog,
    Decision,
    DeliveryFilter,
    EndpointTakenError,
    Erasing,
    Notice,
    Queue,
    Room,
)
from receiver.storage.store import SqlStore
from tests.storage.making import LEASE, NOW, SECOND, given, new_key, submitted

ALL = Room(50, 50)
GOOD = Told(None, 200, seconds=0.1)
BAD = Told(DeliveryError.STATUS, 500, seconds=0.1)


def endpoint(number: int = 1, **fields: Any) -> Endpoint:  # noqa: ANN401 - fields of an Endpoint
    return replace(Endpoint(uuid4(), f"https://app.example/{number}", NOW + number * SECOND), **fields)


async def happens(store: SqlStore, task: Task, *kinds: EventType, after: int = 0) -> None:
    """Let events happen to a task, in one transaction."""

    def decide(current: Task) -> Change:
        return Change(current, tuple(Event(kind, NOW + after * SECOND, data(kind)) for kind in kinds))

    await store.apply([Decision(task.key, decide)])


def data(kind: EventType) -> dict[str, object]:
    return {"result_id": str(RESULT)} if kind is EventType.RESULT_STORED else {}


RESULT = UUID(int=7)


async def leased(store: SqlStore, *endpoints: Endpoint, room: Room = ALL, later: float = 0) -> list[Notice]:
    rooms = {each.id: room for each in endpoints}
    return await store.outbox.lease_deliveries(rooms, now=NOW + later * SECOND, lease=LEASE)


async def comes_of(store: SqlStore, notice: Notice, told: Told, *, later: float = 0) -> Delivery:
    """Record what came of an attempt."""
    ended, event = concluded(notice.delivery, told, NOW + later * SECOND, jitter=0.5)
    await store.apply([Decision(notice.task.key, lambda task: Change(task, (event,), delivered=(ended,)))])
    found = await store.outbox.delivery(notice.delivery.id)
    assert found is not None
    return found


@pytest.fixture
async def one(store: SqlStore) -> Endpoint:
    made = endpoint()
    await store.outbox.add_endpoint(made)
    return made


@pytest.fixture
async def task(store: SqlStore) -> Task:
    made = submitted()
    await given(store, made)
    return made


async def test_an_event_that_is_told_makes_one_delivery_for_each_endpoint_that_wants_it(
    store: SqlStore, one: Endpoint, task: Task
) -> None:
    choosy = endpoint(2, types=frozenset({EventType.TASK_FAILED}))
    stopped = endpoint(3, status=EndpointStatus.STOPPED, reason="gone", since=NOW)
    waiting = endpoint(4, status=EndpointStatus.PAUSED, reason="by_hand", since=NOW)
    for each in (choosy, stopped, waiting):
        await store.outbox.add_endpoint(each)
    await happens(store, task, EventType.POLL_ANSWERED, EventType.TASK_SUCCEEDED)
    made = await store.outbox.deliveries(DeliveryFilter())
    assert {delivery.endpoint_id for delivery in made} == {one.id, waiting.id}
    assert {(delivery.type, delivery.seq, delivery.task_id) for delivery in made} == {
        (EventType.TASK_SUCCEEDED, 3, task.id)
    }
    # Nobody knows of it yet who is told of nothing.
    assert (await store.next_due())[Queue.NOTIFY] == NOW


async def test_a_decision_that_fails_leaves_no_delivery_behind(store: SqlStore, one: Endpoint, task: Task) -> None:
    other = submitted()
    await given(store, other)

    def broken(_: Task) -> Change:
        return Change(other, (Event(EventType.TASK_LOST, NOW),))

    await store.apply([Decision(task.key, broken)])
    assert await store.outbox.deliveries(DeliveryFilter()) == []


async def test_the_second_of_a_task_waits_for_the_first_and_falls_due_with_its_success(
    store: SqlStore, one: Endpoint, task: Task
) -> None:
    await happens(store, task, EventType.RESULT_STORED, EventType.TASK_SUCCEEDED)
    [first] = await leased(store, one)
    assert first.delivery.type is EventType.RESULT_STORED
    assert first.delivery.result_id == RESULT
    assert await leased(store, one) == []
    failed = await comes_of(store, first, BAD)
    assert (failed.status, failed.attempts, failed.due_at) == (DeliveryStatus.PENDING, 1, NOW + 5 * SECOND)
    # However long the first one takes, nothing of the second is sent.
    assert await leased(store, one, later=4) == []
    [again] = await leased(store, one, later=6)
    assert again.delivery.id == first.delivery.id
    assert (await comes_of(store, again, GOOD, later=6)).status is DeliveryStatus.SENT
    [second] = await leased(store, one, later=6)
    assert second.delivery.type is EventType.TASK_SUCCEEDED
    kinds = [event.type for event in await store.events(task.id)][1:]
    assert kinds == ["result.stored", "task.succeeded", "delivery.failed", "delivery.sent"]


async def test_what_is_dead_keeps_nobody_waiting(store: SqlStore, one: Endpoint, task: Task) -> None:
    await happens(store, task, EventType.TASK_LOST)
    await happens(store, task, EventType.TASK_FOUND, after=1)
    [first] = await leased(store, one, later=1)
    assert await store.outbox.dead() == 0
    dead = await comes_of(store, first, Told(DeliveryError.GONE, 410), later=1)
    assert (dead.status, dead.last_error, dead.due_at) == (DeliveryStatus.DEAD, "gone", None)
    assert await store.outbox.dead() == 1
    [second] = await leased(store, one, later=1)
    assert second.delivery.type is EventType.TASK_FOUND


async def test_other_tasks_and_other_endpoints_do_not_wait(store: SqlStore, one: Endpoint, task: Task) -> None:
    other, elsewhere = submitted(), endpoint(2)
    await given(store, other)
    await store.outbox.add_endpoint(elsewhere)
    for each in (task, other):
        await happens(store, each, EventType.TASK_LOST, EventType.TASK_FOUND)
    found = await leased(store, one, elsewhere)
    assert {(notice.task.id, notice.endpoint.id) for notice in found} == {
        (each.id, where.id) for each in (task, other) for where in (one, elsewhere)
    }


async def test_a_claim_that_ran_out_is_claimed_again_and_only_the_later_outcome_counts(
    store: SqlStore, one: Endpoint, task: Task
) -> None:
    await happens(store, task, EventType.TASK_FAILED)
    [first] = await leased(store, one)
    assert await leased(store, one, later=59) == []
    [second] = await leased(store, one, later=61)
    assert second.delivery.id == first.delivery.id
    assert (await comes_of(store, second, GOOD, later=62)).status is DeliveryStatus.SENT
    # The first attempt was slow, and is told of; what is known to have arrived stays so.
    late = await comes_of(store, first, BAD, later=63)
    assert (late.status, late.attempts) == (DeliveryStatus.SENT, 1)


async def test_first_attempts_and_retries_are_claimed_apart(store: SqlStore, one: Endpoint) -> None:
    tasks = [submitted() for _ in range(4)]
    await given(store, *tasks)
    for each in tasks[:2]:
        await happens(store, each, EventType.TASK_FAILED)
    for notice in await leased(store, one):
        await comes_of(store, notice, BAD)
    for after, each in enumerate(tasks[2:], start=8):
        await happens(store, each, EventType.TASK_FAILED, after=after)
    [due] = await store.outbox.due_endpoints(NOW + 9 * SECOND)
    assert (due.first_at, due.retry_at) == (NOW + 8 * SECOND, NOW + 5 * SECOND)
    found = await leased(store, one, room=Room(1, 0), later=9)
    assert [notice.task.id for notice in found] == [tasks[2].id]
    found = await leased(store, one, room=Room(5, 1), later=9)
    assert sorted(notice.delivery.attempts for notice in found) == [0, 1]


async def test_an_endpoint_that_rests_or_is_paused_by_hand_has_nothing_due(
    store: SqlStore, one: Endpoint, task: Task
) -> None:
    await happens(store, task, EventType.TASK_FAILED)
    await store.outbox.change_endpoint(one.id, lambda each: replace(each, failures=1, rests_until=NOW + 3 * SECOND))
    assert await store.outbox.due_endpoints(NOW + 2 * SECOND) == []
    assert (await store.next_due())[Queue.NOTIFY] == NOW + 3 * SECOND
    assert [due.endpoint.id for due in await store.outbox.due_endpoints(NOW + 3 * SECOND)] == [one.id]
    assert await store.outbox.due_endpoints(NOW + 3 * SECOND, proven=0, new=0, failing=0) == []
    # Those that fail are few at a time, and not those that are being tried.
    assert await store.outbox.due_endpoints(NOW + 3 * SECOND, failing=0) == []
    assert await store.outbox.due_endpoints(NOW + 3 * SECOND, busy=[one.id]) == []
    await store.outbox.change_endpoint(one.id, lambda each: paused(each, NOW))
    assert await store.outbox.due_endpoints(NOW + 3 * SECOND) == []
    assert Queue.NOTIFY not in await store.next_due()


@pytest.mark.parametrize("how", ["paused", "removed", "stopped"])
async def test_nothing_is_claimed_for_an_endpoint_that_was_closed_since_it_was_looked_up(
    store: SqlStore, one: Endpoint, task: Task, how: str
) -> None:
    await happens(store, task, EventType.TASK_FAILED)
    [due] = await store.outbox.due_endpoints(NOW)
    if how == "removed":
        await store.outbox.remove_endpoint(one.id, NOW)
    else:
        status = EndpointStatus.PAUSED if how == "paused" else EndpointStatus.STOPPED
        await store.outbox.change_endpoint(one.id, lambda each: replace(each, status=status, reason="by_hand"))
    assert await leased(store, due.endpoint) == []


async def test_a_redrive_sends_what_ended_again_under_its_id_in_the_order_of_events(
    store: SqlStore, one: Endpoint, task: Task
) -> None:
    await happens(store, task, EventType.TASK_LOST, EventType.TASK_FOUND, EventType.TASK_SUCCEEDED)
    sent = []
    for told in (Told(DeliveryError.RESULT_GONE), GOOD, Told(DeliveryError.RESULT_GONE)):
        [notice] = await leased(store, one)
        sent.append(notice.delivery.id)
        await comes_of(store, notice, told)
    assert await store.outbox.redrive(DeliveryFilter(error="gone"), NOW) == (0, None)
    dead = DeliveryFilter(task_id=task.id, status=DeliveryStatus.DEAD)
    assert await store.outbox.redrive(dead, NOW) == (2, None)
    # They are on their way already.
    assert await store.outbox.redrive(dead, NOW) == (0, None)
    [again] = await leased(store, one)
    assert (again.delivery.id, again.delivery.attempts, again.delivery.tries) == (sent[0], 1, 0)
    assert await leased(store, one) == []
    await comes_of(store, again, GOOD)
    assert [notice.delivery.id for notice in await leased(store, one)] == [sent[2]]


async def test_a_list_is_newest_first_narrowed_and_goes_on_behind_a_delivery(store: SqlStore, one: Endpoint) -> None:
    other = endpoint(2)
    await store.outbox.add_endpoint(other)
    tasks = [submitted() for _ in range(3)]
    await given(store, *tasks)
    for number, each in enumerate(tasks):
        await happens(store, each, EventType.TASK_FAILED, after=number)
    for notice in await leased(store, one, later=3, room=Room(1, 0)):
        await comes_of(store, notice, GOOD, later=3)
    outbox = store.outbox

    async def of(**fields: Any) -> list[UUID]:  # noqa: ANN401 - fields of a DeliveryFilter
        return [delivery.task_id for delivery in await outbox.deliveries(DeliveryFilter(**fields))]

    newest_first = [each.id for each in reversed(tasks)]
    assert await of(endpoint_id=one.id) == newest_first
    assert await of(endpoint_id=one.id, status=DeliveryStatus.SENT) == newest_first[2:]
    assert await of(status=DeliveryStatus.PENDING, endpoint_id=one.id) == newest_first[:2]
    assert await of(task_id=tasks[1].id) == [tasks[1].id] * 2
    assert await of(endpoint_id=one.id, created_after=NOW + SECOND, created_before=NOW + 2 * SECOND) == [tasks[1].id]
    page = await outbox.deliveries(DeliveryFilter(limit=4))
    rest = await outbox.deliveries(DeliveryFilter(limit=4, before_id=page[-1].id))
    assert [each.task_id for each in (*page, *rest)] == [each for each in newest_first for _ in range(2)]


async def test_erasing_a_task_leaves_none_of_its_deliveries(store: SqlStore, one: Endpoint, task: Task) -> None:
    await happens(store, task, EventType.RESULT_STORED)
    [under_way] = await leased(store, one)
    await store.erase([task.key], lambda current: Erasing(erase(current, NOW), {}))
    assert await store.outbox.deliveries(DeliveryFilter()) == []
    # What came of an attempt that was under way is of no interest any more.
    ended, event = concluded(under_way.delivery, GOOD, NOW, jitter=0.5)
    await store.apply([Decision(task.key, lambda same: Change(same, (event,), delivered=(ended,)))])
    assert await store.outbox.deliveries(DeliveryFilter()) == []


async def test_a_removed_endpoint_is_told_nothing_and_goes_with_all_of_its_deliveries(
    store: SqlStore, one: Endpoint, task: Task
) -> None:
    await happens(store, task, EventType.TASK_LOST)
    assert await store.outbox.remove_endpoint(one.id, NOW)
    assert not await store.outbox.remove_endpoint(one.id, NOW)
    assert await store.outbox.endpoints() == []
    assert await store.outbox.due_endpoints(NOW) == []
    await happens(store, task, EventType.TASK_FOUND)
    long_ago = NOW - timedelta(days=1)
    assert [await store.outbox.tidy(ended_before=long_ago, limit=5) for _ in range(3)] == [1, 0, 0]
    assert await store.outbox.deliveries(DeliveryFilter()) == []
    # Its URL is free again.
    await store.outbox.add_endpoint(replace(one, id=uuid4()))


async def test_what_ended_is_forgotten_after_its_time_and_what_is_on_its_way_is_not(
    store: SqlStore, one: Endpoint
) -> None:
    tasks = [submitted() for _ in range(3)]
    await given(store, *tasks)
    for number, each in enumerate(tasks):
        await happens(store, each, EventType.TASK_FAILED, after=number)
    for notice in (await leased(store, one, later=5))[1:]:
        await comes_of(store, notice, GOOD, later=5)
    assert await store.outbox.tidy(ended_before=NOW + 2 * SECOND, limit=50) == 1
    left = await store.outbox.deliveries(DeliveryFilter())
    assert [delivery.status for delivery in left] == [DeliveryStatus.SENT, DeliveryStatus.PENDING]
    assert [each.id for each in await store.outbox.hopeless(expired_before=NOW + SECOND, limit=5)] == [left[1].id]


async def test_what_is_sent_again_long_after_its_event_has_all_of_its_time_anew(
    store: SqlStore, one: Endpoint, task: Task
) -> None:
    await happens(store, task, EventType.TASK_FAILED)
    [notice] = await leased(store, one)
    await comes_of(store, notice, Told(DeliveryError.RESULT_GONE))
    week, later = 7 * 86400, timedelta(days=3)
    assert await store.outbox.redrive(DeliveryFilter(endpoint_id=one.id), NOW + week * SECOND) == (1, None)
    assert await store.outbox.hopeless(expired_before=NOW + week * SECOND - later, limit=5) == []
    # Once that is over too it is given up, as is what nobody had sent again.
    left = await store.outbox.hopeless(expired_before=NOW + (week + 1) * SECOND, limit=5)
    assert [each.id for each in left] == [notice.delivery.id]


async def test_what_is_sent_again_goes_on_behind_a_delivery_and_only_what_has_ended_counts(
    store: SqlStore, one: Endpoint
) -> None:
    tasks = [submitted() for _ in range(5)]
    await given(store, *tasks)
    for number, each in enumerate(tasks):
        await happens(store, each, EventType.TASK_FAILED, after=number)
    for notice in await leased(store, one, later=5):
        await comes_of(store, notice, BAD if notice.task.id == tasks[1].id else GOOD, later=5)
    wanted = DeliveryFilter(endpoint_id=one.id, limit=2)
    count, last = await store.outbox.redrive(wanted, NOW)
    assert count == 2
    rest = [await store.outbox.redrive(replace(wanted, after_id=last), NOW), await store.outbox.redrive(wanted, NOW)]
    assert [made for made, _ in rest] == [2, 0]
    assert {each.status for each in await store.outbox.deliveries(DeliveryFilter())} == {DeliveryStatus.PENDING}


async def test_what_there_is_of_many_endpoints_is_told_by_one_statement(store: SqlStore, task: Task) -> None:
    each = [endpoint(number) for number in range(1, 4)]
    for one in each:
        await store.outbox.add_endpoint(one)
    await happens(store, task, EventType.TASK_LOST, EventType.TASK_FOUND)
    for notice in await leased(store, each[0]):
        await comes_of(store, notice, Told(DeliveryError.RESULT_GONE))
    found = await store.outbox.backlogs([one.id for one in each[:2]])
    assert found == {each[0].id: Backlog(1, 1, NOW), each[1].id: Backlog(2, 0, NOW)}


async def test_two_endpoints_can_not_have_one_url(store: SqlStore, one: Endpoint) -> None:
    with pytest.raises(EndpointTakenError) as refused:
        await store.outbox.add_endpoint(endpoint(url=one.url))
    assert refused.value.endpoint_id == one.id


async def test_the_endpoint_of_the_settings_keeps_what_waits_for_it_while_the_setting_is_gone(
    store: SqlStore, task: Task
) -> None:
    outbox = store.outbox
    await outbox.configure(None, NOW)
    assert await outbox.endpoints() == []
    await outbox.configure("https://app.example/a", NOW)
    await happens(store, task, EventType.TASK_LOST)
    await outbox.configure(None, NOW)
    await happens(store, task, EventType.TASK_FOUND)
    [kept] = await outbox.endpoints()
    assert (kept.id, kept.status, kept.reason) == (CONFIGURED_ID, EndpointStatus.STOPPED, "not_configured")
    assert await outbox.due_endpoints(NOW) == []
    assert await outbox.hopeless(expired_before=NOW, limit=5) == []
    await outbox.configure("https://app.example/b", NOW)
    [due] = await outbox.due_endpoints(NOW)
    assert (due.endpoint.url, due.endpoint.status) == ("https://app.example/b", EndpointStatus.ACTIVE)
    assert len(await leased(store, due.endpoint)) == 1


async def test_an_endpoint_that_is_told_nothing_or_is_told_again_is_one_line_of_the_log_without_its_address(
    store: SqlStore, caplog: pytest.LogCaptureFixture
) -> None:
    made = endpoint(url="https://app.example/hooks?key=s3cret", sealed="s3cret", proven=True)
    await store.outbox.add_endpoint(made)
    caplog.set_level("INFO", "receiver.storage")

    async def says(change: Callable[[Endpoint], Endpoint]) -> list[tuple[object, ...]]:
        caplog.clear()
        await store.outbox.change_endpoint(made.id, change)
        lines = [record.__dict__ for record in caplog.records]
        assert [line["endpoint_id"] for line in lines] == [str(made.id)] * len(lines)
        assert ("app.example" in str(lines), "s3cret" in str(lines)) == (False, False)
        return [(line["levelname"], line["message"], line["reason"], line.get("by_itself")) for line in lines]

    for _ in range(MOST_FAILURES - 1):
        assert await says(lambda it: failed(it, BAD, NOW)) == []
    later = NOW + FAILING_FOR
    assert await says(lambda it: failed(it, BAD, later)) == [("WARNING", "endpoint_paused", "status", None)]
    # Each probe that fails is no news, whatever it fails of.
    assert await says(lambda it: failed(it, Told(DeliveryError.TIMEOUT), later)) == []
    assert await says(succeeded) == [("INFO", "endpoint_resumed", "timeout", True)]
    assert await says(lambda it: paused(it, later)) == [("WARNING", "endpoint_paused", "by_hand", None)]
    assert await says(resumed) == [("INFO", "endpoint_resumed", "by_hand", False)]
    gone = Told(DeliveryError.GONE, 410)
    assert await says(lambda it: failed(it, gone, later)) == [("WARNING", "endpoint_stopped", "gone", None)]
    assert await says(lambda it: failed(it, gone, later)) == []
    assert await says(resumed) == [("INFO", "endpoint_resumed", "gone", False)]


async def test_a_start_without_the_endpoint_of_the_settings_says_that_it_is_stopped_and_says_so_once(
    store: SqlStore, caplog: pytest.LogCaptureFixture
) -> None:
    await store.outbox.configure("https://app.example/a", NOW)
    for url in (None, None, "https://app.example/a", "https://app.example/a"):
        await store.outbox.configure(url, NOW)
    said = [(record.message, record.__dict__["reason"]) for record in caplog.records if record.levelname == "WARNING"]
    assert said == [("endpoint_stopped", "not_configured")]


async def test_a_task_that_fails_as_it_is_leased_is_told_of(store: SqlStore, one: Endpoint) -> None:
    waiting = replace(submitted(), key=new_key())
    await given(store, waiting)

    def decide(task: Task) -> Change:
        return Change(replace(task, status=Status.FAILED, work=None), (Event(EventType.TASK_FAILED, NOW),))

    assert waiting.work is not None
    await store.lease_tasks(waiting.work, "runware", now=NOW, limit=5, lease=LEASE, decide=decide)
    [made] = await store.outbox.deliveries(DeliveryFilter())
    assert made.type is EventType.TASK_FAILED
