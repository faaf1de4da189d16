"""Alembic's migrations, run by the server at start. One file a step in ``versions/``, never changed once released."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from ..database import DatabaseError


def upgrade(connection: Connection) -> None:
    """Bring the tables up to date inside the connection's transaction.

    Raises:
        DatabaseError: The tables are newer than this program.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as exc:
        raise DatabaseError(
            f"the database does not fit this version of the server; upgrade the server ({exc})"
        ) from exc
