"""The first form: tasks with their results, artifacts, attempts and events; reports with their inbox."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from receiver.storage.types import Document, Key, Moment

revision = "0001"
down_revision = None

_FREE_AT = "CASE WHEN lease_until > due_at THEN lease_until ELSE due_at END"


def _partial_index(name: str, table: str, columns: Sequence[str], where: str, *, unique: bool = False) -> None:
    """Make an index of some rows on either engine."""
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def upgrade() -> None:
    op.create_table(
        "inbox",
        sa.Column("report_id", Key(), nullable=False),
        sa.Column("due_at", Moment(), nullable=False),
        sa.Column("lease_until", Moment()),
        sa.Column("lease_owner", Key()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("report_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "installation",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("probe", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "provider_pauses",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("until", Moment(), nullable=False),
        sa.Column("error", Document(), nullable=False),
        sa.PrimaryKeyConstraint("provider"),
    )
    op.create_table(
        "report_counters",
        sa.Column("task_key", Key(), nullable=False),
        sa.Column("extra_duplicates", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("task_key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reports",
        sa.Column("id", Key(), nullable=False),
        sa.Column("task_key", Key(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("received_at", Moment(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("object_key", sa.Text()),
        sa.Column("content_type", sa.Text()),
        sa.Column("sliced", sa.Boolean(), nullable=False),
        sa.Column("duplicate_of", Key()),
        sa.Column("doubt", sa.Text()),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("reports_task", "reports", ["task_key", "sha256"])
    op.create_table(
        "rulings",
        sa.Column("report_id", Key(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("report_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tasks",
        sa.Column("key", Key(), nullable=False),
        sa.Column("id", Key(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("deadline_seconds", sa.Float(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("overdue", sa.Boolean(), nullable=False),
        sa.Column("provider_task_id", sa.Text()),
        sa.Column("pushed", sa.Boolean(), nullable=False),
        sa.Column("submitted_at", Moment()),
        sa.Column("settled_at", Moment()),
        sa.Column("completed_at", Moment()),
        sa.Column("deadline_at", Moment()),
        sa.Column("told_cost_micros", sa.BigInteger()),
        sa.Column("polls", sa.Integer(), nullable=False),
        sa.Column("callbacks", sa.Integer(), nullable=False),
        sa.Column("errors", Document()),
        sa.Column("work", sa.Text()),
        sa.Column("due_at", Moment()),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("attempt_open_since", Moment()),
        sa.Column("unknown_since", Moment()),
        sa.Column("doubt", Document()),
        sa.Column("doubt_since", Moment()),
        sa.Column("answer_digest", sa.LargeBinary(length=32)),
        sa.Column("quiet_since", Moment()),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("lease_until", Moment()),
        sa.Column("lease_owner", Key()),
        sa.Column("free_at", Moment(), sa.Computed(_FREE_AT, persisted=True)),
        sa.PrimaryKeyConstraint("key"),
        sqlite_with_rowid=False,
    )
    _partial_index("tasks_attempt_open", "tasks", ["attempt_open_since"], "attempt_open_since IS NOT NULL")
    op.create_index("tasks_created", "tasks", ["created_at"])
    op.create_index("tasks_id", "tasks", ["id"], unique=True)
    op.create_index("tasks_provider", "tasks", ["provider", "key"])
    _partial_index(
        "tasks_provider_task_id",
        "tasks",
        ["provider", "provider_task_id"],
        "provider_task_id IS NOT NULL",
        unique=True,
    )
    op.create_index("tasks_status", "tasks", ["status", "key"])
    _partial_index("tasks_waiting", "tasks", ["overdue", "deadline_at"], "status IN ('submitted', 'unknown')")
    _partial_index("tasks_work", "tasks", ["work", "provider", "free_at"], "work IS NOT NULL")
    op.create_table(
        "artifacts",
        sa.Column("task_key", Key(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("result_id", Key(), nullable=False),
        sa.Column("link_expires_at", Moment()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("due_at", Moment()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("refusals", sa.Integer(), nullable=False),
        sa.Column("first_refused_at", Moment()),
        sa.Column("object_key", sa.Text()),
        sa.Column("size", sa.BigInteger()),
        sa.Column("sha256", sa.Text()),
        sa.Column("media_type", sa.Text()),
        sa.Column("duration_seconds", sa.Float()),
        sa.Column("error", sa.Text()),
        sa.Column("lease_until", Moment()),
        sa.Column("lease_owner", Key()),
        sa.Column("free_at", Moment(), sa.Computed(_FREE_AT, persisted=True)),
        sa.ForeignKeyConstraint(["task_key"], ["tasks.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_key", "position"),
        sqlite_with_rowid=False,
    )
    _partial_index("artifacts_leased", "artifacts", ["result_id"], "lease_until IS NOT NULL")
    _partial_index("artifacts_work", "artifacts", ["free_at", "link_expires_at"], "free_at IS NOT NULL")
    op.create_table(
        "attempts",
        sa.Column("task_key", Key(), nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("ended_at", Moment()),
        sa.Column("outcome", sa.Text()),
        sa.Column("http_status", sa.Integer()),
        sa.Column("detail", sa.Text()),
        sa.ForeignKeyConstraint(["task_key"], ["tasks.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_key", "ordinal"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("task_key", Key(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("data", Document(), nullable=False),
        sa.ForeignKeyConstraint(["task_key"], ["tasks.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("events_task", "events", ["task_key", "seq"], unique=True)
    op.create_table(
        "requests",
        sa.Column("task_key", Key(), nullable=False),
        sa.Column("request", Document(), nullable=False),
        sa.Column("warnings", Document()),
        sa.ForeignKeyConstraint(["task_key"], ["tasks.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "results",
        sa.Column("task_key", Key(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", Key(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("received_at", Moment(), nullable=False),
        sa.Column("report_id", Key(), nullable=False),
        sa.Column("inline", sa.Boolean(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("provider_result_id", sa.Text()),
        sa.Column("seed", sa.BigInteger()),
        sa.Column("cost_micros", sa.BigInteger()),
        sa.Column("link", sa.Text()),
        sa.ForeignKeyConstraint(["task_key"], ["tasks.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_key", "position"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "task_metadata",
        sa.Column("task_key", Key(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["task_key"], ["tasks.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_key", "name"),
        sqlite_with_rowid=False,
    )
    op.create_index("task_metadata_value", "task_metadata", ["name", "value", "task_key"])
