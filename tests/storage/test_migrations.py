import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, CreateTable, make_url
from sqlalchemy.schema import CreateIndex

from receiver.lifecycle.ports import TaskFilter
from receiver.storage import migrations, sharing
from receiver.storage.documents import request_document
from receiver.storage.engine import open_sqlite
from receiver.storage.faults import NewerSchemaError
from receiver.storage.postgres import open_postgres
from receiver.storage.sqlite import written
from receiver.storage.store import migrate, open_store
from receiver.storage.tables import events, metadata, requests, results, tasks
from tests.postgresql import Server, connected
from tests.storage.making import NOW, SECOND, given, stored, submitted, task


def test_the_newest_revision_is_named_without_asking_alembic() -> None:
    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_heads() == [migrations.NEWEST]


def test_the_revisions_make_exactly_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    with written(tmp_path / "by-revisions.db") as connection:
        as_of("head")(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def parts(statement: str) -> set[str]:
    """What a CREATE statement lists, and its head and tail; a column that was added later stands behind the rest."""
    head, _, rest = " ".join(statement.split()).partition("(")
    found, depth, begin = {head}, 0, 0
    for place, letter in enumerate(rest):
        if letter in ",)" and depth == 0:
            found.add(rest[begin:place].strip())
            begin = place + 1
            depth = -1 if letter == ")" else 0
            continue
        depth += {"(": 1, ")": -1}.get(letter, 0)
    return found | {rest[begin:].strip()}


def test_the_revisions_and_the_code_say_the_same_word_for_word(database: Path, tmp_path: Path) -> None:
    """What alembic does not compare: how tables are stored, what is computed, which rows an index holds."""
    by_revisions = tmp_path / "by-revisions.db"
    with written(by_revisions) as connection:
        as_of("head")(connection)

    def schema(path: Path) -> dict[str, set[str]]:
        opened = sqlite3.connect(path)
        rows = opened.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
        assert opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        opened.close()
        return {name: parts(text) for name, text in rows}

    assert schema(database) == schema(by_revisions)
    assert revision_of(database) == revision_of(by_revisions) == migrations.NEWEST


def revision_of(path: Path) -> str | None:
    with written(path) as connection:
        return migrations.revision(connection)


def test_migrating_again_changes_nothing(database: Path) -> None:
    before = database.read_bytes()
    assert migrate(database) == migrations.NEWEST
    assert database.read_bytes() == before


def test_a_url_names_a_database_as_a_path_does(tmp_path: Path) -> None:
    assert migrate(f"sqlite:///{tmp_path}/by-url.db") == migrations.NEWEST
    assert (tmp_path / "by-url.db").exists()


@pytest.mark.parametrize("url", ["mysql://localhost/receiver", "sqlite://", "sqlite:///:memory:", "no url://"])
async def test_a_url_that_cannot_be_served_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="database"):
        async with open_store(url):
            pass


async def test_a_database_of_a_newer_version_is_not_touched(database: Path) -> None:
    opened = sqlite3.connect(database)
    opened.execute("UPDATE alembic_version SET version_num = '9999'")
    opened.commit()
    opened.close()
    with pytest.raises(NewerSchemaError, match="newer version"):
        migrate(database)
    with pytest.raises(NewerSchemaError, match="newer version"):
        async with open_store(database):
            pass


def as_of(revision: str) -> Callable[[Connection], None]:
    """Returns what brings an empty database to an earlier form."""

    def bring(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.set_main_option("path_separator", "os")
        # As in an upgrade: a connection that is in use already is one whose transaction alembic leaves alone.
        assert migrations.revision(connection) is None
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    return bring


def older_rows(connection: Connection) -> None:
    """Ended tasks with their results, in columns that every form has had."""
    for number, (pushed, told, vias) in enumerate(
        [(True, None, ("callback", "poll")), (True, 7, ("callback",)), (False, None, ("poll",)), (True, None, ())]
    ):
        key = UUID(int=number)
        zeros = dict.fromkeys(("polls", "callbacks", "tries", "last_seq"), 0)
        connection.execute(
            tasks.insert().values(
                key=key,
                id=key,
                provider="runware",
                model="m",
                status="succeeded",
                overdue=False,
                pushed=pushed,
                attempts=1,
                deadline_seconds=60,
                told_cost_micros=told,
                created_at=NOW,
                submitted_at=NOW,
                completed_at=NOW + SECOND,
                **zeros,
            )
        )
        connection.execute(requests.insert().values(task_key=key, request=request_document(task().request)))
        connection.execute(events.insert().values(task_key=key, seq=1, type="task.created", at=NOW, data={"a": 1}))
        for position, via in enumerate(vias):
            connection.execute(
                results.insert().values(
                    task_key=key,
                    position=position,
                    id=key,
                    identity=str(position),
                    via=via,
                    received_at=NOW,
                    report_id=key,
                    inline=False,
                    late=False,
                    cost_micros=100,
                )
            )


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """A database without a schema: of one engine, then of the other."""
    if request.param == "sqlite":
        return tmp_path / "older.db"
    server: Server = request.getfixturevalue("postgresql")
    return server.database()


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0019"])
async def test_every_earlier_form_is_brought_to_the_newest_with_what_is_in_it(
    bare: Path | str, revision: str
) -> None:
    opening = open_postgres(bare) if isinstance(bare, str) else open_sqlite(bare)
    async with opening as engine:
        await engine.write(as_of(revision))
        await engine.write(older_rows)
    async with open_store(bare) as store:
        [found] = await store.statistics(None)
        assert found.tasks == 4
        if revision < "0004":
            # What a task cost and whether its callback was missed is worked out when that is first kept.
            assert (found.awaited, found.missed, found.cost_micros) == (2, 1, 307)
        listed = await store.tasks(TaskFilter())
        assert [each.id.int for each in listed] == [3, 2, 1, 0]
        assert [dict(each.data) for each in await store.events(None)] == [{"a": 1}] * 4
        # And it is one that can be worked with.
        one = submitted()
        await given(store, one)
        assert await stored(store, one) == one
        assert len(await store.events(None)) == 5


#: What a PostgreSQL database says of its schema, each in an order of its own.
_SAYS = (
    """
    SELECT table_name, column_name, data_type, is_nullable, column_default, generation_expression
    FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2
    """,
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2
    """,
    "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
    "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT version_num FROM alembic_version",
)


async def test_the_revisions_and_the_code_say_the_same_word_for_word_on_postgresql(postgresql: Server) -> None:
    direct, by_revisions = [await asyncio.to_thread(postgresql.database) for _ in range(2)]
    async with open_postgres(by_revisions) as engine:
        await engine.write(as_of("head"))
    async with open_store(direct):
        pass
    for asked in _SAYS:
        said = [await asyncio.to_thread(postgresql.ask, asked, of=url) for url in (direct, by_revisions)]
        assert said[0] == said[1] != []


async def test_the_revisions_make_exactly_the_tables_that_the_code_uses_on_postgresql(bare_url: str) -> None:
    def difference(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))

    async with open_postgres(bare_url) as engine:
        await engine.write(as_of("head"))
        assert await engine.read(difference) == []


@pytest.fixture
def bare_url(postgresql: Server) -> str:
    return postgresql.database()


async def test_replicas_that_start_at_once_make_the_schema_once(
    postgresql: Server, bare_url: str, tmp_path: Path
) -> None:
    environment = {"PATH": os.environ["PATH"], "RECEIVER_DATABASE_URL": bare_url, "RECEIVER_DATA_DIR": str(tmp_path)}
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

    async def all_at_once(first: "asyncpg.Connection[Any]") -> list[tuple[bytes, bytes, int | None]]:
        # Somebody is at it already, until all others have come.
        await first.execute(f"SELECT pg_advisory_lock({sharing.SCHEMA})")
        replicas = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "receiver", "migrate", "--json"),
                env=environment,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for _ in range(3)
        ]
        async with asyncio.timeout(60):
            while await first.fetchval(waiting) < len(replicas):
                assert [replica.returncode for replica in replicas] == [None] * 3
                await asyncio.sleep(0.05)
        await first.execute(f"SELECT pg_advisory_unlock({sharing.SCHEMA})")
        return [(*await replica.communicate(), replica.returncode) for replica in replicas]

    ended = await connected(bare_url, all_at_once)
    assert [code for _, _, code in ended] == [0] * 3, ended
    assert [json.loads(said)["revision"] for said, _, _ in ended] == [migrations.NEWEST] * 3
    [(reached, drawn)] = await asyncio.to_thread(
        postgresql.ask, "SELECT version_num, (SELECT count(*) FROM installation) FROM alembic_version", of=bare_url
    )
    assert (reached, drawn) == (migrations.NEWEST, 1)


async def test_a_postgresql_of_a_newer_version_is_not_touched(postgresql: Server, bare_url: str) -> None:
    async with open_store(bare_url) as store:
        await store._engine.write(
            lambda connection: connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        )
    with pytest.raises(NewerSchemaError, match="newer version"):
        async with open_store(bare_url):
            pass


async def test_the_name_of_an_installation_is_drawn_once_and_kept(tmp_path: Path) -> None:
    names = []
    for file in ("one.db", "one.db", "other.db"):
        async with open_store(tmp_path / file) as store:
            names.append(store.installation_id)
    assert names[0] == names[1] != names[2]
    assert {len(name) for name in names} == {16}


def test_the_same_tables_can_be_made_on_postgresql() -> None:
    dialect = make_url("postgresql+asyncpg://").get_dialect()()
    for table in metadata.sorted_tables:
        text = str(CreateTable(table).compile(dialect=dialect))
        assert "BLOB" not in text
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect)).startswith("CREATE ")
