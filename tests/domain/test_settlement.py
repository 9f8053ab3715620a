from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from receiver.domain.asking import look_now
from receiver.domain.collection import collected
from receiver.domain.ending import complete, finish
from receiver.domain.errors import ErrorCode
from receiver.domain.event import EventType
from receiver.domain.operation import cancel
from receiver.domain.report import Output, Reading, Verdict, Via
from receiver.domain.result import ArtifactStatus
from receiver.domain.settlement import QUIET, duplicate, quarantine, settle
from receiver.domain.submission import fail
from receiver.domain.task import Change, Recovery, Status, Task, Work
from tests.domain.making import (
    BROKEN,
    DEADLINE,
    GENERATION,
    NOTHING,
    PLAN,
    REFUSED,
    START,
    TERMINAL_EVENTS,
    asked,
    asking_inline,
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
    settle_rules,
    stored,
    submitted,
    types,
    unknown,
)

LATE = START + DEADLINE + timedelta(days=2)


def verdicts(change: Change) -> list[Verdict]:
    return [ruling.verdict for ruling in change.rulings]


def told(task: Task) -> list[str]:
    return [result.identity for result in task.results]


def with_audio(task: Task, index: int = 0) -> Task:
    change = collected(task, task.results[index].id, kept(task, index), at(20))
    assert change is not None
    return change.task


# ---------------------------------------------------------------- results by callback


def test_a_callback_with_the_only_result_settles_the_task() -> None:
    change = by_callback(submitted(), says(output()), at(40))
    task = change.task
    assert (task.status, task.settled_at, task.completed_at) == (Status.COLLECTING, at(40), None)
    assert (task.work, task.due_at) == (None, None)
    assert types(change) == [EventType.CALLBACK_RECEIVED, EventType.RESULT_RECEIVED, EventType.TASK_SETTLED]
    assert verdicts(change) == [Verdict.SETTLED]
    assert task.callbacks == 1
    assert flaws(task) == []


def test_a_result_keeps_what_was_told_of_it_and_is_due_to_be_collected_at_once() -> None:
    [result] = by_callback(submitted(), says(output()), at(40), serial=7).task.results
    assert (result.index, result.identity, result.via, result.late) == (0, "audio-0", Via.CALLBACK, False)
    assert (result.seed, result.cost_micros, result.link) == (41, 150_000, output().link)
    assert (result.received_at, result.report_id) == (at(40), UUID(int=7))
    assert (result.artifact.status, result.artifact.due_at) == (ArtifactStatus.PENDING, at(40))


def test_a_task_stays_submitted_until_the_outcome_of_all_its_results_is_known() -> None:
    task = submitted(4)
    for number, there in enumerate(reversed(range(4)), start=1):
        assert (task.status, task.work) == (Status.SUBMITTED, Work.POLL)
        task = by_callback(task, says(output(there)), at(number)).task
    assert task.status is Status.COLLECTING
    assert told(task) == ["audio-3", "audio-2", "audio-1", "audio-0"]
    assert [result.index for result in task.results] == [0, 1, 2, 3]


def test_one_callback_may_carry_all_results() -> None:
    task = by_callback(submitted(3), says(*map(output, range(3))), at(40)).task
    assert (task.status, len(task.results)) == (Status.COLLECTING, 3)


def test_a_partial_results_audio_is_stored_before_the_others_are_known() -> None:
    task = by_callback(submitted(2), says(output(0)), at(10)).task
    task = with_audio(task)
    assert (task.status, task.results[0].artifact.status) == (Status.SUBMITTED, ArtifactStatus.STORED)
    task = by_callback(task, says(output(1)), at(30)).task
    assert task.status is Status.COLLECTING
    assert with_audio(task, 1).status is Status.SUCCEEDED


def test_a_link_dies_when_it_says_so_else_with_the_time_to_live_that_was_asked_for() -> None:
    told_by_link = replace(output(0), link_expires_at=at(99))
    task = by_callback(asking_inline(submitted(3, ttl_seconds=600)), says(told_by_link, output(1)), at(40)).task
    task = by_callback(task, says(replace(output(2), link=None, inline="SUQz")), at(50)).task
    assert [result.link_expires_at for result in task.results] == [at(99), at(640), None]
    assert task.results[2].inline
    assert by_callback(submitted(), says(output()), at(40)).task.results[0].link_expires_at is None


def test_a_cost_told_for_the_whole_task_is_kept_beside_those_of_its_results() -> None:
    task = by_callback(submitted(2), says(output(0)), at(1)).task
    assert task.cost_micros == 150_000
    assert by_callback(task, says(output(1)), at(2)).task.cost_micros == 300_000
    assert by_poll(task, says(output(0), cost_micros=290_000), at(3)).cost_micros == 290_000


# ---------------------------------------------------------------- early callbacks


@pytest.mark.parametrize("make", [lambda: sending(new_task()), unknown], ids=["queued", "unknown"])
def test_a_callback_proves_that_the_submit_arrived(make: Callable[[], Task]) -> None:
    change = by_callback(make(), says(output()), at(3))
    assert types(change)[:2] == [EventType.CALLBACK_RECEIVED, EventType.TASK_SUBMITTED]
    assert change.task.status is Status.COLLECTING
    assert (change.task.submitted_at, change.task.unknown_since) == (START, None)
    assert flaws(change.task) == []


def test_an_early_failure_makes_the_task_submitted_and_its_poll_due_at_once() -> None:
    change = by_callback(sending(new_task()), says(failures=1), at(3))
    assert (change.task.status, change.task.due_at) == (Status.SUBMITTED, at(3))
    assert flaws(change.task) == []


def test_a_callback_that_only_says_something_is_being_made_is_evidence_and_nothing_else() -> None:
    change = by_callback(unknown(), says(pending=True), at(3))
    assert (change.task.status, change.task.due_at) == (Status.SUBMITTED, at(3 + PLAN.first))
    assert verdicts(change) == [Verdict.SETTLED]


# ---------------------------------------------------------------- failures by callback


def test_a_failure_told_by_a_callback_alone_only_makes_the_poll_due() -> None:
    change = by_callback(submitted(), says(failures=1), at(40))
    assert (change.task.status, change.task.errors) == (Status.SUBMITTED, ())
    assert (change.task.work, change.task.due_at) == (Work.POLL, at(40))
    assert (change.task.doubt, change.task.doubt_since) == (BROKEN, at(40))
    assert not TERMINAL_EVENTS & set(types(change))


def test_a_second_failure_by_callback_asks_again_and_the_doubt_counts_from_the_first() -> None:
    task = by_callback(submitted(2), says(failures=1), at(40)).task
    task = by_poll(task, says(output(0)), at(41))
    assert task.due_at == at(56)
    again = by_callback(task, says(failures=2), at(50)).task
    assert (again.due_at, again.doubt_since) == (at(50), at(40))


def test_a_failure_beside_the_last_result_is_asked_about() -> None:
    task = by_callback(submitted(), says(output(), failures=1), at(40)).task
    assert (task.status, task.work, task.due_at) == (Status.COLLECTING, Work.POLL, at(40))
    assert flaws(task) == []


@pytest.mark.parametrize("make", [lambda: cancel(submitted(), at(5)).task, lost], ids=["cancelled", "lost"])
def test_a_failure_by_callback_changes_nothing_after_the_end(make: Callable[[], Task]) -> None:
    task = make()
    change = by_callback(task, says(failures=1), at(50))
    assert change.task == replace(task, callbacks=task.callbacks + 1)


# ---------------------------------------------------------------- the provider's own answer


def test_a_failure_the_provider_answers_with_fails_the_task() -> None:
    _, settled = asked(submitted(), says(failures=1), at(130))
    assert settled is not None
    assert (settled.task.status, settled.task.errors) == (Status.FAILED, (BROKEN,))
    assert (settled.task.settled_at, settled.task.completed_at) == (at(130), at(130))
    assert types(settled) == [EventType.TASK_FAILED]
    assert flaws(settled.task) == []


def test_an_answer_with_results_and_failures_for_all_settles_the_task_as_partial_to_be() -> None:
    task = by_poll(submitted(3), says(output(0), failures=2), at(130))
    assert (task.status, len(task.results), task.errors) == (Status.COLLECTING, 1, (BROKEN, BROKEN))
    assert with_audio(task).status is Status.PARTIAL


def test_an_answer_that_shows_a_failure_beside_something_pending_waits_for_the_rest() -> None:
    task = by_poll(submitted(3), says(output(0), failures=1, pending=True), at(130))
    assert (task.status, task.errors, task.quiet_since) == (Status.SUBMITTED, (BROKEN,), None)
    task = by_poll(task, says(output(0), output(1), failures=1), at(145))
    assert task.status is Status.COLLECTING


def test_a_result_by_callback_and_the_failures_the_provider_told_of_make_up_the_whole() -> None:
    task = by_poll(submitted(2), says(failures=1, pending=True), at(130))
    task = by_callback(task, says(output(1)), at(131)).task
    assert task.status is Status.COLLECTING


def test_failures_of_a_later_answer_replace_those_of_an_earlier_one() -> None:
    task = by_poll(submitted(4), says(failures=1, pending=True), at(130))
    task = by_poll(task, says(failures=2, pending=True), at(145))
    assert task.errors == (BROKEN, BROKEN)


def test_what_we_could_not_fetch_stays_told_when_the_provider_tells_of_failures() -> None:
    task = by_callback(asking_inline(submitted(2)), says(replace(output(0), link=None, inline="!")), at(10)).task
    unavailable = replace(BROKEN, code=ErrorCode.ARTIFACT_UNAVAILABLE)
    task = by_poll(replace(task, errors=(unavailable,)), says(failures=1, pending=True), at(130))
    assert task.errors == (unavailable, BROKEN)
    assert task.status is Status.COLLECTING


def test_one_error_for_a_batch_is_believed_only_when_it_has_stayed_so() -> None:
    batch = says(failures=1)
    task = by_poll(submitted(4), batch, at(130))
    assert (task.status, task.quiet_since, task.due_at) == (Status.SUBMITTED, at(130), at(130) + QUIET)
    task = by_poll(task, batch, at(140))
    assert task.status is Status.SUBMITTED
    task = by_poll(task, batch, at(160))
    assert (task.status, task.errors) == (Status.FAILED, (BROKEN,))
    assert flaws(task) == []


def test_a_quiet_that_is_told_in_other_bytes_each_time_is_a_quiet_all_the_same() -> None:
    def signed(number: int) -> Reading:
        return says(replace(output(0), link=f"{output(0).link}?signature={number}"), failures=1)

    task = by_poll(submitted(4), signed(1), at(130))
    task = by_poll(task, signed(2), at(145))
    assert (task.status, task.quiet_since, task.due_at) == (Status.SUBMITTED, at(130), at(160))
    task = by_poll(task, signed(3), at(160))
    assert (task.status, len(task.results)) == (Status.COLLECTING, 1)


def test_a_quiet_begins_anew_when_something_happens() -> None:
    task = by_poll(submitted(4), says(failures=1), at(130))
    task = by_poll(task, says(output(0), failures=1), at(150))
    assert (task.status, task.quiet_since) == (Status.SUBMITTED, at(150))
    task = by_poll(task, says(output(0), failures=1, pending=True), at(185))
    assert (task.status, task.quiet_since) == (Status.SUBMITTED, None)
    task = by_poll(task, says(output(0), failures=1), at(190))
    assert (task.status, task.quiet_since) == (Status.SUBMITTED, at(190))


def test_a_failure_answered_while_collecting_settles_nothing_again() -> None:
    task = look_now(collecting(2), at(20))
    _, settled = asked(task, says(output(0), failures=1), at(21))
    assert settled is not None
    assert settled.task.status is Status.COLLECTING
    assert (told(settled.task), settled.task.quiet_since) == (["audio-0", "audio-1"], None)
    assert types(settled) == [EventType.RESULT_FAILED], "the one that only a callback told"
    assert flaws(settled.task) == []


def test_an_acknowledgement_that_carries_the_result_settles_the_task_like_a_poll() -> None:
    change = settle(submitted(), stored(Via.SUBMIT, at(1)), says(output()), at(1), settle_rules())
    assert (change.task.status, change.task.results[0].via) == (Status.COLLECTING, Via.SUBMIT)
    assert change.task.callbacks == 0


# ---------------------------------------------------------------- repeats


def test_a_duplicate_is_counted_and_changes_nothing_else() -> None:
    task = submitted()
    change = duplicate(task, stored(Via.CALLBACK, at(41), serial=2, duplicate_of=UUID(int=1)), at(41))
    assert change.task == replace(task, callbacks=1)
    assert types(change) == [EventType.CALLBACK_DUPLICATE]
    assert verdicts(change) == [Verdict.DUPLICATE]


def test_a_known_result_told_again_in_other_bytes_changes_nothing_but_the_count() -> None:
    task = by_callback(submitted(2), says(output(0)), at(10)).task
    change = by_callback(task, says(output(0), pending=True), at(11))
    assert change.task == replace(task, callbacks=2)
    assert types(change) == [EventType.CALLBACK_RECEIVED]


def test_the_same_output_twice_in_one_body_is_one_result() -> None:
    assert told(by_callback(submitted(2), says(output(0), output(0)), at(10)).task) == ["audio-0"]


def test_a_poll_that_repeats_what_callbacks_told_changes_nothing() -> None:
    task = collecting(2)
    task = look_now(task, at(20))
    after = by_poll(task, says(output(0), output(1)), at(21))
    assert after.results == task.results
    assert after.status is Status.COLLECTING


def test_a_later_report_fills_in_what_the_first_left_out() -> None:
    bare = replace(output(), seed=None, cost_micros=None)
    task = by_callback(submitted(2), says(bare), at(10)).task
    [result] = by_callback(task, says(output()), at(11)).task.results
    assert (result.seed, result.cost_micros) == (41, 150_000)


def test_a_later_report_that_leaves_something_out_takes_nothing_away() -> None:
    task = by_callback(submitted(2), says(output()), at(10)).task
    [result] = by_poll(task, says(replace(output(), seed=None, cost_micros=None)), at(130)).results
    assert (result.seed, result.cost_micros) == (41, 150_000)


# ---------------------------------------------------------------- conflicts


@pytest.mark.parametrize(
    "other",
    [
        replace(output(), link="https://am.provider.example/another.mp3"),
        replace(output(), link="https://elsewhere.example/0.mp3"),
        replace(output(), seed=7),
        replace(output(), link=None, inline="SUQz"),
    ],
    ids=["path", "host", "seed", "inline"],
)
def test_a_callback_that_differs_from_what_is_known_is_a_conflict_and_the_provider_is_asked(other: Output) -> None:
    task = by_callback(submitted(2), says(output()), at(10)).task
    change = by_callback(task, says(other), at(11))
    assert change.task.results == task.results
    assert verdicts(change) == [Verdict.CONFLICT]
    assert EventType.CALLBACK_CONFLICT in types(change)
    assert (change.task.work, change.task.due_at) == (Work.POLL, at(11))


def test_a_fresh_signature_of_the_same_link_is_no_conflict() -> None:
    task = by_callback(submitted(2), says(output()), at(10)).task
    signed = replace(output(), link=f"{output().link}?Expires=1&Signature=x")
    change = by_callback(task, says(signed), at(11))
    assert verdicts(change) == [Verdict.SETTLED]
    assert change.task.results[0].link == output().link


def test_in_a_conflict_the_providers_own_answer_wins_while_the_audio_is_still_to_be_had() -> None:
    wrong = replace(output(), link=f"{output().link}.wrong", seed=1, cost_micros=1)
    task = by_callback(submitted(), says(wrong), at(10)).task
    task = by_callback(task, says(output()), at(11)).task
    assert (task.status, task.work, task.due_at) == (Status.COLLECTING, Work.POLL, at(11))
    [result] = by_poll(task, says(output()), at(12)).results
    assert (result.link, result.seed, result.cost_micros) == (output().link, 41, 150_000)
    assert (result.via, result.artifact.due_at) == (Via.POLL, at(12))
    assert result.id != task.results[0].id, "whoever fetches the wrong one must not store it as the right one"


def test_a_link_the_provider_answers_with_replaces_inline_audio_of_a_callback() -> None:
    task = by_callback(submitted(), says(replace(output(), link=None, inline="SUQz")), at(10)).task
    [result] = by_poll(look_now(task, at(11)), says(output()), at(12)).results
    assert (result.inline, result.link) == (False, output().link)


def test_audio_that_is_stored_is_never_fetched_anew() -> None:
    task = with_audio(by_callback(submitted(2), says(output()), at(10)).task)
    task = by_poll(task, says(replace(output(), link=f"{output().link}?again")), at(130))
    assert task.results[0].link == output().link
    assert task.results[0].artifact.due_at is None


def test_a_callback_does_not_overwrite_a_cost_the_provider_answered_with() -> None:
    task = by_poll(submitted(2), says(output(0), pending=True, cost_micros=150_000), at(10))
    assert by_callback(task, says(output(1), cost_micros=9), at(11)).task.told_cost_micros == 150_000


# ---------------------------------------------------------------- foreign names, foreign hosts, too many


def test_a_report_that_names_another_task_is_set_aside_whole() -> None:
    task = submitted()
    named = frozenset({str(task.id), "22222222-2222-4222-8222-222222222222"})
    change = by_callback(task, says(output(), named=named), at(40))
    assert change.task == replace(task, callbacks=1, due_at=at(40))
    assert verdicts(change) == [Verdict.QUARANTINED]
    assert types(change) == [EventType.CALLBACK_RECEIVED, EventType.CALLBACK_QUARANTINED]


def test_the_providers_own_id_of_a_task_is_no_foreign_name() -> None:
    task = submitted(recovery=Recovery.LOOKUP)
    task = by_poll(task, says(output(), named=frozenset({GENERATION})), at(130), Recovery.LOOKUP)
    assert task.status is Status.COLLECTING


def test_a_poll_answer_that_names_another_task_moves_nothing_and_polling_goes_on() -> None:
    answer = says(output(), named=frozenset({"another"}))
    first, second = asked(submitted(), answer, at(130))
    assert second is not None
    assert second.task == first.task
    assert (second.task.status, second.task.work) == (Status.SUBMITTED, Work.POLL)
    assert verdicts(second) == [Verdict.QUARANTINED]


@pytest.mark.parametrize(
    "make", [lambda: sending(new_task()), submitted, unknown], ids=["queued", "submitted", "unknown"]
)
def test_a_callback_that_says_nothing_is_set_aside_and_proves_nothing(make: Callable[[], Task]) -> None:
    task = make()
    change = by_callback(task, NOTHING, at(3))
    assert change.task.status is task.status
    assert verdicts(change) == [Verdict.QUARANTINED]
    if task.work is Work.POLL:
        assert (change.task.due_at or START) <= at(3)


def test_a_report_that_cannot_be_read_is_set_aside_and_the_provider_is_asked() -> None:
    change = quarantine(submitted(), stored(Via.CALLBACK, at(40)), "unreadable: NaN", at(41))
    assert (change.task.due_at, change.task.callbacks) == (at(41), 1)
    assert change.rulings[0].reason == "unreadable: NaN"


def test_a_link_elsewhere_is_not_fetched_until_the_provider_confirms_it() -> None:
    elsewhere = replace(output(), link="https://cdn.elsewhere.example/0.mp3")
    change = by_callback(submitted(), says(elsewhere), at(40))
    assert (change.task.status, change.task.results) == (Status.SUBMITTED, ())
    assert (change.task.work, change.task.due_at) == (Work.POLL, at(40))
    assert verdicts(change) == [Verdict.QUARANTINED]
    confirmed = by_poll(change.task, says(elsewhere), at(41))
    assert (confirmed.status, confirmed.results[0].link) == (Status.COLLECTING, elsewhere.link)
    assert confirmed.results[0].via is Via.POLL


def test_a_callback_with_more_results_than_were_asked_for_gives_the_first_and_asks_the_provider() -> None:
    change = by_callback(submitted(), says(output(0), output(1)), at(40))
    assert told(change.task) == ["audio-0"]
    assert (change.task.status, change.task.work, change.task.due_at) == (Status.COLLECTING, Work.POLL, at(40))
    assert verdicts(change) == [Verdict.QUARANTINED]


def test_what_the_provider_names_takes_the_place_of_what_only_a_callback_did() -> None:
    task = by_callback(submitted(2), says(output(8)), at(10)).task
    task = by_callback(task, says(output(0)), at(11)).task
    assert task.status is Status.COLLECTING
    over = by_callback(task, says(output(1)), at(12)).task
    assert (told(over), over.work) == (["audio-8", "audio-0"], Work.POLL)
    _, change = asked(over, says(output(0), output(1)), at(13))
    assert change is not None
    assert told(change.task) == ["audio-1", "audio-0"]
    assert change.task.results[0].id != over.results[0].id
    assert types(change) == [EventType.RESULT_FAILED, EventType.RESULT_RECEIVED]
    assert change.events[0].data["result_id"] == str(over.results[0].id)
    assert flaws(change.task) == []


def test_of_an_answer_with_more_results_than_were_asked_for_only_so_many_are_collected() -> None:
    _, change = asked(submitted(2), says(*map(output, range(3))), at(130))
    assert change is not None
    assert told(change.task) == ["audio-0", "audio-1"]
    assert verdicts(change) == [Verdict.QUARANTINED]


def test_an_unknown_word_is_set_aside_and_counted_and_polling_goes_on() -> None:
    _, change = asked(submitted(), says(oddities=("status archived",)), at(130))
    assert change is not None
    assert (change.task.status, change.task.work) == (Status.SUBMITTED, Work.POLL)
    assert change.rulings[0].reason == "unknown form: status archived"


# ---------------------------------------------------------------- after the end


@pytest.mark.parametrize(
    "ended",
    [cancel(submitted(2), at(5)).task, fail(submitted(2), REFUSED, at(5)).task],
    ids=["cancelled", "failed"],
)
@pytest.mark.parametrize("via", ["callback", "poll"])
def test_a_late_result_is_recorded_and_collected_and_moves_nothing(ended: Task, via: str) -> None:
    if via == "callback":
        task = by_callback(ended, says(output(), cost_micros=150_000), at(50)).task
    else:
        report = stored(Via.POLL, at(50))
        task = settle(ended, report, says(output(), cost_micros=150_000), at(50), settle_rules()).task
    [result] = task.results
    assert (task.status, task.completed_at, task.errors) == (ended.status, ended.completed_at, ended.errors)
    assert (result.late, result.artifact.due_at, task.cost_micros) == (True, at(50), 150_000)
    assert flaws(task) == []
    after = with_audio(task)
    assert (after.status, after.results[0].artifact.status) == (ended.status, ArtifactStatus.STORED)


def test_a_failure_the_provider_answers_with_after_the_end_changes_nothing() -> None:
    ended = cancel(submitted(), at(5)).task
    assert settle(ended, stored(Via.POLL, at(50)), says(failures=1), at(50), settle_rules()).task == ended


def test_a_result_of_a_lost_task_reopens_it() -> None:
    change = by_callback(lost(), says(output()), LATE)
    assert types(change) == [
        EventType.CALLBACK_RECEIVED,
        EventType.RESULT_RECEIVED,
        EventType.TASK_FOUND,
        EventType.TASK_SETTLED,
    ]
    task = change.task
    assert (task.status, task.completed_at, task.errors, task.settled_at) == (Status.COLLECTING, None, (), LATE)
    assert not task.results[0].late
    assert flaws(task) == []
    assert with_audio(task).status is Status.SUCCEEDED


def test_what_a_lost_task_is_found_with_decides_how_it_ends() -> None:
    report = stored(Via.POLL, LATE)
    task = settle(lost(3), report, says(output(0), failures=2), LATE, settle_rules()).task
    assert (task.status, task.errors) == (Status.COLLECTING, (BROKEN, BROKEN))
    task = by_callback(task, says(output(2)), LATE).task
    assert len(task.results) == 2
    task = with_audio(with_audio(task), 1)
    assert task.status is Status.PARTIAL


def test_a_lost_task_that_was_never_known_to_be_submitted_was_so_once_it_is_found() -> None:
    never = replace(lost(), submitted_at=None, unknown_since=at(2))
    assert by_callback(never, says(output()), LATE).task.submitted_at == at(2)


def test_a_doubtful_callback_gets_a_lost_task_one_look() -> None:
    elsewhere = replace(output(), link="https://cdn.elsewhere.example/0.mp3")
    task = by_callback(lost(), says(elsewhere), LATE).task
    assert (task.status, task.work, task.due_at) == (Status.LOST, Work.POLL, LATE)
    found = by_poll(task, says(elsewhere), LATE)
    assert found.status is Status.COLLECTING
    assert flaws(found) == []


# ---------------------------------------------------------------- the end


@pytest.mark.parametrize(
    ("statuses", "expected", "status", "event"),
    [
        (["stored", "stored"], 2, Status.SUCCEEDED, EventType.TASK_SUCCEEDED),
        (["stored", "failed"], 2, Status.PARTIAL, EventType.TASK_PARTIAL),
        (["stored"], 2, Status.PARTIAL, EventType.TASK_PARTIAL),
        (["expired", "stored", "failed"], 3, Status.PARTIAL, EventType.TASK_PARTIAL),
        (["failed", "expired"], 2, Status.FAILED, EventType.TASK_FAILED),
    ],
)
def test_a_task_ends_by_what_lies_in_our_storage(
    statuses: list[str], expected: int, status: Status, event: EventType
) -> None:
    task = collecting(expected)
    results = tuple(
        replace(result, artifact=replace(result.artifact, status=ArtifactStatus(word), due_at=None))
        for result, word in zip(task.results, statuses, strict=False)
    )
    change = complete(replace(task, results=results), at(60))
    assert (change.task.status, change.task.completed_at, types(change)) == (status, at(60), [event])
    assert flaws(change.task) == []
    assert change.events[0].data.get("code") == ("artifact_unavailable" if status is Status.FAILED else None)


def test_a_task_does_not_end_while_an_artifact_is_pending() -> None:
    task = collecting(2)
    assert complete(task, at(60)) == Change(task)


def test_a_task_whose_audio_was_all_stored_before_it_settled_ends_at_once() -> None:
    task = with_audio(by_callback(submitted(2), says(output(0)), at(10)).task)
    _, change = asked(task, says(output(0), failures=1), at(130))
    assert change is not None
    assert change.task.status is Status.PARTIAL
    assert types(change) == [EventType.TASK_SETTLED, EventType.TASK_PARTIAL]
    assert flaws(change.task) == []


def test_settling_with_nothing_at_all_fails_with_a_reason() -> None:
    change = finish(submitted(), at(60))
    assert change.task.status is Status.FAILED
    assert [error.code for error in change.task.errors] == [ErrorCode.UNKNOWN]


def test_settling_twice_keeps_the_first_time() -> None:
    task = collecting()
    assert finish(replace(task, status=Status.SUBMITTED), at(99)).task.settled_at == task.settled_at


def test_a_task_is_asked_about_only_where_there_is_something_to_ask() -> None:
    queued, resending = new_task(), by_poll(unknown(), NOTHING, at(3))
    assert look_now(queued, at(5)) == queued
    assert resending.work is Work.SUBMIT
    assert look_now(resending, at(5)) == resending
    ended = fail(submitted(), REFUSED, at(5)).task
    assert look_now(ended, at(6)) == ended


def test_asking_at_once_never_puts_off_a_look_that_is_due_already() -> None:
    assert look_now(replace(submitted(), due_at=at(10)), at(50)).due_at == at(10)
