"""The row that tells this installation from every other, and the proof that rows can be written."""

from sqlalchemy import Connection, select, update

from receiver.storage import sharing
from receiver.storage.engine import Engine
from receiver.storage.migrations import upgrade
from receiver.storage.tables import installation

#: What ``probe`` writes and takes away again: more than the pages a nearly full database has left between its rows.
_PROBE = bytes(64 * 1024)


def made_ready(connection: Connection, engine: Engine) -> bytes:
    """Bring the schema to its newest form, and return what tells this installation from every other.

    That is drawn when the database is made, then never changed.
    """
    if engine.shared:
        sharing.alone_for_now(connection)
    upgrade(connection)
    known: bytes | None = connection.scalar(select(installation.columns.id))
    if known is not None:
        return known
    made = engine.draw(connection)
    connection.execute(installation.insert().values(id=made))
    return made


def probe(connection: Connection) -> None:
    """Take room and give it back: a change in place would succeed on a disk that is full."""
    connection.execute(update(installation).values(probe=_PROBE))
    connection.execute(update(installation).values(probe=None))
