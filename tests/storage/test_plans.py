"""Every lease, sweep and list finds its rows by an index, whatever the size of the tables."""

from uuid import uuid4

import pytest
from sqlalchemy import ClauseElement, Connection, select

from receiver.domain.task import Status
from receiver.lifecycle.ports import RuledFilter, SaidFilter, TaskFilter
from receiver.storage import (
    arrivals,
    custody,
    deciding,
    finding,
    inputs,
    insight,
    leases,
    looks,
    overlooking,
    replaying,
    reports,
    retiring,
    sessions,
    statistics,
    sweeping,
    views,
    waits,
)
from receiver.storage.store import SqlStore
from receiver.storage.tables import tasks
from tests.storage.engines import ON_SQLITE
from tests.storage.making import NOW
from tests.storage.outbox_plans import OUTBOX, OUTBOX_SORTED, OUTBOX_WALKS

ONE = uuid4()
STATEMENTS: dict[str, ClauseElement] = {
    **OUTBOX,
    "claim tasks": leases.CLAIM_TASKS,
    "claim looks": looks.CLAIM_LOOKS,
    "count tasks to claim": leases.SHOW_DUE,
    "artifacts that are due for longest": leases.DUE_FOR_LONGEST,
    "artifacts whose links die soonest": leases.DYING_SOONEST,
    "claim reports": reports.CLAIM,
    "next work of a provider": leases.NEXT_PROVIDER,
    "audio that is old": retiring.WITH_AUDIO,
    "reports that are old": retiring.OLD_REPORTS,
    "tasks that are old": retiring.OLD_TASKS,
    "links that die": leases.LINKS_DYING,
    "next artifact": leases.NEXT_ARTIFACT,
    "next report": leases.NEXT_REPORT,
    "overdue": sweeping.late(now=NOW, lost_before=NOW, limit=5, askable=["runware"]),
    "abandoned": sweeping.left_open(before=NOW, limit=5, providers=["runware"]),
    "make due": sweeping.MAKE_DUE,
    "one task": select(tasks.c.key).where(tasks.c.id == ONE),
    "one task that waits": arrivals.WAITING.where(tasks.c.key == ONE),
    "who has a generation": deciding.holders("runware", ["a", "b"]),
    "reports of a task": reports.SUMMARIES,
    "one report": reports.whole(ONE),
    "events of a task": views.timeline_of(ONE, 5, 10),
    "events of all": views.timeline_of(None, 5, 10),
    "reports to replay": replaying.scan(RuledFilter(since=NOW, after=ONE)),
    "reports of a task to replay": replaying.scan(RuledFilter(task_id=ONE)),
    "objects to remove": custody.DUE,
    "claims that are over": custody.EXPIRED,
    "who names an object": custody.naming(["a", "b"]),
    "uploads that no task uses": inputs.UNUSED,
    "uploads kept for too long": inputs.KEPT_TOO_LONG,
    "input of a task": inputs.OF_TASK,
    "figures of what is under way": statistics.UNDER_WAY,
    "how many are under way": statistics.COUNTED,
    "figures of what ended": statistics.ended(None),
    "durations": statistics.DURATIONS,
    "figures of the latest": insight.LATELY,
    "what was said": insight.scan(SaidFilter()),
    "what was said before": insight.scan(SaidFilter(before=ONE)),
    "what was set aside": insight.scan(SaidFilter(set_aside=True)),
    "what was set aside before": insight.scan(SaidFilter(set_aside=True, before=ONE)),
    "one attempt": insight.ATTEMPT,
    "which attempts left a trace": insight.ON_THE_WIRE,
    "whether a session was ended": sessions.ENDED,
    "what ended over time": overlooking.ENDED_IN,
    "by the provider's id": finding.BY_PROVIDER_ID,
    "by the id of a result": finding.BY_RESULT,
    "by the provider's id of a result": finding.by_provider_result(ONE, ["a", "b"]),
    "what is looked at for it next": finding.last_looked_at(ONE),
    "by the id of a report": finding.BY_REPORT,
    "by the id of a delivery": finding.BY_DELIVERY,
    "next model": waits.NEXT_MODEL,
    "how long the latest were waited for": waits.LATEST_ENDED,
    "how long those under way are waited for": waits.UNDER_WAY,
    "begin of the time of a list": views.near(TaskFilter(created_after=NOW, created_before=NOW), newest=False),
    "end of the time of a list": views.near(TaskFilter(created_after=NOW), newest=True),
    "whether a state is rare": views.in_state(Status.FAILED),
    "list by metadata and a rare state": views.listing(
        TaskFilter(metadata={"a": "b"}, status=Status.UNKNOWN, provider="runware"), rare_status=True
    ),
    **{
        f"list by {name}": views.listing(wanted, bounds)
        for name, wanted, bounds in (
            ("nothing", TaskFilter(), None),
            ("cursor", TaskFilter(before_key=ONE), None),
            ("status", TaskFilter(status=Status.FAILED), None),
            ("status and cursor", TaskFilter(status=Status.FAILED, before_key=ONE), None),
            ("provider", TaskFilter(provider="runware"), None),
            ("status and provider", TaskFilter(status=Status.FAILED, provider="runware", before_key=ONE), None),
            (
                "status, provider and time",
                TaskFilter(status=Status.LOST, provider="runware", created_after=NOW),
                (ONE, ONE),
            ),
            ("metadata and status", TaskFilter(metadata={"a": "b"}, status=Status.FAILED, provider="runware"), None),
            ("time", TaskFilter(created_after=NOW), (ONE, ONE)),
            ("metadata", TaskFilter(metadata={"a": "b", "c": "d"}), None),
        )
    },
}
#: What these walk from one end of a table until they have enough, in the order that is asked for.
WALKS = {
    **OUTBOX_WALKS,
    "claim reports": "SCAN inbox",
    "next report": "SCAN inbox",
    "artifacts whose links die soonest": "SCAN few",
    "by the provider's id of a result": "SCAN newest",
    "list by nothing": "SCAN tasks",
    "figures of the latest": "SCAN latest",
    "whether a state is rare": "SCAN few",
    "what was said": "SCAN reports USING INDEX sqlite_autoindex_reports_1",
    "what was set aside": "SCAN rulings USING INDEX rulings_set_aside",
    "figures of what ended": "SCAN tasks USING COVERING INDEX tasks_ended",
}
#: What is sorted: a few hundred at most, the few reports of one task, and what is grouped.
SORTED = {
    *OUTBOX_SORTED,
    "artifacts whose links die soonest",
    "reports of a task",
    "reports of a task to replay",
    "figures of what is under way",
    "how many are under way",
    "what ended over time",
}


def plan(connection: Connection, statement: ClauseElement) -> list[str]:
    compiled = statement.compile(connection, compile_kwargs={"render_postcompile": True})
    order = getattr(compiled, "positiontup", None) or ()
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", tuple(None for _ in order))
    return [row[3] for row in rows]


@ON_SQLITE
@pytest.mark.parametrize("name", STATEMENTS)
async def test_rows_are_found_by_an_index(store: SqlStore, name: str) -> None:
    steps = await store._engine.read(lambda connection: plan(connection, STATEMENTS[name]))
    walks = [step for step in steps if step.startswith("SCAN") and step != WALKS.get(name)]
    assert walks == []
    assert name in SORTED or not any("TEMP B-TREE" in step for step in steps)


@ON_SQLITE
async def test_the_keys_of_a_list_alone_are_read_from_its_index(store: SqlStore) -> None:
    names = (
        "list by status and cursor",
        "list by provider",
        "list by metadata",
        "list by status and provider",
        "begin of the time of a list",
        "end of the time of a list",
        "durations",
        "what ended over time",
    )
    plans = await store._engine.read(lambda connection: {name: plan(connection, STATEMENTS[name]) for name in names})
    assert [name for name, steps in plans.items() if "COVERING INDEX" not in steps[0]] == []


@ON_SQLITE
async def test_what_falls_due_behind_others_is_looked_for_at_its_own_task_and_endpoint_alone(store: SqlStore) -> None:
    asked = STATEMENTS["what falls due behind others"]
    steps = await store._engine.read(lambda connection: plan(connection, asked))
    assert steps[0] == "SEARCH deliveries USING INDEX deliveries_task (task_key=? AND endpoint_id=?)"


@ON_SQLITE
async def test_the_figures_of_the_latest_are_read_from_an_index_alone(store: SqlStore) -> None:
    steps = await store._engine.read(lambda connection: plan(connection, insight.LATELY))
    [step] = [step for step in steps if step.startswith("SEARCH")]
    assert "COVERING INDEX tasks_ended" in step


def test_each_is_compiled_once() -> None:
    """Without a key to be found by, a statement is compiled at each run, which takes longer than the run."""
    assert [name for name, asked in STATEMENTS.items() if asked._generate_cache_key() is None] == []
