"""Alembic's migrations, which the server runs at start; one file for each in ``versions/``.

A released migration never changes. Within a minor version, migrations only add tables, indexes and columns that are
nullable or have a default, so that a server of the version before keeps working on the new tables. Removing a column
takes two minor versions: the first stops using it, the second removes it.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from ..errors import DatabaseError


def upgrade(connection: Connection) -> None:
    """Run the missing migrations inside the connection's transaction.

    Raises:
        DatabaseError: The tables are newer than this program.
    """
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as exc:
        raise DatabaseError(
            f"the database does not fit this version of the server; upgrade the server ({exc})"
        ) from exc


def version(connection: Connection) -> str | None:
    """Return the version of the tables, or None when there are none.

    Raises:
        DatabaseError: The table ``alembic_version`` has several rows.
    """
    try:
        return MigrationContext.configure(connection).get_current_revision()
    except CommandError as exc:
        raise DatabaseError("the database's table alembic_version must have one row") from exc


def is_known(version: str) -> bool:
    """Return whether this program has a migration to that version."""
    return any(script.revision == version for script in ScriptDirectory.from_config(_config()).walk_revisions())


def latest_version() -> str:
    """Return the version to which this program upgrades."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
