"""The database that an import writes to, or only reads in a dry run."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Column, Row, Table, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..storage.columns import utc_now
from ..storage.database import Database, retry_transaction
from ..storage.schema import servers
from ..storage.statements import dialect_insert
from .bulk import BulkInsert

T = TypeVar("T")

_SERVER_CHECK = 1.0
"""Time between two checks whether a server runs, in seconds."""


class Target:
    """The database. In a dry run, it remembers the ids that an import would have inserted.

    Args:
        database: The database.
        dry_run: Whether to write nothing.
    """

    def __init__(self, database: Database, *, dry_run: bool) -> None:
        self.dry_run = dry_run
        self._database = database
        self._servers_run = False
        self._next_check = 0.0
        self._ids = _IdsOnDisk() if dry_run else None

    async def run(self, transaction: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run a function in a transaction, and then leave the database to running servers for as long.

        SQLite has one writer at a time, and does not queue the others: an import without pauses would leave a server
        little chance to store a log.
        """
        if self.dry_run:
            async with self._database.read() as connection:
                return await transaction(connection)

        async def attempt() -> T:
            async with self._database.write() as connection:
                return await transaction(connection)

        start = time.monotonic()
        outcome = await retry_transaction(attempt)
        end = time.monotonic()
        if end >= self._next_check:
            async with self._database.read() as connection:
                alive = select(exists().where(servers.c.alive_until > utc_now()))
                self._servers_run = bool((await connection.execute(alive)).scalar_one())
            self._next_check = end + _SERVER_CHECK
        if self._servers_run:
            await asyncio.sleep(end - start)
        return outcome

    async def read(self, query: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run a function that only reads."""
        async with self._database.read() as connection:
            return await query(connection)

    async def present(
        self, connection: AsyncConnection, column: Column[Any], values: Collection[str], *more: Column[Any]
    ) -> dict[str, Row[Any] | None]:
        """Return the rows with these values in a unique column, by value.

        A row that a dry run would have inserted is None.

        Args:
            connection: A connection of `run`.
            column: The unique column.
            values: The values to find.
            more: Further columns of the rows.
        """
        if not values:
            return {}
        found: dict[str, Row[Any] | None] = {}
        if self._ids is not None:
            found |= dict.fromkeys(self._ids.known(column.table.name, values))
        for row in await connection.execute(select(column, *more).where(column.in_(values))):
            found[row[0]] = row
        return found

    async def insert(
        self,
        connection: AsyncConnection,
        table: Table,
        rows: Sequence[Mapping[str, Any]],
        bulk: BulkInsert | None = None,
    ) -> None:
        """Insert rows; a row with a key that exists has no effect.

        Args:
            connection: A connection of `run`.
            table: The table.
            rows: The rows.
            bulk: A faster insert into the table.
        """
        if not rows:
            return
        if self._ids is not None:
            self._ids.add(table.name, (row[name] for row in rows for name in _UNIQUE.get(table.name, ("id",))))
            return
        if bulk is not None:
            await bulk.insert(connection, rows)
        else:
            await connection.execute(dialect_insert(connection, table).on_conflict_do_nothing(), rows)

    def close(self) -> None:
        """Remove the remembered ids."""
        if self._ids is not None:
            self._ids.close()


_UNIQUE = {"projects": ("id", "name"), "model_configs": ("id", "identity"), "environments": ("id", "name")}
"""The unique columns of tables that have more than `id`."""


class _IdsOnDisk:
    """Ids by table, in a temporary file, so that a dry run of any size needs little memory."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=OFF")
        self._connection.execute("CREATE TABLE ids (name TEXT PRIMARY KEY) WITHOUT ROWID")

    def add(self, table: str, ids: Iterable[object]) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT OR IGNORE INTO ids VALUES (?)", ((f"{table} {id}",) for id in ids))
        self._connection.execute("COMMIT")

    def known(self, table: str, ids: Iterable[str]) -> list[str]:
        query = "SELECT 1 FROM ids WHERE name = ?"
        return [id for id in ids if self._connection.execute(query, (f"{table} {id}",)).fetchone()]

    def close(self) -> None:
        self._connection.close()
