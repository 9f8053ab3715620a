from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from receiver.domain.billing import Billed, billing, dollars
from receiver.domain.erasure import erase
from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.report import Via
from receiver.domain.request import TaskRequest
from receiver.domain.result import Result
from receiver.domain.task import Recovery, Status, Task

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
QUEUED = Task(
    key=UUID(int=1),
    id=UUID(int=2),
    request=TaskRequest("runware", "a prompt long enough", "https://files.example.org/a.mp3", count=2),
    model="m",
    created_at=NOW,
    deadline_seconds=600,
)
SENT = replace(QUEUED, attempts=1, submitted_at=NOW, status=Status.SUBMITTED)
LOST_ANSWER = replace(QUEUED, attempts=1, unknown_since=NOW, status=Status.UNKNOWN)
NOT_SENT = TaskError(ErrorCode.NOT_SENT, "not sent")
SAID_NO = TaskError(ErrorCode.MODERATION, "no")


def a_result(cost_micros: int | None, index: int = 0) -> Result:
    return Result(
        uuid4(), index, str(index), Via.CALLBACK, NOW + timedelta(seconds=30), uuid4(), cost_micros=cost_micros
    )


def ended(task: Task, status: Status, *errors: TaskError) -> Task:
    return replace(task, status=status, errors=errors, completed_at=NOW)


def told(task: Task, *costs: int | None) -> Task:
    return replace(task, results=tuple(a_result(cost, index) for index, cost in enumerate(costs)))


@pytest.mark.parametrize(
    ("task", "billed", "says"),
    [
        (QUEUED, Billed.NO, "has not taken it yet"),
        (LOST_ANSWER, Billed.PERHAPS, "no clear answer came"),
        (SENT, Billed.NOT_YET, "what it costs is known when it is told"),
        (told(SENT, 150_000), Billed.YES, "Billed $0.15 so far, as runware told for 1 of 2 results"),
        (replace(SENT, status=Status.COLLECTING), Billed.YES, "no amount was told"),
        (ended(told(SENT, None, None), Status.SUCCEEDED), Billed.YES, "no amount was told"),
        (ended(told(SENT, 150_000, 150_000), Status.SUCCEEDED), Billed.YES, "Billed $0.30, as runware told."),
        (ended(told(SENT, 150_000, None), Status.SUCCEEDED), Billed.YES, "Billed $0.15 or more"),
        (ended(told(SENT, 150_000), Status.PARTIAL, SAID_NO), Billed.YES, "Billed $0.15, as runware told."),
        (ended(told(SENT, 0, 0), Status.SUCCEEDED), Billed.NO, "told a cost of $0.00"),
        (ended(QUEUED, Status.FAILED, NOT_SENT), Billed.NO, "runware never took it"),
        (
            ended(replace(QUEUED, attempts=1), Status.FAILED, SAID_NO),
            Billed.NO,
            "refused it before anything was made",
        ),
        (ended(SENT, Status.FAILED, SAID_NO), Billed.PERHAPS, "does not document whether one that failed is billed"),
        (ended(LOST_ANSWER, Status.FAILED, SAID_NO), Billed.PERHAPS, "Not known"),
        (ended(told(SENT, 150_000, 150_000), Status.FAILED), Billed.YES, "although no audio could be had"),
        (ended(told(SENT, None, None), Status.FAILED), Billed.YES, "only its audio could not be had"),
        (ended(SENT, Status.LOST), Billed.PERHAPS, "never told what became of it"),
        (ended(LOST_ANSWER, Status.LOST), Billed.PERHAPS, "takes an id only once"),
        (ended(QUEUED, Status.CANCELLED), Billed.NO, "cancelled before runware took it"),
        (ended(LOST_ANSWER, Status.CANCELLED), Billed.PERHAPS, "no answer told whether runware took it"),
        (ended(replace(QUEUED, attempt_open_since=NOW), Status.CANCELLED), Billed.PERHAPS, "no answer told whether"),
        (ended(SENT, Status.CANCELLED), Billed.PERHAPS, "What it costs is written down"),
        (erase(SENT, NOW).task, Billed.PERHAPS, "Probably billed: runware had taken it and goes on, as cancelling"),
        (erase(SENT, NOW).task, Billed.PERHAPS, "ends our waiting. Your account there tells."),
        (ended(told(SENT, 150_000, 150_000), Status.CANCELLED), Billed.YES, "it went on although nobody waited"),
    ],
)
def test_each_state_says_whether_it_was_billed_and_who_told(task: Task, billed: Billed, says: str) -> None:
    found = billing(task, recovery=Recovery.RESEND, bills_failures=None)
    assert found.billed is billed
    assert says in found.message
    assert found.message.endswith(".")


@pytest.mark.parametrize(
    ("bills", "billed"), [(False, Billed.NO), (True, Billed.YES), (None, Billed.PERHAPS)], ids=str
)
def test_what_a_provider_documents_of_failures_decides_whether_one_was_billed(
    bills: bool | None, billed: Billed
) -> None:
    assert billing(ended(SENT, Status.FAILED, SAID_NO), recovery=None, bills_failures=bills).billed is billed


@pytest.mark.parametrize(
    ("recovery", "says"),
    [
        (Recovery.RESEND, "takes an id only once"),
        (Recovery.LOOKUP, "never sent a second time"),
        (None, "Your account there tells"),
    ],
)
def test_why_a_lost_answer_is_no_second_bill_is_told(recovery: Recovery | None, says: str) -> None:
    assert says in billing(LOST_ANSWER, recovery=recovery, bills_failures=None).message


def test_a_submit_that_its_providers_log_never_showed_may_have_been_billed_once() -> None:
    found = billing(ended(LOST_ANSWER, Status.LOST), recovery=Recovery.LOOKUP, bills_failures=False)
    assert found.billed is Billed.PERHAPS
    assert "the log of runware did not show it. It was sent once only" in found.message


def test_what_was_asked_for_without_its_cost_says_so() -> None:
    without = replace(SENT, request=replace(SENT.request, include_cost=False))
    for task in (without, ended(told(without, None, None), Status.SUCCEEDED)):
        assert "asked for without its cost" in billing(task, recovery=None, bills_failures=None).message


def test_a_cost_told_for_the_whole_task_is_the_whole_cost() -> None:
    task = ended(told(replace(SENT, told_cost_micros=290_000), None, None), Status.SUCCEEDED)
    assert billing(task, recovery=None, bills_failures=None).message == "Billed $0.29, as runware told."


@pytest.mark.parametrize(
    ("micros", "text"), [(0, "$0.00"), (150_000, "$0.15"), (1_234_500_001, "$1,234.500001"), (4_200, "$0.0042")]
)
def test_money_has_its_cents_and_what_is_smaller_where_there_is_some(micros: int, text: str) -> None:
    assert dollars(micros) == text
