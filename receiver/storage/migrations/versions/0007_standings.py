"""How we stand with each provider, kept for all processes that serve one account."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "provider_standings",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("empty_at", sa.Float()),
        sa.Column("unclear_in_a_row", sa.Integer(), nullable=False),
        sa.Column("rests", sa.Integer(), nullable=False),
        sa.Column("rested_at", sa.Float()),
        sa.Column("probed_until", sa.Float()),
        sa.PrimaryKeyConstraint("provider"),
    )
