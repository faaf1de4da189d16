"""aiosqlite with one trip to its thread for each statement.

A cursor there goes to the connection's thread and back to be made, to execute, to fetch and to be closed, and once more
to roll back what was never begun. Each trip costs about as much as a look-up by key itself, and a call of the API makes
a dozen statements.
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

_WAIT = 1.0  # seconds of SQLite's own waiting for another writer, which it cannot be told to end


class SqliteConnection(aiosqlite.Connection):
    """What SQLAlchemy works with in place of aiosqlite's own."""

    def __init__(self, path: str, timeout: float) -> None:
        # Guarded by aiosqlite's queue; SQLAlchemy reads attributes from the loop's thread.
        super().__init__(partial(sqlite3.connect, path, timeout=_WAIT, check_same_thread=False), iter_chunk_size=64)
        self.timeout = timeout
        self._thread.daemon = True  # a connection that nobody closed must not keep the process from ending
        self._stopped: asyncio.Future[None] | None = None

    def cursor(self) -> Any:
        return _Cursor(self)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something on the connection's thread; who gives up waiting for it ends the statement, too."""
        try:
            return cast("T", await cast("Any", self)._execute(work, self._conn))
        except asyncio.CancelledError:
            if self._connection is not None:
                self._connection.interrupt()
            raise

    def stop(self) -> asyncio.Future[None] | None:
        # The thread takes one such order. SQLAlchemy gives several when a call is cancelled while it closes, and
        # whoever waited for the last one waited for good.
        if self._stopped is None:
            self._stopped = cast("Any", super()).stop()
        return self._stopped

    async def rollback(self) -> None:
        if self.in_transaction:
            await super().rollback()


class _Cursor:
    """A cursor that has fetched everything when `execute` returns. SQLAlchemy takes all rows at once anyway."""

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
                # The rows first: with RETURNING they are what does the work, and only then are they counted.
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
