"""Files that callers uploaded, and which tasks were made with them."""

import sqlalchemy as sa
from alembic import op

from receiver.storage.types import Key, Moment

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "inputs",
        sa.Column("id", Key(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("duration_seconds", sa.Float(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("extension", sa.Text(), nullable=False),
        sa.Column("unused_until", Moment()),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_index("inputs_sha256", "inputs", ["sha256"], unique=True)
    unused = sa.text("unused_until IS NOT NULL")
    op.create_index("inputs_unused", "inputs", ["unused_until"], sqlite_where=unused, postgresql_where=unused)
    op.create_table(
        "input_uses",
        sa.Column("task_key", Key(), nullable=False),
        sa.Column("input_id", Key(), nullable=False),
        sa.ForeignKeyConstraint(["task_key"], ["tasks.key"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["input_id"], ["inputs.id"]),
        sa.PrimaryKeyConstraint("task_key"),
        sqlite_with_rowid=False,
    )
    op.create_index("input_uses_input", "input_uses", ["input_id"])
