"""How calls are shared out among endpoints: who answers never waits for who fails."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from receiver.domain.delivery import Delivery
from receiver.domain.endpoint import Endpoint, EndpointStatus
from receiver.domain.event import EventType
from receiver.lifecycle.ports import DueEndpoint, Notice, Room
from receiver.worker.notifying import MOST, Desk, Pool, Turns, pool_of
from tests.storage.making import NOW, SECOND, submitted
from tests.web.fakes import FakeSystem

TASK = submitted()


def endpoint(number: int, *, proven: bool = False, failures: int = 0) -> Endpoint:
    return Endpoint(UUID(int=number), f"https://app.example/{number}", NOW, proven=proven, failures=failures)


def due(of: Endpoint, *, first: bool = True, retry: bool = False, waited: float = 0) -> DueEndpoint:
    at = NOW - waited * SECOND
    return DueEndpoint(of, at if first else None, at if retry else None)


def notice(of: Endpoint, *, attempts: int = 0) -> Notice:
    news = Delivery(UUID(int=9), TASK.key, TASK.id, 1, of.id, EventType.TASK_LOST, NOW, attempts=attempts)
    return Notice(news, TASK, of)


def test_a_thousand_that_fail_or_are_new_take_no_place_of_one_that_answers() -> None:
    desk, healthy = Desk(8), endpoint(0, proven=True)
    failing = [endpoint(number, failures=3) for number in range(1, 1001)]
    new = [endpoint(number) for number in range(1001, 2001)]
    waiting = [due(each, waited=60) for each in (*failing, *new)]
    rooms = desk.rooms([*waiting, due(healthy)])
    assert rooms[healthy.id] == Room(8, 0)
    assert sum(each.id in rooms for each in failing) == MOST[Pool.FAILING]
    assert sum(rooms[each.id].first for each in new if each.id in rooms) == MOST[Pool.NEW]
    for each in (*failing, *new):
        if each.id in rooms:
            desk.take(notice(each))
    assert desk.rooms([*waiting, due(healthy)]) == {healthy.id: Room(8, 0)}


def test_how_an_endpoint_stands_is_by_its_last_attempts() -> None:
    assert pool_of(endpoint(1)) is Pool.NEW
    assert pool_of(endpoint(1, proven=True)) is Pool.PROVEN
    assert pool_of(endpoint(1, failures=1)) is Pool.FAILING
    assert pool_of(replace(endpoint(1, proven=True), status=EndpointStatus.PAUSED)) is Pool.FAILING


def test_each_has_a_call_before_any_has_a_second() -> None:
    desk = Desk(8)
    all_ = [endpoint(number, proven=True) for number in range(MOST[Pool.PROVEN] - 1)]
    rooms = desk.rooms([due(each) for each in all_])
    assert sorted(room.first for room in rooms.values()) == [1] * (len(all_) - 1) + [2]


def test_retries_take_half_of_an_endpoints_places_at_the_most() -> None:
    desk, one = Desk(8), endpoint(1, proven=True)
    assert desk.rooms([due(one, retry=True)]) == {one.id: Room(7, 1)}
    assert desk.rooms([due(one, first=False, retry=True)]) == {one.id: Room(0, 4)}
    for _ in range(4):
        desk.take(notice(one, attempts=1))
    assert desk.rooms([due(one, first=False, retry=True)]) == {}
    assert desk.rooms([due(one, retry=True)]) == {one.id: Room(4, 0)}


def test_a_call_that_takes_long_makes_room_for_others_and_none_for_its_own_endpoint() -> None:
    desk, slow, quick = Desk(8), endpoint(1, proven=True), endpoint(2, proven=True)
    slow_down, give_back = desk.take(notice(slow))
    slow_down()
    assert desk.free(Pool.PROVEN) == MOST[Pool.PROVEN]
    assert desk.rooms([due(slow), due(quick)]) == {quick.id: Room(8, 0)}
    _, other_ends = desk.take(notice(slow))
    give_back()
    assert desk.rooms([due(slow)]) == {slow.id: Room(7, 0)}
    other_ends()
    assert desk.rooms([due(slow)]) == {slow.id: Room(8, 0)}
    assert desk.free(Pool.SLOW) == MOST[Pool.SLOW]
    assert not desk.by_endpoint


def test_what_is_being_claimed_is_not_given_out_twice() -> None:
    desk, one = Desk(8), endpoint(1, proven=True)
    let_go = desk.hold({one.id: Room(5, 1)})
    assert desk.rooms([due(one)]) == {one.id: Room(2, 0)}
    let_go()
    assert desk.rooms([due(one)]) == {one.id: Room(8, 0)}
    assert not desk.by_endpoint


def test_attempts_at_those_that_fail_begin_at_a_pace() -> None:
    system = FakeSystem()
    turns = Turns(system, 20.0)
    assert turns.left() == 20
    turns.use(20)
    assert turns.left() == 0
    system.passed += timedelta(seconds=0.25) / SECOND
    assert turns.left() == 5
    system.passed += 60
    assert turns.left() == 20
