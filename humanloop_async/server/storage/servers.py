"""Queries on ``servers``: a server whose lease has expired is dead, and its logs and steps were interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, union, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .columns import utc_now
from .evaluation_steps import release_steps
from .schema import evaluation_datapoints, evaluation_results, logs, servers
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
    """Return the ids of dead servers that have running logs or steps of evaluations."""
    alive = select(servers.c.id).where(servers.c.alive_until > utc_now())
    owners = [
        select(table.c.owner).where(table.c.owner.is_not(None), table.c.owner.not_in(alive))
        for table in (logs, evaluation_datapoints, evaluation_results)
    ]
    return [owner for owner in await connection.scalars(union(*owners)) if owner is not None]


async def mark_interrupted(connection: AsyncConnection, owners: Sequence[str]) -> None:
    """Mark the running logs of dead servers as interrupted, make their steps pending, and delete the servers."""
    await release_steps(connection, owners)
    await connection.execute(
        update(logs)
        .where(logs.c.owner.in_(owners))
        .values(status="interrupted", error=INTERRUPTED, owner=None, updated_at=utc_now())
    )
    await connection.execute(delete(servers).where(servers.c.id.in_(owners)))
