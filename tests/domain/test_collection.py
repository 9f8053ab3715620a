from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from receiver.domain.collection import (
    FIRST_REFUSAL_GAP,
    INTERRUPTED_FOR,
    MOST_REFUSALS,
    collected,
    interrupted,
    refused,
)
from receiver.domain.errors import ErrorCode
from receiver.domain.event import EventType
from receiver.domain.operation import cancel
from receiver.domain.result import Artifact, ArtifactStatus
from receiver.domain.task import Change, Status, Task, Work
from tests.domain.making import (
    asking_inline,
    at,
    by_callback,
    by_poll,
    collecting,
    flaws,
    kept,
    output,
    says,
    submitted,
    types,
)


def artifact(task: Task, index: int = 0) -> Artifact:
    return task.results[index].artifact


def due(task: Task, index: int = 0) -> datetime:
    moment = artifact(task, index).due_at
    assert moment is not None
    return moment


def store(task: Task, now: datetime, index: int = 0) -> Change:
    change = collected(task, task.results[index].id, kept(task, index), now)
    assert change is not None
    return change


def refuse(task: Task, now: datetime, index: int = 0) -> Change:
    change = refused(task, task.results[index].id, "HTTP 404", now)
    assert change is not None
    return change


def test_what_was_stored_only_after_faults_tells_of_the_tries_and_of_the_last_fault() -> None:
    task = collecting()
    [at_once] = [event for event in store(task, at(60)).events if event.type == EventType.RESULT_STORED]
    assert not {"tries", "last_fault"} & at_once.data.keys()
    task = falter(refuse(task, at(60)).task, at(70)).task
    change = store(task, at(120))
    [stored] = [event for event in change.events if event.type == EventType.RESULT_STORED]
    assert (stored.data["tries"], stored.data["last_fault"]) == (3, "reset")
    assert artifact(change.task).attempts == 3


def falter(task: Task, now: datetime, jitter: float = 0.5) -> Change:
    change = interrupted(task, task.results[0].id, "reset", now, jitter)
    assert change is not None
    return change


# ---------------------------------------------------------------- stored


def test_the_task_succeeds_with_its_last_audio() -> None:
    first = store(collecting(2), at(20))
    assert (first.task.status, types(first)) == (Status.COLLECTING, [EventType.RESULT_STORED])
    last = store(first.task, at(25), 1)
    assert (last.task.status, last.task.completed_at) == (Status.SUCCEEDED, at(25))
    assert types(last) == [EventType.RESULT_STORED, EventType.TASK_SUCCEEDED]
    assert flaws(last.task) == []


def test_what_was_stored_is_described_and_left_alone() -> None:
    task = store(collecting(), at(20)).task
    held = artifact(task)
    assert (held.status, held.size, held.sha256, held.media_type) == (
        ArtifactStatus.STORED,
        1234,
        "ab" * 32,
        "audio/mpeg",
    )
    assert (held.duration_seconds, held.due_at, held.attempts, held.error) == (12.5, None, 1, None)


@pytest.mark.parametrize(
    "again",
    [
        lambda task, result_id: collected(task, result_id, kept(task), at(30)),
        lambda task, result_id: refused(task, result_id, "HTTP 404", at(30)),
        lambda task, result_id: interrupted(task, result_id, "reset", at(30), 0.5),
    ],
    ids=["stored", "refused", "interrupted"],
)
def test_whoever_comes_second_with_the_same_audio_changes_nothing(
    again: Callable[[Task, UUID], Change | None],
) -> None:
    task = store(collecting(2), at(20)).task
    assert again(task, task.results[0].id) is None
    assert again(task, UUID(int=404)) is None


# ---------------------------------------------------------------- refused


def test_a_refusal_asks_the_provider_for_a_fresh_link_and_waits() -> None:
    change = refuse(collecting(), at(20))
    assert change.events == ()
    assert (change.task.work, change.task.due_at) == (Work.POLL, at(20))
    assert due(change.task) == at(20) + FIRST_REFUSAL_GAP
    assert artifact(change.task).error == "HTTP 404"
    assert flaws(change.task) == []


def test_collecting_gives_up_after_five_refusals_over_about_two_minutes() -> None:
    task = collecting()
    now = due(task)
    for _ in range(MOST_REFUSALS - 1):
        task = refuse(task, now).task
        assert task.status is Status.COLLECTING
        now = due(task)
    assert now - at(10) == timedelta(minutes=2)
    change = refuse(task, now)
    assert (change.task.status, artifact(change.task).status) == (Status.FAILED, ArtifactStatus.FAILED)
    assert types(change) == [EventType.RESULT_FAILED, EventType.TASK_FAILED]
    assert [error.code for error in change.task.errors] == [ErrorCode.ARTIFACT_UNAVAILABLE]
    assert flaws(change.task) == []


def test_a_fresh_link_is_tried_at_once_after_the_first_refusal() -> None:
    task = refuse(collecting(), at(20)).task
    task = by_poll(task, says(replace(output(), link=f"{output().link}?fresh")), at(21))
    assert (task.results[0].link, due(task)) == (f"{output().link}?fresh", at(21))
    assert (task.status, task.work) == (Status.COLLECTING, None)
    assert store(task, at(22)).task.status is Status.SUCCEEDED


def test_links_that_are_signed_anew_in_every_answer_do_not_use_the_refusals_up_in_seconds() -> None:
    task = collecting()
    first = now = due(task)
    for number in range(MOST_REFUSALS - 1):
        task = refuse(task, now).task
        task = by_poll(task, says(replace(output(), link=f"{output().link}?{number}")), now + timedelta(seconds=1))
        now = due(task)
    assert now - first > timedelta(seconds=100)
    assert task.results[0].link == f"{output().link}?3"


def test_inline_audio_that_is_none_is_given_up_at_once_because_it_will_not_get_better() -> None:
    task = by_callback(asking_inline(submitted()), says(replace(output(), link=None, inline="!")), at(10)).task
    change = refuse(task, at(11))
    assert (change.task.status, change.task.work) == (Status.FAILED, None)


def test_a_task_of_which_one_audio_was_given_up_ends_as_partial() -> None:
    task = store(collecting(2), at(20), 1).task
    for _ in range(MOST_REFUSALS):
        task = refuse(task, due(task)).task
    assert task.status is Status.PARTIAL
    assert flaws(task) == []


def test_audio_given_up_before_the_rest_is_known_does_not_end_the_task() -> None:
    task = by_callback(submitted(2), says(output(0)), at(10)).task
    for _ in range(MOST_REFUSALS):
        task = refuse(task, due(task)).task
    assert (task.status, task.work) == (Status.SUBMITTED, Work.POLL)
    task = by_poll(task, says(output(0), output(1)), at(200))
    assert task.status is Status.COLLECTING
    assert store(task, at(201), 1).task.status is Status.PARTIAL


# ---------------------------------------------------------------- interrupted


def test_a_passing_fault_is_tried_again_later_and_later_and_asks_nobody() -> None:
    task, waits = collecting(), []
    for _ in range(9):
        now = due(task)
        change = falter(task, now)
        task = change.task
        waits.append((due(task) - now).total_seconds())
        assert (change.events, task.work) == ((), None)
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert artifact(task).refusals == 0


def test_passing_faults_are_borne_until_the_link_dies() -> None:
    told = replace(output(), link_expires_at=at(500))
    task = by_callback(submitted(), says(told), at(10)).task
    task = falter(task, at(499)).task
    assert (task.work, artifact(task).refusals) == (None, 0)
    change = falter(task, at(500))
    assert (change.events, change.task.work, change.task.due_at) == ((), Work.POLL, at(500))
    assert due(change.task) == at(500) + FIRST_REFUSAL_GAP


def test_a_dead_link_ends_the_audio_once_the_provider_was_asked_for_another_and_had_none() -> None:
    task = by_callback(submitted(), says(replace(output(), link_expires_at=at(500))), at(10)).task
    now = at(500)
    for _ in range(MOST_REFUSALS - 1):
        task = falter(task, now).task
        assert (task.status, task.work) == (Status.COLLECTING, Work.POLL)
        task, now = by_poll(task, says(replace(output(), link_expires_at=at(500))), now), due(task)
    change = falter(task, now)
    assert (change.task.status, artifact(change.task).status) == (Status.FAILED, ArtifactStatus.EXPIRED)
    assert types(change) == [EventType.RESULT_FAILED, EventType.TASK_FAILED]
    [error] = change.task.errors
    assert (error.code, error.message) == (ErrorCode.ARTIFACT_UNAVAILABLE, "the link has expired; last: reset")
    assert flaws(change.task) == []


def test_a_dead_link_that_the_provider_signs_anew_is_fetched_at_once() -> None:
    task = by_callback(submitted(), says(replace(output(), link_expires_at=at(500))), at(10)).task
    task = falter(task, at(500)).task
    fresh = replace(output(), link=f"{output().link}?fresh", link_expires_at=at(900))
    task = by_poll(task, says(fresh), at(501))
    assert (due(task), task.work) == (at(501), None)
    assert falter(task, at(502)).task.results[0].artifact.refusals == 1
    assert store(task, at(503)).task.status is Status.SUCCEEDED


def test_a_link_that_is_refused_after_its_end_has_expired() -> None:
    task = by_callback(submitted(), says(replace(output(), link_expires_at=at(15))), at(10)).task
    for _ in range(MOST_REFUSALS):
        task = refuse(task, max(at(15), due(task))).task
    assert artifact(task).status is ArtifactStatus.EXPIRED
    assert task.errors[0].message == "the link has expired; last: HTTP 404"


def test_where_there_is_nobody_to_ask_a_dead_link_is_the_end_at_once() -> None:
    task = by_callback(submitted(2), says(replace(output(), link_expires_at=at(500))), at(10)).task
    task = cancel(task, at(11)).task
    change = falter(task, at(500))
    assert (artifact(change.task).status, change.task.work) == (ArtifactStatus.EXPIRED, None)
    assert types(change) == [EventType.RESULT_FAILED]


def test_passing_faults_are_borne_for_a_day_where_the_end_of_the_link_is_unknown() -> None:
    task = falter(collecting(), at(10) + INTERRUPTED_FOR - timedelta(seconds=1)).task
    assert (task.status, artifact(task).refusals) == (Status.COLLECTING, 0)
    for _ in range(MOST_REFUSALS):
        task = falter(task, max(at(10) + INTERRUPTED_FOR, due(task))).task
    assert task.status is Status.FAILED
    assert task.errors[0].message == "given up after 24 hours; last: reset"


def test_a_fresh_link_that_lives_longer_is_borne_longer() -> None:
    task = by_callback(submitted(), says(replace(output(), link_expires_at=at(100))), at(10)).task
    task = refuse(task, at(20)).task
    task = by_poll(task, says(replace(output(), link=f"{output().link}?2", link_expires_at=at(900))), at(21))
    assert falter(task, at(899)).task.status is Status.COLLECTING


def test_faults_and_refusals_are_counted_apart() -> None:
    task = falter(refuse(falter(collecting(), at(10)).task, at(20)).task, at(30)).task
    assert (artifact(task).attempts, artifact(task).refusals, artifact(task).first_refused_at) == (3, 1, at(20))


# ---------------------------------------------------------------- after the end


def test_the_audio_of_a_cancelled_task_is_still_collected_and_nothing_else_happens() -> None:
    task = cancel(collecting(2), at(15)).task
    change = store(task, at(20))
    assert (change.task.status, types(change)) == (Status.CANCELLED, [EventType.RESULT_STORED])
    change = refuse(change.task, at(21), 1)
    assert (change.task.status, change.task.work) == (Status.CANCELLED, None)
    assert flaws(change.task) == []
