"""The schema's history, and bringing a database to its end."""

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect, select

from receiver.storage import object_tables, outbox_tables
from receiver.storage.faults import NewerSchemaError

#: The newest revision. Known without alembic, whose import would cost every start a tenth of a second.
NEWEST = "0020"

_FOLDER = Path(__file__).parent
#: As alembic makes it.
_reached = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def upgrade(connection: Connection) -> str:
    """Make what is missing, in the transaction of the connection, and return the revision that is then reached.

    An empty database is given the tables as they are: to run through their history took long at every first start.

    Raises NewerSchemaError for a database that a newer version has written.
    """
    reached = revision(connection)
    if reached is None:
        # Without a look at what is there: tables that somebody else made under these names are not ours to use.
        [whole] = {table.metadata for table in (object_tables.object_claims, outbox_tables.deliveries)}
        whole.create_all(connection, checkfirst=False)
        _reached.create(connection)
        connection.execute(_reached.insert().values(version_num=NEWEST))
    elif reached != NEWEST:
        _run(connection)
    return NEWEST


def revision(connection: Connection) -> str | None:
    """Return the revision of a database, None for an empty one."""
    if not inspect(connection).has_table(_reached.name):
        return None
    found = connection.scalar(select(_reached.columns.version_num))
    return None if found is None else str(found)


def _run(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - only a database that is not up to date needs it
    from alembic.config import Config  # noqa: PLC0415 - the same
    from alembic.util import CommandError  # noqa: PLC0415 - the same

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise NewerSchemaError(
            "the database was written by a newer version of receiver; install that one, or restore a backup"
        ) from error
