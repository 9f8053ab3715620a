"""Where the user's application wants to be told, and what is on its way there."""

import sqlalchemy as sa
from alembic import op

from receiver.storage.types import Document, Key, Moment

revision = "0009"
down_revision = "0008"

_FREE_AT = "CASE WHEN lease_until > due_at THEN lease_until ELSE due_at END"
_WAITING = sa.text("free_at IS NOT NULL")
_LEASED = sa.text("lease_until IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "endpoints",
        sa.Column("id", Key(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("types", Document()),
        sa.Column("sealed", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("since", Moment()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", Moment()),
        sa.Column("proven", sa.Boolean(), nullable=False),
        sa.Column("rests_until", Moment()),
        sa.Column("removed_at", Moment()),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "deliveries",
        sa.Column("id", Key(), nullable=False),
        sa.Column("task_key", Key(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("endpoint_id", Key(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("result_id", Key()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_at", Moment()),
        sa.Column("ended_at", Moment()),
        sa.Column("error", sa.Text()),
        sa.Column("outcomes", Document()),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("lease_until", Moment()),
        sa.Column("lease_owner", Key()),
        sa.Column("free_at", Moment(), sa.Computed(_FREE_AT, persisted=True)),
        sa.ForeignKeyConstraint(["task_key"], ["tasks.key"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoints.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_index("deliveries_task", "deliveries", ["task_key", "endpoint_id", "seq"], unique=True)
    op.create_index(
        "deliveries_work",
        "deliveries",
        ["endpoint_id", "lane", "free_at"],
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )
    op.create_index("deliveries_status", "deliveries", ["status", "id"])
    op.create_index("deliveries_endpoint", "deliveries", ["endpoint_id", "status", "id"])
    op.create_index("deliveries_leased", "deliveries", ["id"], sqlite_where=_LEASED, postgresql_where=_LEASED)
