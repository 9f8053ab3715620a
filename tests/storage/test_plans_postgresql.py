"""The same on PostgreSQL: with many rows, and figures about them, it goes by an index of its own accord."""

import pytest
from sqlalchemy import ClauseElement, Connection

from receiver.storage.store import open_store
from tests.postgresql import Server
from tests.storage.making import NOW
from tests.storage.outbox_plans import OUTBOX_ROWS
from tests.storage.test_plans import STATEMENTS

ROWS = 20_000
#: Rows as after a while: most tasks ended, some under way and due in the next hours, a few waiting in the queues.
_FILL = (
    """
    INSERT INTO tasks (key, id, provider, model, created_at, deadline_seconds, status, overdue, provider_task_id,
        pushed, submitted_at, completed_at, deadline_at, polls, callbacks, work, due_at, tries, attempts,
        attempt_open_since, missed, last_seq)
    SELECT lpad(to_hex(n), 32, '0')::uuid, md5(n::text)::uuid, CASE WHEN n % 2 = 0 THEN 'runware' ELSE 'aimlapi' END,
        'model', :now - interval '1 second' * (:rows - n), 60, CASE WHEN busy THEN 'submitted' ELSE 'succeeded' END,
        busy AND n % 3 = 0, n::text, true, :now, CASE WHEN busy THEN NULL ELSE :now - interval '1 second' * n END,
        :now + interval '1 second' * n, 1, 1, CASE WHEN busy THEN 'poll' END,
        CASE WHEN busy THEN :now + interval '1 second' * n END, 0, 1, CASE WHEN n % 500 = 0 THEN :now END, false, 2
    FROM (SELECT n, n % 20 = 0 AS busy FROM generate_series(1, :rows) AS n) AS numbers
    """,
    "INSERT INTO requests (task_key, request) SELECT key, '{}' FROM tasks",
    "INSERT INTO task_metadata SELECT key, 'a', (polls + last_seq + abs(hashtext(id::text)) % 5000)::text FROM tasks",
    "INSERT INTO task_metadata SELECT key, 'c', 'd' FROM tasks",
    """
    INSERT INTO events (task_key, seq, type, at, data)
    SELECT key, seq, 'x', :now, '{}' FROM tasks, generate_series(1, 2) AS seq
    """,
    """
    INSERT INTO results (task_key, position, id, identity, via, received_at, report_id, inline, late)
    SELECT key, 0, id, 'x', 'callback', :now, id, false, false FROM tasks
    """,
    """
    INSERT INTO artifacts (task_key, position, result_id, status, due_at, attempts, refusals, link_expires_at)
    SELECT key, 0, id, 'stored', CASE WHEN work IS NOT NULL THEN due_at END, 0, 0, due_at FROM tasks
    """,
    """
    INSERT INTO reports (id, task_key, provider, via, received_at, size, sha256, sliced, body)
    SELECT id, key, provider, 'callback', created_at, 2, '\\x00', false, '\\x00' FROM tasks
    """,
    "INSERT INTO rulings (report_id, verdict) SELECT id, 'settled' FROM tasks",
    "INSERT INTO inbox (report_id, due_at, attempts) SELECT id, :now, 0 FROM tasks",
    "INSERT INTO doomed_objects SELECT n::text, :now + interval '1 hour' * n FROM generate_series(1, 2000) AS n",
    """
    INSERT INTO inputs (id, sha256, size, duration_seconds, media_type, extension, unused_until)
    SELECT key, decode(lpad(to_hex(polls + last_seq), 64, '0') || md5(id::text), 'hex'), 1, 10, 'audio/mpeg', 'mp3',
        CASE WHEN work IS NOT NULL THEN due_at END
    FROM tasks
    """,
    "INSERT INTO input_uses (task_key, input_id) SELECT key, key FROM tasks",
    """
    INSERT INTO object_claims (object_key, holder, until)
    SELECT n::text, lpad(to_hex(n), 32, '0')::uuid, :now + interval '1 second' * n FROM generate_series(1, 2000) AS n
    """,
    """
    INSERT INTO attempts (task_key, ordinal, started_at, outcome)
    SELECT key, 1, created_at, 'accepted' FROM tasks
    """,
    "INSERT INTO erasures SELECT key, :now FROM tasks LIMIT 5000",
    "INSERT INTO ended_sessions SELECT decode(md5(n::text), 'hex'), :now FROM generate_series(1, 5000) AS n",
    *OUTBOX_ROWS,
)
#: Asks about every task that has ended, and those are nearly all.
#: The second stops at a limit, wherever it begins.
READ_WHOLE = {"figures of what ended", "whether a state is rare"}


@pytest.fixture(scope="module")
def filled(postgresql: Server, empty_postgresql: str) -> str:
    return postgresql.database(empty_postgresql)


def fill(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE events DISABLE TRIGGER USER")
    for statement in _FILL:
        connection.exec_driver_sql(statement.replace(":now", f"'{NOW}'::timestamptz").replace(":rows", str(ROWS)))


def planned(connection: Connection, statement: ClauseElement) -> list[str]:
    """How a statement would be carried out for parameters that it is not told: as one that is kept prepared."""
    connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
    compiled = statement.compile(connection, compile_kwargs={"render_postcompile": True})
    names = getattr(compiled, "positiontup", None) or ()
    connection.exec_driver_sql(f"PREPARE asked AS {compiled}")
    values = ", ".join("NULL" for _ in names)
    rows = connection.exec_driver_sql(f"EXPLAIN EXECUTE asked({values})" if names else "EXPLAIN EXECUTE asked")
    steps = [row[0] for row in rows]
    connection.exec_driver_sql("DEALLOCATE asked")
    return steps


async def test_rows_are_found_by_an_index(filled: str) -> None:
    async with open_store(filled) as store:
        await store._engine.write(fill)
        await store._engine.write(lambda connection: connection.exec_driver_sql("ANALYZE"))
        plans = await store._engine.read(
            lambda connection: {name: planned(connection, asked) for name, asked in STATEMENTS.items()}
        )
    walked = {
        name: steps
        for name, steps in plans.items()
        if any("Seq Scan" in step and "Seq Scan on endpoints" not in step for step in steps)
    }
    assert walked.keys() <= READ_WHOLE, walked
    # Run once, before the rows are looked for: a limit holds for all that is claimed.
    for name in ("claim tasks", "claim reports", "claim deliveries"):
        assert any("InitPlan" in step for step in plans[name]), plans[name]
        assert sum("LockRows" in step for step in plans[name]) == 1


@pytest.fixture
def empty(postgresql: Server, empty_postgresql: str) -> str:
    return postgresql.database(empty_postgresql)


async def test_a_statement_prepared_beside_nothing_does_not_walk_through_what_comes(empty: str) -> None:
    async with open_store(empty) as store:
        plans = await store._engine.write(
            lambda connection: {name: planned(connection, STATEMENTS[name]) for name in STATEMENTS if "claim" in name}
        )
    assert plans
    walked = {name: steps for name, steps in plans.items() if any("Seq Scan" in step for step in steps)}
    assert not walked
