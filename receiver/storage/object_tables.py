"""The tables about objects in the artifact store: who is making one, and which are to be removed."""

from sqlalchemy import Boolean, Column, Index, Table, Text, text

from receiver.storage.tables import metadata
from receiver.storage.types import Key, Moment

# Objects that are to be removed unless something names them. ``removing``: somebody is about to, until ``until`` at
# most; before that moment nobody else does, and nobody begins to make that object.
doomed_objects = Table(
    "doomed_objects",
    metadata,
    Column("object_key", Text, primary_key=True),
    Column("until", Moment, nullable=False),
    Column("removing", Boolean, nullable=False, server_default=text("false")),
    Index("doomed_objects_until", "until"),
    sqlite_with_rowid=False,
)

# Who is making an object that no row names yet: written before its first byte is.
object_claims = Table(
    "object_claims",
    metadata,
    Column("object_key", Text, primary_key=True),
    Column("holder", Key, primary_key=True),
    Column("until", Moment, nullable=False),
    Index("object_claims_until", "until"),
    Index("object_claims_holder", "holder"),
    sqlite_with_rowid=False,
)
