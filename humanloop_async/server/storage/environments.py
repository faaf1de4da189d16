"""Queries on ``environments``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..ids import new_id
from .schema import environments
from .statements import insert_or_ignore


async def get_or_create_environments(connection: AsyncConnection, names: Sequence[str]) -> dict[str, str]:
    """The ids of the environments of these names, by name, made where they are missing."""
    for name in names:
        await insert_or_ignore(
            connection, environments, {"id": new_id("env"), "name": name, "created_at": datetime.now(UTC)}
        )
    rows = await connection.execute(
        select(environments.c.name, environments.c.id).where(environments.c.name.in_(names))
    )
    return {row.name: row.id for row in rows}
