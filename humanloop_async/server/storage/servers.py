"""Queries on ``servers``: a server whose lease has expired is dead, and its running logs were interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .columns import utc_now
from .schema import logs, servers
from .statements import insert_or_ignore

INTERRUPTED = "the server stopped before the generation finished"


async def renew_lease(connection: AsyncConnection, server_id: str, until: datetime) -> None:
    """Set the time until which a server counts as alive."""
    await insert_or_ignore(connection, servers, {"id": server_id, "alive_until": until})
    await connection.execute(update(servers).where(servers.c.id == server_id).values(alive_until=until))


async def end_lease(connection: AsyncConnection, server_id: str) -> None:
    """Delete the lease of a server that stops."""
    await connection.execute(delete(servers).where(servers.c.id == server_id))


async def dead_owners(connection: AsyncConnection) -> Sequence[str]:
    """Return the ids of dead servers that have running logs."""
    alive = select(servers.c.id).where(servers.c.alive_until > utc_now())
    query = select(logs.c.owner).where(logs.c.owner.is_not(None), logs.c.owner.not_in(alive)).distinct()
    return [owner for owner in await connection.scalars(query) if owner is not None]


async def mark_interrupted(connection: AsyncConnection, owners: Sequence[str]) -> None:
    """Mark the running logs of dead servers as interrupted, and delete the servers."""
    await connection.execute(
        update(logs)
        .where(logs.c.owner.in_(owners))
        .values(status="interrupted", error=INTERRUPTED, owner=None, updated_at=utc_now())
    )
    await connection.execute(delete(servers).where(servers.c.id.in_(owners)))
