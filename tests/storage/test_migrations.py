import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CreateTable, make_url
from sqlalchemy.schema import CreateIndex

from receiver.storage import migrations
from receiver.storage.faults import NewerSchemaError
from receiver.storage.sqlite import written
from receiver.storage.store import migrate, open_store
from receiver.storage.tables import metadata


def test_the_newest_revision_is_named_without_asking_alembic() -> None:
    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_heads() == [migrations.NEWEST]


def test_the_revisions_make_exactly_the_tables_that_the_code_uses(database: Path) -> None:
    with written(database) as connection:
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
    direct = tmp_path / "direct.db"
    with written(direct) as connection:
        metadata.create_all(connection)

    def schema(path: Path) -> dict[str, set[str]]:
        opened = sqlite3.connect(path)
        rows = opened.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
        opened.close()
        return {name: parts(text) for name, text in rows if name != "alembic_version"}

    assert schema(database) == schema(direct)


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


async def test_what_older_tasks_cost_and_missed_is_worked_out_when_that_is_first_kept(tmp_path: Path) -> None:
    path = tmp_path / "older.db"
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    with written(path) as connection:
        # As in an upgrade: a connection that is in use already is one whose transaction alembic leaves alone.
        assert migrations.revision(connection) is None
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
    opened = sqlite3.connect(path)
    for number, (pushed, told, vias) in enumerate(
        [(1, None, ("callback", "poll")), (1, 7, ("callback",)), (0, None, ("poll",)), (1, None, ())]
    ):
        key = number.to_bytes(16)
        opened.execute(_TASK, (key, key, pushed, told))
        for position, via in enumerate(vias):
            opened.execute(_RESULT, (key, position, key, str(position), via, key))
    opened.commit()
    opened.close()
    async with open_store(path) as store:
        [found] = await store.statistics(None)
    assert (found.tasks, found.awaited, found.missed, found.cost_micros) == (4, 2, 1, 307)


_TASK = """INSERT INTO tasks (key, id, provider, model, created_at, deadline_seconds, status, overdue, pushed, polls,
    callbacks, tries, attempts, last_seq, told_cost_micros, submitted_at, completed_at)
    VALUES (?, ?, 'runware', 'm', 0, 60, 'succeeded', 0, ?, 0, 0, 0, 1, 0, ?, 0, 1)"""
_RESULT = """INSERT INTO results (task_key, position, id, identity, via, received_at, report_id, inline, late,
    cost_micros) VALUES (?, ?, ?, ?, ?, 0, ?, 0, 0, 100)"""


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
