"""The configuration that feedback is about, beside the log it is on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("feedback", sa.Column("config_id", sa.String()))
    op.execute("UPDATE feedback SET config_id = (SELECT config_id FROM logs WHERE logs.id = feedback.log_id)")
    op.create_index("ix_feedback_config_id_type", "feedback", ["config_id", "type"])


def downgrade() -> None:
    op.drop_index("ix_feedback_config_id_type", "feedback")
    op.drop_column("feedback", "config_id")
