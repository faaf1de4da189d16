"""Feedback, its kinds and labels; the number of logs of each day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feedback_types",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("class", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_feedback_types_project_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "type", name="pk_feedback_types"),
    )

    op.create_table(
        "feedback_labels",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("sentiment", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_feedback_labels_project_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "type", "value", name="pk_feedback_labels"),
    )

    op.create_table(
        "feedback",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("log_id", sa.String(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("typed_value", sa.Text()),
        sa.Column("user", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["log_id"], ["logs.id"], name="fk_feedback_log_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
    )
    op.create_index("ix_feedback_log_id_type", "feedback", ["log_id", "type"])

    op.create_table(
        "log_counts",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_log_counts_project_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "day", name="pk_log_counts"),
    )


def downgrade() -> None:
    for table in ("log_counts", "feedback", "feedback_labels", "feedback_types"):
        op.drop_table(table)
