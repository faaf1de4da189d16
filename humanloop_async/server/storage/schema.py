"""The tables. A change here needs a migration; a test compares the two.

The server creates the ids (`humanloop_async.server.ids`), times are in UTC, and JSON is stored as text. The tables use
only features that both SQLite and PostgreSQL have.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    false,
)

from .columns import JsonText, PlainText, ShortText, UtcTime

metadata = MetaData(
    naming_convention={  # SQLite can only change constraints that have a name
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("digest", ShortText, nullable=False, unique=True),  # SHA-256 of the key, in hexadecimal
    Column("name", PlainText, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
)

projects = Table(
    "projects",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("name", PlainText, nullable=False, unique=True),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("directory_id", PlainText),
)

model_configs = Table(
    "model_configs",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("project_id", ShortText, ForeignKey("projects.id", ondelete="CASCADE"), index=True),  # NULL: no project
    # SHA-256 of project and parameters. It includes the project because NULLs are distinct in a unique index.
    Column("identity", ShortText, nullable=False, unique=True),
    Column("type", ShortText, nullable=False),  # model; or tool, generic, agent, which only logs have
    Column("model", PlainText),  # the model's name, if the type is model
    Column("name", PlainText, nullable=False),
    Column("description", PlainText),
    Column("parameters", JsonText, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    # Created with POST /model-configs; the first such configuration is deployed.
    Column("is_registered", Boolean, nullable=False, server_default=false()),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("reference_id", PlainText, unique=True),  # the caller's id for it
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Index(None, "created_at", "id"),
)

logs = Table(
    "logs",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("project_id", ShortText, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("config_id", ShortText, ForeignKey("model_configs.id", ondelete="SET NULL")),
    Column("session_id", ShortText, ForeignKey("sessions.id")),
    Column("parent_id", ShortText, ForeignKey("logs.id", ondelete="SET NULL"), index=True),
    Column("reference_id", PlainText, unique=True),
    Column("trial_id", ShortText, index=True),
    # running, complete, error, cancelled (the caller disconnected) or interrupted (the server died)
    Column("status", ShortText, nullable=False),
    Column("owner", ShortText, index=True),  # the server process that generates it, while it is running
    Column("call_id", ShortText),  # the call's row in `idempotency`, if it has one
    Column("save", Boolean, nullable=False),  # False: the columns in `storage.logs.CONTENT` stay NULL
    Column("inputs", JsonText),
    Column("messages", JsonText),
    Column("output", PlainText),
    Column("raw_output", PlainText),  # NULL: equal to `output`
    Column("output_message", JsonText),  # NULL: follows from `raw_output`
    Column("reasoning", PlainText),
    Column("provider_request", JsonText),
    Column("provider_response", JsonText),
    Column("finish_reason", ShortText),
    Column("error", PlainText),
    Column("source", PlainText),
    Column("source_datapoint_id", ShortText),
    Column("environment", PlainText),
    Column("user", PlainText),
    Column("metadata", JsonText),
    Column("inputs_folded", PlainText),  # copies for `storage/search.py`, NULL where not needed
    Column("output_folded", PlainText),
    Column("metadata_folded", PlainText),
    Column("tool_choice", JsonText),
    Column("judgment", JsonText),
    Column("stdout", PlainText),
    Column("prompt_cost", Float),
    Column("output_cost", Float),
    Column("prompt_tokens", Integer),
    Column("output_tokens", Integer),
    Column("duration", Float),  # seconds, from the caller
    Column("provider_latency", Float),  # seconds, measured by this server
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Index(None, "project_id", "created_at", "id"),
    Index(None, "project_id", "source", "created_at", "id"),
    Index(None, "config_id", "created_at", "id", "project_id"),
    Index(None, "session_id", "created_at", "id", "project_id"),
)
Index(  # partial, because few logs are of datapoints
    None,
    logs.c.source_datapoint_id,
    sqlite_where=logs.c.source_datapoint_id.is_not(None),
    postgresql_where=logs.c.source_datapoint_id.is_not(None),
)

servers = Table(  # processes that write logs, and the ends of their leases
    "servers",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("alive_until", UtcTime, nullable=False),
)

log_counts = Table(  # number of a project's logs by day, in UTC
    "log_counts",
    metadata,
    Column("project_id", ShortText, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("count", Integer, nullable=False),
)

# Feedback. `storage/feedback_types.py` has the kinds and labels of every project; these tables have the added ones.

feedback_types = Table(
    "feedback_types",
    metadata,
    Column("project_id", ShortText, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("type", PlainText, primary_key=True),
    Column("class", ShortText, nullable=False),  # select, multi_select, text or number
    Column("created_at", UtcTime, nullable=False),
)

feedback_labels = Table(
    "feedback_labels",
    metadata,
    Column("project_id", ShortText, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("type", PlainText, primary_key=True),
    Column("value", PlainText, primary_key=True),
    Column("sentiment", ShortText, nullable=False),  # positive, negative, neutral or unset
    Column("created_at", UtcTime, nullable=False),
)

feedback = Table(  # current feedback only: replacing or deleting feedback deletes its row
    "feedback",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("log_id", ShortText, ForeignKey("logs.id", ondelete="CASCADE"), nullable=False),
    Column("config_id", ShortText),  # a copy of the log's, so that counting by configuration reads no logs
    Column("type", PlainText, nullable=False),
    Column("value", PlainText, nullable=False),  # as text, such as "good", "4.5" or "true"
    Column("typed_value", JsonText),  # the same as a number or boolean; NULL for texts
    Column("user", PlainText),
    Column("created_at", UtcTime, nullable=False),
    Index(None, "log_id", "type"),
    Index(None, "config_id", "type"),
)

# Deployments and experiments.

environments = Table(
    "environments",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("name", PlainText, nullable=False, unique=True),
    Column("created_at", UtcTime, nullable=False),
)

experiments = Table(
    "experiments",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("project_id", ShortText, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("name", PlainText, nullable=False),
    Column("sampling", ShortText),  # uniform or thompson; NULL: the server's setting
    Column("sticky", ShortText),  # none, session or user; NULL: the server's setting
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    UniqueConstraint("project_id", "name"),
)

positive_labels = Table(  # feedback that an experiment counts as success
    "positive_labels",
    metadata,
    Column("experiment_id", ShortText, ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True),
    Column("type", PlainText, primary_key=True),
    Column("value", PlainText, primary_key=True),
)

experiment_configs = Table(
    "experiment_configs",
    metadata,
    Column("experiment_id", ShortText, ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True),
    Column("config_id", ShortText, ForeignKey("model_configs.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("active", Boolean, nullable=False),  # False: not sampled; its trials still count
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
)

deployments = Table(  # of a configuration or an experiment
    "deployments",
    metadata,
    Column("project_id", ShortText, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("environment_id", ShortText, ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
    Column("config_id", ShortText, ForeignKey("model_configs.id", ondelete="CASCADE"), index=True),
    Column("experiment_id", ShortText, ForeignKey("experiments.id", ondelete="CASCADE"), index=True),
    Column("created_at", UtcTime, nullable=False),
    CheckConstraint("(config_id IS NULL) <> (experiment_id IS NULL)", name="one"),
)

trials = Table(  # samplings of an experiment; `logs.trial_id` refers to them
    "trials",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("experiment_id", ShortText, ForeignKey("experiments.id", ondelete="CASCADE"), nullable=False),
    Column("config_id", ShortText, ForeignKey("model_configs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("subject", PlainText),  # the session or user that keeps the configuration
    Column("created_at", UtcTime, nullable=False),
    Index(None, "experiment_id", "subject"),
)

# Datasets.

datasets = Table(
    "datasets",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("project_id", ShortText, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", PlainText, nullable=False),
    Column("description", PlainText, nullable=False),
    Column("version", Integer, nullable=False),  # number of the current one; a change of datapoints creates the next
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
)

datapoints = Table(  # a datapoint has one row for each of its contents over time
    "datapoints",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),  # of the dataset: the first one with this row
    Column("until", Integer),  # the first version without this row; NULL: it is in the current one
    Column("dataset_id", ShortText, ForeignKey("datasets.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),  # order of addition to the dataset
    Column("inputs", JsonText),
    Column("messages", JsonText),
    Column("target", JsonText),
    Column("source_log_id", ShortText),  # the log that it is a copy of, which may have been deleted
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Index(None, "dataset_id", "position"),
)

idempotency = Table(  # calls with an Idempotency-Key, and their outcomes
    "idempotency",
    metadata,
    Column("id", ShortText, primary_key=True),  # SHA-256 of the API key's id and the Idempotency-Key
    Column("fingerprint", ShortText, nullable=False),  # SHA-256 of method, path, query and body
    Column("owner", ShortText, nullable=False),  # the server process that runs or ran the call
    Column("status", Integer),  # NULL: running
    Column("body", LargeBinary),  # NULL with a status: the request had `save: false`
    Column("expires_at", UtcTime, nullable=False, index=True),
)
