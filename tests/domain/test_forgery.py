"""A forged callback that came first, and what becomes of it once the genuine one is there."""

from dataclasses import replace

import pytest

from receiver.domain.asking import LOOK_GAP, look_again
from receiver.domain.collection import collected, refused
from receiver.domain.event import EventType
from receiver.domain.operation import cancel
from receiver.domain.report import Output, Via
from receiver.domain.result import ArtifactStatus
from receiver.domain.task import Change, Status, Task, Work
from tests.domain.making import (
    DEADLINE,
    HOST,
    NOTHING,
    START,
    TERMINAL_EVENTS,
    asked,
    at,
    by_callback,
    by_poll,
    flaws,
    kept,
    output,
    says,
    submitted,
    types,
)

FORGED = replace(output(8), link=f"{HOST}/stolen.mp3")
OTHER_LINK = replace(output(), link=f"{HOST}/stolen.mp3")
ELSEWHERE = replace(output(), link="https://cdn.elsewhere.example/0.mp3")


def stored(task: Task, index: int = 0) -> Task:
    change = collected(task, task.results[index].id, kept(task, index), at(20))
    assert change is not None
    return change.task


def succeeded_with(forged: Output = FORGED, count: int = 1) -> Task:
    """A task that forged callbacks alone have ended."""
    task = submitted(count)
    for number in range(count):
        task = by_callback(task, says(forged if number == 0 else output(number)), at(10)).task
    for number in range(count):
        task = stored(task, number)
    assert (task.status, task.work) == (Status.SUCCEEDED, None)
    return task


def answered(task: Task, *outputs: Output, failures: int = 0) -> Change:
    _, change = asked(task, says(*outputs, failures=failures), at(45))
    assert change is not None
    return change


@pytest.mark.parametrize(
    ("forged", "genuine"),
    [(FORGED, output()), (OTHER_LINK, output()), (FORGED, ELSEWHERE), (OTHER_LINK, ELSEWHERE)],
    ids=["surplus", "conflict", "surplus-elsewhere", "conflict-elsewhere"],
)
def test_a_callback_that_does_not_fit_makes_the_providers_answer_due_after_the_end(
    forged: Output, genuine: Output
) -> None:
    ended = succeeded_with(forged)
    task = by_callback(ended, says(genuine), at(40)).task
    assert (task.status, task.work, task.due_at) == (Status.SUCCEEDED, Work.POLL, at(40))
    assert task.results == ended.results
    assert flaws(task) == []


@pytest.mark.parametrize("forged", [FORGED, OTHER_LINK], ids=["another-id", "another-link"])
def test_the_providers_answer_replaces_the_forged_result_without_a_second_end(forged: Output) -> None:
    task = by_callback(succeeded_with(forged), says(output()), at(40)).task
    wrong = task.results[0]
    change = answered(task, output())
    assert types(change) == [EventType.RESULT_FAILED, EventType.RESULT_RECEIVED]
    assert change.events[0].data["result_id"] == str(wrong.id)
    assert change.discarded == ((wrong.artifact.object_key, at(45)),)
    [right] = change.task.results
    assert (right.identity, right.link, right.via, right.late) == ("audio-0", output().link, Via.POLL, False)
    assert (right.artifact.status, right.artifact.due_at) == (ArtifactStatus.PENDING, at(45))
    assert right.id != wrong.id
    assert (change.task.status, change.task.completed_at, change.task.work) == (Status.SUCCEEDED, at(20), None)
    assert flaws(change.task) == []
    end = collected(change.task, right.id, kept(change.task), at(46))
    assert end is not None
    assert (end.task.status, types(end)) == (Status.SUCCEEDED, [EventType.RESULT_STORED])


def test_the_status_of_an_ended_task_becomes_what_is_true_when_the_genuine_audio_cannot_be_had() -> None:
    task = by_callback(succeeded_with(), says(output()), at(40)).task
    task = answered(task, output()).task
    for number in range(5):
        change = refused(task, task.results[0].id, "HTTP 404", at(50 + number))
        assert change is not None
        assert not TERMINAL_EVENTS & set(types(change))
        task = change.task
    assert (task.status, task.completed_at) == (Status.FAILED, at(20))


def test_a_forged_result_is_given_up_where_the_provider_names_the_others_and_a_failure() -> None:
    task = succeeded_with(count=2)
    task = by_callback(task, says(output(0)), at(40)).task
    change = answered(task, output(1), failures=1)
    assert [result.artifact.status for result in change.task.results] == [
        ArtifactStatus.FAILED,
        ArtifactStatus.STORED,
    ]
    assert change.discarded == ((task.results[0].artifact.object_key, at(45)),)
    assert (change.task.status, change.task.completed_at) == (Status.PARTIAL, task.completed_at)
    assert types(change) == [EventType.RESULT_FAILED]


def test_a_failure_told_by_callback_beside_all_results_is_one_outcome_too_many() -> None:
    task = by_callback(succeeded_with(), says(failures=1), at(40)).task
    assert (task.status, task.work, task.due_at) == (Status.SUCCEEDED, Work.POLL, at(40))
    assert task.errors == ()


def test_an_answer_that_names_no_output_takes_no_audio_away() -> None:
    task = by_callback(succeeded_with(), says(output()), at(40)).task
    change = answered(task, failures=1)
    assert change.task.results == task.results
    assert change.discarded == ()


def test_a_genuine_result_stays_when_the_forged_callback_comes_last() -> None:
    ended = stored(by_callback(submitted(), says(output()), at(10)).task)
    task = by_callback(ended, says(FORGED), at(40)).task
    assert task.work is Work.POLL
    after = by_poll(task, says(output()), at(41))
    assert (after.results, after.work, after.status) == (ended.results, None, Status.SUCCEEDED)


def test_an_ended_task_whose_provider_is_still_at_it_is_asked_again_until_its_deadline() -> None:
    task = by_callback(succeeded_with(), says(replace(FORGED, identity="another")), at(40)).task
    for answer in (says(pending=True), NOTHING):
        task = by_poll(task, answer, at(50))
        assert task.work is Work.POLL
        assert (task.due_at or START) > at(50)
    assert by_poll(task, NOTHING, START + DEADLINE).work is None


def test_looks_after_the_end_are_paced_and_end_with_what_the_provider_said() -> None:
    task = by_callback(succeeded_with(), says(output()), at(40)).task
    told = answered(task, output()).task
    assert by_callback(told, says(FORGED), at(60)).task.work is None, "nothing is left that a callback told"
    seen = replace(succeeded_with(), polls=1)
    assert by_callback(seen, says(output()), at(60)).task.due_at == at(60) + LOOK_GAP


def test_a_look_that_is_due_for_a_conflict_outlives_the_end_of_the_task() -> None:
    task = by_callback(submitted(2), says(FORGED), at(10)).task
    task = by_callback(task, says(ELSEWHERE), at(11)).task
    task = by_callback(task, says(output(1)), at(11)).task
    assert (task.status, task.work, task.due_at) == (Status.COLLECTING, Work.POLL, at(11))
    ended = stored(stored(task, 0), 1)
    assert (ended.status, ended.work, ended.due_at) == (Status.SUCCEEDED, Work.POLL, at(11))


def test_a_callback_that_is_not_kept_makes_a_look_due_after_the_end_until_the_deadline() -> None:
    ended = succeeded_with()
    assert look_again(ended, at(40)).work is Work.POLL
    assert look_again(ended, START + DEADLINE).work is None


def test_a_cancelled_task_is_not_asked_about_again() -> None:
    task = by_callback(submitted(), says(FORGED), at(10)).task
    task = cancel(task, at(11)).task
    assert by_callback(task, says(output()), at(40)).task.work is None
