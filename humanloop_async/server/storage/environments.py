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
    return {name: id for name, id in (await environment_ids(connection)).items() if name in names}


async def environment_ids(connection: AsyncConnection) -> dict[str, str]:
    """Return the ids of all environments by name, the oldest first."""
    columns = environments.c.name, environments.c.id
    rows = await connection.execute(select(*columns).order_by(environments.c.created_at, environments.c.id))
    return {row.name: row.id for row in rows}
