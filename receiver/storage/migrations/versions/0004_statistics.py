"""What a task cost and whether its callback was missed, kept with it, and an index of ended tasks for statistics."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_COST = "COALESCE(told_cost_micros, (SELECT SUM(cost_micros) FROM results WHERE task_key = tasks.key))"
_MISSED = "(SELECT MAX(CASE WHEN via = 'poll' THEN 1 ELSE 0 END) = 1 FROM results WHERE task_key = tasks.key)"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("cost_micros", sa.BigInteger(), nullable=True))
    op.add_column("tasks", sa.Column("missed", sa.Boolean(), nullable=True))
    op.execute(sa.text(f"UPDATE tasks SET cost_micros = {_COST}"))  # noqa: S608 - made of the constant above
    op.execute(sa.text(f"UPDATE tasks SET missed = {_MISSED} WHERE pushed"))  # noqa: S608 - the same
    op.create_index(
        "tasks_ended",
        "tasks",
        ["provider", "model", "status", "completed_at", "submitted_at", "polls", "missed", "cost_micros"],
        sqlite_where=sa.text("completed_at IS NOT NULL"),
        postgresql_where=sa.text("completed_at IS NOT NULL"),
    )
