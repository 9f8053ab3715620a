"""On PostgreSQL, whoever numbers events says from where on until its transaction ends (see storage/sharing)."""

from alembic import op

revision = "0005"
down_revision = "0004"

# Before the first row of a statement gets its number. The key of the lock: 16 bits that say what it is about, 48 of
# the number given last.
_ANNOUNCE = """
CREATE FUNCTION announce_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared((x'5245'::bigint << 48) | last_value) FROM events_id_seq;
    RETURN NULL;
END
$$
"""
_TRIGGER = """
CREATE TRIGGER events_announced BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION announce_events()
"""


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(_ANNOUNCE)
        op.execute(_TRIGGER)
