"""Why the last fruitless call about a task was so, for whoever asks a process that did not make it."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("fault", sa.Text()))
