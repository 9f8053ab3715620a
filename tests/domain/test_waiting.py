from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.report import Via
from receiver.domain.result import Artifact, Result
from receiver.domain.task import Status, Task, Work
from receiver.domain.waiting import Resting, WaitsFor, waiting
from tests.domain.making import queued

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=40)
QUEUED = replace(queued(NOW), due_at=LATER)
SUBMITTED = replace(QUEUED, status=Status.SUBMITTED, work=Work.POLL)
RESTING = Resting(LATER, TaskError(ErrorCode.AUTH, "HTTP 401: invalid key"))
BROKE = Resting(LATER, TaskError(ErrorCode.BALANCE, "HTTP 402: no money"))


@pytest.mark.parametrize(
    ("task", "resting", "has_key", "what", "until"),
    [
        (replace(QUEUED, tries=2), None, True, WaitsFor.RETRY, LATER),
        (QUEUED, RESTING, True, WaitsFor.PROVIDER, LATER),
        (QUEUED, None, False, WaitsFor.KEY, None),
        (replace(SUBMITTED, pushed=True), None, True, WaitsFor.CALLBACK, LATER),
        (replace(SUBMITTED, pushed=True, overdue=True), None, True, WaitsFor.POLL, LATER),
        (SUBMITTED, RESTING, True, WaitsFor.PROVIDER, LATER),
        (SUBMITTED, BROKE, True, WaitsFor.POLL, LATER),
        (replace(SUBMITTED, pushed=True, tries=1), None, True, WaitsFor.RETRY, LATER),
        (replace(QUEUED, status=Status.UNKNOWN, work=Work.LOOKUP), None, True, WaitsFor.LOOKUP, LATER),
    ],
)
def test_a_task_under_way_says_what_it_waits_for_and_until_when(
    task: Task, resting: Resting | None, has_key: bool, what: WaitsFor, until: datetime | None
) -> None:
    found = waiting(task, NOW, resting=resting, has_key=has_key)
    assert found is not None
    assert (found.what, found.until) == (what, until)
    assert found.message


@pytest.mark.parametrize("seconds", [-1, 0, 1, 10])
def test_what_waits_for_a_provider_says_so_until_the_next_try_has_told(seconds: int) -> None:
    now = RESTING.until + timedelta(seconds=seconds)
    found = waiting(replace(QUEUED, tries=1, due_at=LATER), now, resting=RESTING, has_key=True)
    assert found is not None
    assert found.what is WaitsFor.PROVIDER
    assert waiting(QUEUED, now + timedelta(minutes=1), resting=RESTING, has_key=True) is None


def test_what_a_resting_provider_said_and_which_key_is_missing_is_told() -> None:
    found = waiting(QUEUED, NOW, resting=RESTING, has_key=True)
    assert found is not None
    assert "HTTP 401: invalid key" in found.message
    found = waiting(QUEUED, NOW, resting=None, has_key=False)
    assert found is not None
    assert "RUNWARE_API_KEY" in found.message


@pytest.mark.parametrize(
    "task",
    [
        replace(task, tries=1, fault="api.runware.ai: no connection")
        for task in (QUEUED, SUBMITTED, replace(SUBMITTED, work=Work.LOOKUP))
    ],
)
def test_why_a_provider_was_not_reached_is_told(task: Task) -> None:
    found = waiting(task, NOW, resting=None, has_key=True)
    assert found is not None
    assert "api.runware.ai: no connection" in found.message
    answered = waiting(replace(task, tries=0), NOW, resting=None, has_key=True)
    assert answered is None or "no connection" not in answered.message, "what went wrong before is past"


@pytest.mark.parametrize("work", [Work.POLL, Work.SUBMIT])
def test_of_what_may_not_have_arrived_it_is_not_said_which_call_failed(work: Work) -> None:
    task = replace(SUBMITTED, status=Status.UNKNOWN, work=work, tries=1, fault="HTTP 503")
    found = waiting(task, NOW, resting=None, has_key=True)
    assert found is not None
    assert "asking runware about it, or sending it again, did not work (HTTP 503)" in found.message


@pytest.mark.parametrize("task", [QUEUED, SUBMITTED])
def test_a_database_that_takes_nothing_is_what_everything_waits_for(task: Task) -> None:
    found = waiting(task, NOW, resting=RESTING, has_key=False, trouble="database or disk is full")
    assert found is not None
    assert (found.what, found.until) == (WaitsFor.STORAGE, None)
    assert "database or disk is full" in found.message


def test_audio_that_could_not_be_fetched_is_waited_for_with_the_reason() -> None:
    result = Result(
        UUID(int=3), 0, "one", Via.POLL, NOW, UUID(int=4), artifact=Artifact(due_at=LATER, error="HTTP 403")
    )
    task = replace(SUBMITTED, status=Status.COLLECTING, work=None, due_at=None, results=(result,))
    found = waiting(task, NOW, resting=None, has_key=True)
    assert found is not None
    assert (found.what, found.until) == (WaitsFor.AUDIO, LATER)
    assert "HTTP 403" in found.message


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (timedelta(minutes=20), "its audio is being fetched"),
        (timedelta(minutes=14, seconds=1), "its audio is being fetched; its link dies in 15 minutes"),
        (timedelta(seconds=20), "its audio is being fetched; its link dies in 1 minute"),
        (timedelta(seconds=-1), "its audio is being fetched; its link has expired"),
    ],
)
def test_a_link_that_dies_soon_is_told_with_what_is_waited_for(left: timedelta, words: str) -> None:
    one = Result(UUID(int=3), 0, "one", Via.POLL, NOW, UUID(int=4), artifact=Artifact(due_at=NOW))
    results = (one, replace(one, id=UUID(int=5), index=1, link_expires_at=NOW + left))
    task = replace(SUBMITTED, status=Status.COLLECTING, work=None, due_at=None, results=results)
    found = waiting(task, NOW, resting=None, has_key=True)
    assert found is not None
    assert found.message == words


@pytest.mark.parametrize("status", [status for status in Status if status.terminal])
def test_a_task_that_has_ended_waits_for_nothing(status: Status) -> None:
    assert waiting(replace(SUBMITTED, status=status), NOW, resting=RESTING, has_key=False) is None


def test_a_task_about_to_be_sent_waits_for_nobody_else() -> None:
    assert waiting(QUEUED, NOW, resting=None, has_key=True) is None


def test_what_the_time_of_a_look_follows_from_is_told() -> None:
    pushed = replace(SUBMITTED, pushed=True)
    found = waiting(SUBMITTED, NOW, resting=None, has_key=True, learned_from=50)
    assert found is not None
    assert found.message.endswith("timed by its last 50 tasks")
    found = waiting(pushed, NOW, resting=None, has_key=True, learned_from=50)
    assert found is not None
    assert found.what is WaitsFor.CALLBACK
    found = waiting(pushed, NOW, resting=None, has_key=True, learned_from=50, unheard=True)
    assert found is not None
    assert (found.what, found.until) == (WaitsFor.POLL, LATER)
    assert "callbacks fail to come, timed by its last 50 tasks" in found.message
