"""The tables of the first release."""

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
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
    )

    op.create_table(
        "environments",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_environments"),
        sa.UniqueConstraint("name", name="uq_environments_name"),
    )

    op.create_table(
        "idempotency",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_expires_at", "idempotency", ["expires_at"])

    op.create_table(
        "projects",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("directory_id", sa.Text()),
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
        "log_counts",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_log_counts_project_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "day", name="pk_log_counts"),
    )

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
        sa.Column("is_registered", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_model_configs_project_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_model_configs"),
        sa.UniqueConstraint("identity", name="uq_model_configs_identity"),
    )
    op.create_index("ix_model_configs_project_id", "model_configs", ["project_id"])

    op.create_table(
        "deployments",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("environment_id", sa.String(), nullable=False),
        sa.Column("config_id", sa.String()),
        sa.Column("experiment_id", sa.String()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(config_id IS NULL) <> (experiment_id IS NULL)", name=op.f("ck_deployments_one")),
        sa.ForeignKeyConstraint(
            ["config_id"], ["model_configs.id"], name="fk_deployments_config_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environments.id"], name="fk_deployments_environment_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_deployments_experiment_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_deployments_project_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "environment_id", name="pk_deployments"),
    )
    op.create_index("ix_deployments_config_id", "deployments", ["config_id"])
    op.create_index("ix_deployments_experiment_id", "deployments", ["experiment_id"])

    op.create_table(
        "experiment_configs",
        sa.Column("experiment_id", sa.String(), nullable=False),
        sa.Column("config_id", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["config_id"], ["model_configs.id"], name="fk_experiment_configs_config_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_experiment_configs_experiment_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("experiment_id", "config_id", name="pk_experiment_configs"),
    )
    op.create_index("ix_experiment_configs_config_id", "experiment_configs", ["config_id"])

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
        sa.Column("request_id", sa.Text()),
        sa.Column("call_id", sa.String()),
        sa.Column("save", sa.Boolean(), nullable=False),
        sa.Column("inputs", sa.Text()),
        sa.Column("messages", sa.Text()),
        sa.Column("output", sa.Text()),
        sa.Column("raw_output", sa.Text()),
        sa.Column("output_message", sa.Text()),
        sa.Column("reasoning", sa.Text()),
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
        sa.Column("tools", sa.Text()),
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
    op.create_index(
        "ix_logs_source_datapoint_id",
        "logs",
        ["source_datapoint_id"],
        sqlite_where=sa.text("source_datapoint_id IS NOT NULL"),
        postgresql_where=sa.text("source_datapoint_id IS NOT NULL"),
    )
    op.create_index("ix_logs_trial_id", "logs", ["trial_id"])

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
        "trials",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("experiment_id", sa.String(), nullable=False),
        sa.Column("config_id", sa.String(), nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["config_id"], ["model_configs.id"], name="fk_trials_config_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_trials_experiment_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_trials"),
    )
    op.create_index("ix_trials_config_id", "trials", ["config_id"])
    op.create_index("ix_trials_experiment_id_subject", "trials", ["experiment_id", "subject"])

    op.create_table(
        "feedback",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("log_id", sa.String(), nullable=False),
        sa.Column("config_id", sa.String()),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("typed_value", sa.Text()),
        sa.Column("user", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["log_id"], ["logs.id"], name="fk_feedback_log_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
    )
    op.create_index("ix_feedback_config_id_type", "feedback", ["config_id", "type"])
    op.create_index("ix_feedback_log_id_type", "feedback", ["log_id", "type"])

    op.create_table(
        "datasets",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_datasets_project_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
    )
    op.create_index("ix_datasets_project_id", "datasets", ["project_id"])

    op.create_table(
        "datapoints",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("until", sa.Integer()),
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("inputs", sa.Text()),
        sa.Column("messages", sa.Text()),
        sa.Column("target", sa.Text()),
        sa.Column("source_log_id", sa.String()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_datapoints_dataset_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", "version", name="pk_datapoints"),
    )
    op.create_index("ix_datapoints_dataset_id_position", "datapoints", ["dataset_id", "position"])

    op.create_table(
        "evaluators",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("logging_project_id", sa.String()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["logging_project_id"], ["projects.id"], name="fk_evaluators_logging_project_id", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_evaluators"),
    )
    op.create_index("ix_evaluators_logging_project_id", "evaluators", ["logging_project_id"])

    op.create_table(
        "evaluator_versions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("evaluator_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("arguments_type", sa.String(), nullable=False),
        sa.Column("return_type", sa.String(), nullable=False),
        sa.Column("code", sa.Text()),
        sa.Column("config_id", sa.String()),
        sa.Column("options", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["config_id"], ["model_configs.id"], name="fk_evaluator_versions_config_id"),
        sa.ForeignKeyConstraint(
            ["evaluator_id"], ["evaluators.id"], name="fk_evaluator_versions_evaluator_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_evaluator_versions"),
        sa.UniqueConstraint("evaluator_id", "number", name="uq_evaluator_versions_evaluator_id_number"),
    )

    op.create_table(
        "project_evaluators",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("evaluator_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluator_id"], ["evaluators.id"], name="fk_project_evaluators_evaluator_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_project_evaluators_project_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "evaluator_id", name="pk_project_evaluators"),
    )
    op.create_index("ix_project_evaluators_evaluator_id", "project_evaluators", ["evaluator_id"])

    op.create_table(
        "evaluations",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("config_id", sa.String(), nullable=False),
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("dataset_version", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("hl_generated", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["config_id"], ["model_configs.id"], name="fk_evaluations_config_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_evaluations_dataset_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_evaluations_project_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_evaluations"),
    )
    op.create_index("ix_evaluations_config_id", "evaluations", ["config_id"])
    op.create_index("ix_evaluations_dataset_id", "evaluations", ["dataset_id"])
    op.create_index("ix_evaluations_project_id_created_at_id", "evaluations", ["project_id", "created_at", "id"])

    op.create_table(
        "evaluation_evaluators",
        sa.Column("evaluation_id", sa.String(), nullable=False),
        sa.Column("evaluator_id", sa.String(), nullable=False),
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluations.id"], name="fk_evaluation_evaluators_evaluation_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["evaluator_id"], ["evaluators.id"], name="fk_evaluation_evaluators_evaluator_id"),
        sa.ForeignKeyConstraint(["version_id"], ["evaluator_versions.id"], name="fk_evaluation_evaluators_version_id"),
        sa.PrimaryKeyConstraint("evaluation_id", "evaluator_id", name="pk_evaluation_evaluators"),
    )
    op.create_index("ix_evaluation_evaluators_evaluator_id", "evaluation_evaluators", ["evaluator_id"])

    op.create_table(
        "evaluation_datapoints",
        sa.Column("evaluation_id", sa.String(), nullable=False),
        sa.Column("datapoint_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("log_id", sa.String()),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluations.id"], name="fk_evaluation_datapoints_evaluation_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "datapoint_id", name="pk_evaluation_datapoints"),
    )
    op.create_index(
        "ix_evaluation_datapoints_evaluation_id_position", "evaluation_datapoints", ["evaluation_id", "position"]
    )
    op.create_index("ix_evaluation_datapoints_log_id", "evaluation_datapoints", ["log_id"])
    op.create_index(
        "ix_evaluation_datapoints_owner",
        "evaluation_datapoints",
        ["owner"],
        sqlite_where=sa.text("owner IS NOT NULL"),
        postgresql_where=sa.text("owner IS NOT NULL"),
    )
    op.create_index(
        "ix_evaluation_datapoints_status",
        "evaluation_datapoints",
        ["status"],
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )

    op.create_table(
        "evaluation_results",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("evaluation_id", sa.String()),
        sa.Column("datapoint_id", sa.String()),
        sa.Column("log_id", sa.String(), nullable=False),
        sa.Column("evaluator_id", sa.String(), nullable=False),
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("value", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("evaluator_log_id", sa.String()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluations.id"], name="fk_evaluation_results_evaluation_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["evaluator_id"], ["evaluators.id"], name="fk_evaluation_results_evaluator_id"),
        sa.ForeignKeyConstraint(["log_id"], ["logs.id"], name="fk_evaluation_results_log_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["version_id"], ["evaluator_versions.id"], name="fk_evaluation_results_version_id"),
        sa.PrimaryKeyConstraint("id", name="pk_evaluation_results"),
        sa.UniqueConstraint(
            "evaluation_id",
            "datapoint_id",
            "evaluator_id",
            name="uq_evaluation_results_evaluation_id_datapoint_id_evaluator_id",
        ),
    )
    op.create_index("ix_evaluation_results_evaluator_id", "evaluation_results", ["evaluator_id"])
    op.create_index("ix_evaluation_results_log_id_evaluator_id", "evaluation_results", ["log_id", "evaluator_id"])
    op.create_index(
        "ix_evaluation_results_owner",
        "evaluation_results",
        ["owner"],
        sqlite_where=sa.text("owner IS NOT NULL"),
        postgresql_where=sa.text("owner IS NOT NULL"),
    )
    op.create_index(
        "ix_evaluation_results_status",
        "evaluation_results",
        ["status"],
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )


def downgrade() -> None:
    tables = (  # those that refer to others first
        "evaluation_results",
        "evaluation_datapoints",
        "evaluation_evaluators",
        "evaluations",
        "project_evaluators",
        "evaluator_versions",
        "evaluators",
        "datapoints",
        "datasets",
        "feedback",
        "trials",
        "positive_labels",
        "logs",
        "experiment_configs",
        "deployments",
        "model_configs",
        "log_counts",
        "feedback_types",
        "feedback_labels",
        "experiments",
        "sessions",
        "servers",
        "projects",
        "idempotency",
        "environments",
        "api_keys",
    )
    for table in tables:
        op.drop_table(table)
