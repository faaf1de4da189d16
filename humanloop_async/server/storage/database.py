"""Opening a database, its transactions, and bringing its tables up to date."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Table, event, make_url, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

BUSY_TIMEOUT = 30.0
"""Longest wait, in seconds, for another process that is writing to the same SQLite file."""

_MIGRATION_LOCK = 0x68756D616E6C6F6F  # PostgreSQL's advisory locks are numbers; this one is "humanloo"


class DatabaseError(Exception):
    """The database cannot be opened or brought up to date; the text says what to do."""


def database_url(path_or_url: str) -> URL:
    """The SQLAlchemy URL of a SQLite file's path, or of a ``sqlite://`` or ``postgresql://`` URL.

    Raises:
        DatabaseError: Another kind of database, or a database in memory, which connections could not share.
    """
    if "://" not in path_or_url:
        url = URL.create("sqlite", database=path_or_url)
    else:
        try:
            url = make_url(path_or_url)
        except ArgumentError as exc:
            raise DatabaseError("the database's URL cannot be read; expected postgresql://USER@HOST/NAME") from exc
    kind = url.get_backend_name()
    match kind:
        case "sqlite" if url.database in (None, "", ":memory:"):
            raise DatabaseError("SQLite needs a file here, because connections do not share a database in memory")
        case "sqlite":
            return url.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return url.set(drivername="postgresql+asyncpg")
        case _:
            raise DatabaseError(f"{kind} is not supported; give a file's path or a postgresql:// URL")


class Database:
    """One open database.

    SQLite runs in WAL mode with ``synchronous=FULL``: a commit has reached the disk when it returns, and survives
    a power cut. (WAL's usual companion, NORMAL, would only survive the death of this process.)
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._engine = engine.execution_options(begin_immediate=True)
        # Outside a transaction SQLite commits by itself; PostgreSQL's driver must be told to.
        self._reader = engine if self._is_sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
        # SQLite has one writer. Waiting for it here is fair and quick; SQLite's own waiting is neither.
        self._writing = asyncio.Lock()

    @classmethod
    async def open(cls, path_or_url: str) -> Database:
        """Connect, and bring the tables up to date; SQLite's file is created when it is missing.

        Raises:
            DatabaseError: It cannot be reached, or its tables are newer than this program.
        """
        url = database_url(path_or_url)
        try:
            if url.get_backend_name() == "sqlite":
                await asyncio.to_thread(_make_sqlite_file, Path(url.database or ""))
            database = cls(_engine(url))
            try:
                await database._migrate()
            except BaseException:
                await database.aclose()
                raise
        except (SQLAlchemyError, sqlite3.Error, OSError) as exc:
            shown = url.render_as_string(hide_password=True)
            raise DatabaseError(f"cannot open the database {shown}: {exc}") from exc
        return database

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A connection for statements that need not see one state together."""
        async with self._reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction: durable when the block ends, undone when it raises."""
        if not self._is_sqlite:
            async with self._engine.begin() as connection:
                yield connection
            return
        async with self._writing, self._engine.begin() as connection:
            yield connection

    async def aclose(self) -> None:
        """Close every connection; twice does no harm."""
        await self._engine.dispose()

    async def _migrate(self) -> None:
        from .migrations import upgrade  # Alembic is only needed here, and slow to import

        async with self.write() as connection:
            if not self._is_sqlite:  # SQLite's transaction is the lock; here it must be asked for
                await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            await connection.run_sync(upgrade)


async def insert_missing(connection: AsyncConnection, table: Table, values: Mapping[str, Any]) -> None:
    """Insert a row unless it collides with one that is there: two racing inserts end as one row."""
    insert = sqlite_dialect.insert if connection.dialect.name == "sqlite" else postgresql.insert
    await connection.execute(insert(table).values(values).on_conflict_do_nothing())


def _make_sqlite_file(path: Path) -> None:
    """Make the file in WAL mode, which it keeps. What cannot be opened shows here, where aiosqlite's thread, which
    outlives a connection that could not be opened, has not been started."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _engine(url: URL) -> AsyncEngine:
    # `hide_parameters`: errors go to logs, and parameters hold prompts.
    if url.get_backend_name() != "sqlite":
        return create_async_engine(url, hide_parameters=True, pool_pre_ping=True)
    engine = create_async_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT})
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _record: object) -> None:
    # Without this Python's driver begins transactions where it thinks fit, and not around CREATE TABLE.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # Taking the write lock first: a transaction that reads and then writes could fail halfway otherwise.
    if connection.get_execution_options().get("begin_immediate"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
