"""An index of the rulings on reports that were not simply believed: few among many, and looked for."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_WHERE = "verdict IN ('quarantined', 'conflict')"


def upgrade() -> None:
    op.create_index(
        "rulings_set_aside", "rulings", ["report_id"], sqlite_where=sa.text(_WHERE), postgresql_where=sa.text(_WHERE)
    )
