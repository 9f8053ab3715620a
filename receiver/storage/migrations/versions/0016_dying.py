"""Audio whose link dies soonest is found by an index, however much waits to be fetched."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_WAITS = sa.text("free_at IS NOT NULL AND link_expires_at IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "artifacts_dying",
        "artifacts",
        ["link_expires_at", "free_at"],
        sqlite_where=_WAITS,
        postgresql_where=_WAITS,
    )
