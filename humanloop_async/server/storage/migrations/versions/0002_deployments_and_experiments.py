"""Environments, what is deployed to them, experiments and their trials."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("directory_id", sa.Text()))
    op.add_column("model_configs", sa.Column("is_registered", sa.Boolean(), nullable=False, server_default=sa.false()))

    op.create_table(
        "environments",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_environments"),
        sa.UniqueConstraint("name", name="uq_environments_name"),
    )

    op.create_table(
        "experiments",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sampling", sa.String()),
        sa.Column("sticky", sa.String()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_experiments_project_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_experiments"),
        sa.UniqueConstraint("project_id", "name", name="uq_experiments_project_id_name"),
    )

    op.create_table(
        "positive_labels",
        sa.Column("experiment_id", sa.String(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_positive_labels_experiment_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("experiment_id", "type", "value", name="pk_positive_labels"),
    )

    op.create_table(
        "experiment_configs",
        sa.Column("experiment_id", sa.String(), nullable=False),
        sa.Column("config_id", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_experiment_configs_experiment_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["config_id"], ["model_configs.id"], name="fk_experiment_configs_config_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("experiment_id", "config_id", name="pk_experiment_configs"),
    )
    op.create_index("ix_experiment_configs_config_id", "experiment_configs", ["config_id"])

    op.create_table(
        "deployments",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("environment_id", sa.String(), nullable=False),
        sa.Column("config_id", sa.String()),
        sa.Column("experiment_id", sa.String()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(config_id IS NULL) <> (experiment_id IS NULL)", name="ck_deployments_one"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_deployments_project_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environments.id"], name="fk_deployments_environment_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["config_id"], ["model_configs.id"], name="fk_deployments_config_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_deployments_experiment_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "environment_id", name="pk_deployments"),
    )
    op.create_index("ix_deployments_config_id", "deployments", ["config_id"])
    op.create_index("ix_deployments_experiment_id", "deployments", ["experiment_id"])

    op.create_table(
        "trials",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("experiment_id", sa.String(), nullable=False),
        sa.Column("config_id", sa.String(), nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_trials_experiment_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["config_id"], ["model_configs.id"], name="fk_trials_config_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_trials"),
    )
    op.create_index("ix_trials_config_id", "trials", ["config_id"])
    op.create_index("ix_trials_experiment_id_subject", "trials", ["experiment_id", "subject"])


def downgrade() -> None:
    tables = ("trials", "deployments", "experiment_configs", "positive_labels", "experiments", "environments")
    for table in tables:
        op.drop_table(table)
    op.drop_column("model_configs", "is_registered")
    op.drop_column("projects", "directory_id")
