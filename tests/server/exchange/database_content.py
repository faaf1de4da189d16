"""The contents of a database, for comparisons."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from humanloop_async.server.storage.database import Database
from humanloop_async.server.storage.schema import api_keys, idempotency, metadata, servers


async def contents(address: str) -> dict[str, list[Any]]:
    """Return the rows of all tables that an export holds, in an order that depends on the rows only."""
    database = await Database.open(address)
    try:
        async with database.read() as connection:
            return {
                table.name: sorted((tuple(row) for row in await connection.execute(select(table))), key=repr)
                for table in metadata.sorted_tables
                if table not in {api_keys, idempotency, servers}
            }
    finally:
        await database.aclose()
