from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from receiver.domain.erasure import erase
from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.hearing import hearing
from receiver.domain.report import Via
from receiver.domain.request import TaskRequest
from receiver.domain.result import Result
from receiver.domain.task import Status, Task, Work
from tests.domain.making import queued

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
QUEUED = queued(NOW)
PUSHED = replace(QUEUED, status=Status.SUBMITTED, submitted_at=NOW, pushed=True, work=Work.POLL)
ASKED = replace(PUSHED, pushed=False)
SEARCHED = replace(QUEUED, status=Status.UNKNOWN, unknown_since=NOW, work=Work.LOOKUP)
SAID_NO = TaskError(ErrorCode.MODERATION, "no")


def a_result(via: Via) -> Result:
    return Result(uuid4(), 0, "x", via, NOW, uuid4())


def done(task: Task, via: Via, status: Status = Status.SUCCEEDED) -> Task:
    return replace(task, status=status, settled_at=NOW, completed_at=NOW, results=(a_result(via),), work=None)


def husk(task: Task) -> Task:
    return erase(task, NOW).task


CALLED = replace(PUSHED, callbacks=1)
FOUR = replace(CALLED, request=replace(CALLED.request, count=4), callbacks=2, results=(a_result(Via.CALLBACK),) * 2)


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (QUEUED, "before it is sent"),
        (replace(QUEUED, status=Status.FAILED), "it was never taken"),
        (replace(QUEUED, status=Status.CANCELLED), "it was never taken"),
        (PUSHED, "Its callback is still awaited: runware calls once it is made"),
        (replace(PUSHED, overdue=True), "should have come long ago"),
        (replace(PUSHED, status=Status.UNKNOWN), "would prove that runware has it"),
        (done(PUSHED, Via.POLL), "No callback came yet: our own look told. One that still comes changes nothing."),
        (replace(PUSHED, status=Status.LOST), "Neither a callback nor our own looks told"),
        (replace(PUSHED, status=Status.CANCELLED), "is written down should it still come"),
        (CALLED, "told nothing that could be believed: our own look tells"),
        (replace(CALLED, doubt=SAID_NO), "told of a failure: that is believed once runware says the same"),
        (FOUR, "2 callbacks came, 2 of 4 results are known"),
        (done(CALLED, Via.CALLBACK), "Its callback came."),
        (done(CALLED, Via.POLL), "Its callback came, but our own look had told first."),
        (replace(CALLED, status=Status.LOST), "told nothing that could be believed"),
        (replace(CALLED, status=Status.CANCELLED), "What still comes is written down"),
        (ASKED, "given no address to call back to, as none was set (RECEIVER_PUBLIC_URL): it is asked about until"),
        (done(ASKED, Via.POLL), "our own looks told"),
        (done(ASKED, Via.SUBMIT), "the answer to its submit told"),
        (replace(ASKED, status=Status.LOST), "our own looks never found out"),
        (replace(ASKED, status=Status.CANCELLED), "it is not asked about any more"),
        (SEARCHED, "its log is searched for it"),
        (husk(done(CALLED, Via.CALLBACK)), "Its callback came."),
        (husk(replace(CALLED, callbacks=2)), "2 callbacks came."),
        (husk(done(ASKED, Via.POLL)), "Our own looks told."),
        (husk(done(ASKED, Via.SUBMIT)), "The answer to its submit told."),
        (husk(PUSHED), "Nothing was heard of it. What still comes changes nothing."),
        (husk(QUEUED), "it was never taken"),
    ],
)
def test_each_state_says_whether_a_callback_is_awaited_and_what_tells_instead(task: Task, says: str) -> None:
    found = hearing(task, NOW, pushes=True, unheard=False)
    assert says in found
    assert found.endswith(".")


def test_a_provider_that_never_calls_back_is_said_to() -> None:
    assert hearing(ASKED, NOW, pushes=False, unheard=False).startswith("runware never calls back: it is asked")
    adopted = replace(ASKED, request=TaskRequest("runware", "", ""))
    assert adopted.request.adopted
    assert "started elsewhere" in hearing(adopted, NOW, pushes=True, unheard=False)


def test_while_callbacks_fail_to_come_none_is_counted_on() -> None:
    assert "fail to come lately" in hearing(PUSHED, NOW, pushes=True, unheard=True)


def test_long_after_the_outcome_was_known_no_callback_is_expected_any_more() -> None:
    task = done(PUSHED, Via.POLL)
    assert "None is expected any more." in hearing(task, NOW + timedelta(minutes=10), pushes=True, unheard=False)
    assert "None is expected" not in hearing(task, NOW + timedelta(minutes=9), pushes=True, unheard=False)
