"""Callbacks, polls, acknowledgements, downloads, deaths, time and the user, in every order and again.

``world`` checks the four promises at every step, so most tests here only have to go through many sequences.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.domain.result import ArtifactStatus
from receiver.domain.task import Change, Recovery, Status
from tests.domain.making import output
from tests.domain.world import CALLBACKS, STEPS, World, begun, counted, drain, moved, run


def steadily(examples: int) -> settings:
    """The same cases on every machine and every day: what fails here fails for whoever looks at it."""
    return settings(max_examples=examples, derandomize=True, deadline=None, database=None)


#: How a task can come to stand where the race begins.
STANDS: dict[str, list[str]] = {
    "sending": ["begin"],
    "submitted": ["begin", "accepted"],
    "unknown": ["begin", "unclear"],
    "being sent again": ["begin", "unclear", "poll, silent", "begin"],
    "doubted": ["begin", "accepted", "error"],
    "collecting": ["begin", "accepted", "all"],
    "lost": ["begin", "accepted", "a deadline", "a day", "poll, silent", "sweep"],
    "cancelled": ["begin", "cancel"],
}
TRUTHS = [(True,), (False,), (True, True), (True, False), (True, False, True, True)]
#: What an honest provider and our own faults can bring about, none of which may change how a task ends.
HONEST = [
    *("begin", "accepted", "unclear", "not sent", "newest accepted", "newest unclear", "die", "abandoned"),
    *("good 0", "good 1", "good 2", "good 3", "all", "processing", "make", "poll", "poll, held", "poll, signed anew"),
    *("poll, silent", "poll, odd", "settle held", "settle held, last", "look failed", "named in the log"),
    *("fetch", "stored", "faltered", "sweep", "refresh", "6 seconds", "61 seconds"),
]
#: What somebody with the task's URL can add to that, on the provider's own host.
FORGED = ["conflicting", "stranger", "too many", "foreign host", "unreadable", "empty", "odd"]
#: Steps whose repetition at once is a repetition, and not one thing more.
REPEATABLE = {*CALLBACKS, *(name for name in STEPS if name.startswith("poll") and "held" not in name)}
REPEATABLE |= {"named in the log", "failed in the log", "not in the log", "sweep", "cancel", "refresh", "abandoned"}

recoveries = st.sampled_from([Recovery.RESEND, Recovery.RESEND, Recovery.LOOKUP])
truths = st.lists(st.booleans(), min_size=1, max_size=4).map(tuple)
stands = st.sampled_from(sorted(STANDS))


def paths(names: Iterable[str], longest: int = 30) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(names)), max_size=longest)


def fate(world: World) -> tuple[object, ...]:
    """How it stands with a task, without when it is next looked at and how often it was."""
    task = world.task
    results = [(r.identity, r.via, r.link, r.seed, r.artifact.status) for r in task.results]
    known = (task.provider_task_id, task.cost_micros, task.errors, task.doubt, task.overdue, task.work)
    times = (task.submitted_at, task.settled_at, task.completed_at, task.deadline_at, task.unknown_since)
    return (task.status, results, known, times)


def explored(start: World, names: Iterable[str], depth: int) -> int:
    """Go through every sequence of steps up to a length, each state once; return how many steps were made."""
    steps = [(name, STEPS[name]) for name in names]
    seen, frontier, made = {start.key()}, [(start, [""])], 0
    for _ in range(depth):
        reached = []
        for world, path in frontier:
            for name, step in steps:
                try:
                    after = counted(step(world))
                except AssertionError as error:
                    error.add_note(f"after {start.truth}: {', '.join([*path[1:], name])}")
                    raise
                if after is None:
                    continue
                made += 1
                if after.key() not in seen:
                    seen.add(after.key())
                    reached.append((after, [*path, name]))
        frontier = reached
    return made


# ---------------------------------------------------------------- every order


@pytest.mark.parametrize("stand", STANDS)
@pytest.mark.parametrize("truth", [(True,), (True, False)], ids=["one-result", "two-results"])
def test_whatever_two_things_happen_next_the_promises_are_kept(stand: str, truth: tuple[bool, ...]) -> None:
    assert explored(run(begun(truth), STANDS[stand]), STEPS, depth=2) > 100


@pytest.mark.parametrize("stand", [["begin"], ["begin", "accepted"], ["begin", "unclear"]])
def test_whatever_two_things_happen_next_to_what_is_never_sent_twice_the_promises_are_kept(stand: list[str]) -> None:
    assert explored(run(begun((True,), Recovery.LOOKUP), stand), STEPS, depth=2) > 100


@pytest.mark.parametrize("truth", [(True,), (True, True)], ids=["one-result", "two-results"])
def test_the_core_of_the_race_keeps_its_promises_in_every_order_of_five_things(truth: tuple[bool, ...]) -> None:
    answers = ["accepted", "unclear", "good 0", "good 1", "error", "poll", "poll, silent"]
    start = run(begun(truth), ["begin", *(["make"] * len(truth))])
    assert explored(start, [*answers, "begin", "61 seconds", "stored"], depth=5) > 1000


@pytest.mark.parametrize(
    ("truth", "arriving", "status"),
    [
        ((True,), ["accepted", "good 0", "good 0", "poll", "poll"], Status.SUCCEEDED),
        ((True, True), ["accepted", "good 0", "good 1", "good 0", "poll", "refresh"], Status.SUCCEEDED),
        ((True, False), ["accepted", "good 0", "error", "error", "poll", "poll"], Status.PARTIAL),
        ((False,), ["accepted", "error", "error", "poll", "poll, silent", "unclear"], Status.FAILED),
        ((True,), ["unclear", "poll, silent", "begin", "newest accepted", "good 0", "poll"], Status.SUCCEEDED),
        ((True,), ["accepted", "stranger", "foreign name", "empty", "poll", "poll"], Status.SUCCEEDED),
    ],
    ids=["one", "two", "one-of-two", "none", "lost-answer", "strangers"],
)
def test_the_order_in_which_the_same_things_arrive_does_not_matter(
    truth: tuple[bool, ...], arriving: list[str], status: Status
) -> None:
    start = run(begun(truth), ["begin", *(["make"] * len(truth))])
    for order in sorted(set(permutations(arriving))):
        after = run(start, order)
        end = drain(after, kind=True).task
        assert end.status is status, order
        if "stranger" not in arriving:
            told = {f"audio-{number}" for number, comes in enumerate(truth) if comes}
            assert {result.identity for result in end.results} == told, order
            assert end.cost_micros == (150_000 * len(told) or None), order


# ---------------------------------------------------------------- long lives


@steadily(300)
@given(truth=truths, recovery=recoveries, stand=stands, path=paths(STEPS))
def test_whatever_happens_the_promises_are_kept_and_in_the_end_the_task_ends(
    truth: tuple[bool, ...], recovery: Recovery, stand: str, path: list[str]
) -> None:
    world = run(begun(truth, recovery), [*STANDS[stand], *path])
    end = drain(world, kind=True)
    assert end.task.attempt_open_since is None
    assert end.task.work is None


@steadily(16)
@given(truth=truths, recovery=recoveries, stand=stands, path=paths(STEPS, 8))
def test_a_task_ends_even_if_nobody_ever_answers_again(
    truth: tuple[bool, ...], recovery: Recovery, stand: str, path: list[str]
) -> None:
    drain(run(begun(truth, recovery), [*STANDS[stand], *path]), kind=False)


@steadily(300)
@given(truth=truths, recovery=recoveries, path=paths(HONEST))
def test_our_own_faults_and_lost_duplicated_or_late_reports_do_not_change_how_a_task_ends(
    truth: tuple[bool, ...], recovery: Recovery, path: list[str]
) -> None:
    end = drain(run(begun(truth, recovery), path), kind=True).task
    expected = Status.SUCCEEDED if all(truth) else Status.PARTIAL if any(truth) else Status.FAILED
    assert end.status is expected
    stored = {r.identity for r in end.results if r.artifact.status is ArtifactStatus.STORED}
    assert stored == {f"audio-{number}" for number, comes in enumerate(truth) if comes}


@steadily(300)
@given(truth=truths, recovery=recoveries, path=paths(set(STEPS) - {"a day"}), data=st.data())
def test_a_sequence_ends_the_same_with_any_of_its_reports_repeated(
    truth: tuple[bool, ...], recovery: Recovery, path: list[str], data: st.DataObject
) -> None:
    repeats = data.draw(st.lists(st.integers(1, 3), min_size=len(path), max_size=len(path)))
    repeated = [
        each
        for name, times in zip(path, repeats, strict=True)
        for each in [name] * (times if name in REPEATABLE else 1)
    ]
    assert fate(run(begun(truth, recovery), path)) == fate(run(begun(truth, recovery), repeated))


@steadily(300)
@given(truth=truths.filter(lambda truth: any(truth) and truth.count(False) <= 1), path=paths([*HONEST, *FORGED]))
def test_no_forged_result_stands_once_the_genuine_callbacks_are_there(
    truth: tuple[bool, ...], path: list[str]
) -> None:
    genuine = [f"good {number}" for number, comes in enumerate(truth) if comes]
    genuine += [] if all(truth) else ["error"]
    end = drain(run(begun(truth), ["begin", "accepted", *path, *genuine]), kind=True).task
    stored = [result for result in end.results if result.artifact.status is ArtifactStatus.STORED]
    audio = {result.identity: (result.link or "").partition("?")[0] for result in stored}
    wrong = {name: link for name, link in audio.items() if link != _links(truth).get(name)}
    assert wrong == {}
    assert set(audio) == set(_links(truth))
    assert end.status is (Status.SUCCEEDED if all(truth) else Status.PARTIAL)


@steadily(300)
@given(truth=truths.filter(any), path=paths([*HONEST, *FORGED], 12))
def test_no_forged_result_stands_against_what_the_provider_has_answered(
    truth: tuple[bool, ...], path: list[str]
) -> None:
    told = run(begun(truth), ["begin", "accepted", *(["make"] * len(truth)), "poll"])
    end = drain(run(told, path), kind=True).task
    stored = {r.identity for r in end.results if r.artifact.status is ArtifactStatus.STORED}
    assert stored == {name for name, link in _links(truth).items() if link}


def _links(truth: tuple[bool, ...]) -> dict[str, str | None]:
    """The links of what was truly made, by the identity of each."""
    return {output(number).identity: output(number).link for number, comes in enumerate(truth) if comes}


@steadily(100)
@given(truth=truths, recovery=recoveries, path=paths(STEPS))
def test_the_same_sequence_has_the_same_end(truth: tuple[bool, ...], recovery: Recovery, path: list[str]) -> None:
    assert run(begun(truth, recovery), path) == run(begun(truth, recovery), path)


# ---------------------------------------------------------------- the model itself


def test_every_step_of_the_model_can_happen() -> None:
    worlds = [
        run(begun(truth, recovery), [*stand, "make", "poll, held"])
        for stand in [
            *STANDS.values(),
            ["begin", "accepted", "a deadline"],
            ["begin", "begin", "poll, silent", "begin"],
        ]
        for truth in TRUTHS
        for recovery in Recovery
    ]
    never = {name for name, step in STEPS.items() if all(step(world) is None for world in worlds)}
    assert never == set()
    assert max(len(world.flights) for world in worlds) == 2


def test_the_model_notices_a_promise_that_is_broken() -> None:
    ended = run(begun((True,)), ["begin", "accepted", "all", "stored"])
    earlier = run(begun((True,)), ["begin", "accepted"])
    with pytest.raises(AssertionError):
        moved(ended, Change(earlier.task))
    with pytest.raises(AssertionError, match="waits for nothing"):
        moved(earlier, Change(replace(earlier.task, work=None, due_at=None)))
