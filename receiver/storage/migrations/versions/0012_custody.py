"""Audio that several results share: who is making it, who names it, and who takes it away."""

import sqlalchemy as sa
from alembic import op

from receiver.storage.types import Key, Moment

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    kept = sa.text("object_key IS NOT NULL")
    op.create_index("artifacts_object", "artifacts", ["object_key"], sqlite_where=kept, postgresql_where=kept)
    op.create_index("artifacts_kept", "artifacts", ["task_key"], sqlite_where=kept, postgresql_where=kept)
    op.add_column(
        "doomed_objects", sa.Column("removing", sa.Boolean(), nullable=False, server_default=sa.text("false"))
    )
    op.create_table(
        "object_claims",
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("holder", Key(), nullable=False),
        sa.Column("until", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("object_key", "holder"),
        sqlite_with_rowid=False,
    )
    op.create_index("object_claims_until", "object_claims", ["until"])
    op.create_index("object_claims_holder", "object_claims", ["holder"])
