"""A provider whose submits get no clear answer: when it rests, how long, and what finds out that it is well again."""

from datetime import UTC, datetime, timedelta

from receiver.domain.attempt import Accepted, NotSent, Unclear
from receiver.lifecycle.submit import Reception

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
SLOTS = 8


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def after(answers: int) -> tuple[Reception, list[timedelta | None]]:
    """Return what so many submits, begun together and answered one after the other, make of a provider."""
    reception = Reception()
    return reception, [reception.note(Unclear("503"), START, at(number)) for number in range(answers)]


def test_the_fifth_unclear_answer_in_a_row_begins_a_rest() -> None:
    _, rests = after(5)
    assert rests == [None] * 4 + [timedelta(seconds=5)]


def test_what_was_under_way_when_a_rest_began_makes_it_no_longer() -> None:
    _, rests = after(13)
    assert [rest for rest in rests if rest is not None] == [timedelta(seconds=5)]


def test_each_submit_that_finds_nothing_out_makes_the_rest_longer() -> None:
    reception, _ = after(5)
    assert reception.note(Unclear("503"), at(10), at(11)) == timedelta(seconds=10)
    assert reception.note(Unclear("503"), at(30), at(31)) == timedelta(seconds=20)


def test_one_submit_at_a_time_finds_out() -> None:
    reception, _ = after(5)
    assert reception.most(SLOTS, SLOTS) == 1
    assert reception.most(SLOTS - 1, SLOTS) == 0


def test_a_clear_answer_ends_it_and_one_that_was_never_sent_tells_nothing() -> None:
    reception, _ = after(5)
    assert reception.note(NotSent("no connection"), at(10), at(11)) is None
    assert reception.most(SLOTS, SLOTS) == 1
    assert reception.note(Accepted("id"), at(20), at(21)) is None
    assert reception.most(3, SLOTS) == 3
    assert reception.note(Unclear("503"), at(30), at(31)) is None
