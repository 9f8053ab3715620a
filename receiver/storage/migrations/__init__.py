"""The schema's history, and bringing a database to its end."""

from pathlib import Path

from sqlalchemy import Connection, column, inspect, select, table

from receiver.storage.faults import NewerSchemaError

#: The newest revision. Known without alembic, whose import would cost every start a tenth of a second.
NEWEST = "0006"

_FOLDER = Path(__file__).parent
_reached = table("alembic_version", column("version_num"))


def upgrade(connection: Connection) -> str:
    """Run what is missing, in the transaction of the connection, and return the revision that is then reached.

    Raises NewerSchemaError for a database that a newer version has written.
    """
    if revision(connection) != NEWEST:
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
