from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from receiver.domain.asking import AFTER_DEATH, ask_later, look_now
from receiver.domain.attempt import Unclear
from receiver.domain.collection import collected
from receiver.domain.erasure import erase
from receiver.domain.errors import ErrorCode
from receiver.domain.event import EventType
from receiver.domain.looking import (
    DOUBT,
    DOUBT_INTERVAL,
    LAST_TRIES,
    MOST_FRUITLESS_LOOKS,
    Found,
    look_failed,
    looked,
    looked_up,
    overdue,
)
from receiver.domain.operation import cancel, refresh
from receiver.domain.report import Reading, Via
from receiver.domain.result import ArtifactStatus
from receiver.domain.settlement import quarantine
from receiver.domain.submission import RESEND_WITHIN
from receiver.domain.task import Change, Recovery, Status, Task, Work
from tests.domain.making import (
    BROKEN,
    DEADLINE,
    GENERATION,
    LOOKUPS,
    LOST_AFTER,
    NOTHING,
    PLAN,
    START,
    answered,
    asked,
    at,
    by_callback,
    by_poll,
    collecting,
    flaws,
    kept,
    look_rules,
    lost,
    new_report,
    new_task,
    output,
    says,
    sending,
    stored,
    submitted,
    types,
    unknown,
)

RESEND, LOOKUP = Recovery.RESEND, Recovery.LOOKUP
GIVE_UP = START + DEADLINE + LOST_AFTER


def failed_look(task: Task, seconds: float, retry_after: timedelta | None = None) -> Task:
    return look_failed(task, at(seconds), look_rules(), "no answer", retry_after=retry_after).task


def searched(task: Task, seconds: float, found: Found | None = None) -> Change:
    return looked_up(task, found, at(seconds), look_rules(LOOKUP))


# ---------------------------------------------------------------- polls


def test_a_pending_answer_is_counted_and_told_once_but_not_stored() -> None:
    first, settled = asked(submitted(), says(pending=True), at(120))
    assert settled is None
    assert (first.task.status, first.task.polls) == (Status.SUBMITTED, 1)
    assert (first.task.work, first.task.due_at) == (Work.POLL, at(135))
    assert types(first) == [EventType.POLL_ANSWERED]
    again, _ = asked(first.task, says(pending=True), at(135))
    assert (again.task.polls, again.task.due_at, again.events) == (2, at(157.5), ())


def test_an_equal_answer_is_counted_and_makes_no_second_report() -> None:
    answer = says(output(0), pending=True)
    _, settled = asked(submitted(2), answer, at(120))
    assert settled is not None
    again, none = asked(settled.task, answer, at(135))
    assert none is None
    assert again.task.polls == 2
    assert again.task.results == settled.task.results


def test_answers_are_cumulative_and_each_result_is_known_once() -> None:
    task = submitted(3)
    for shown in range(1, 4):
        task = by_poll(task, says(*map(output, range(shown)), pending=shown < 3), at(100 + 20 * shown))
        assert len(task.results) == shown
    assert (task.status, task.polls) == (Status.COLLECTING, 3)


def test_an_answer_about_an_overdue_task_keeps_the_slow_pace() -> None:
    task = by_poll(replace(submitted(), overdue=True), says(pending=True), at(2000))
    assert task.due_at == at(2000 + PLAN.overdue)


def test_an_answer_about_a_submitted_task_that_says_nothing_proves_nothing() -> None:
    task = by_poll(submitted(), NOTHING, at(120))
    assert (task.status, task.polls, task.due_at) == (Status.SUBMITTED, 1, at(135))


@pytest.mark.parametrize("answer", [NOTHING, says(pending=True), says(output())], ids=["silent", "pending", "same"])
def test_an_answer_that_finds_the_task_settled_leaves_nothing_to_ask(answer: Reading) -> None:
    task = look_now(collecting(), at(20))
    assert task.work is Work.POLL
    after = by_poll(task, answer, at(21))
    assert (after.status, after.work, after.due_at) == (Status.COLLECTING, None, None)


@pytest.mark.parametrize("answer", [NOTHING, says(pending=True)], ids=["silent", "pending"])
def test_an_answer_that_does_not_know_what_callbacks_disagree_about_is_asked_for_again_until_the_deadline(
    answer: Reading,
) -> None:
    task = by_callback(collecting(), says(output(1)), at(20)).task
    after = by_poll(task, answer, at(21))
    assert (after.status, after.work) == (Status.COLLECTING, Work.POLL)
    assert (after.due_at or START) > at(21)
    end = by_poll(after, answer, START + DEADLINE)
    assert (end.work, end.due_at) == (None, None)


def test_a_question_asked_before_a_callback_told_of_a_failure_does_not_answer_it() -> None:
    task = by_callback(submitted(), says(failures=1), at(40)).task
    report = new_report(says(pending=True), at(41), 1)
    before = looked(task, says(pending=True), report, at(41), look_rules(), asked_at=at(39)).task
    assert (before.doubt, before.due_at) == (BROKEN, at(41)), "it is asked again at once"
    after = looked(task, says(pending=True), report, at(41), look_rules(), asked_at=at(40)).task
    assert after.doubt is None
    assert (after.due_at or START) > at(41)


def test_a_question_asked_before_callbacks_disagreed_is_asked_again() -> None:
    task = by_callback(collecting(), says(output(1)), at(40)).task
    report = new_report(says(output(0)), at(41), 1)
    before = looked(task, says(output(0)), report, at(41), look_rules(), asked_at=at(39)).task
    assert (before.work, before.due_at) == (Work.POLL, at(41))
    after = looked(task, says(output(0)), report, at(41), look_rules(), asked_at=at(40)).task
    assert (after.work, after.doubt) == (None, None)


def test_a_task_that_ends_without_all_its_results_names_the_reason() -> None:
    task = replace(submitted(2), overdue=True, due_at=START + DEADLINE + LOST_AFTER + DEADLINE)
    task = by_callback(task, says(output(0)), at(10)).task
    change = overdue(task, START + DEADLINE + LOST_AFTER, LOST_AFTER)
    assert change is not None
    assert change.task.status is Status.COLLECTING
    assert [error.code for error in change.task.errors] == [ErrorCode.TIMEOUT]


def test_a_task_whose_provider_cannot_be_asked_any_more_is_given_up_in_time_all_the_same() -> None:
    task = replace(submitted(), overdue=True)
    end = START + DEADLINE + LOST_AFTER
    assert overdue(task, end, LOST_AFTER) is None, "a look is due, so the provider is asked first"
    change = overdue(task, end, LOST_AFTER, askable=False)
    assert change is not None
    assert change.task.status is Status.LOST


@pytest.mark.parametrize("answer", [NOTHING, says(pending=True), says(output()), says(failures=1)])
def test_an_answer_about_a_task_that_has_ended_is_only_counted(answer: Reading) -> None:
    ended = by_poll(submitted(), says(failures=1), at(5))
    assert ended.status is Status.FAILED
    assert asked(ended, answer, at(6)) == (Change(replace(ended, polls=2)), None)


@pytest.mark.parametrize("answer", [NOTHING, says(pending=True)], ids=["silent", "pending"])
def test_an_answer_about_a_cancelled_task_that_tells_of_no_outcome_is_only_counted(answer: Reading) -> None:
    ended = cancel(submitted(), at(5)).task
    assert asked(ended, answer, at(6)) == (Change(replace(ended, polls=1)), None)


def test_an_answer_that_was_under_way_when_its_task_was_cancelled_still_tells_its_result_and_what_it_cost() -> None:
    ended = cancel(submitted(2), at(5)).task
    first, settled = asked(ended, says(output(0), failures=1), at(6))
    assert types(first) == [EventType.POLL_ANSWERED]
    assert settled is not None
    assert (settled.task.status, settled.task.completed_at) == (Status.CANCELLED, ended.completed_at)
    assert [(result.identity, result.late) for result in settled.task.results] == [("audio-0", True)]
    assert (settled.task.cost_micros, settled.task.work) == (150_000, None)
    assert flaws(settled.task) == []
    again, none = asked(settled.task, says(output(0), failures=1), at(7))
    assert (again.events, none) == ((), None), "an equal one is no news"


# ---------------------------------------------------------------- unknown, where the id is ours


def unheard() -> Task:
    """A task whose answer was lost and that the provider does not know: to be sent again."""
    return by_poll(unknown(), NOTHING, at(3))


def test_a_submit_nobody_knows_of_is_sent_again_at_once() -> None:
    task = unheard()
    assert (task.status, task.work, task.due_at) == (Status.UNKNOWN, Work.SUBMIT, at(3))
    assert sending(task, at(3)).attempts == 2


@pytest.mark.parametrize("answer", [says(pending=True), says(output()), says(oddities=("status x",))])
def test_any_word_of_the_provider_proves_that_the_first_submit_arrived(answer: Reading) -> None:
    first, _ = asked(unknown(), answer, at(3))
    assert (first.task.status, first.task.submitted_at) == (Status.SUBMITTED, START)
    assert types(first)[0] is EventType.TASK_SUBMITTED
    assert flaws(first.task) == []


def test_after_ten_minutes_it_is_only_asked_about_and_slowly() -> None:
    late = START + RESEND_WITHIN + timedelta(seconds=1)
    task = by_poll(unknown(), NOTHING, late)
    assert (task.status, task.work) == (Status.UNKNOWN, Work.POLL)
    assert task.due_at == late + timedelta(seconds=PLAN.overdue)


def test_it_is_sent_and_asked_about_in_turn_until_ten_minutes_have_passed() -> None:
    task, sent = unknown(), []
    while task.work is not Work.SUBMIT or (task.due_at or START) - START <= RESEND_WITHIN:
        now = task.due_at or START
        if task.work is Work.SUBMIT:
            task = answered(sending(task, now), Unclear("read timeout"), now + timedelta(seconds=60)).task
            sent.append(now)
        else:
            task = by_poll(task, NOTHING, now)
        if now - START > RESEND_WITHIN:
            break
    assert len(sent) > 5
    assert max(sent) <= START + RESEND_WITHIN
    assert (task.status, task.work) == (Status.UNKNOWN, Work.POLL)


def test_silence_while_it_is_being_sent_again_leaves_that_alone() -> None:
    task = sending(unheard(), at(3))
    after = by_poll(task, NOTHING, at(4))
    assert (after.work, after.due_at, after.attempt_open_since) == (Work.SUBMIT, at(3), at(3))


def test_a_submit_that_would_be_billed_twice_is_not_sent_again_whatever_an_answer_says() -> None:
    task = unknown(LOOKUP)
    assert by_poll(task, NOTHING, at(3), LOOKUP) == replace(task, polls=1)


# ---------------------------------------------------------------- unknown, where a log is searched


def test_a_log_that_does_not_name_the_task_is_searched_again_at_the_documented_times() -> None:
    task, times = unknown(LOOKUP), []
    while task.status is Status.UNKNOWN:
        assert task.due_at is not None
        times.append(task.due_at - START)
        task = searched(task, (task.due_at - START).total_seconds()).task
    assert tuple(times) == LOOKUPS
    assert task.status is Status.LOST
    assert [error.code for error in task.errors] == [ErrorCode.UNKNOWN]
    assert task.polls == len(LOOKUPS)
    assert flaws(task) == []


def test_a_submit_whose_searches_a_stop_left_out_is_searched_for_as_often_and_as_far_apart_after_it() -> None:
    task, times = unknown(LOOKUP), []
    back = timedelta(hours=6)
    task = replace(task, due_at=START + back)
    while task.status is Status.UNKNOWN:
        assert task.due_at is not None
        times.append(task.due_at - START)
        task = searched(task, (task.due_at - START).total_seconds()).task
    assert times == [back + wait - LOOKUPS[0] for wait in LOOKUPS]
    assert (task.status, task.polls) == (Status.LOST, len(LOOKUPS))


def test_searches_that_a_short_stop_left_out_are_made_up_for_after_the_last_moment() -> None:
    task, times = searched(unknown(LOOKUP), 15).task, []
    task = replace(task, due_at=at(400))
    while task.status is Status.UNKNOWN:
        assert task.due_at is not None
        times.append((task.due_at - START).total_seconds())
        task = searched(task, times[-1]).task
    assert times == [400, 1800, 3600, 3600 + 1800]


def test_a_submit_that_the_log_names_is_submitted_with_that_id_and_looked_at_at_once() -> None:
    change = searched(unknown(LOOKUP), 60, Found(GENERATION))
    task = change.task
    assert (task.status, task.provider_task_id, task.submitted_at) == (Status.SUBMITTED, GENERATION, START)
    assert (task.work, task.due_at, task.doubt) == (Work.POLL, at(60), None)
    assert types(change) == [EventType.TASK_SUBMITTED]


def test_a_submit_that_the_log_names_as_failed_fails_with_the_providers_words_or_without() -> None:
    task = searched(unknown(LOOKUP), 60, Found(GENERATION, failed=True)).task
    assert (task.status, task.due_at) == (Status.SUBMITTED, at(60))
    told = by_poll(task, replace(says(failures=1), named=frozenset({GENERATION})), at(61), LOOKUP)
    assert (told.status, told.errors) == (Status.FAILED, (BROKEN,))
    silent = by_poll(by_poll(task, NOTHING, at(61), LOOKUP), NOTHING, at(121), LOOKUP)
    assert silent.status is Status.FAILED
    assert [error.code for error in silent.errors] == [ErrorCode.PROVIDER]


def test_a_search_that_failed_is_repeated_soon_and_ends_nothing() -> None:
    late = replace(unknown(LOOKUP), due_at=START + LOOKUPS[-1])
    change = look_failed(late, START + LOOKUPS[-1], look_rules(LOOKUP), "no answer")
    assert (change.task.status, change.task.work) == (Status.UNKNOWN, Work.LOOKUP)
    assert change.task.due_at == START + LOOKUPS[-1] + timedelta(seconds=1)


def test_a_search_that_finds_the_task_moved_on_changes_nothing() -> None:
    moved = submitted(recovery=LOOKUP)
    assert searched(moved, 60, Found("another")) == Change(moved)
    assert searched(moved, 60) == Change(moved)


def test_a_lost_task_is_searched_for_once_more_when_asked_and_found_or_left_alone() -> None:
    given_up = searched(replace(unknown(LOOKUP), polls=len(LOOKUPS) - 1), 3600).task
    task = refresh(given_up, at(7200)).task
    assert (task.status, task.work, task.due_at) == (Status.LOST, Work.LOOKUP, at(7200))
    assert searched(task, 7201).task == replace(given_up, polls=task.polls + 1)
    found = searched(task, 7201, Found(GENERATION)).task
    assert (found.status, found.work, found.provider_task_id) == (Status.LOST, Work.POLL, GENERATION)
    done = by_poll(found, replace(says(output()), named=frozenset({GENERATION})), at(7202), LOOKUP)
    assert (done.status, done.submitted_at) == (Status.COLLECTING, START)
    assert flaws(done) == []


# ---------------------------------------------------------------- a failure that a callback told


def doubted(count: int = 1) -> Task:
    """A task of which a callback told a failure at 40 seconds."""
    return by_callback(submitted(count), says(failures=1), at(40)).task


def test_a_failure_by_callback_is_believed_after_a_minute_of_silence() -> None:
    task, now = doubted(), at(40)
    while task.status is Status.SUBMITTED:
        now = task.due_at or now
        task = by_poll(task, NOTHING, now)
    assert DOUBT <= now - at(40) <= DOUBT + DOUBT_INTERVAL
    assert (task.status, task.errors) == (Status.FAILED, (BROKEN,))
    assert flaws(task) == []


def test_a_look_that_came_to_nothing_says_why() -> None:
    task = look_failed(submitted(), at(40), look_rules(), "HTTP 503").task
    assert (task.tries, task.fault) == (1, "HTTP 503")
    task = look_failed(task, at(50), look_rules(), "no connection").task
    assert task.fault == "no connection"
    assert by_poll(task, says(pending=True), at(60)).fault is None
    assert erase(task, at(60)).task.fault is None


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("HTTP 500: \x00\u202e\ud800 odd\n", "HTTP 500: odd"),
        ("x" * 301, "x" * 299 + "…"),
        ("\x1b" * 5000 + "far away", ""),
    ],
    ids=["odd", "long", "nothing to show"],
)
def test_a_reason_is_kept_as_one_short_line_that_any_database_takes(words: str, kept: str) -> None:
    assert look_failed(submitted(), at(40), look_rules(), words).task.fault == kept


def test_a_failure_by_callback_is_believed_after_a_minute_without_any_answer() -> None:
    task, now = doubted(), at(40)
    while task.status is Status.SUBMITTED:
        now = task.due_at or now
        task = look_failed(task, now, look_rules(), "no answer").task
    assert now - at(40) >= DOUBT
    assert (task.status, task.errors) == (Status.FAILED, (BROKEN,))


def test_a_failure_by_callback_is_forgotten_when_the_provider_says_it_is_still_at_work() -> None:
    task = by_poll(doubted(), says(pending=True), at(41))
    assert (task.doubt, task.doubt_since) == (None, None)
    assert by_poll(task, NOTHING, at(500)).status is Status.SUBMITTED


def test_a_failure_of_one_among_several_is_never_believed_and_hurries_nobody_for_longer_than_a_minute() -> None:
    task = by_poll(doubted(4), NOTHING, at(41))
    assert task.due_at == at(41) + DOUBT_INTERVAL
    task = by_poll(task, NOTHING, at(40) + DOUBT)
    assert (task.status, task.due_at) == (Status.SUBMITTED, at(40) + DOUBT + timedelta(seconds=22.5))
    day = by_poll(task, NOTHING, START + LOST_AFTER)
    assert day.status is Status.SUBMITTED


def test_a_doubt_does_not_override_how_long_the_provider_asks_to_be_left_alone() -> None:
    assert failed_look(doubted(), 41, timedelta(minutes=5)).due_at == at(341)


# ---------------------------------------------------------------- no answer


def test_looks_that_fail_are_repeated_later_and_later() -> None:
    task, waits = submitted(), []
    for _ in range(7):
        now = task.due_at or START
        task = look_failed(task, now, look_rules(), "no answer").task
        waits.append(((task.due_at or now) - now).total_seconds())
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert task.polls == 0


def test_a_look_that_fails_after_the_task_moved_on_makes_nothing_due() -> None:
    for task in (collecting(), cancel(submitted(), at(5)).task, unheard(), lost()):
        assert failed_look(task, 50) == task


def test_a_look_for_a_fresh_link_is_repeated_until_it_is_answered() -> None:
    task = failed_look(look_now(collecting(), at(20)), 21)
    assert (task.status, task.work, task.due_at) == (Status.COLLECTING, Work.POLL, at(22))


def test_a_lost_task_is_looked_at_once_and_not_for_ever() -> None:
    task = refresh(lost(), GIVE_UP).task
    assert (task.work, task.due_at) == (Work.POLL, GIVE_UP)
    for answer in (NOTHING, says(pending=True)):
        after = by_poll(task, answer, GIVE_UP)
        assert (after.status, after.work, after.due_at) == (Status.LOST, None, None)
    tries = 0
    while task.work is not None:
        task = look_failed(task, task.due_at or GIVE_UP, look_rules(), "no answer").task
        tries += 1
    assert (task.status, tries, task.tries) == (Status.LOST, LAST_TRIES, 0)


# ---------------------------------------------------------------- deadlines


def test_a_task_past_its_deadline_is_marked_once_and_goes_on() -> None:
    change = overdue(submitted(), START + DEADLINE, LOST_AFTER)
    assert change is not None
    assert (change.task.status, change.task.overdue) == (Status.SUBMITTED, True)
    assert types(change) == [EventType.TASK_OVERDUE]
    assert overdue(change.task, START + DEADLINE + timedelta(hours=23), LOST_AFTER) is None
    assert flaws(change.task) == []


def test_a_task_before_its_deadline_is_not_overdue() -> None:
    assert overdue(submitted(), START + DEADLINE - timedelta(seconds=1), LOST_AFTER) is None


@pytest.mark.parametrize("make", [new_task, collecting, lambda: cancel(submitted(), at(5)).task, lost])
def test_what_does_not_wait_for_the_provider_is_never_overdue(make: Callable[[], Task]) -> None:
    assert overdue(make(), GIVE_UP, LOST_AFTER) is None


@pytest.mark.parametrize(("make", "code"), [(submitted, ErrorCode.TIMEOUT), (unknown, ErrorCode.UNKNOWN)])
def test_a_task_is_lost_a_day_after_its_deadline_and_not_before(make: Callable[[], Task], code: ErrorCode) -> None:
    task = replace(make(), overdue=True, due_at=GIVE_UP + timedelta(minutes=5))
    assert overdue(task, GIVE_UP - timedelta(seconds=1), LOST_AFTER) is None
    change = overdue(task, GIVE_UP, LOST_AFTER)
    assert change is not None
    assert (change.task.status, change.task.completed_at) == (Status.LOST, GIVE_UP)
    assert [error.code for error in change.task.errors] == [code]
    assert types(change) == [EventType.TASK_LOST]
    assert flaws(change.task) == []


def test_a_task_with_a_result_is_not_lost_but_ends_with_what_there_is() -> None:
    task = by_callback(submitted(2), says(output()), at(10)).task
    change = overdue(replace(task, due_at=GIVE_UP + timedelta(minutes=5)), GIVE_UP, LOST_AFTER)
    assert change is not None
    assert (change.task.status, len(change.task.results)) == (Status.COLLECTING, 1)
    assert types(change) == [EventType.TASK_OVERDUE, EventType.TASK_SETTLED]
    assert flaws(change.task) == []


def with_one_of_two() -> Task:
    return by_callback(submitted(2), says(output(0)), at(10)).task


@pytest.mark.parametrize("make", [submitted, unknown, lambda: unknown(LOOKUP), with_one_of_two])
def test_after_a_long_stop_of_ours_the_provider_is_asked_before_a_task_is_given_up(make: Callable[[], Task]) -> None:
    task = make()
    marked = overdue(task, GIVE_UP, LOST_AFTER)
    assert marked is not None
    assert marked.task == replace(task, overdue=True)
    assert overdue(marked.task, GIVE_UP, LOST_AFTER) is None
    # Our own network may come up after us: that nothing could be asked says nothing about the task.
    in_vain = look_failed(marked.task, GIVE_UP, look_rules(), "no answer").task
    assert overdue(in_vain, GIVE_UP, LOST_AFTER) is None
    answered_at = in_vain.due_at or GIVE_UP
    silent = replace(in_vain, tries=0, due_at=answered_at + timedelta(minutes=5))
    ended = overdue(silent, answered_at, LOST_AFTER)
    assert ended is not None
    assert ended.task.status is (Status.COLLECTING if task.results else Status.LOST)


@pytest.mark.parametrize("make", [submitted, unknown, lambda: unknown(LOOKUP), with_one_of_two])
def test_a_task_that_nobody_can_be_asked_about_for_another_day_is_given_up_all_the_same(
    make: Callable[[], Task],
) -> None:
    task, now = replace(make(), overdue=True, due_at=GIVE_UP), GIVE_UP
    while overdue(task, now, LOST_AFTER) is None:
        now = task.due_at or now
        task = look_failed(task, now, look_rules(), "no answer").task
    assert abs(now - GIVE_UP - timedelta(days=1)) < timedelta(minutes=5)
    assert task.tries == MOST_FRUITLESS_LOOKS


def test_after_a_long_stop_of_ours_a_result_the_provider_still_has_is_taken_in() -> None:
    marked = overdue(with_one_of_two(), GIVE_UP, LOST_AFTER)
    assert marked is not None
    task = by_poll(marked.task, says(output(0), output(1)), GIVE_UP)
    assert (task.status, len(task.results)) == (Status.COLLECTING, 2)


# ---------------------------------------------------------------- what is news


def test_an_answer_whose_report_was_set_aside_unread_is_news_until_what_it_tells_is_known() -> None:
    answer = says(output(0), failures=1)
    first, _ = asked(submitted(3), answer, at(120))
    report = stored(Via.POLL, at(120))
    task = quarantine(first.task, report, "reading it was begun twice and never finished", at(121)).task
    again, settled = asked(task, answer, at(135))
    assert again.events == (), "it is no other answer"
    assert settled is not None
    assert [result.identity for result in settled.task.results] == ["audio-0"]
    assert asked(settled.task, answer, at(150))[1] is None


def test_what_killed_its_reader_is_not_asked_for_again_at_once() -> None:
    task = submitted()
    assert ask_later(task, at(115)).due_at == at(115) + AFTER_DEATH
    assert ask_later(cancel(task, at(5)).task, at(115)) == cancel(task, at(5)).task


def test_a_lost_task_is_found_again_by_an_answer_that_was_set_aside_when_it_first_came() -> None:
    first, _ = asked(submitted(), says(output()), at(120))
    task = quarantine(first.task, stored(Via.POLL, at(120)), "error: ZeroDivisionError", at(121)).task
    given_up = overdue(replace(task, overdue=True, due_at=GIVE_UP + DEADLINE), GIVE_UP, LOST_AFTER)
    assert given_up is not None
    assert given_up.task.status is Status.LOST
    found = by_poll(refresh(given_up.task, GIVE_UP).task, says(output()), GIVE_UP)
    assert (found.status, len(found.results)) == (Status.COLLECTING, 1)


@pytest.mark.parametrize(
    "answer",
    [says(output(), named=frozenset({"another"})), says(oddities=("status archived",))],
    ids=["foreign", "odd"],
)
def test_an_answer_that_cannot_be_used_is_stored_once_however_often_it_comes(answer: Reading) -> None:
    _, second = asked(submitted(), answer, at(120))
    assert second is not None
    assert asked(second.task, answer, at(135))[1] is None


def test_the_same_answer_is_news_again_once_callbacks_have_told_something_else() -> None:
    answer = says(output(0), failures=1)
    task = by_poll(submitted(2), answer, at(120))
    forged = by_callback(task, says(output(8)), at(121)).task
    assert {result.identity for result in forged.results} == {"audio-0", "audio-8"}
    _, settled = asked(forged, answer, at(122))
    assert settled is not None
    standing = [r.identity for r in settled.task.results if r.artifact.status is ArtifactStatus.PENDING]
    assert standing == ["audio-0"]
    assert settled.task.doubt is None
    assert asked(settled.task, answer, at(123))[1] is None


def test_a_doubt_after_the_end_outlives_a_provider_that_is_away_and_rests_at_the_deadline() -> None:
    ended = collected(collecting(), collecting().results[0].id, kept(collecting()), at(20))
    assert ended is not None
    task = by_callback(ended.task, says(output(1)), at(30)).task
    assert (task.status, task.work) == (Status.SUCCEEDED, Work.POLL)
    now = at(30)
    while task.work is not None:
        now = task.due_at or now
        assert task.doubt is not None
        task = look_failed(task, now, look_rules(), "no answer").task
    assert START + DEADLINE <= now < START + DEADLINE + timedelta(minutes=1)
    assert (task.status, task.doubt) == (Status.SUCCEEDED, None)
    assert flaws(task) == []
