"""Entry point for Alembic. `upgrade` passes the connection; there is no configuration file."""

from __future__ import annotations

from alembic import context

from humanloop_async.server.storage.schema import metadata

# SQLite changes a table by copying it, which Alembic calls a batch.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
