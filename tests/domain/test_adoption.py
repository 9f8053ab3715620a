from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from receiver.domain.adoption import UNHEARD_OF, adopt, request_of, unknown_there
from receiver.domain.billing import Billed, billing
from receiver.domain.erasure import erase
from receiver.domain.errors import ErrorCode
from receiver.domain.event import EventType
from receiver.domain.looking import looked, lose
from receiver.domain.operation import cancel
from receiver.domain.report import Reading
from receiver.domain.task import Change, Status, Task, Work
from receiver.domain.waiting import WaitsFor, waiting
from tests.domain.making import GENERATION, START, TASK_ID, TASK_KEY, at, look_rules, new_report

SILENCE = Reading()
PENDING = Reading(pending=True)


def adopted(deadline_seconds: float = 1800.0) -> Task:
    task = Task(
        key=TASK_KEY,
        id=TASK_ID,
        request=request_of("aimlapi", 1),
        model="",
        created_at=START,
        deadline_seconds=deadline_seconds,
        provider_task_id=GENERATION,
    )
    return adopt(task).task


def answered(task: Task, reading: Reading, now: datetime) -> Change:
    return looked(task, reading, new_report(reading, now, 1), now, look_rules())


def test_an_adopted_task_is_under_way_and_is_looked_at_at_once() -> None:
    task = adopted()
    assert (task.status, task.work, task.due_at) == (Status.SUBMITTED, Work.POLL, START)
    assert (task.submitted_at, task.deadline_at, task.pushed) == (START, START + timedelta(seconds=1800), False)


def test_silence_about_an_adopted_task_proves_nothing_for_a_while() -> None:
    task = adopted()
    for seconds in (0, 60, UNHEARD_OF.total_seconds() - 1):
        task = answered(task, SILENCE, at(seconds)).task
        assert task.status is Status.SUBMITTED
    change = answered(task, SILENCE, at(UNHEARD_OF.total_seconds()))
    assert (change.task.status, change.task.errors[-1].code) == (Status.LOST, ErrorCode.NOT_FOUND)
    assert [event.type for event in change.events] == [EventType.TASK_LOST]


def test_with_a_short_deadline_the_wait_is_as_short() -> None:
    assert answered(adopted(60), SILENCE, at(59)).task.status is Status.SUBMITTED
    assert answered(adopted(60), SILENCE, at(60)).task.status is Status.LOST


@pytest.mark.parametrize(("looks", "times"), [(1, "once"), (2, "2 times"), (124, "124 times")])
def test_an_id_that_no_look_found_says_so_with_what_can_be_done_and_no_bill_is_claimed(
    looks: int, times: str
) -> None:
    task = answered(replace(adopted(), polls=looks - 1), SILENCE, at(10)).task
    unknown = f"aimlapi does not know this id (asked {times})"
    waits = waiting(task, at(11), resting=None, has_key=True)
    assert waits is not None
    assert (waits.what, waits.message) == (WaitsFor.RETRY, f"{unknown}: check it, or cancel")
    assert waits.until == task.due_at
    for each in (task, lose(task, at(20), "gone").task, cancel(task, at(20)).task):
        found = billing(each, recovery=None, bills_failures=None)
        assert found.billed is Billed.PERHAPS
        assert found.message == f"Not known: {unknown}. The account that it was made with tells."


def test_nothing_is_said_of_an_id_before_a_look_nor_once_one_found_it_nor_of_what_was_sent_by_us() -> None:
    found = answered(adopted(), PENDING, at(10)).task
    sent = replace(adopted(), polls=3, request=replace(adopted().request, prompt="a prompt"))
    for task in (adopted(), found, sent, erase(replace(adopted(), polls=3), at(20)).task):
        assert unknown_there(task) is None


def test_what_was_heard_of_once_is_waited_for_as_any_other() -> None:
    task = answered(adopted(), PENDING, at(5)).task
    assert answered(task, SILENCE, at(UNHEARD_OF.total_seconds() + 1)).task.status is Status.SUBMITTED


def test_a_lost_one_that_is_asked_about_again_is_not_lost_twice() -> None:
    lost = answered(adopted(), SILENCE, at(UNHEARD_OF.total_seconds())).task
    again = answered(replace(lost, work=Work.POLL, due_at=at(700)), SILENCE, at(700))
    assert (again.task.status, again.events, len(again.task.errors)) == (Status.LOST, (), 1)


@pytest.mark.parametrize("prompt", ["", "a prompt"])
def test_only_what_says_nothing_of_its_request_is_adopted(prompt: str) -> None:
    assert replace(request_of("runware", 2), prompt=prompt).adopted is (prompt == "")
