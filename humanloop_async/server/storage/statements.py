"""Inserts that do not fail on a row that exists, on both databases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


def dialect_insert(connection: AsyncConnection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert that supports ``on_conflict_do_...``, which SQLAlchemy's generic one does not."""
    return (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(table)


async def insert_or_ignore(connection: AsyncConnection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless it conflicts with an existing one; two racing inserts end as one row.

    Returns:
        Whether the row was inserted.
    """
    done = await connection.execute(dialect_insert(connection, table).values(values).on_conflict_do_nothing())
    return done.rowcount == 1


async def upsert(connection: AsyncConnection, table: Table, values: Mapping[str, Any]) -> None:
    """Insert a row, or set these values in the row with the same primary key."""
    key = [column.name for column in table.primary_key]
    rest = {name: value for name, value in values.items() if name not in key}
    statement = dialect_insert(connection, table).values(values)
    await connection.execute(statement.on_conflict_do_update(index_elements=key, set_=rest))
