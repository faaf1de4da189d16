"""Connections to the database: a limit, and waiting for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import aiohttp
import pytest
from sqlalchemy import text

from humanloop_async.server import ServerSettings
from humanloop_async.server.running.embedded import EmbeddedServer
from humanloop_async.server.storage import pool
from humanloop_async.server.storage.database import Database
from tests.postgres import Cluster
from tests.server.served import CHAT, Api, with_config


@pytest.fixture
async def limited(postgres: Cluster) -> AsyncGenerator[str]:
    """The URL of an empty database whose user may have three connections."""
    direct = postgres.new_database()
    name = direct.rpartition("/")[2]
    postgres.admin(f"CREATE ROLE limited_{name} LOGIN CONNECTION LIMIT 3")
    postgres.admin(f"ALTER DATABASE {name} OWNER TO limited_{name}")
    yield direct.replace("//tests@", f"//limited_{name}@")
    postgres.drop(direct)
    postgres.admin(f"DROP ROLE limited_{name}")


async def test_calls_wait_for_a_connection_when_postgresql_has_none_left(limited: str) -> None:
    """Finished streams, too: their last event waits until the log is stored."""
    server = EmbeddedServer(database=limited)
    async with server, aiohttp.ClientSession(headers={"X-API-KEY": server.api_key}) as session:
        api = Api(server, session, limited)
        slow = with_config(CHAT, other={"tokens_per_second": 20})
        streams = [api.stream("/chat", slow) for _ in range(40)]
        calls = [api.post("/chat", CHAT) for _ in range(40)]
        events = await asyncio.gather(*streams)
        assert {status for status, _ in await asyncio.gather(*calls)} == {200}
        assert all(stream[-1]["data"][0]["finish_reason"] == "length" for stream in events)


@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_a_process_opens_no_more_connections_than_configured(database_address: str) -> None:
    server = EmbeddedServer(database=database_address, settings=ServerSettings(db_connections=4))
    async with server, aiohttp.ClientSession(headers={"X-API-KEY": server.api_key}) as session:
        api = Api(server, session, database_address)
        assert {status for status, _ in await asyncio.gather(*(api.post("/chat", CHAT) for _ in range(60)))} == {200}
        name = database_address.rpartition("/")[2]
        (row,) = api.rows("SELECT count(*) AS count FROM pg_stat_activity WHERE datname = ?", name)
        assert row["count"] - 1 <= 4  # one is that of this query


async def test_waiting_callers_try_when_a_connection_could_not_be_opened(
    limited: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those behind a failed one got nothing for 30 seconds before, although connections were free."""
    monkeypatch.setattr(pool, "MAX_WAIT", 20.0)
    database = await Database.open(limited, connections=6)
    others = [await Database.open(limited, connections=2) for _ in range(2)]
    held = asyncio.Event()

    async def hold(other: Database) -> None:
        async with other.read() as connection:
            await connection.execute(text("SELECT 1"))
            await held.wait()

    async def read() -> None:
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))

    await database.aclose()  # its connection from the start
    holding = [asyncio.create_task(hold(other)) for other in others]
    await asyncio.sleep(0.5)
    reading = [asyncio.create_task(read()) for _ in range(20)]
    async with asyncio.timeout(15):
        await asyncio.gather(*reading)
        held.set()
        await asyncio.gather(*holding)
    for opened in (database, *others):
        await opened.aclose()
    assert database.readers.waits > 0


async def test_the_wait_for_a_connection_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MAX_WAIT", 0.1)
    async with database.write():
        pass
    limited = await Database.open(str(database._file), connections=2)
    async with limited.read():
        with pytest.raises(TimeoutError, match="no connection became free"):
            async with limited.read():
                raise AssertionError
    async with limited.read():
        pass
    await limited.aclose()
