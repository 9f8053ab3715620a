"""Since when a delivery that was sent again is on its way, which its event does not say."""

import sqlalchemy as sa
from alembic import op

from receiver.storage.types import Moment

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("begun_at", Moment()))
