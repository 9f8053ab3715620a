from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from receiver.domain.collection import collected
from receiver.domain.errors import AlreadyTerminalError
from receiver.domain.event import EventType
from receiver.domain.operation import cancel, refresh
from receiver.domain.submission import fail
from receiver.domain.task import Change, Recovery, Status, Task, Work
from tests.domain.making import (
    NOTHING,
    REFUSED,
    accepted,
    answered,
    at,
    by_callback,
    by_poll,
    collecting,
    flaws,
    kept,
    lost,
    new_task,
    output,
    says,
    sending,
    submitted,
    types,
    unknown,
)


def succeeded() -> Task:
    task = collecting()
    change = collected(task, task.results[0].id, kept(task), at(20))
    assert change is not None
    return change.task


def failed() -> Task:
    return fail(submitted(), REFUSED, at(5)).task


def resending() -> Task:
    return by_poll(unknown(), NOTHING, at(3))


def doubted() -> Task:
    return by_callback(submitted(), says(failures=1), at(4)).task


UNDER_WAY: list[Callable[[], Task]] = [new_task, submitted, unknown, resending, doubted, collecting]


@pytest.mark.parametrize("make", UNDER_WAY)
def test_whatever_is_under_way_can_be_cancelled(make: Callable[[], Task]) -> None:
    task = make()
    change = cancel(task, at(50))
    assert (change.task.status, change.task.completed_at) == (Status.CANCELLED, at(50))
    assert (change.task.work, change.task.due_at) == (None, None)
    assert (change.task.errors, change.task.results) == (task.errors, task.results)
    assert types(change) == [EventType.TASK_CANCELLED]
    assert change.events[0].data == {"was": task.status.value}
    assert flaws(change.task) == []


def test_cancelling_again_changes_nothing() -> None:
    task = cancel(submitted(), at(50)).task
    assert cancel(task, at(60)) == Change(task)


@pytest.mark.parametrize("make", [succeeded, failed, lost])
def test_what_has_ended_otherwise_cannot_be_cancelled(make: Callable[[], Task]) -> None:
    with pytest.raises(AlreadyTerminalError, match="already ended"):
        cancel(make(), at(50))


def test_a_task_cancelled_while_it_is_sent_stays_cancelled_and_its_attempt_is_closed() -> None:
    task = cancel(sending(new_task()), at(1)).task
    assert task.attempt_open_since is not None
    change = answered(task, accepted(), at(2))
    assert (change.task.status, change.task.attempt_open_since) == (Status.CANCELLED, None)


@pytest.mark.parametrize("make", [submitted, unknown, doubted, collecting])
def test_a_refresh_makes_a_look_due_at_once(make: Callable[[], Task]) -> None:
    task = replace(make(), due_at=at(500))
    change = refresh(task, at(50))
    assert (change.task.work, change.task.due_at) == (Work.POLL, at(50))
    assert (change.task.status, change.events) == (task.status, ())
    assert refresh(change.task, at(51)).task == change.task
    assert flaws(change.task) == []


def test_a_refresh_searches_the_log_where_that_is_what_there_is_to_ask() -> None:
    change = refresh(unknown(Recovery.LOOKUP), at(5))
    assert (change.task.work, change.task.due_at) == (Work.LOOKUP, at(5))


@pytest.mark.parametrize("make", [new_task, resending])
def test_a_refresh_of_what_is_still_to_be_sent_changes_nothing(make: Callable[[], Task]) -> None:
    task = replace(make(), due_at=at(90))
    assert refresh(task, at(50)) == Change(task)


@pytest.mark.parametrize("make", [succeeded, failed, lambda: cancel(submitted(), at(1)).task])
def test_what_has_ended_is_not_looked_at_again(make: Callable[[], Task]) -> None:
    with pytest.raises(AlreadyTerminalError):
        refresh(make(), at(50))


def test_a_lost_task_may_be_asked_about_again_and_is_found_if_the_provider_has_it() -> None:
    now = at(0) + timedelta(days=3)
    task = refresh(lost(), now).task
    assert (task.status, task.work, task.due_at) == (Status.LOST, Work.POLL, now)
    assert by_poll(task, NOTHING, now).work is None
    found = by_poll(task, says(output()), now)
    assert (found.status, found.completed_at) == (Status.COLLECTING, None)
    assert flaws(found) == []
