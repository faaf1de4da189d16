"""The SQLite connection: cancelling the wait for a statement ends the statement, and waiting for writers ends."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from humanloop_async.server.storage.database import Database, database_url
from humanloop_async.server.storage.errors import is_unreachable
from tests.server.served import read_only


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
async def test_only_the_owner_can_read_the_files(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        database = await Database.open(str(tmp_path / "x.db"))
        async with database.write() as connection:
            await connection.execute(text("CREATE TABLE written (x)"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}  # noqa: ASYNC240
        await database.aclose()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["x.db", "x.db-wal", "x.db-shm"], 0o600)


@pytest.mark.parametrize("cancels", [1, 2])
async def test_a_cancelled_query_ends_in_its_thread(tmp_path: Path, cancels: int) -> None:
    database = await Database.open(str(tmp_path / "x.db"))
    threads = set(threading.enumerate())

    async def ask() -> None:
        async with database.read() as connection:
            endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
            await connection.execute(text(endless))

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0.1)
    assert set(threading.enumerate()) > threads
    for _ in range(cancels):
        asking.cancel()
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await asyncio.wait([asking])
        await database.aclose()
        while len(asyncio.all_tasks()) > 1 or set(threading.enumerate()) > threads:  # noqa: ASYNC110 - neither has an event to wait for
            await asyncio.sleep(0.01)
    assert asking.cancelled()


async def test_a_caller_cancelled_while_a_file_opens_leaves_no_connection_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.db"
    await (await Database.open(str(path))).aclose()
    opened, closed = [], []

    class Recorded(sqlite3.Connection):
        def close(self) -> None:
            closed.append(id(self))
            super().close()

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        opened.append(_connect(*args, **kwargs, factory=Recorded))
        return opened[-1]

    async def read(database: Database) -> None:
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))

    threads = set(threading.enumerate())
    _connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", connect)
    for turns in range(20):
        database = Database(database_url(str(path)))
        reading = asyncio.create_task(read(database))
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        await database.aclose()
    assert opened
    async with asyncio.timeout(10):
        while set(threading.enumerate()) > threads:  # noqa: ASYNC110 - a thread's end has no event to wait for
            await asyncio.sleep(0.01)
    assert {id(connection) for connection in opened} == set(closed)


async def test_a_writer_waits_for_another_process_as_long_as_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    await (await Database.open(str(path))).aclose()
    database = await Database.open(str(path), migrate=False, busy_timeout=0.2)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        with pytest.raises(OperationalError) as caught:
            async with database.write():
                pass
        assert 0.2 <= time.monotonic() - start < 10
        assert is_unreachable(caught.value)
        other.execute("ROLLBACK")
        async with database.write() as connection:
            await connection.execute(text("DELETE FROM projects"))
    await database.aclose()


async def test_waiting_for_another_writer_can_be_cancelled(database: Database, database_address: str) -> None:
    with read_only(database_address):
        writing = asyncio.ensure_future(database.write().__aenter__())
        await asyncio.sleep(0.1)
        writing.cancel()
        async with asyncio.timeout(10):  # a third of SQLite's busy timeout
            await asyncio.wait([writing])
            await database.aclose()
