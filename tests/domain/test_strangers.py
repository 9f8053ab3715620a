"""What somebody who knows a task's URL, and nothing else, can make us do."""

from dataclasses import replace
from datetime import timedelta

import pytest

from receiver.domain.asking import LOOK_GAP, look_again
from receiver.domain.report import Output, Reading, Verdict
from receiver.domain.task import Status, Work
from tests.domain.making import at, by_callback, by_poll, output, says, submitted

INLINE = Reading(outputs=(Output("bytes", inline="UklGRg=="),))


def test_inline_audio_in_a_callback_is_not_taken_where_a_link_was_asked_for() -> None:
    change = by_callback(submitted(), INLINE, at(5))
    assert change.task.results == ()
    assert change.task.status is Status.SUBMITTED
    assert [ruling.verdict for ruling in change.rulings] == [Verdict.QUARANTINED]
    assert (change.task.work, change.task.due_at) == (Work.POLL, at(5))


@pytest.mark.parametrize("output_type", ["base64Data", "dataURI"])
def test_inline_audio_in_a_callback_is_taken_where_it_was_asked_for(output_type: str) -> None:
    task = submitted()
    task = replace(task, request=replace(task.request, output_type=output_type))
    assert len(by_callback(task, INLINE, at(5)).task.results) == 1


def test_inline_audio_in_the_providers_own_answer_is_taken_all_the_same() -> None:
    assert len(by_poll(submitted(), INLINE, at(5)).results) == 1


def test_a_look_that_strangers_make_due_is_at_once_the_first_time_and_paced_afterwards() -> None:
    task = submitted()
    assert look_again(task, at(3)).due_at == at(3)
    seen = replace(task, polls=1)
    assert look_again(seen, at(3)).due_at == at(3) + LOOK_GAP
    again = look_again(look_again(seen, at(3)), at(4))
    assert again.due_at == at(3) + LOOK_GAP, "a repeat does not postpone it"


def test_a_lifetime_beyond_all_dates_does_not_keep_a_result_from_settling() -> None:
    task = submitted(ttl_seconds=10**12)
    change = by_callback(task, says(output()), at(5))
    expires_at = change.task.results[0].link_expires_at
    assert expires_at is not None
    assert expires_at > at(5) + timedelta(days=365)
