from datetime import UTC, datetime, timedelta

import pytest

from receiver.cli.awaited import awaited
from receiver.sdk import Waiting

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("what", "message", "seconds", "words"),
    [
        ("callback", "the callback of runware", 113, "for the callback; our own look in 113 s"),
        ("callback", "the callback of runware", None, "for the callback"),
        ("poll", "our next look at runware", 12, "our next look at runware in 12 s"),
        ("poll", "our next look at runware", 0.5, "our next look at runware now"),
        ("provider", "runware refuses our key", 40, "runware refuses our key, next try in 40 s"),
        ("provider", "Invalid API key.", 5, "Invalid API key, next try in 5 s"),
        ("retry", "it did not work", 200, "it did not work, next try in 3 min 20 s"),
        ("retry", "it did not work", -3, "it did not work, next try now"),
        ("lookup", "the log is searched", 5, "the log is searched, next search in 5 s"),
        ("key", "no key is set for runware", None, "no key is set for runware"),
        ("something", "of a later version", None, "of a later version"),
    ],
)
def test_what_is_waited_for_is_said_with_the_time_of_the_next_step(
    what: str, message: str, seconds: float | None, words: str
) -> None:
    until = None if seconds is None else NOW + timedelta(seconds=seconds)
    assert awaited(Waiting(what, message, until), NOW) == words
