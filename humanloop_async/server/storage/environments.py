"""Queries on ``environments``."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..ids import new_id
from .columns import utc_now
from .schema import environments
from .statements import insert_or_ignore


async def get_or_create_environments(connection: AsyncConnection, names: Sequence[str]) -> dict[str, str]:
    """Return the ids of environments by name; missing ones are created."""
    for name in names:
        values = {"id": new_id("env"), "name": name, "created_at": utc_now()}
        await insert_or_ignore(connection, environments, values)
    rows = await connection.execute(
        select(environments.c.name, environments.c.id).where(environments.c.name.in_(names))
    )
    return {row.name: row.id for row in rows}
