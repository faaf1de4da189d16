"""The tables. A change here needs a migration beside it; a test compares the two.

Ids are made by the server (`humanloop_async.server.ids`), times are UTC, JSON is text, and nothing is used that
only one of SQLite and PostgreSQL knows.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table

from .columns import JsonText, PlainText, UtcTime

metadata = MetaData(
    naming_convention={  # explicit names, because SQLite can only alter a constraint it can name
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("digest", String, nullable=False, unique=True),  # SHA-256 of the key, in hexadecimal
    Column("name", PlainText, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
)

projects = Table(
    "projects",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", PlainText, nullable=False, unique=True),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
)

model_configs = Table(
    "model_configs",
    metadata,
    Column("id", String, primary_key=True),
    Column("project_id", String, ForeignKey("projects.id", ondelete="CASCADE"), index=True),  # NULL: of no project
    # SHA-256 over project and parameters. It holds the project because NULLs never collide in a unique index.
    Column("identity", String, nullable=False, unique=True),
    Column("name", PlainText, nullable=False),
    Column("description", PlainText),
    Column("parameters", JsonText, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String, primary_key=True),
    Column("reference_id", PlainText, unique=True),  # the caller's own name for it
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
)

logs = Table(
    "logs",
    metadata,
    Column("id", String, primary_key=True),
    Column("project_id", String, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("config_id", String, ForeignKey("model_configs.id"), index=True),
    Column("session_id", String, ForeignKey("sessions.id"), index=True),
    Column("parent_id", String, ForeignKey("logs.id", ondelete="SET NULL"), index=True),
    Column("reference_id", PlainText, unique=True),
    Column("trial_id", String, index=True),
    # running, complete, error, cancelled (the caller left) or interrupted (the server died).
    Column("status", String, nullable=False),
    Column("owner", String, index=True),  # the server process that generates it, while it is running
    Column("save", Boolean, nullable=False),  # False: the columns from `inputs` to `provider_response` stay NULL
    Column("inputs", JsonText),
    Column("messages", JsonText),
    Column("output", PlainText),
    Column("raw_output", PlainText),  # NULL when it is equal to `output`
    Column("output_message", JsonText),  # NULL when it says no more than `raw_output`
    Column("provider_request", JsonText),
    Column("provider_response", JsonText),
    Column("finish_reason", String),
    Column("error", PlainText),
    Column("source", PlainText),
    Column("source_datapoint_id", String),
    Column("environment", PlainText),
    Column("user", PlainText),
    Column("metadata", JsonText),
    Column("tool_choice", JsonText),
    Column("prompt_tokens", Integer),
    Column("output_tokens", Integer),
    Column("duration", Float),  # seconds, as the caller says
    Column("provider_latency", Float),  # seconds, as measured here
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Index(None, "project_id", "created_at", "id"),
)

servers = Table(  # the processes that write logs; one that stops renewing its lease is dead
    "servers",
    metadata,
    Column("id", String, primary_key=True),
    Column("alive_until", UtcTime, nullable=False),
)
