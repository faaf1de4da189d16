"""Open a database, migrate its tables, and run transactions."""

from __future__ import annotations

import asyncio
import importlib
import os
import random
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, nullcontext, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from .errors import DatabaseError, first_line
from .health import DatabaseHealth
from .pool import Pool

T = TypeVar("T")

BUSY_TIMEOUT = 30.0
"""Longest wait for another process that is writing to the same SQLite file, in seconds."""

CONNECT_TIMEOUT = 10.0
"""Longest wait for PostgreSQL to accept a connection, in seconds."""

COMMAND_TIMEOUT = 120.0
"""Longest run of one statement on PostgreSQL, in seconds. Searching a million logs takes about four."""

CLOSE_TIMEOUT = 5.0
"""Longest wait for the connections of one pool to close, in seconds."""

CHECK_INTERVAL = 10.0
"""Seconds after a write in which a check of the database need not write."""

CONNECTIONS = 15
"""Most connections of a server process. Further calls wait for one, which each call holds only for a moment."""

ATTEMPTS = 5
"""Maximum attempts of a transaction that the database rolls back in favour of another."""

_ENGINE: dict[str, Any] = {
    "hide_parameters": True,  # errors go to logs, and parameters hold prompts
    "max_overflow": 0,  # a connection beyond the pool's size would be closed after each use
    "pool_use_lifo": True,
}

_LOCK = 0x68756D616E6C6F6F  # the number of PostgreSQL's advisory lock: "humanloo" in ASCII

# Includes the task: a task that it starts inherits the context, but must not use the same connection concurrently.
_joined: ContextVar[tuple[Database, object, AsyncConnection] | None] = ContextVar("_joined", default=None)


_ROLLED_BACK = {"40001", "40P01"}  # PostgreSQL's serialization_failure and deadlock_detected


async def retry_transaction(transaction: Callable[[], Awaitable[T]]) -> T:
    """Run a function that is one transaction; run it again when the database rolled it back in favour of another.

    Our transactions lock shared rows in one order, so that they cannot deadlock with each other. Deleting a project, or
    a program of the operator, can still conflict with one.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return await transaction()
        except DBAPIError as exc:
            if getattr(exc.orig, "sqlstate", None) not in _ROLLED_BACK:
                raise
        await asyncio.sleep(random.uniform(0, 0.05 * attempt))
    return await transaction()


def database_url(path_or_url: str) -> URL:
    """Return the SQLAlchemy URL of a SQLite file's path, or of a ``sqlite://`` or ``postgresql://`` URL.

    Raises:
        DatabaseError: The URL is invalid, of another kind of database, or of a database in memory.
    """
    if "://" not in path_or_url:
        url = URL.create("sqlite", database=path_or_url)
    else:
        try:
            url = make_url(path_or_url)
        except (ArgumentError, ValueError) as exc:
            raise DatabaseError("invalid database URL; expected postgresql://USER@HOST/NAME") from exc
    kind = url.get_backend_name()
    match kind:
        case "sqlite" if url.database in (None, "", ":memory:"):
            raise DatabaseError("connections cannot share a SQLite database in memory; give a file's path")
        case "sqlite":
            return url.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return url.set(drivername="postgresql+asyncpg")
        case _:
            raise DatabaseError(f"{kind} is not supported; give a file's path or a postgresql:// URL")


class Database:
    """An open database.

    SQLite runs in WAL mode with ``synchronous=FULL``: a commit is on the disk when it returns, and survives a power
    cut. (NORMAL, the usual setting with WAL, only survives the end of the process.)

    Attributes:
        health: Whether the database works.
        writers: Connections for writing.
        readers: Connections for reading.

    Args:
        url: From `database_url`.
        command_timeout: Longest run of one statement on PostgreSQL, in seconds; None is no limit.
        busy_timeout: Longest wait for another process that is writing to the same SQLite file, in seconds.
        connections: Most connections; at least 2. A third of them are for writing.
        is_pooled: Whether a pooler, such as PgBouncer, is between this program and PostgreSQL. It may execute each
            transaction on another connection.
        bulk: Write to SQLite with ``synchronous=NORMAL`` and a large cache. Commits are durable after `checkpoint`.
    """

    def __init__(
        self,
        url: URL,
        *,
        command_timeout: float | None = COMMAND_TIMEOUT,
        busy_timeout: float = BUSY_TIMEOUT,
        connections: int = CONNECTIONS,
        is_pooled: bool = False,
        bulk: bool = False,
    ) -> None:
        self._is_sqlite = url.get_backend_name() == "sqlite"
        new_engine = (
            partial(_sqlite_engine, url, busy_timeout, bulk)
            if self._is_sqlite
            else partial(_postgres_engine, url, command_timeout, is_pooled)
        )
        # A separate pool for writing: slow searches must not keep logs from being written.
        writers = max(1, connections // 3)
        readers = max(1, connections - writers)
        writer, reader = new_engine(writers), new_engine(readers)
        if self._is_sqlite:
            # Take the write lock first: a transaction that reads and then writes could fail halfway otherwise.
            event.listen(writer.sync_engine, "begin", _begin_immediate)
        elif not is_pooled:
            # SQLite commits each statement outside a transaction; PostgreSQL's driver needs this option for it. Behind
            # a pooler, one statement may need a transaction: the driver prepares and executes it in two steps.
            reader = reader.execution_options(isolation_level="AUTOCOMMIT")
        self.writers, self.readers = Pool(writer, writers), Pool(reader, readers)
        self._file = Path(url.database or "") if self._is_sqlite else None
        self._file_id: tuple[int, int] | None = None  # device and inode; set when the file is open
        self.health = DatabaseHealth()
        self._checking = asyncio.Lock()
        # SQLite has one writer at a time. Waiting on this lock is fair and quick; SQLite's own waiting is neither.
        self._write_lock = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        path_or_url: str,
        *,
        migrate: bool = True,
        command_timeout: float | None = COMMAND_TIMEOUT,
        busy_timeout: float = BUSY_TIMEOUT,
        connections: int = CONNECTIONS,
        bulk: bool = False,
    ) -> Database:
        """Connect, and migrate the tables to this version.

        Args:
            path_or_url: See `database_url`.
            migrate: Create SQLite's file if it is missing, and migrate the tables. False only connects.
            command_timeout: As for `Database`. Migrations have no limit.
            busy_timeout: As for `Database`.
            connections: As for `Database`. Opening takes one more for a moment.
            bulk: As for `Database`.

        Raises:
            DatabaseError: The database is unreachable, or its tables are newer than this program.
        """
        url = database_url(path_or_url)
        try:
            is_pooled = False
            if url.get_backend_name() == "sqlite":
                await asyncio.to_thread(_prepare_sqlite_file, Path(url.database or ""), busy_timeout, create=migrate)
            else:
                is_pooled = await _is_pooled(url)
            database = cls(
                url,
                command_timeout=command_timeout,
                busy_timeout=busy_timeout,
                connections=connections,
                is_pooled=is_pooled,
                bulk=bulk,
            )
            database._file_id = database._current_file_id()
            # Changing a large table may take long, and so may waiting for another process that does.
            migrator = database if database._is_sqlite else cls(url, command_timeout=None, is_pooled=is_pooled)
            try:
                await (migrator._migrate() if migrate else database._ping())
            except BaseException:
                await database.aclose()
                raise
            finally:
                if migrator is not database:
                    await migrator.aclose()
        except ModuleNotFoundError as exc:
            raise DatabaseError(
                "asyncpg is not installed; install the extra `postgres` of this package "
                "(in its folder: pip install '.[postgres]')"
            ) from exc
        except (SQLAlchemyError, sqlite3.Error, OSError, ValueError, _postgres_error()) as exc:
            raise DatabaseError(f"cannot open the database {display_url(path_or_url)}: {first_line(exc)}") from exc
        return database

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """Open a connection for statements that need not see one state of the database."""
        if (joined := self._joined()) is not None:
            yield joined
            return
        try:
            async with self.readers.connected() as connection:
                yield connection
        except Exception as exc:
            self.health.failed("read", exc)
            raise
        self.health.worked("read")

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """Open a transaction: durable when the block ends, rolled back when it raises."""
        if (joined := self._joined()) is not None:
            async with joined.begin_nested():
                yield joined
            return
        try:
            if self._file_id is not None and self._current_file_id() != self._file_id:
                raise ConnectionError(f"the file {self._file} has been deleted or replaced; restart the server")
            lock = self._write_lock if self._is_sqlite else nullcontext()
            async with lock, self.writers.connected() as connection, connection.begin():
                yield connection
        except Exception as exc:
            self.health.failed("write", exc)
            raise
        self.health.worked("write")

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncGenerator[AsyncConnection]:
        """Open a transaction that nested `read` and `write` blocks of this task join: all commit or none.

        Writes of other tasks, such as the log writer's, do not join. Waiting for one inside the block would deadlock.
        """
        async with self.write() as connection:
            token = _joined.set((self, asyncio.current_task(), connection))
            try:
                yield connection
            finally:
                _joined.reset(token)

    @asynccontextmanager
    async def exclusive(self) -> AsyncGenerator[AsyncConnection]:
        """Open an exclusive transaction: no other process can hold one at the same time."""
        async with self.write() as connection:
            if not self._is_sqlite:  # every write transaction of SQLite is exclusive
                await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield connection

    async def check(self, write: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        """Check that the database can be read and written.

        Args:
            write: Writes something; called if no write has worked in the last `CHECK_INTERVAL` seconds.

        Raises:
            Exception: The error of the read or the write.
        """
        async with self._checking:
            async with self.read() as connection:
                await connection.execute(text("SELECT 1"))
            is_recent = time.monotonic() - self.health.last_write < CHECK_INTERVAL
            if is_recent and self.health.can_write and self._current_file_id() == self._file_id:
                return
            async with self.write() as connection:
                await write(connection)

    def _current_file_id(self) -> tuple[int, int] | None:
        """Return the device and the inode of SQLite's file. Open connections still write to a deleted one."""
        if self._file is None:
            return None
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    async def checkpoint(self) -> None:
        """Make all commits durable, after writing with `bulk`."""
        if self._is_sqlite:
            async with self.read() as connection:
                await connection.exec_driver_sql("PRAGMA wal_checkpoint")

    async def aclose(self) -> None:
        """Close every connection, or abandon those that do not close in time. Further calls do nothing."""
        for pool in (self.writers, self.readers):
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await pool.aclose()

    def _joined(self) -> AsyncConnection | None:
        match _joined.get():
            case (database, task, connection) if database is self and task is asyncio.current_task():
                return connection
            case _:
                return None

    async def _migrate(self) -> None:
        from .migrations import upgrade  # imported late because Alembic is slow to import

        async with self.exclusive() as connection:
            await connection.run_sync(upgrade)

    async def _ping(self) -> None:
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))


def display_url(path_or_url: str) -> str:
    """Return a database's name for messages: a file's absolute path, or a URL without the password."""
    url = database_url(path_or_url)
    if url.get_backend_name() == "sqlite":
        return str(Path(url.database or "").absolute())
    return url.set(drivername="postgresql").render_as_string(hide_password=True)


def new_files(path_or_url: str) -> str | None:
    """Return what opening a database creates, ``new`` or ``new, in the new folder ...``; None if it creates no file."""
    url = database_url(path_or_url)
    if url.get_backend_name() != "sqlite" or Path(url.database or "").exists():
        return None
    folder = missing_folder(path_or_url)
    return "new" if folder is None else f"new, in the new folder {folder}"


def missing_folder(path_or_url: str) -> Path | None:
    """Return the folder of a SQLite file if it does not exist."""
    url = database_url(path_or_url)
    folder = Path(url.database or "").absolute().parent
    return None if url.get_backend_name() != "sqlite" or folder.exists() else folder


def _prepare_sqlite_file(path: Path, busy_timeout: float, *, create: bool) -> None:
    """Put the file into WAL mode, which it keeps.

    A file that cannot be opened fails here, before the thread of an aiosqlite connection has been started. That thread
    would outlive the failed connection.
    """
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
        create_private_file(path)
    elif not path.exists():
        raise FileNotFoundError("there is no such file")
    with closing(sqlite3.connect(path, timeout=busy_timeout)) as connection:
        deadline = time.monotonic() + busy_timeout
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


def create_private_file(path: Path) -> None:
    """Create an empty file that only its owner can read, whatever the umask is; an existing file is unchanged.

    SQLite gives the mode of a database to the files next to it, which end in ``-wal`` and ``-shm``.
    """
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.chmod(path, 0o600)  # a umask may have taken even the owner's bits
        finally:
            os.close(descriptor)


def _dsn(url: URL) -> str:
    # asyncpg parses the URL, so that all options of libpq's URLs work (`?sslmode=`, `?host=/run/...`).
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


async def _is_pooled(url: URL) -> bool:
    """Return whether a pooler is between this program and PostgreSQL.

    A pooler's clients get the process id of no server in PostgreSQL's BackendKeyData, because they have none.
    """
    connection = await _asyncpg().connect(_dsn(url), timeout=CONNECT_TIMEOUT, statement_cache_size=0)
    try:
        async with connection.transaction():
            server_pid = await connection.fetchval("SELECT pg_backend_pid()")
        return bool(server_pid != connection.get_server_pid())
    finally:
        await connection.close(timeout=CLOSE_TIMEOUT)


def _postgres_engine(url: URL, command_timeout: float | None, is_pooled: bool, pool_size: int) -> AsyncEngine:
    connect = partial(_asyncpg().connect, _dsn(url), timeout=CONNECT_TIMEOUT, command_timeout=command_timeout)
    arguments: dict[str, Any] = {}
    if is_pooled:
        # The next transaction may have another connection, without the statements that this one prepares. So each is
        # prepared without a name, and replaced by the next one.
        connect = partial(connect, statement_cache_size=0)
        arguments = {"prepared_statement_cache_size": 0, "prepared_statement_name_func": str}
    arguments["async_creator_fn"] = connect
    engine = create_async_engine("postgresql+asyncpg://", connect_args=arguments, pool_size=pool_size, **_ENGINE)
    event.listen(engine.sync_engine, "checkout", _replace_closed)
    return engine


def _sqlite_engine(url: URL, busy_timeout: float, bulk: bool, pool_size: int) -> AsyncEngine:
    from .sqlite import SqliteConnection

    connect = partial(SqliteConnection, url.database or "", busy_timeout)
    engine = create_async_engine(url, async_creator=connect, pool_size=pool_size, **_ENGINE)
    if bulk:
        event.listen(engine.sync_engine, "connect", _prepare_bulk)
    return engine


def _asyncpg() -> Any:
    return importlib.import_module("asyncpg")  # an optional dependency without types


def _postgres_error() -> type[Exception]:
    """Return the class of the errors that asyncpg raises while it connects, which SQLAlchemy does not translate."""
    try:
        return cast("type[Exception]", _asyncpg().PostgresError)
    except ModuleNotFoundError:
        return DatabaseError


def _replace_closed(connection: Any, _record: object, _proxy: object) -> None:
    # asyncpg knows when PostgreSQL has closed the connection; SQLAlchemy's pre-ping would ask before every use.
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _prepare_bulk(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("synchronous=NORMAL", "cache_size=-65536", "wal_autocheckpoint=8000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
