"""Usual callbacks: written on little of their tasks, and as they would be on the whole."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Select, Table, func, select, update

from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.event import EventType
from receiver.domain.report import NewReport, Output, Reading, StoredReport, Verdict
from receiver.domain.schedule import PollPlan
from receiver.domain.settlement import SettleRules, settle
from receiver.domain.task import Change, Status, Task, Work
from receiver.domain.usual import LAST_TOLD, Arrival, Done, Waiting, arrive
from receiver.lifecycle.ports import Decision, Erasing, RuledFilter
from receiver.storage import deciding, landing
from receiver.storage.outbox_rows import is_told
from receiver.storage.store import SqlStore, open_store
from receiver.storage.tables import artifacts, events, inbox, reports, results, rulings, tasks
from tests.storage.engines import ON_POSTGRESQL, ON_SQLITE
from tests.storage.making import LEASE, LIMITS, NOW, SECOND, event, given, report, result, stored, submitted

LATER = NOW + 7 * SECOND


FAULT = TaskError(ErrorCode.UNKNOWN, "once more")


def wants(number: int, **given: object) -> Task:
    one = submitted()
    return replace(one, request=replace(one.request, count=number, **given))  # type: ignore[arg-type]


def says(of: Task, **output: object) -> Reading:
    told = {"identity": "audio", "provider_result_id": "audio", "link": "https://media.example.org/a.mp3", **output}
    return Reading(outputs=(Output(**told),), named=frozenset({of.provider_task_id or ""}))  # type: ignore[arg-type]


def ids() -> Callable[[], UUID]:
    numbers = count(1)
    return lambda: UUID(int=next(numbers) << 64)


def decided(of: NewReport, reading: Reading, new_id: Callable[[], UUID], met: list[Task | Waiting]) -> Decision:
    """The decision on a callback; ``met`` gets what it was taken on."""
    told = StoredReport(
        of.id, of.task_key, of.provider, of.via, of.received_at, of.body, of.size, None, None, attempts=1
    )
    rules = SettleRules(lambda _: PollPlan(15.0, 15.0), lambda _: True, new_id)

    def decide(task: Task) -> Change:
        met.append(task)
        return settle(task, told, reading, LATER, rules)

    def usual(task: Waiting) -> Arrival | None:
        met.append(task)
        return arrive(task, told, reading, LATER, rules.trusted_link, rules.new_id)

    return Decision(of.task_key, decide, reports=(of.id,), usual=usual)


async def rows(store: SqlStore, *keys: UUID) -> list[list[dict[str, object]]]:
    """Everything that lies in the tables about each of some tasks, without what names the task itself."""
    about: list[tuple[Table, str]] = [
        (tasks, "key"),
        *((each, "task_key") for each in (results, artifacts, events, reports)),
    ]
    own = {"key", "id", "task_key", "provider_task_id", "report_id", "result_id"}

    async def of(key: UUID) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for table, name in about:
            asked = select(table).where(table.columns[name] == key).order_by(*table.primary_key.columns)
            read = await store._engine.read(partial(_mappings, asked))
            for row in read:
                plain = {name: value for name, value in row.items() if name not in own}
                if table is events:
                    plain["data"] = {name: value for name, value in row["data"].items() if name not in own}
                found.append({"table": table.name, **plain})
        return found

    return [await of(key) for key in keys]


def _mappings(asked: Select[Any], connection: Connection) -> Sequence[Mapping[str, Any]]:
    return [dict(row) for row in connection.execute(asked).mappings()]


async def left(store: SqlStore) -> tuple[int, set[tuple[object, ...]]]:
    """How many lines the inbox has, and every ruling, without the report it is about."""
    lines = await store._engine.read(lambda connection: connection.execute(select(inbox)).all())
    ruled = await store._engine.read(lambda connection: connection.execute(select(rulings)).all())
    return len(lines), {tuple(row)[1:] for row in ruled}


def test_nobody_is_told_of_what_a_usual_callback_does() -> None:
    assert not [kind for kind in LAST_TOLD if is_told(kind)], "else there were deliveries to be made of it"


@pytest.mark.parametrize(
    ("one", "output"),
    [
        (wants(1), {}),
        (wants(1), {"cost_micros": 150_000, "seed": 41, "link_expires_at": NOW + timedelta(days=1)}),
        (wants(1, ttl_seconds=600), {}),
        (wants(3), {"cost_micros": 70_000}),
        (replace(wants(1), pushed=False), {}),
        (replace(wants(1), callbacks=4, polls=2, overdue=True, looked_at=NOW), {}),
        (replace(wants(1), metadata={"order": "1"}, work=None, due_at=None), {}),
    ],
    ids=["the only one", "with all that may be told", "a life of its own", "the first of three", "not pushed",
         "asked about before", "at rest"],
)  # fmt: skip
async def test_what_is_usual_is_written_as_it_would_be_on_the_whole_task(
    store: SqlStore, one: Task, output: dict[str, object]
) -> None:
    twin = replace(submitted(), **{
        name: getattr(one, name) for name in ("request", "pushed", "callbacks", "polls", "overdue", "looked_at",
                                              "metadata", "work", "due_at")
    })  # fmt: skip
    await given(store, one, twin)
    on_little, on_all = list[Task | Waiting](), list[Task | Waiting]()
    told, told_twin = report(one.key, b"usual"), report(twin.key, b"usual")
    for each in (told, told_twin):
        await store.append(each, LIMITS)
    before = (await left(store))[0]
    [arrival] = await store.settle([decided(told, says(one, **output), ids(), on_little)])
    [change] = await store.apply([decided(told_twin, says(twin, **output), ids(), on_all)])
    assert isinstance(arrival, Arrival)
    assert isinstance(change, Change)
    assert [type(each) for each in on_little] == [Waiting]
    assert [type(each) for each in on_all] == [Task]
    assert [(each.type, each.at) for each in arrival.events] == [(each.type, each.at) for each in change.events]
    about, about_twin = await rows(store, one.key, twin.key)
    assert about == about_twin
    after = await stored(store, one)
    assert after.callbacks == one.callbacks + 1
    assert after.status is (Status.COLLECTING if after.expected == 1 else Status.SUBMITTED)
    told_of = (await store.events(one.id))[-len(arrival.events) :]
    assert [(each.type, each.at, each.data) for each in told_of] == [
        (each.type, each.at, each.data) for each in arrival.events
    ]
    assert after.results == (arrival.result,)
    assert [each.seq for each in await store.events(one.id)] == list(range(1, 2 + len(arrival.events)))
    assert await left(store) == (before - 2, {("settled", None)})
    for each, of in ((told, one), (told_twin, twin)):
        [listed] = await store.reports(of.id)
        shown = await store.insight.said_once(each.id)
        assert shown is not None
        assert (listed.verdict, listed.reason) == (shown.verdict, shown.reason) == (Verdict.SETTLED, None)
        [judged], _ = await store.ruled(RuledFilter(task_id=of.id))
        assert (judged.id, judged.verdict, judged.reason) == (each.id, Verdict.SETTLED, None)


async def test_of_what_is_usual_nothing_is_written_beside_its_report(store: SqlStore) -> None:
    await given(store, one := wants(1))
    told = report(one.key, b"usual")
    await store.append(told, LIMITS)
    [waiting] = await store.reports(one.id)
    assert waiting.verdict is None
    assert (await store.ruled(RuledFilter(task_id=one.id)))[0] == []
    await store.settle([decided(told, says(one), ids(), [])])
    assert await left(store) == (0, set())
    [settled] = await store.reports(one.id)
    assert settled.verdict is Verdict.SETTLED


@pytest.mark.parametrize(
    "unusual",
    [
        replace(wants(1), status=Status.CANCELLED, work=None, due_at=None),
        replace(wants(1), tries=1),
        replace(wants(2), errors=(FAULT,)),
        replace(wants(1), doubt=FAULT),
        replace(wants(1), doubt_since=NOW),
        replace(wants(2), quiet_since=NOW),
        replace(wants(1), settled_at=NOW),
        replace(wants(1), told_cost_micros=7),
        replace(wants(2), results=(result(),)),
    ],
    ids=["cancelled", "tried", "errors", "doubt", "doubted once", "quiet", "settled before", "a cost of its own",
         "a result"],
)  # fmt: skip
async def test_a_task_of_which_more_is_known_is_taken_whole(store: SqlStore, unusual: Task) -> None:
    await given(store, unusual)
    met = list[Task | Waiting]()
    told = report(unusual.key, b"usual")
    await store.append(told, LIMITS)
    [change] = await store.settle([decided(told, says(unusual), ids(), met)])
    assert [type(each) for each in met] == [Task]
    assert isinstance(change, Change)
    assert await stored(store, unusual) == change.task


async def test_a_task_that_somebody_holds_is_taken_whole(store: SqlStore) -> None:
    one = wants(1)
    await given(store, one)
    [held] = await store.lease_tasks(Work.POLL, "runware", now=NOW, limit=1, lease=LEASE)
    met = list[Task | Waiting]()
    told = report(one.key)
    await store.append(told, LIMITS)
    [change] = await store.settle([decided(told, says(one), ids(), met)])
    assert met == [held]
    assert isinstance(change, Change)
    assert await stored(store, one) == change.task


async def test_a_task_of_before_what_was_asked_for_stood_with_it_is_taken_whole(store: SqlStore) -> None:
    await given(store, one := wants(3))
    await store._engine.write(lambda connection: connection.execute(update(tasks).values(expected=None)))
    met = list[Task | Waiting]()
    told = report(one.key)
    await store.append(told, LIMITS)
    [change] = await store.settle([decided(told, says(one), ids(), met)])
    assert isinstance(change, Change)
    assert [type(each) for each in met] == [Task]
    assert (await stored(store, one)).status is Status.SUBMITTED


@ON_SQLITE
async def test_each_table_takes_its_part_by_its_key_and_leaves_nothing_behind(store: SqlStore) -> None:
    await given(store, one := wants(1))
    await store.append(told := report(one.key), LIMITS)
    await store.settle([decided(told, says(one), ids(), [])])

    def looked(connection: Connection) -> tuple[list[str], int | None]:
        _, *steps = landing._apart(connection.dialect)
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {step.text}").all() for step in steps]
        walked = [row[3] for plan in plans for row in plan if row[3].startswith("SCAN")]
        return walked, connection.scalar(select(func.count()).select_from(landing.ARRIVED))

    walked, rest = await store._engine.write(looked)
    assert set(walked) == {"SCAN arrived"}
    assert rest == 0


@ON_POSTGRESQL
async def test_on_postgresql_one_statement_goes_by_keys_alone(store: SqlStore) -> None:
    def planned(connection: Connection) -> list[str]:
        text, _ = landing._whole(connection.dialect)
        connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
        connection.exec_driver_sql(f"PREPARE landing AS {text}")
        nothing = ", ".join("'{}'" for _ in landing.ARRIVED.columns)
        steps = [row[0] for row in connection.exec_driver_sql(f"EXPLAIN EXECUTE landing({nothing})")]
        connection.exec_driver_sql("DEALLOCATE landing")
        return steps

    steps = await store._engine.write(planned)
    assert not [step for step in steps if "Seq Scan" in step]
    assert sum("Index Scan using tasks_pkey" in step for step in steps) == 2
    assert sum("Index Scan using inbox_pkey" in step for step in steps) == 1


async def test_a_task_that_was_erased_meanwhile_is_left_a_husk(store: SqlStore) -> None:
    one = wants(1)
    await given(store, one)
    told = report(one.key)
    await store.append(told, LIMITS)
    husk = replace(one, erased_at=NOW, work=None, due_at=None)
    await store.erase([one.key], lambda _: Erasing(Change(husk, (event(EventType.TASK_ERASED),)), {}))
    met = list[Task | Waiting]()
    assert await store.settle([decided(told, says(one), ids(), met)]) == [None]
    assert met == []
    assert (await stored(store, one)).results == ()


async def test_the_second_callback_of_a_batch_sees_what_the_first_one_did(store: SqlStore) -> None:
    one, other = wants(2), wants(1)
    await given(store, one, other)
    new_id = ids()
    met = list[Task | Waiting]()
    first, second, third = report(one.key, b"1"), report(one.key, b"2"), report(other.key, b"3")
    for each in (first, second, third):
        await store.append(each, LIMITS)
    done = await store.settle(
        [
            decided(first, says(one), new_id, met),
            decided(second, says(one, identity="another", provider_result_id="another"), new_id, met),
            decided(third, says(other), new_id, met),
        ]
    )
    assert [type(each) for each in done] == [Change, Change, Arrival]
    after = await stored(store, one)
    assert (after.status, after.callbacks, len(after.results)) == (Status.COLLECTING, 2, 2)
    assert (await stored(store, other)).status is Status.COLLECTING


async def test_one_that_cannot_be_written_is_set_aside_alone(store: SqlStore) -> None:
    several = [wants(1) for _ in range(40)]
    await given(store, *several)
    new_id = ids()
    decisions = []
    for number, each in enumerate(several):
        told = report(each.key, str(number).encode())
        await store.append(told, LIMITS)
        # Half a surrogate pair: no database takes that.
        link = {"link": "https://media.example.org/\ud800"} if number == 17 else {}
        decisions.append(decided(told, says(each, **link), new_id, []))
    done = await store.settle(decisions)
    assert [number for number, each in enumerate(done) if each is None] == [17]
    assert [len((await stored(store, each)).results) for each in several] == [1] * 17 + [0] + [1] * 22
    assert (await left(store))[0] == 0


async def test_what_raises_on_little_is_taken_whole(store: SqlStore) -> None:
    one = wants(1)
    await given(store, one)
    met = list[Task | Waiting]()

    def breaks(_: Waiting) -> Arrival | None:
        raise LookupError("not on my watch")

    told = report(one.key)
    await store.append(told, LIMITS)
    [done] = await store.settle([replace(decided(told, says(one), ids(), met), usual=breaks)])
    assert isinstance(done, Change)
    assert [type(each) for each in met] == [Task]


async def test_what_arrived_is_told_once_it_is_durable(database: Path) -> None:
    heard: list[Done] = []

    def told(changes: Sequence[Done]) -> None:
        heard.extend(changes)

    one = wants(1)
    async with open_store(database, on_change=told) as store:
        await given(store, one)
        del heard[:]
        done = await store.settle([decided(report(one.key), says(one), ids(), [])])
        assert heard == done
        recorded = [each.type for each in await store.events(one.id)]
    assert [each.type.value for each in heard[0].events] == recorded[1:]


async def test_usual_callbacks_are_prepared_at_once_by_a_thread_that_does_nothing_else(store: SqlStore) -> None:
    several = [wants(1) for _ in range(70)]
    await given(store, *several)
    usual = [decided(report(each.key), says(each), ids(), []) for each in several]
    breaths: list[None] = []

    async def prepared(decisions: Sequence[Decision]) -> int:
        del breaths[:]
        breathe = partial(breaths.append, None)

        def prepare(connection: Connection) -> None:
            deciding.prepare(connection, [decisions], UUID(int=1), breathe)

        await store._engine.write(prepare)
        return len(breaths)

    shared = store._engine.shared
    assert (await prepared(usual) > 0) is shared, "elsewhere it is the event loop that prepares"
    whole = [replace(each, usual=None) for each in usual]
    # While they are loaded, while they are decided on, and for each statement.
    assert await prepared(whole) >= 4
    assert await prepared([*usual[:-1], whole[-1]]) >= 4
