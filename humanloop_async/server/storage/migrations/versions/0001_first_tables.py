"""The first tables: keys, projects, model configurations, sessions, logs, server processes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
    )

    op.create_table(
        "projects",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        sa.UniqueConstraint("name", name="uq_projects_name"),
    )

    op.create_table(
        "servers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("alive_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_servers"),
    )

    op.create_table(
        "sessions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("reference_id", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("reference_id", name="uq_sessions_reference_id"),
    )
    op.create_index("ix_sessions_created_at_id", "sessions", ["created_at", "id"])

    op.create_table(
        "model_configs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String()),
        sa.Column("identity", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("model", sa.Text()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_model_configs_project_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_model_configs"),
        sa.UniqueConstraint("identity", name="uq_model_configs_identity"),
    )

    op.create_index("ix_model_configs_project_id", "model_configs", ["project_id"])
    op.create_table(
        "logs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("config_id", sa.String()),
        sa.Column("session_id", sa.String()),
        sa.Column("parent_id", sa.String()),
        sa.Column("reference_id", sa.Text()),
        sa.Column("trial_id", sa.String()),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("save", sa.Boolean(), nullable=False),
        sa.Column("inputs", sa.Text()),
        sa.Column("messages", sa.Text()),
        sa.Column("output", sa.Text()),
        sa.Column("raw_output", sa.Text()),
        sa.Column("output_message", sa.Text()),
        sa.Column("provider_request", sa.Text()),
        sa.Column("provider_response", sa.Text()),
        sa.Column("finish_reason", sa.String()),
        sa.Column("error", sa.Text()),
        sa.Column("source", sa.Text()),
        sa.Column("source_datapoint_id", sa.String()),
        sa.Column("environment", sa.Text()),
        sa.Column("user", sa.Text()),
        sa.Column("metadata", sa.Text()),
        sa.Column("inputs_folded", sa.Text()),
        sa.Column("output_folded", sa.Text()),
        sa.Column("metadata_folded", sa.Text()),
        sa.Column("tool_choice", sa.Text()),
        sa.Column("judgment", sa.Text()),
        sa.Column("stdout", sa.Text()),
        sa.Column("prompt_cost", sa.Float()),
        sa.Column("output_cost", sa.Float()),
        sa.Column("prompt_tokens", sa.Integer()),
        sa.Column("output_tokens", sa.Integer()),
        sa.Column("duration", sa.Float()),
        sa.Column("provider_latency", sa.Float()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["config_id"], ["model_configs.id"], name="fk_logs_config_id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["parent_id"], ["logs.id"], name="fk_logs_parent_id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_logs_project_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name="fk_logs_session_id"),
        sa.PrimaryKeyConstraint("id", name="pk_logs"),
        sa.UniqueConstraint("reference_id", name="uq_logs_reference_id"),
    )

    op.create_index(
        "ix_logs_config_id_created_at_id_project_id", "logs", ["config_id", "created_at", "id", "project_id"]
    )
    op.create_index("ix_logs_owner", "logs", ["owner"])
    op.create_index("ix_logs_parent_id", "logs", ["parent_id"])
    op.create_index("ix_logs_project_id_created_at_id", "logs", ["project_id", "created_at", "id"])
    op.create_index("ix_logs_project_id_source_created_at_id", "logs", ["project_id", "source", "created_at", "id"])
    op.create_index(
        "ix_logs_session_id_created_at_id_project_id", "logs", ["session_id", "created_at", "id", "project_id"]
    )
    op.create_index("ix_logs_trial_id", "logs", ["trial_id"])


def downgrade() -> None:
    for table in ("logs", "model_configs", "sessions", "servers", "projects", "api_keys"):
        op.drop_table(table)
