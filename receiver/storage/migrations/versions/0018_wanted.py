"""What a usual callback is settled by stands with its task; tasks of before are settled by all that was asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("expected", sa.Integer()))
    op.add_column("tasks", sa.Column("ttl_seconds", sa.BigInteger()))
