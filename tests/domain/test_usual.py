"""What is decided in one step is what the rules come to."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.domain.asking import DISAGREEMENT
from receiver.domain.report import Output, Reading, StoredReport, Via
from receiver.domain.settlement import settle, weigh
from receiver.domain.task import Change, Status, Task
from receiver.domain.usual import settle_usual
from tests.domain.making import (
    BROKEN,
    HOST,
    TASK_ID,
    at,
    by_callback,
    collecting,
    counted_ids,
    lost,
    output,
    says,
    settle_rules,
    stored,
    submitted,
    trusts,
    unknown,
)

ELSEWHERE = "https://elsewhere.example/0.mp3"
NAMED = frozenset({str(TASK_ID)})


def taken(task: Task, reading: Reading, report: StoredReport | None = None) -> Change | None:
    report = report or stored(Via.CALLBACK, at(40), serial=7)
    return settle_usual(task, report, reading, at(41), trusted_link=trusts, new_id=counted_ids(7))


def first_told(task: Task, number: int = 0) -> Task:
    return by_callback(task, says(output(number)), at(10)).task


def mostly(usual: object, *others: object) -> st.SearchStrategy[object]:
    return st.sampled_from([usual] * (9 * len(others)) + [*others])


waiting = [
    *(submitted(1), submitted(2), submitted(1, ttl_seconds=600), submitted(3, ttl_seconds=10**12)),
    *(first_told(submitted(2)), first_told(submitted(3), 1), first_told(first_told(submitted(4)), 2)),
]
tasks = st.builds(
    replace,
    st.sampled_from([*(waiting * 3), unknown(), unknown(count=2), lost(), lost(2), collecting(), collecting(2)]),
    polls=st.sampled_from([0, 3]),
    quiet_since=st.sampled_from([None, at(20)]),
    settled_at=st.sampled_from([None, at(30)]),
    told_cost_micros=st.sampled_from([None, 7]),
    errors=mostly((), (BROKEN,)),
    provider_task_id=mostly(str(TASK_ID), "of its own", None),
)
outputs = st.builds(
    replace,
    mostly(output(0), output(1), output(2), Output("bytes", inline="UklGRg==")),
    seed=st.sampled_from([None, 41]),
    cost_micros=st.sampled_from([None, 150_000]),
    link_expires_at=st.sampled_from([None, at(99)]),
)
readings = st.builds(
    Reading,
    outputs=st.one_of(*[st.tuples(outputs)] * 5, st.lists(outputs, max_size=3).map(tuple)),
    failures=mostly((), says(failures=1).failures),
    pending=mostly(False, True),
    oddities=mostly((), ("a word",)),
    named=mostly(NAMED, frozenset(), frozenset({"of its own"}), NAMED | {"another"}),
    cost_micros=mostly(None, 9),
)


@settings(max_examples=500, derandomize=True, deadline=None, database=None)
@given(tasks, readings, mostly(False, True), mostly(False, True), mostly(False, True))
def test_whatever_is_told_one_step_comes_to_what_the_rules_do(
    task: Task, reading: Reading, doubted: bool, elsewhere: bool, polled: bool
) -> None:
    if doubted:
        task = replace(task, doubt=DISAGREEMENT, doubt_since=at(5))
    if elsewhere:
        reading = replace(reading, outputs=tuple(replace(each, link=ELSEWHERE) for each in reading.outputs))
    report = stored(Via.POLL if polled else Via.CALLBACK, at(40), serial=7)
    assert settle(task, report, reading, at(41), settle_rules(counted_ids(7))) == weigh(
        task, report, reading, at(41), settle_rules(counted_ids(7))
    )


@pytest.mark.parametrize(
    "task",
    [submitted(), submitted(3), first_told(submitted(2), 1), submitted(ttl_seconds=600)],
    ids=["the only one", "the first of three", "the last of two", "a life of its own"],
)
def test_a_usual_callback_is_decided_in_one_step(task: Task) -> None:
    change = taken(task, says(output()))
    assert change is not None
    assert change == weigh(
        task, stored(Via.CALLBACK, at(40), serial=7), says(output()), at(41), settle_rules(counted_ids(7))
    )


@pytest.mark.parametrize(
    ("task", "reading"),
    [
        (submitted(), says(replace(output(), link=f"{HOST}.evil.example/0.mp3"))),
        (submitted(), says(Output("bytes", inline="UklGRg=="))),
        (submitted(), says(output(), named=frozenset({"another"}))),
        (submitted(), says(output(), named=NAMED | {"another"})),
        (submitted(), says(output(), named=frozenset())),
        (submitted(2), says(output(0), output(1))),
        (submitted(2), says(output(), failures=1)),
        (submitted(2), says(output(), pending=True)),
        (submitted(), says(output(), oddities=("a word",))),
        (submitted(), says(output(), cost_micros=9)),
        (first_told(submitted(2)), says(output())),
        (replace(submitted(2), errors=(BROKEN,)), says(output())),
        (replace(submitted(), doubt=BROKEN, doubt_since=at(5)), says(output())),
        (replace(submitted(), status=Status.CANCELLED), says(output())),
        (collecting(), says(output(1))),
        (lost(), says(output())),
        (unknown(), says(output())),
    ],
)
def test_what_is_not_usual_is_left_to_the_rules(task: Task, reading: Reading) -> None:
    assert taken(task, reading) is None


def test_what_we_asked_for_is_left_to_the_rules() -> None:
    assert taken(submitted(), says(output()), stored(Via.POLL, at(40))) is None
