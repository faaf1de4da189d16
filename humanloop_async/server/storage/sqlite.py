"""An aiosqlite connection that switches to its thread once for each statement.

aiosqlite switches to the connection's thread to create a cursor, to execute, to fetch and to close the cursor, and to
roll back even if no transaction has begun. Each switch takes about as long as a look-up by key, and one API call
executes a dozen statements.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import aiosqlite

T = TypeVar("T")

_MAX_WAIT = 1.0
"""Longest wait inside SQLite for another writer, in seconds. This wait cannot be cancelled; waiting here can."""


class SqliteConnection(aiosqlite.Connection):
    """The connection that SQLAlchemy uses instead of aiosqlite's.

    Args:
        path: The database file.
        timeout: Longest wait of a statement for another writer, in seconds.
    """

    def __init__(self, path: str, timeout: float) -> None:
        # aiosqlite's queue guards the connection, but SQLAlchemy reads attributes from the loop's thread.
        # A list, because the connection must not refer to itself: only the garbage collector would free it.
        self._opened: list[sqlite3.Connection] = []
        super().__init__(partial(_connect, path, min(timeout, _MAX_WAIT), self._opened), iter_chunk_size=64)
        self.timeout = timeout
        self._thread.daemon = True  # a connection that was never closed must not keep the process from exiting
        self._stopped: asyncio.Future[None] | None = None

    def cursor(self) -> Any:
        return _Cursor(self)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function on the connection's thread; cancelling the wait interrupts the statement."""
        try:
            return cast("T", await cast("Any", self)._execute(work, self._conn))
        except asyncio.CancelledError:
            if self._connection is not None:
                self._connection.interrupt()
            raise

    def stop(self) -> asyncio.Future[None] | None:
        # The worker thread handles only the first stop request; SQLAlchemy may send several, and later waiters would
        # hang.
        if self._stopped is None:
            # aiosqlite closes only what it has received. A caller cancelled while the file opens receives nothing.
            cast("Any", self)._tx.put_nowait((None, partial(_close, self._opened)))
            self._stopped = cast("Any", super()).stop()
        return self._stopped

    async def rollback(self) -> None:
        if self.in_transaction:
            await super().rollback()


def _connect(path: str, timeout: float, opened: list[sqlite3.Connection]) -> sqlite3.Connection:
    """Open a file and add the connection to a list."""
    # By default Python's driver chooses when to begin a transaction, and begins none around CREATE TABLE.
    connection = sqlite3.connect(path, timeout=timeout, check_same_thread=False, isolation_level=None)
    opened.append(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def _close(opened: list[sqlite3.Connection]) -> None:
    for connection in opened:
        connection.close()


class _Cursor:
    """A cursor whose `execute` fetches all rows, which SQLAlchemy does anyway."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Sequence[Any] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> _Cursor:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def execute(self, operation: str, parameters: Any = ()) -> None:
        await self._run(sqlite3.Cursor.execute, operation, parameters)

    async def executemany(self, operation: str, parameters: Any) -> None:
        await self._run(sqlite3.Cursor.executemany, operation, parameters)

    async def fetchall(self) -> list[Any]:
        return self._rows

    async def close(self) -> None:
        pass

    async def _run(self, method: Callable[[sqlite3.Cursor, str, Any], object], operation: str, parameters: Any) -> None:
        def work(connection: sqlite3.Connection) -> tuple[list[Any], Sequence[Any] | None, int, int | None]:
            cursor = connection.cursor()
            try:
                method(cursor, operation, parameters)
                # Fetch before reading `rowcount`: with RETURNING, fetching executes the statement.
                rows = cursor.fetchall() if cursor.description else []
                return rows, cursor.description, cursor.rowcount, cursor.lastrowid
            finally:
                cursor.close()

        deadline = time.monotonic() + self._connection.timeout
        while True:
            try:
                self._rows, self.description, self.rowcount, self.lastrowid = await self._connection.run(work)
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.02)
            else:
                return
