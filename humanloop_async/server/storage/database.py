"""Opening a database, its transactions, and bringing its tables up to date."""

from __future__ import annotations

import asyncio
import importlib
import random
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from contextvars import ContextVar
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from .errors import DatabaseError, first_line

T = TypeVar("T")

BUSY_TIMEOUT = 30.0
"""Longest wait, in seconds, for another process that is writing to the same SQLite file."""

CONNECT_TIMEOUT = 10.0
"""Longest wait, in seconds, for PostgreSQL to take a connection."""

COMMAND_TIMEOUT = 120.0
"""Longest wait, in seconds, for PostgreSQL to do one statement. A search through a million logs takes it four."""

CLOSE_TIMEOUT = 5.0
"""Longest wait, in seconds, for the connections of a kind to close."""

READERS, WRITERS = 10, 5
"""Most connections of a server process to its database; more calls than that wait for each other, a moment each."""

ATTEMPTS = 5
"""How often a transaction is tried that the database undoes in favour of others."""

_ENGINE: dict[str, Any] = {
    "hide_parameters": True,  # errors go to logs, and parameters hold prompts
    "max_overflow": 0,  # a connection beyond the pool's size would be closed after each use
    "pool_use_lifo": True,
}

_LOCK = 0x68756D616E6C6F6F  # PostgreSQL's advisory locks are numbers; this one is "humanloo"

# With its task: one that it starts has a copy of the context, and must not use the same connection meanwhile.
_joined: ContextVar[tuple[Database, object, AsyncConnection] | None] = ContextVar("_joined", default=None)


_UNDONE = {"40001", "40P01"}  # PostgreSQL's serialization_failure and deadlock_detected


async def retry_transaction(transaction: Callable[[], Awaitable[T]]) -> T:
    """Do something that is one transaction, again when the database undid it in favour of another.

    Transactions here lock what they share in one order, so that they do not wait for each other in a circle; but
    deleting a project, or somebody's own program, may come across one.
    """
    for attempt in count(1):
        try:
            return await transaction()
        except DBAPIError as exc:
            if attempt == ATTEMPTS or getattr(exc.orig, "sqlstate", None) not in _UNDONE:
                raise
        await asyncio.sleep(random.uniform(0, 0.05 * attempt))
    raise AssertionError


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
        except (ArgumentError, ValueError) as exc:
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

    def __init__(self, url: URL, command_timeout: float | None = COMMAND_TIMEOUT) -> None:
        self._is_sqlite = url.get_backend_name() == "sqlite"
        # Connections of its own for writing: no search through a million logs keeps a log from being written.
        self._engine = _engine(url, WRITERS, command_timeout).execution_options(begin_immediate=True)
        # Outside a transaction SQLite commits by itself; PostgreSQL's driver must be told to.
        autocommit: dict[str, Any] = {} if self._is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._reader = _engine(url, READERS, command_timeout).execution_options(**autocommit)
        # SQLite has one writer. Waiting for it here is fair and quick; SQLite's own waiting is neither.
        self._writing = asyncio.Lock()

    @classmethod
    async def open(cls, path_or_url: str, *, migrate: bool = True) -> Database:
        """Connect, and bring the tables up to date; SQLite's file is created when it is missing.

        Args:
            migrate: False leaves the tables as they are, and does not make a file.

        Raises:
            DatabaseError: It cannot be reached, or its tables are newer than this program.
        """
        url = database_url(path_or_url)
        try:
            if url.get_backend_name() == "sqlite":
                await asyncio.to_thread(_prepare_sqlite_file, Path(url.database or ""), make=migrate)
            database = cls(url)
            # To change large tables may take long, and so may waiting for another process that does.
            migrator = database if database._is_sqlite else cls(url, command_timeout=None)
            try:
                await (migrator._migrate() if migrate else migrator._ping())
            except BaseException:
                await database.aclose()
                raise
            finally:
                if migrator is not database:
                    await migrator.aclose()
        except ModuleNotFoundError as exc:
            raise DatabaseError("asyncpg is not installed; run: pip install 'humanloop_async[postgres]'") from exc
        except (SQLAlchemyError, sqlite3.Error, OSError, ValueError, _postgres_error()) as exc:
            raise DatabaseError(f"cannot open the database {display_url(path_or_url)}: {first_line(exc)}") from exc
        return database

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A connection for statements that need not see one state together."""
        if (joined := self._joined()) is not None:
            yield joined
            return
        async with self._reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction: durable when the block ends, undone when it raises."""
        if (joined := self._joined()) is not None:
            async with joined.begin_nested():
                yield joined
            return
        if not self._is_sqlite:
            async with self._engine.begin() as connection:
                yield connection
            return
        async with self._writing, self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that the task's `read` and `write` blocks inside join: all of them last, or none.

        What is written by another task, such as the log writer's, is no part of it, and must not be waited for.
        """
        async with self.write() as connection:
            token = _joined.set((self, asyncio.current_task(), connection))
            try:
                yield connection
            finally:
                _joined.reset(token)

    @asynccontextmanager
    async def exclusive(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction while which no other process is in one of these."""
        async with self.write() as connection:
            if not self._is_sqlite:  # SQLite's transaction is the lock; here it must be asked for
                await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield connection

    async def aclose(self) -> None:
        """Close every connection, or leave those that do not close in time; twice does no harm."""
        for engine in (self._engine, self._reader):
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await engine.dispose()

    def _joined(self) -> AsyncConnection | None:
        match _joined.get():
            case (database, task, connection) if database is self and task is asyncio.current_task():
                return connection
            case _:
                return None

    async def _migrate(self) -> None:
        from .migrations import upgrade  # Alembic is only needed here, and slow to import

        async with self.exclusive() as connection:
            await connection.run_sync(upgrade)

    async def _ping(self) -> None:
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))


def display_url(path_or_url: str) -> str:
    """A database as it may be shown: a file's whole path, or a URL without its password."""
    url = database_url(path_or_url)
    if url.get_backend_name() == "sqlite":
        return str(Path(url.database or "").absolute())
    return url.set(drivername="postgresql").render_as_string(hide_password=True)


def _prepare_sqlite_file(path: Path, *, make: bool) -> None:
    """Put the file into WAL mode, which it keeps. What cannot be opened shows here, where aiosqlite's thread, which
    outlives a connection that could not be opened, has not been started."""
    if make:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.exists():
        raise FileNotFoundError("there is no such file")
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as connection:
        deadline = time.monotonic() + BUSY_TIMEOUT
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as exc:
                # SQLite does not wait for another process that switches the mode at the same moment.
                if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


def _engine(url: URL, connections: int, command_timeout: float | None) -> AsyncEngine:
    if url.get_backend_name() != "sqlite":
        # asyncpg reads the URL itself, so that whatever libpq's URLs may say (`?sslmode=`, `?host=/run/...`) holds.
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        connect = partial(_asyncpg().connect, dsn, timeout=CONNECT_TIMEOUT, command_timeout=command_timeout)
        engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, pool_size=connections, **_ENGINE)
        event.listen(engine.sync_engine, "checkout", _replace_closed)
        return engine
    from .sqlite import SqliteConnection

    connect_sqlite = partial(SqliteConnection, url.database or "", BUSY_TIMEOUT)
    engine = create_async_engine(url, async_creator=connect_sqlite, pool_size=connections, **_ENGINE)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _asyncpg() -> Any:
    return importlib.import_module("asyncpg")  # an extra, and without types


def _postgres_error() -> type[Exception]:
    """What asyncpg raises while it connects, before SQLAlchemy translates; of no matter when it is not there."""
    try:
        return cast("type[Exception]", _asyncpg().PostgresError)
    except ModuleNotFoundError:
        return DatabaseError


def _replace_closed(connection: Any, _record: object, _proxy: object) -> None:
    # asyncpg knows by itself when PostgreSQL has hung up; SQLAlchemy's pre-ping would ask before every use.
    if connection.driver_connection.is_closed():
        raise DisconnectionError


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
