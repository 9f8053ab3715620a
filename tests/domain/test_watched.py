"""A usual look, decided in one step, is what the rules come to."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from receiver.domain.looking import looked
from receiver.domain.report import Reading
from receiver.domain.schedule import PollPlan
from receiver.domain.task import Change, Status, Task, Work
from receiver.domain.watched import Look, usual_look
from tests.domain.making import (
    BROKEN,
    PLAN,
    TASK_ID,
    at,
    by_callback,
    by_poll,
    collecting,
    digest,
    look_rules,
    lost,
    new_report,
    output,
    says,
    submitted,
    unknown,
    watched,
)

PENDING = says(pending=True)


def mostly(usual: object, *others: object) -> st.SearchStrategy[object]:
    return st.sampled_from([usual] * (9 * len(others)) + [*others])


under_way = by_poll(submitted(), PENDING, at(20))
some_told = by_callback(by_poll(submitted(3), PENDING, at(20)), says(output(0)), at(30)).task
tasks = st.builds(
    replace,
    st.sampled_from([under_way, under_way, some_told, submitted(2), unknown(), lost(), collecting()]),
    status=mostly(Status.SUBMITTED, Status.CANCELLED, Status.UNKNOWN),
    work=mostly(Work.POLL, None, Work.LOOKUP),
    polls=st.sampled_from([1, 3]),
    tries=mostly(0, 2),
    fault=mostly(None, "no answer"),
    overdue=mostly(False, True),
    doubt=mostly(None, BROKEN),
    doubt_since=mostly(None, at(20)),
    quiet_since=mostly(None, at(20)),
    submitted_at=mostly(at(1), None),
)
readings = st.builds(
    Reading,
    outputs=mostly((), (output(0),), (output(1),)),
    failures=mostly((), says(failures=1).failures),
    pending=mostly(True, False),
    oddities=mostly((), ("a word",)),
    named=mostly(frozenset({str(TASK_ID)}), frozenset(), frozenset({"another"})),
    cost_micros=mostly(None, 9),
)
plans = st.sampled_from([PLAN, PollPlan(5, 3, ages=(30.0, 40.0, 50.0), learned_from=60)])


def change(task: Task, look: Look) -> Change:
    """What a store makes of a look."""
    return Change(replace(task, polls=task.polls + 1, due_at=look.due_at, looked_at=look.looked_at))


@given(tasks, readings, plans, st.booleans())
def test_a_look_at_a_task_that_is_as_it_was_does_what_the_rules_do(
    task: Task, reading: Reading, plan: PollPlan, known: bool
) -> None:
    task = replace(task, answer_digest=digest(reading)) if known else task
    rules = replace(look_rules(), plan=plan)
    look = usual_look(watched(task), reading, digest(reading), at(41), rules, at(40))
    if look is not None:
        by_rule = looked(task, reading, new_report(reading, at(41), 7), at(41), rules, asked_at=at(40))
        assert change(task, look) == by_rule


def test_an_answer_that_says_the_same_again_is_such_a_look() -> None:
    for task in (under_way, some_told):
        look = usual_look(watched(task), PENDING, digest(PENDING), at(41), look_rules(), at(40))
        assert look is not None
        assert (look.due_at, look.looked_at) == (at(41 + PLAN.interval * PLAN.growth), at(40))
    first = watched(submitted())
    assert usual_look(first, PENDING, digest(PENDING), at(41), look_rules(), at(40)) is None, "it is news"
