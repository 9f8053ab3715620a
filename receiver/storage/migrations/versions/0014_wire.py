"""What each attempt sent and was answered; and the sessions of people that were ended before their time."""

import sqlalchemy as sa
from alembic import op

from receiver.storage.types import Moment

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("sent", sa.LargeBinary()))
    op.add_column("attempts", sa.Column("answered", sa.LargeBinary()))
    op.create_table(
        "ended_sessions",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("until", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        sqlite_with_rowid=False,
    )
