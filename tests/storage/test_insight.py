from dataclasses import replace
from functools import partial

import pytest

from receiver.domain.attempt import Attempt, AttemptOutcome
from receiver.domain.report import NewReport, Verdict, Via
from receiver.domain.task import Change, Ruling, Status, Task
from receiver.lifecycle.ports import Decision, SaidFilter
from receiver.storage import finding, insight
from receiver.storage.store import SqlStore
from tests.storage.making import LIMITS, NOW, SECOND, given, new_key, report, result, submitted, task


async def kept(
    store: SqlStore, of: Task, body: bytes, verdict: Verdict | None, reason: str | None = None
) -> NewReport:
    """A callback, and what was made of it."""
    came = report(of.key, body)
    await store.append(came, LIMITS)
    if verdict is not None:

        def decide(current: Task) -> Change:
            return Change(current, rulings=(Ruling(came.id, verdict, reason),))

        await store.apply([Decision(of.key, decide, reports=(came.id,))])
    return came


async def test_callbacks_are_listed_newest_first_with_what_was_made_of_them(store: SqlStore) -> None:
    one, other = task(), task("aimlapi")
    await given(store, one, other)
    first = await kept(store, one, b"1", Verdict.SETTLED)
    second = await kept(store, other, b"2", Verdict.QUARANTINED, "unknown form: status 'odd'")
    third = await kept(store, one, b"3", None)

    lines, following = await store.insight.said(SaidFilter())

    assert following is None
    assert [(line.id, line.task_id, line.verdict, line.reason) for line in lines] == [
        (third.id, one.id, None, None),
        (second.id, other.id, Verdict.QUARANTINED, "unknown form: status 'odd'"),
        (first.id, one.id, Verdict.SETTLED, None),
    ]
    assert lines[0].status is Status.QUEUED
    assert lines[0].size == 1
    assert await store.insight.said_once(second.id) == lines[1]
    assert await store.insight.said_once(new_key()) is None


async def test_a_listing_goes_on_where_it_ended(store: SqlStore) -> None:
    of = task()
    await given(store, of)
    came = [await kept(store, of, str(number).encode(), Verdict.SETTLED) for number in range(5)]
    found, before = [], None
    for _ in range(3):
        lines, before = await store.insight.said(SaidFilter(before=before, limit=2))
        found += [line.id for line in lines]
    assert before is None
    assert found == [one.id for one in reversed(came)]


async def test_a_listing_is_narrowed_down_and_a_report_of_no_task_is_in_it(store: SqlStore) -> None:
    of, unknown = task(), task("aimlapi")
    await given(store, of)
    settled = await kept(store, of, b"1", Verdict.SETTLED)
    conflict = await kept(store, of, b"2", Verdict.CONFLICT, "another link")
    orphan = await kept(store, unknown, b"3", Verdict.QUARANTINED)

    async def found(wanted: SaidFilter) -> list[object]:
        return [line.id for line in (await store.insight.said(wanted))[0]]

    assert await found(SaidFilter(set_aside=True)) == [orphan.id, conflict.id]
    assert await found(SaidFilter(set_aside=True, before=orphan.id)) == [conflict.id]
    assert await found(SaidFilter(set_aside=True, verdict=Verdict.CONFLICT)) == [conflict.id]
    assert await found(SaidFilter(verdict=Verdict.SETTLED)) == [settled.id]
    assert await found(SaidFilter(provider="aimlapi")) == []
    [line] = (await store.insight.said(SaidFilter(set_aside=True, limit=1)))[0]
    assert (line.task_id, line.status) == (None, None)


async def test_only_callbacks_are_listed_but_whatever_was_set_aside(store: SqlStore) -> None:
    of = submitted()
    await given(store, of)
    answer = report(of.key, via=Via.POLL)
    ruling = Ruling(answer.id, Verdict.QUARANTINED, "odd")
    await store.apply([Decision(of.key, lambda current: Change(current, report=answer, rulings=(ruling,)))])
    assert (await store.insight.said(SaidFilter()))[0] == []
    [line] = (await store.insight.said(SaidFilter(set_aside=True)))[0]
    assert (line.id, line.via) == (answer.id, Via.POLL)


def answering(of: Task, answer: NewReport) -> Decision:
    return Decision(of.key, lambda current: Change(current, report=answer))


async def test_one_call_looks_at_so_many_reports_and_no_more(store: SqlStore) -> None:
    of = submitted()
    await given(store, of)
    came = await kept(store, of, b"1", Verdict.SETTLED)
    answers = [report(of.key, str(number).encode(), via=Via.POLL) for number in range(insight.SCANNED)]
    await store.apply([answering(of, answer) for answer in answers])
    lines, before = await store.insight.said(SaidFilter())
    assert lines == []
    assert before is not None
    lines, before = await store.insight.said(SaidFilter(before=before))
    assert [line.id for line in lines] == [came.id]
    assert before is None


def ended(
    status: Status = Status.SUCCEEDED, *, after: int = 30, cost: int | None = 150_000, model: str = "m"
) -> Task:
    """A task that ended so long after it began."""
    found = () if cost is None else (replace(result(), cost_micros=cost),)
    return replace(
        submitted(),
        model=model,
        status=status,
        work=None,
        due_at=None,
        polls=2,
        results=found,
        settled_at=NOW + after * SECOND,
        completed_at=NOW + after * SECOND,
    )


async def test_the_latest_tasks_of_each_model_are_counted(store: SqlStore) -> None:
    await given(store, ended(), ended(after=40), ended(Status.FAILED, cost=None), ended(model="n"), submitted())
    [of_m, of_n] = await store.insight.lately(["runware", "aimlapi"])
    assert (of_m.provider, of_m.model, of_n.model) == ("runware", "m", "n")
    assert {status: count for status, count in of_m.counts.items() if count} == {
        Status.SUCCEEDED: 2,
        Status.FAILED: 1,
    }
    assert (of_m.tasks, of_m.polls, of_m.awaited, of_m.missed, of_m.cost_micros) == (3, 6, 2, 0, 300_000)
    assert type(of_m.cost_micros) is type(of_m.polls) is int
    assert (of_m.capped, of_m.since) == (False, None)


async def test_a_model_without_a_name_and_one_without_a_cost_have_figures_too(store: SqlStore) -> None:
    await given(store, ended(model="", cost=None))
    [figures] = await store.insight.lately(["runware"])
    assert (figures.model, figures.cost_micros, figures.awaited) == ("", None, 0)
    assert await store.insight.lately([]) == []


def _with(attempt: Attempt, now: Task) -> Change:
    return Change(now, attempt=attempt)


async def test_what_went_over_the_wire_is_read_for_one_attempt_alone(store: SqlStore) -> None:
    of, other = task(), task()
    await given(store, of, other)
    silent = Attempt(1, NOW, NOW + SECOND, AttemptOutcome.NOT_SENT, detail="no route")
    told = Attempt(2, NOW, NOW + SECOND, AttemptOutcome.ACCEPTED, 200, None, b"POST x", b"HTTP 200\n\n\x00\xff")
    for attempt in (silent, told):
        await store.apply([Decision(of.key, partial(_with, attempt))])
    assert await store.insight.on_the_wire(of.id) == {2}
    assert await store.insight.on_the_wire(other.id) == set()
    assert [await store.insight.attempt(of.id, number) for number in (1, 2, 3)] == [silent, told, None]
    assert await store.insight.attempt(other.id, 2) is None


async def test_a_session_that_was_ended_is_known_until_it_would_have_ended_by_itself(store: SqlStore) -> None:
    early, late = b"e" * 32, b"l" * 32
    assert not await store.sessions.ended(early)
    await store.sessions.end(early, until=NOW, now=NOW - SECOND)
    await store.sessions.end(early, until=NOW, now=NOW - SECOND)
    assert await store.sessions.ended(early)
    await store.sessions.end(late, until=NOW + SECOND, now=NOW + SECOND / 2)
    assert [await store.sessions.ended(digest) for digest in (early, late)] == [False, True]


async def test_a_task_is_found_by_the_id_that_its_provider_gave_a_result(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "AT_ONCE", 4)
    tasks = [
        replace(
            submitted(),
            results=tuple(
                replace(result(index), identity=f"{number}-{index}", provider_result_id=f"Audio-{number}-{index}")
                for index in range(3)
            ),
        )
        for number in range(5)
    ]
    await given(store, *tasks)
    for number, one in enumerate(tasks):
        for index in range(3):
            assert await store.insight.named(f"Audio-{number}-{index}", ["runware"]) == [one.id]
    assert await store.insight.named("Audio-5-0", ["runware"]) == []
    # Not everything is looked through for a person who waits.
    monkeypatch.setattr(finding, "MOST_LOOKED_AT", 4)
    assert await store.insight.named("Audio-4-0", ["runware"]) == [tasks[4].id]
    assert await store.insight.named("Audio-0-0", ["runware"]) == []
