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
    Column("origin", ShortText, nullable=False),  # command, first start or environment
    Column("created_at", UtcTime, nullable=False),
    Column("last_used_at", UtcTime),  # within about a minute
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

log_contents = Table(  # what the logs of a call with several samples have in common
    "log_contents",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("project_id", ShortText, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    # The others are columns of `logs`, and NULL in the rows of these logs: see `storage/log_contents.py`.
    Column("inputs", JsonText),
    Column("messages", JsonText),
    Column("provider_request", JsonText),
    Column("provider_response", JsonText),  # NULL: each sample has its own
    Column("user", PlainText),
    Column("metadata", JsonText),
    Column("inputs_folded", PlainText),
    Column("metadata_folded", PlainText),
    Column("tool_choice", JsonText),
    Column("tools", JsonText),
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
    Column("request_id", PlainText),  # the X-Request-Id of the request that created it
    Column("call_id", ShortText),  # the call's row in `idempotency`, if it has one
    # NULL: all contents are in this row, as those of the only sample of a call.
    Column("content_id", ShortText, ForeignKey("log_contents.id")),
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
    Column("tools", JsonText),
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
for _column in (logs.c.source_datapoint_id, logs.c.content_id):  # NULL in most logs
    Index(None, _column, sqlite_where=_column.is_not(None), postgresql_where=_column.is_not(None))

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
    Column("deleted_at", UtcTime),  # deleted, but evaluations still read its earlier versions
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

# Evaluators and evaluations.

evaluators = Table(
    "evaluators",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("type", ShortText, nullable=False),  # python, llm, human or external
    Column("name", PlainText, nullable=False),
    Column("description", PlainText, nullable=False),
    Column("version", Integer, nullable=False),  # number of the current one
    # The project of an llm evaluator's logs. NULL: created with the next log.
    Column("logging_project_id", ShortText, ForeignKey("projects.id", ondelete="SET NULL"), index=True),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("deleted_at", UtcTime),  # deleted, but its results stay readable
)

evaluator_versions = Table(
    "evaluator_versions",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("evaluator_id", ShortText, ForeignKey("evaluators.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("arguments_type", ShortText, nullable=False),  # target_free or target_required
    Column("return_type", ShortText, nullable=False),  # boolean, number, select, multi_select or text
    Column("code", PlainText),  # if the type is python
    Column("config_id", ShortText, ForeignKey("model_configs.id")),  # if the type is llm; one without a project
    Column("options", JsonText),  # the values of select and multi_select
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("evaluator_id", "number"),
)

project_evaluators = Table(  # evaluators that run on a project's new logs
    "project_evaluators",
    metadata,
    Column("project_id", ShortText, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("evaluator_id", ShortText, ForeignKey("evaluators.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("created_at", UtcTime, nullable=False),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("project_id", ShortText, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("name", PlainText),
    Column("config_id", ShortText, ForeignKey("model_configs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("dataset_id", ShortText, ForeignKey("datasets.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("dataset_version", Integer, nullable=False),
    Column("status", ShortText, nullable=False),  # pending, running, completed, cancelled or failed
    Column("hl_generated", Boolean, nullable=False),  # False: the caller sends the logs
    Column("owner", ShortText),  # the only server process that has the provider keys of the request, if it had some
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Index(None, "project_id", "created_at", "id"),
)

evaluation_evaluators = Table(
    "evaluation_evaluators",
    metadata,
    Column("evaluation_id", ShortText, ForeignKey("evaluations.id", ondelete="CASCADE"), primary_key=True),
    Column("evaluator_id", ShortText, ForeignKey("evaluators.id"), primary_key=True, index=True),
    Column("version_id", ShortText, ForeignKey("evaluator_versions.id"), nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

evaluation_datapoints = Table(  # steps: the generation of a log for a datapoint
    "evaluation_datapoints",
    metadata,
    Column("evaluation_id", ShortText, ForeignKey("evaluations.id", ondelete="CASCADE"), primary_key=True),
    Column("datapoint_id", ShortText, primary_key=True),
    Column("position", Integer, nullable=False),  # order in the dataset
    # waiting (for the caller's log), pending (not begun), running, or complete: it has its log, maybe of an error
    Column("status", ShortText, nullable=False),
    Column("owner", ShortText),  # the server process that generates, while the status is running
    Column("log_id", ShortText, index=True),  # the log, which is stored when its generation begins
    Index(None, "evaluation_id", "position"),
)

evaluation_results = Table(  # steps: an evaluator's verdict on a log, in an evaluation or as an active evaluator
    "evaluation_results",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("evaluation_id", ShortText, ForeignKey("evaluations.id", ondelete="CASCADE")),  # NULL: active evaluator
    Column("datapoint_id", ShortText),  # in an evaluation
    Column("log_id", ShortText, ForeignKey("logs.id", ondelete="CASCADE"), nullable=False),
    Column("evaluator_id", ShortText, ForeignKey("evaluators.id"), nullable=False),
    Column("version_id", ShortText, ForeignKey("evaluator_versions.id"), nullable=False),
    Column("status", ShortText, nullable=False),  # pending (not begun), running, or complete: with a value or an error
    Column("owner", ShortText),  # the server process that evaluates, while the status is running
    Column("value", JsonText),
    Column("error", PlainText),
    Column("evaluator_log_id", ShortText),  # the log of an llm evaluator, stored when its generation begins
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    UniqueConstraint("evaluation_id", "datapoint_id", "evaluator_id"),
    Index(None, "log_id", "evaluator_id"),
    Index(None, "evaluator_id"),
)
for _steps in (evaluation_datapoints, evaluation_results):  # small indexes to find open steps
    for _column, _open in (
        (_steps.c.status, _steps.c.status == "pending"),
        (_steps.c.owner, _steps.c.owner.is_not(None)),
    ):
        Index(None, _column, sqlite_where=_open, postgresql_where=_open)

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
