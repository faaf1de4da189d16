"""Which call with an ``Idempotency-Key`` made a log, so that deleting the log takes its stored answer back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("logs", sa.Column("call_id", sa.String()))


def downgrade() -> None:
    op.drop_column("logs", "call_id")
