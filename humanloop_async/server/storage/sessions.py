"""Queries on ``sessions``."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..ids import new_id
from .database import insert_missing
from .schema import sessions


async def session_exists(connection: AsyncConnection, session_id: str) -> bool:
    """Whether there is a session of that id."""
    return (await connection.execute(select(sessions.c.id).where(sessions.c.id == session_id))).first() is not None


async def session_id_by_reference(connection: AsyncConnection, reference_id: str) -> str | None:
    """The id of the session that the caller knows by that reference."""
    return (await connection.execute(select(sessions.c.id).where(sessions.c.reference_id == reference_id))).scalar()


async def add_session(connection: AsyncConnection, reference_id: str) -> None:
    """Make a session of that reference unless there is one."""
    now = datetime.now(UTC)
    await insert_missing(
        connection,
        sessions,
        {"id": new_id("sesh"), "reference_id": reference_id, "created_at": now, "updated_at": now},
    )
