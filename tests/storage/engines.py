"""What concerns one engine alone, and a fault that either can be made to have."""

import pytest
from sqlalchemy import Connection

from receiver.storage.store import SqlStore

ON_SQLITE = pytest.mark.parametrize("either", ["sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("either", ["postgresql"], indirect=True)

#: Let the next report, or change of the installation, find no room. What a sequence has counted stays counted.
_FULL_ONCE = (
    "CREATE SEQUENCE tried",
    """
    CREATE FUNCTION refuse_once() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('tried') = 1 THEN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER full_once BEFORE INSERT ON reports FOR EACH ROW EXECUTE FUNCTION refuse_once()",
    "CREATE TRIGGER full_once BEFORE UPDATE ON installation FOR EACH ROW EXECUTE FUNCTION refuse_once()",
)


async def fill_the_disk_once(store: SqlStore, *, pages: int = 60) -> None:
    """Let the next large write find the disk full; after that there is room again."""

    def fill(connection: Connection) -> None:
        on_sqlite = connection.dialect.name == "sqlite"
        for statement in (f"PRAGMA max_page_count = {pages}",) if on_sqlite else _FULL_ONCE:
            connection.exec_driver_sql(statement)

    await store._engine.write(fill)
