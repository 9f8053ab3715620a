"""Indexes of the ids of results, ours and the provider's: a person may have nothing else of a task."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_WHERE = "provider_result_id IS NOT NULL"


def upgrade() -> None:
    op.create_index("results_id", "results", ["id"])
    op.create_index(
        "results_provider_result_id",
        "results",
        ["provider_result_id"],
        sqlite_where=sa.text(_WHERE),
        postgresql_where=sa.text(_WHERE),
    )
