"""A look at a PostgreSQL database from outside, beside those who share it: nothing in it changes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, select, text

from receiver.storage.migrations import NEWEST, revision
from receiver.storage.postgres import READERS, WRITERS, open_postgres
from receiver.storage.tables import installation

#: What one process keeps open at most: writers, readers, and the one that listens.
CONNECTIONS = WRITERS + READERS + 1
_COMMITS = 5
_SERVER = text(
    "SELECT current_setting('server_version'), current_setting('server_version_num')::int,"
    " pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on',"
    " has_schema_privilege(current_schema(), 'CREATE'), clock_timestamp()"
)
_LASTING = text(
    "SELECT current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on',"
    " current_setting('synchronous_standby_names')"
)
_ROOM = text(
    "SELECT least("
    " current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
    "  - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
    " (SELECT CASE WHEN rolconnlimit < 0 THEN 100000 ELSE rolconnlimit END FROM pg_roles"
    "  WHERE rolname = current_user)"
    "  - (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user),"
    " (SELECT CASE WHEN datconnlimit < 0 THEN 100000 ELSE datconnlimit END FROM pg_database"
    "  WHERE datname = current_database())"
    "  - (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())"
    ")::int"
)
_OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'receiver'"
    " AND NOT pid = ANY (:ours)"
)
_MAY_WRITE = text(
    "SELECT coalesce(bool_and(has_table_privilege(oid, 'SELECT, INSERT, UPDATE, DELETE')), true) FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
)
#: Something is written, so that there is something to sync, and nobody reads it.
_NOTHING = text("SELECT pg_logical_emit_message(true, 'receiver', '')::text")


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What a server says of itself and of us.

    ``revision`` and ``installation_id`` are None where there are no tables of ours, or none that we may read.
    ``may_create`` is about tables that the next migration makes, ``may_write`` about those there are. ``room`` is how
    many connections are left, ``others`` how many processes like ours hold, ``ahead_seconds`` how much the server's
    clock is ahead of ours.
    """

    version: str
    version_number: int
    standby: bool
    read_only: bool
    may_create: bool
    may_write: bool
    synced: bool
    whole_pages: bool
    standbys: str
    room: int
    others: int
    ahead_seconds: float
    revision: str | None
    installation_id: bytes | None
    commit_seconds: float | None = None
    newest: str = NEWEST


async def survey(url: str, now: Callable[[], datetime], monotonic: Callable[[], float]) -> Surveyed:
    """Look at a database by its URL. Raises UnavailableError, and ValueError for a URL that cannot be read."""
    async with open_postgres(url) as engine:
        ours = [await engine.read(_pid), await engine.write(_pid)]

        def look(connection: Connection) -> Surveyed:
            before = now()
            version, number, standby, read_only, may_create, moment = connection.execute(_SERVER).one()
            ahead = moment - (before + (now() - before) / 2)
            synced, whole_pages, standbys = connection.execute(_LASTING).one()
            may_write = connection.execute(_MAY_WRITE).scalar_one()
            # Whoever may not read the tables may not read whose they are.
            reached = revision(connection) if may_write else None
            return Surveyed(
                version=version,
                version_number=number,
                standby=standby,
                read_only=read_only,
                may_create=may_create,
                may_write=may_write,
                synced=synced,
                whole_pages=whole_pages,
                standbys=standbys,
                room=connection.execute(_ROOM).scalar_one(),
                others=connection.execute(_OTHERS, {"ours": ours}).scalar_one(),
                ahead_seconds=ahead.total_seconds(),
                revision=reached,
                installation_id=None if reached is None else connection.scalar(select(installation.columns.id)),
            )

        found = await engine.write(look)
        if found.standby or found.read_only:
            return found
        took = []
        for _ in range(_COMMITS):
            begun = monotonic()
            await engine.write(lambda connection: connection.execute(_NOTHING).all())
            took.append(monotonic() - begun)
        return replace(found, commit_seconds=max(took))


def _pid(connection: Connection) -> int:
    pid: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return pid
