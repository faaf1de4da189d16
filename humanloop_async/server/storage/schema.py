"""The tables. A change here needs a migration beside it; a test compares the two.

Ids are made by the server (`humanloop_async.server.ids`), times are UTC, JSON is text, and nothing is used that
only one of SQLite and PostgreSQL knows.
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
    naming_convention={  # explicit names, because SQLite can only alter a constraint it can name
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
    Column("project_id", ShortText, ForeignKey("projects.id", ondelete="CASCADE"), index=True),  # NULL: of no project
    # SHA-256 over project and parameters. It holds the project because NULLs never collide in a unique index.
    Column("identity", ShortText, nullable=False, unique=True),
    Column("type", ShortText, nullable=False),  # model; or tool, generic, agent: these only come with logs
    Column("model", PlainText),  # the model's name, of type model
    Column("name", PlainText, nullable=False),
    Column("description", PlainText),
    Column("parameters", JsonText, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    # Whether it came through /model-configs: the first one that did is deployed.
    Column("is_registered", Boolean, nullable=False, server_default=false()),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("reference_id", PlainText, unique=True),  # the caller's own name for it
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
    # running, complete, error, cancelled (the caller left) or interrupted (the server died).
    Column("status", ShortText, nullable=False),
    Column("owner", ShortText, index=True),  # the server process that generates it, while it is running
    Column("call_id", ShortText),  # the row in `idempotency` of the call that made it, if that had a key
    Column("save", Boolean, nullable=False),  # False: the columns from `inputs` to `provider_response` stay NULL
    Column("inputs", JsonText),
    Column("messages", JsonText),
    Column("output", PlainText),
    Column("raw_output", PlainText),  # NULL when it is equal to `output`
    Column("output_message", JsonText),  # NULL when it says no more than `raw_output`
    Column("provider_request", JsonText),
    Column("provider_response", JsonText),
    Column("finish_reason", ShortText),
    Column("error", PlainText),
    Column("source", PlainText),
    Column("source_datapoint_id", ShortText),
    Column("environment", PlainText),
    Column("user", PlainText),
    Column("metadata", JsonText),
    Column("inputs_folded", PlainText),  # these three: what a search reads; NULL when that is the column itself
    Column("output_folded", PlainText),
    Column("metadata_folded", PlainText),
    Column("tool_choice", JsonText),
    Column("judgment", JsonText),
    Column("stdout", PlainText),
    Column("prompt_cost", Float),
    Column("output_cost", Float),
    Column("prompt_tokens", Integer),
    Column("output_tokens", Integer),
    Column("duration", Float),  # seconds, as the caller says
    Column("provider_latency", Float),  # seconds, as measured here
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Index(None, "project_id", "created_at", "id"),
    Index(None, "project_id", "source", "created_at", "id"),
    Index(None, "config_id", "created_at", "id", "project_id"),
    Index(None, "session_id", "created_at", "id", "project_id"),
)

servers = Table(  # the processes that write logs; one that stops renewing its lease is dead
    "servers",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("alive_until", UtcTime, nullable=False),
)

log_counts = Table(  # how many logs a project has of each day, in UTC
    "log_counts",
    metadata,
    Column("project_id", ShortText, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("count", Integer, nullable=False),
)

# Feedback. The kinds that every project has are in the code (`storage/feedback_types.py`); here are the others, and
# the labels that a project's select kinds have gained.

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

feedback = Table(  # what is current: replaced or taken back, a row is gone
    "feedback",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("log_id", ShortText, ForeignKey("logs.id", ondelete="CASCADE"), nullable=False),
    Column("config_id", ShortText),  # the log's, so that counting what a configuration got reads no logs
    Column("type", PlainText, nullable=False),
    Column("value", PlainText, nullable=False),  # as text, such as "good", "4.5" or "true"
    Column("typed_value", JsonText),  # the same when it is not a text
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
    Column("sampling", ShortText),  # uniform or thompson; NULL: as the server is set, now and later
    Column("sticky", ShortText),  # none, session or user; NULL likewise
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    UniqueConstraint("project_id", "name"),
)

positive_labels = Table(  # the feedback that an experiment counts as success
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
    Column("active", Boolean, nullable=False),  # False: taken out; its trials still count
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
)

deployments = Table(  # a configuration or an experiment; an environment without a row has nothing deployed
    "deployments",
    metadata,
    Column("project_id", ShortText, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("environment_id", ShortText, ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
    Column("config_id", ShortText, ForeignKey("model_configs.id", ondelete="CASCADE"), index=True),
    Column("experiment_id", ShortText, ForeignKey("experiments.id", ondelete="CASCADE"), index=True),
    Column("created_at", UtcTime, nullable=False),
    CheckConstraint("(config_id IS NULL) <> (experiment_id IS NULL)", name="one"),
)

trials = Table(  # one sampling of an experiment; `logs.trial_id` says what was generated in it
    "trials",
    metadata,
    Column("id", ShortText, primary_key=True),
    Column("experiment_id", ShortText, ForeignKey("experiments.id", ondelete="CASCADE"), nullable=False),
    Column("config_id", ShortText, ForeignKey("model_configs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("subject", PlainText),  # the session or user that stays with its configuration
    Column("created_at", UtcTime, nullable=False),
    Index(None, "experiment_id", "subject"),
)

idempotency = Table(  # calls that came with an Idempotency-Key, and how they ended
    "idempotency",
    metadata,
    Column("id", ShortText, primary_key=True),  # SHA-256 over the API key's id and the Idempotency-Key
    Column("fingerprint", ShortText, nullable=False),  # SHA-256 over method, path, query and body
    Column("owner", ShortText, nullable=False),  # the server process that makes or made the call
    Column("status", Integer),  # NULL: still running
    Column("body", LargeBinary),  # NULL with a status: the caller said `save: false`
    Column("expires_at", UtcTime, nullable=False, index=True),
)
