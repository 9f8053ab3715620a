"""Lists of tasks by state and provider are answered by one index; tasks of the state are not looked at one by one."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.drop_index("tasks_status", "tasks")
    op.create_index("tasks_status", "tasks", ["status", "key", "provider"])
