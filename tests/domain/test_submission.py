from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import pytest

from receiver.domain.attempt import (
    Accepted,
    Attempt,
    AttemptOutcome,
    NotSent,
    Paused,
    Refused,
    SubmitOutcome,
    Unclear,
)
from receiver.domain.errors import ErrorCode
from receiver.domain.event import EventType
from receiver.domain.operation import cancel
from receiver.domain.submission import (
    FIRST_RECOVERY_LOOK,
    RESEND_WITHIN,
    begin,
    conclude,
    evidence,
    fail,
    interrupt,
)
from receiver.domain.task import Change, Recovery, Status, Task, Work
from tests.domain.making import (
    BUSY,
    DEADLINE,
    GENERATION,
    LOOKUPS,
    LOST_AFTER,
    NOTHING,
    PLAN,
    QUEUE_MAX,
    REFUSED,
    START,
    TASK_ID,
    accepted,
    answered,
    at,
    by_callback,
    by_poll,
    flaws,
    lost,
    new_task,
    output,
    says,
    sending,
    submit_rules,
    submitted,
    types,
    unknown,
)

RESEND, LOOKUP = Recovery.RESEND, Recovery.LOOKUP
#: What a task waits for while nobody knows whether its submit arrived.
RECOVERY_WORK = {RESEND: Work.POLL, LOOKUP: Work.LOOKUP}


# ---------------------------------------------------------------- the crash matrix

# The state a task is in when the outcome of its latest attempt comes to be known; the attempt is always open, except
# in "lease lost", where somebody else found it open and took it for dead.


def _queued(recovery: Recovery) -> Task:
    return sending(new_task(2, recovery), recovery=recovery)


def _lease_lost(recovery: Recovery) -> Task:
    change = begin(_queued(recovery), at(120), submit_rules(recovery), pushed=True)
    assert change is not None
    return change.task


def _sent_again(recovery: Recovery) -> Task:
    task = by_poll(unknown(recovery, 2), NOTHING, at(3), recovery)
    return sending(task, at(3), recovery)


def _early_result(recovery: Recovery) -> Task:
    return by_callback(_queued(recovery), says(output(0)), at(1)).task


def _early_results(recovery: Recovery) -> Task:
    return by_callback(_queued(recovery), says(output(0), output(1)), at(1)).task


def _early_failure(recovery: Recovery) -> Task:
    return by_callback(_queued(recovery), says(failures=1), at(1)).task


def _cancelled(recovery: Recovery) -> Task:
    return cancel(_queued(recovery), at(1)).task


def _failed(recovery: Recovery) -> Task:
    return fail(_queued(recovery), REFUSED, at(1)).task


def _lost(recovery: Recovery) -> Task:
    return replace(lost(2), attempt_open_since=START, provider_task_id=_queued(recovery).provider_task_id)


BEFORE: dict[str, Callable[[Recovery], Task]] = {
    "queued": _queued,
    "lease lost": _lease_lost,
    "sent again": _sent_again,
    "early result": _early_result,
    "early results": _early_results,
    "early failure": _early_failure,
    "cancelled": _cancelled,
    "failed": _failed,
    "lost": _lost,
}
OUTCOMES: dict[str, SubmitOutcome | None] = {
    "accepted": Accepted(None),
    "refused": Refused(REFUSED),
    "paused": Paused(BUSY),
    "not sent": NotSent("no route"),
    "unclear": Unclear("read timeout"),
    "killed": None,
}
WORDS = {
    "accepted": AttemptOutcome.ACCEPTED,
    "refused": AttemptOutcome.REFUSED,
    "paused": AttemptOutcome.PAUSED,
    "not sent": AttemptOutcome.NOT_SENT,
    "unclear": AttemptOutcome.UNCLEAR,
    "killed": AttemptOutcome.INTERRUPTED,
}
#: What the task is afterwards and what it waits for; "ask" is a poll or a look-up, by the provider's recovery.
MATRIX = """
before        accepted       refused        paused          not sent        unclear         killed
queued        submitted:poll failed         queued:submit   queued:submit   unknown:ask     unknown:ask
lease lost    submitted:poll failed         queued:submit   queued:submit   unknown:ask     unknown:ask
sent again    submitted:poll failed         unknown:submit  unknown:submit  unknown:ask     unknown:ask
early result  submitted:poll submitted:poll submitted:poll  submitted:poll  submitted:poll  submitted:poll
early results collecting     collecting     collecting      collecting      collecting      collecting
early failure submitted:poll failed         submitted:poll  submitted:poll  submitted:poll  submitted:poll
cancelled     cancelled      cancelled      cancelled       cancelled       cancelled       cancelled
failed        failed         failed         failed          failed          failed          failed
lost          lost:poll      lost           lost            lost            lost            lost
"""
ROWS = {line[:14].strip(): line[14:].split() for line in MATRIX.strip().splitlines()[1:]}
#: Where a second submit would be billed there is none, and who does not call back does not call early.
ONLY_RESEND = {"sent again", "early result", "early results", "early failure"}
CASES = [
    pytest.param(recovery, before, outcome, after, id=f"{recovery}-{before}-{outcome}".replace(" ", "_"))
    for recovery in Recovery
    for before, row in ROWS.items()
    for outcome, after in zip(OUTCOMES, row, strict=True)
    if recovery is RESEND or before not in ONLY_RESEND
]


def _happens(task: Task, name: str, recovery: Recovery) -> Change:
    """Let the outcome of the latest attempt come to be known."""
    rules = submit_rules(recovery)
    outcome = OUTCOMES[name]
    if isinstance(outcome, Accepted):
        outcome = accepted(recovery)
    if outcome is not None:
        attempt = Attempt(task.attempts, task.attempt_open_since or START, http_status=200)
        return conclude(task, outcome, at(130), rules, attempt=attempt)
    # Whoever leases it next finds the attempt open; where nothing is to be submitted any more, the sweep does.
    task = task if task.attempt_open_since is not None else replace(task, attempt_open_since=START)
    change = begin(task, at(130), rules, pushed=True) or interrupt(task, at(130), rules)
    assert change is not None
    return change


@pytest.mark.parametrize(("recovery", "before", "outcome", "expected"), CASES)
def test_the_crash_matrix(recovery: Recovery, before: str, outcome: str, expected: str) -> None:
    task = BEFORE[before](recovery)

    change = _happens(task, outcome, recovery)

    after = change.task
    work = None if after.work is None else "ask" if after.work is RECOVERY_WORK[recovery] else after.work.value
    work = "poll" if work == "ask" and after.status is not Status.UNKNOWN else work
    assert ":".join(filter(None, (after.status.value, work))) == expected
    assert after.attempt_open_since is None
    assert change.attempt is not None
    assert (change.attempt.ordinal, change.attempt.outcome) == (task.attempts, WORDS[outcome])
    assert change.attempt.ended_at == at(130)
    assert types(change).count(EventType.ATTEMPT_MADE) == 1
    assert types(change)[0] is EventType.ATTEMPT_MADE
    assert after.results == task.results
    assert flaws(after) == []


def test_the_matrix_has_a_row_for_every_state_it_can_begin_in_and_a_column_for_every_outcome() -> None:
    assert list(ROWS) == list(BEFORE)
    assert MATRIX.split("\n")[1].split()[1:] == " ".join(OUTCOMES).split()
    assert [flaws(make(RESEND)) for make in BEFORE.values()] == [[]] * len(BEFORE)


def test_no_outcome_and_no_crash_sends_a_second_time_where_that_would_be_billed_twice() -> None:
    for before, make in BEFORE.items():
        if before in ONLY_RESEND:
            continue
        for outcome in OUTCOMES:
            task = _happens(make(LOOKUP), outcome, LOOKUP).task
            again = begin(task, at(3600), submit_rules(LOOKUP), pushed=False)
            # Only what provably never left, or was refused for now, is sent again.
            proven = before in {"queued", "lease lost"} and outcome in {"paused", "not sent"}
            assert (again is not None and again.attempt is not None) == proven, (before, outcome)


# ---------------------------------------------------------------- the intent


def test_an_intent_is_queued_and_due_at_once() -> None:
    task = new_task()
    assert (task.status, task.work, task.due_at) == (Status.QUEUED, Work.SUBMIT, START)
    assert flaws(task) == []


def test_an_attempt_is_opened_before_anything_is_sent_and_numbered_from_one() -> None:
    change = begin(new_task(), at(1), submit_rules(), pushed=True)
    assert change is not None
    assert change.attempt == Attempt(ordinal=1, started_at=at(1))
    assert (change.task.attempts, change.task.attempt_open_since, change.task.pushed) == (1, at(1), True)
    assert change.task.status is Status.QUEUED


@pytest.mark.parametrize("make", [submitted, lost], ids=["submitted", "lost"])
def test_nothing_is_sent_for_a_task_that_is_not_to_be_submitted(make: Callable[[], Task]) -> None:
    assert begin(make(), at(1), submit_rules(), pushed=True) is None


def test_a_task_stays_pushed_when_a_later_attempt_gives_no_callback_url() -> None:
    waiting = answered(sending(new_task()), NotSent("no route"), at(1)).task
    change = begin(waiting, at(5), submit_rules(), pushed=False)
    assert change is not None
    assert change.task.pushed


def test_a_task_that_was_queued_too_long_fails_as_not_sent() -> None:
    change = begin(new_task(), START + QUEUE_MAX + timedelta(seconds=1), submit_rules(), pushed=True)
    assert change is not None
    assert change.attempt is None
    assert change.task.status is Status.FAILED
    assert [error.code for error in change.task.errors] == [ErrorCode.NOT_SENT]
    assert change.task.errors[0].retryable
    assert types(change) == [EventType.TASK_FAILED]
    assert flaws(change.task) == []


def test_the_last_pause_of_a_task_that_was_queued_too_long_is_told_with_its_failure() -> None:
    late = START + QUEUE_MAX + timedelta(seconds=1)
    change = answered(sending(new_task()), Paused(BUSY), late)
    assert change.task.status is Status.FAILED
    assert [error.code for error in change.task.errors] == [ErrorCode.RATE, ErrorCode.NOT_SENT]


def test_an_attempt_found_open_is_never_a_reason_to_queue_again_however_old_the_task_is() -> None:
    change = begin(sending(new_task()), START + 2 * QUEUE_MAX, submit_rules(), pushed=True)
    assert change is not None
    assert change.task.status is Status.UNKNOWN


# ---------------------------------------------------------------- not sent, paused


def test_what_was_not_sent_is_tried_again_later_and_later() -> None:
    task, waits = new_task(), []
    for _ in range(9):
        now = task.due_at or START
        task = answered(sending(task, now), NotSent("no route"), now).task
        waits.append(((task.due_at or now) - now).total_seconds())
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize(
    ("outcome", "why"), [(NotSent("no route"), "no route"), (Paused(BUSY), BUSY.message)], ids=["not sent", "paused"]
)
def test_why_it_was_not_taken_is_known_of_the_task_itself(outcome: SubmitOutcome, why: str) -> None:
    assert answered(sending(new_task()), outcome, at(1)).task.fault == why


def test_what_was_sent_again_without_an_answer_says_why_and_a_first_one_has_nothing_before_it() -> None:
    lost = answered(sending(new_task()), Unclear("took too long"), at(1)).task
    assert (lost.status, lost.tries, lost.fault) == (Status.UNKNOWN, 0, None)
    again = answered(sending(replace(lost, work=Work.SUBMIT), at(60)), Unclear("HTTP 503"), at(61)).task
    assert (again.status, again.tries, again.fault) == (Status.UNKNOWN, 1, "HTTP 503")
    sent = sending(new_task(recovery=Recovery.LOOKUP), recovery=Recovery.LOOKUP)
    logged = answered(sent, Unclear("took too long"), at(1), Recovery.LOOKUP).task
    assert (logged.work, logged.tries, logged.fault) == (Work.LOOKUP, 0, None), "no search was made yet"


def test_what_went_wrong_before_is_forgotten_with_an_acknowledgement() -> None:
    task = answered(sending(new_task()), NotSent("no route"), at(1)).task
    assert answered(sending(task, at(2)), accepted(), at(3)).task.fault is None


def test_a_pause_lasts_at_least_as_long_as_the_provider_asked_for() -> None:
    change = answered(sending(new_task()), Paused(BUSY, retry_after=timedelta(minutes=5)), at(1))
    assert change.task.due_at == at(301)


def test_an_acknowledgement_forgets_the_failures_before_it() -> None:
    task = answered(sending(new_task()), NotSent("no route"), at(1)).task
    assert answered(sending(task, at(2)), accepted(), at(3)).task.tries == 0


# ---------------------------------------------------------------- acknowledged


def test_an_acknowledgement_starts_the_deadline_and_the_safety_poll_in_one_change() -> None:
    change = answered(sending(new_task(recovery=LOOKUP), recovery=LOOKUP), accepted(LOOKUP), at(2), LOOKUP)
    task = change.task
    assert (task.status, task.provider_task_id) == (Status.SUBMITTED, GENERATION)
    assert (task.submitted_at, task.deadline_at) == (at(2), at(2) + DEADLINE)
    assert (task.work, task.due_at) == (Work.POLL, at(2 + PLAN.first))
    assert types(change) == [EventType.ATTEMPT_MADE, EventType.TASK_SUBMITTED]


def test_an_early_callback_makes_the_task_submitted_since_its_attempt_began() -> None:
    task = by_callback(sending(new_task(2), at(5)), says(output(0)), at(6)).task
    assert (task.status, task.submitted_at, task.deadline_at) == (Status.SUBMITTED, at(5), at(5) + DEADLINE)
    assert task.attempt_open_since == at(5)


def test_a_late_acknowledgement_changes_nothing_but_the_attempt_and_the_id() -> None:
    task = by_callback(sending(new_task(2)), says(output(0)), at(1)).task
    change = answered(replace(task, provider_task_id=None), Accepted("their-id"), at(2))
    assert change.task == replace(task, attempt_open_since=None, provider_task_id="their-id")
    assert types(change) == [EventType.ATTEMPT_MADE]


def test_a_callback_that_names_an_id_we_were_not_told_yet_is_set_aside_and_the_answer_makes_a_look_due() -> None:
    early = by_callback(sending(new_task(recovery=LOOKUP), recovery=LOOKUP), says(named=frozenset({"theirs"})), at(1))
    assert [ruling.reason for ruling in early.rulings] == [
        "names a task before the provider told its id of this one: theirs"
    ]
    assert (early.task.status, early.task.callbacks) == (Status.QUEUED, 1)
    task = answered(early.task, accepted(LOOKUP), at(2), LOOKUP).task
    assert (task.status, task.work, task.due_at) == (Status.SUBMITTED, Work.POLL, at(2))


def test_the_id_that_is_known_already_is_kept() -> None:
    assert answered(sending(new_task()), Accepted("another"), at(1)).task.provider_task_id == str(TASK_ID)


def test_an_acknowledgement_of_the_first_attempt_leaves_the_second_open() -> None:
    again = sending(by_poll(unknown(), NOTHING, at(3)), at(3))
    change = conclude(again, accepted(), at(4), submit_rules(), attempt=Attempt(1, START))
    assert (change.task.status, change.task.attempt_open_since) == (Status.SUBMITTED, at(3))
    closed = interrupt(change.task, at(300), submit_rules())
    assert closed is not None
    assert (closed.task.status, closed.task.attempt_open_since) == (Status.SUBMITTED, None)


def test_an_acknowledgement_after_the_task_was_marked_overdue_takes_the_mark_back_with_the_new_deadline() -> None:
    marked = replace(unknown(), overdue=True)
    task = answered(marked, accepted(), at(1900)).task
    assert (task.overdue, task.deadline_at) == (False, at(1900) + DEADLINE)
    assert task.due_at == at(1900 + PLAN.first)


def test_evidence_of_a_submit_long_ago_keeps_the_task_overdue_and_its_slow_pace() -> None:
    marked = replace(unknown(), overdue=True)
    task = evidence(marked, at(1900), PLAN).task
    assert (task.submitted_at, task.overdue) == (START, True)
    assert task.due_at == at(1900 + PLAN.overdue)


def test_evidence_moves_no_task_that_is_known_to_be_submitted() -> None:
    task = submitted()
    assert evidence(task, at(50), PLAN) == Change(task)


def test_an_acknowledgement_of_a_task_that_was_given_up_gets_it_one_look() -> None:
    given_up = replace(lost(), provider_task_id=None)
    change = answered(given_up, accepted(LOOKUP), START + 2 * LOST_AFTER, LOOKUP)
    assert (change.task.status, change.task.provider_task_id) == (Status.LOST, GENERATION)
    assert (change.task.work, change.task.due_at) == (Work.POLL, START + 2 * LOST_AFTER)


# ---------------------------------------------------------------- refused


def test_a_refusal_fails_the_task_with_the_providers_own_words() -> None:
    change = answered(sending(new_task()), Refused(REFUSED), at(1))
    assert change.task.status is Status.FAILED
    assert change.task.errors == (REFUSED,)
    assert (change.task.settled_at, change.task.completed_at) == (at(1), at(1))
    assert types(change) == [EventType.ATTEMPT_MADE, EventType.TASK_FAILED]


def test_a_refusal_confirms_the_failure_that_an_early_callback_told() -> None:
    task = by_callback(sending(new_task(4)), says(failures=1), at(1)).task
    assert task.doubt is not None
    change = answered(task, Refused(REFUSED), at(2))
    assert (change.task.status, change.task.errors) == (Status.FAILED, (REFUSED,))
    assert flaws(change.task) == []


def test_a_refusal_of_an_earlier_attempt_does_not_end_what_a_later_one_submitted() -> None:
    again = sending(by_poll(unknown(), NOTHING, at(3)), at(3))
    task = by_callback(answered(again, accepted(), at(4)).task, says(failures=1), at(5)).task
    change = conclude(task, Refused(REFUSED), at(6), submit_rules(), attempt=Attempt(1, START))
    assert change.task.status is Status.SUBMITTED


# ---------------------------------------------------------------- unclear, killed


def test_a_lost_answer_is_asked_after_within_seconds_where_the_id_is_ours() -> None:
    change = answered(sending(new_task()), Unclear("read timeout"), at(30))
    task = change.task
    assert (task.status, task.unknown_since, task.work) == (Status.UNKNOWN, START, Work.POLL)
    assert FIRST_RECOVERY_LOOK <= (task.due_at or START) - at(30) <= FIRST_RECOVERY_LOOK + timedelta(seconds=1)
    assert task.deadline_at == START + DEADLINE
    assert types(change) == [EventType.ATTEMPT_MADE, EventType.TASK_UNKNOWN]


def test_a_lost_answer_is_searched_for_in_the_log_counted_from_the_submit() -> None:
    task = answered(sending(new_task(recovery=LOOKUP), recovery=LOOKUP), Unclear("reset"), at(2), LOOKUP).task
    assert (task.work, task.due_at) == (Work.LOOKUP, START + LOOKUPS[0])


def test_a_lost_answer_that_is_learned_of_late_is_searched_for_at_once() -> None:
    change = begin(sending(new_task(recovery=LOOKUP), recovery=LOOKUP), at(500), submit_rules(LOOKUP), pushed=False)
    assert change is not None
    assert (change.task.work, change.task.due_at) == (Work.LOOKUP, at(500))


def test_a_second_lost_answer_keeps_the_time_of_the_first_and_tells_of_it_only_once() -> None:
    again = sending(by_poll(unknown(), NOTHING, at(3)), at(3))
    change = answered(again, Unclear("reset"), at(40))
    assert change.task.unknown_since == START
    assert EventType.TASK_UNKNOWN not in types(change)


def test_a_task_is_not_sent_again_after_ten_minutes_even_if_sending_was_put_off_until_then() -> None:
    task = sending(by_poll(unknown(), NOTHING, at(3)), at(3))
    task = answered(task, Paused(BUSY, retry_after=timedelta(hours=1)), at(4)).task
    assert (task.status, task.work) == (Status.UNKNOWN, Work.SUBMIT)
    late = START + RESEND_WITHIN + timedelta(seconds=1)
    change = begin(task, late, submit_rules(), pushed=True)
    assert change is not None
    assert change.attempt is None
    assert (change.task.status, change.task.work, change.task.due_at) == (Status.UNKNOWN, Work.POLL, late)
    assert flaws(change.task) == []


@pytest.mark.parametrize("recovery", Recovery)
def test_a_pause_that_is_learned_of_late_proves_that_the_task_was_not_taken_and_it_waits_as_if_in_time(
    recovery: Recovery,
) -> None:
    pause = Paused(BUSY, retry_after=timedelta(hours=1))
    task = answered(_lease_lost(recovery), pause, at(130), recovery).task
    assert task == answered(_queued(recovery), pause, at(130), recovery).task


def test_what_was_not_sent_the_second_time_may_have_arrived_the_first_time_and_stays_unknown() -> None:
    change = begin(_sent_again(RESEND), at(123), submit_rules(), pushed=True)
    assert change is not None
    late = conclude(change.task, NotSent("no route"), at(130), submit_rules(), attempt=Attempt(2, at(3)))
    assert (late.task.status, late.task.unknown_since) == (Status.UNKNOWN, START)


def test_what_was_not_sent_the_first_time_may_have_arrived_the_second_time_and_stays_unknown() -> None:
    again = sending(by_poll(_lease_lost(RESEND), NOTHING, at(123)), at(123))
    late = conclude(again, NotSent("no route"), at(130), submit_rules(), attempt=Attempt(1, START))
    assert (late.task.status, late.task.attempt_open_since) == (Status.UNKNOWN, at(123))


def test_a_task_found_not_to_have_been_sent_when_it_was_queued_too_long_already_fails_as_not_sent() -> None:
    change = answered(_lease_lost(LOOKUP), NotSent("no route"), START + 2 * QUEUE_MAX, LOOKUP)
    assert (change.task.status, change.task.errors[-1].code) == (Status.FAILED, ErrorCode.NOT_SENT)
    assert flaws(change.task) == []


def test_a_dead_worker_leaves_no_attempt_open_on_a_task_that_an_early_callback_moved_on() -> None:
    change = interrupt(_early_results(RESEND), at(300), submit_rules())
    assert change is not None
    assert change.attempt is not None
    assert change.attempt.outcome is AttemptOutcome.INTERRUPTED
    assert (change.task.status, change.task.attempt_open_since) == (Status.COLLECTING, None)
    assert interrupt(change.task, at(301), submit_rules()) is None


def test_an_attempts_event_says_how_long_it_took_and_why_it_ended() -> None:
    attempt = Attempt(1, START, http_status=503)
    change = conclude(sending(new_task()), Unclear("HTTP 503"), at(1.25), submit_rules(), attempt=attempt)
    expected = {"attempt": 1, "outcome": "unclear", "http_status": 503, "seconds": 1.25, "detail": "HTTP 503"}
    assert MappingProxyType(dict(change.events[0].data)) == expected
