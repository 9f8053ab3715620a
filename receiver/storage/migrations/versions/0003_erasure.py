"""Tasks that were erased, and the objects that go with them."""

import sqlalchemy as sa
from alembic import op

from receiver.storage.types import Key, Moment

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("task_key", Key(), nullable=False),
        sa.Column("erased_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("task_key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "doomed_objects",
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("until", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("object_key"),
        sqlite_with_rowid=False,
    )
    op.create_index("doomed_objects_until", "doomed_objects", ["until"])
