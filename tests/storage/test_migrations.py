import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
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


def test_the_revisions_and_the_code_say_the_same_word_for_word(database: Path, tmp_path: Path) -> None:
    """What alembic does not compare: how tables are stored, what is computed, which rows an index holds."""
    direct = tmp_path / "direct.db"
    with written(direct) as connection:
        metadata.create_all(connection)

    def schema(path: Path) -> dict[str, set[str]]:
        opened = sqlite3.connect(path)
        rows = opened.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
        opened.close()
        made = {name: {" ".join(line.split()).rstrip(",") for line in text.splitlines()} for name, text in rows}
        return {name: lines for name, lines in made.items() if name != "alembic_version"}

    assert schema(database) == schema(direct)


def test_migrating_again_changes_nothing(database: Path) -> None:
    before = database.read_bytes()
    assert migrate(database) == migrations.NEWEST
    assert database.read_bytes() == before


def test_a_url_names_a_database_as_a_path_does(tmp_path: Path) -> None:
    assert migrate(f"sqlite:///{tmp_path}/by-url.db") == migrations.NEWEST
    assert (tmp_path / "by-url.db").exists()


@pytest.mark.parametrize("url", ["postgresql://localhost/receiver", "sqlite://", "sqlite:///:memory:", "no url://"])
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
