"""Alembic's migrations, run by the server at start. One file a step in ``versions/``, never changed once released."""

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
    """Bring the tables up to date inside the connection's transaction.

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
    """The step that the tables have reached; None when there are none.

    Raises:
        DatabaseError: They say that they have reached several.
    """
    try:
        return MigrationContext.configure(connection).get_current_revision()
    except CommandError as exc:
        raise DatabaseError("the database's table alembic_version must have one row") from exc


def is_known(version: str) -> bool:
    """Whether that is a step of this program."""
    return any(script.revision == version for script in ScriptDirectory.from_config(_config()).walk_revisions())


def latest_version() -> str:
    """The last step that this program knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
