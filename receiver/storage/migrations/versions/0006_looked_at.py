"""When a task was last seen to be pending: what was found by a look ended after that, and not at the look."""

import sqlalchemy as sa
from alembic import op

from receiver.storage.types import Moment

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("looked_at", Moment(), nullable=True))
