"""PostgreSQL instead of a SQLite file: restarts, races of several servers, durability, URLs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from sqlalchemy import text

from humanloop_async import EmbeddedServer
from humanloop_async.server.settings import ServerSettings
from humanloop_async.server.storage.database import CONNECTIONS, Database
from humanloop_async.server.storage.errors import DatabaseError
from tests.postgres import Cluster, programs, running_cluster
from tests.server.served import CHAT, COMPLETION, Api, on_both_databases, rows, with_config


@asynccontextmanager
async def several(address: str, count: int = 3) -> AsyncGenerator[list[EmbeddedServer]]:
    """Servers on one database, started at the same moment."""
    settings = ServerSettings(api_key="a key of the tests")
    async with AsyncExitStack() as stack:
        servers = [EmbeddedServer(database=address, settings=settings) for _ in range(count)]
        yield list(await asyncio.gather(*(stack.enter_async_context(server) for server in servers)))


@on_both_databases
async def test_racing_servers_create_one_project_config_and_session(database_address: str) -> None:
    async with several(database_address) as servers, aiohttp.ClientSession() as session:

        async def ask(server: EmbeddedServer, number: int) -> dict[str, Any]:
            path, body = [("/chat", CHAT), ("/completion", COMPLETION)][number % 2]
            named = {**body, "project": f"p{number // 4 % 3}", "session_reference_id": f"s{number // 12}"}
            headers = {"X-API-KEY": server.api_key}
            async with session.post(server.base_url + path, json=named, headers=headers) as response:
                assert response.status == 200, await response.text()
                answer: dict[str, Any] = await response.json()
                return answer

        answers = await asyncio.gather(*(ask(servers[number % 3], number) for number in range(48)))
    assert len({answer["project_id"] for answer in answers}) == 3
    assert len({answer["session_id"] for answer in answers}) == 4
    assert len({answer["data"][0]["model_config_id"] for answer in answers}) == 6
    for table, count in (("projects", 3), ("sessions", 4), ("model_configs", 6), ("api_keys", 1)):
        assert rows(database_address, f"SELECT count(*) AS n FROM {table}") == [{"n": count}]  # noqa: S608


@on_both_databases
async def test_more_calls_than_connections_wait_for_each_other(api: Api) -> None:
    slow = with_config(CHAT, other={"tokens_per_second": 20})
    answers = await asyncio.gather(*(api.post("/chat", slow) for _ in range(5 * CONNECTIONS)))
    assert {status for status, _ in answers} == {200}


@pytest.mark.timeout(60)
async def test_a_server_survives_a_restart_of_postgresql(tmp_path: Any) -> None:
    bin = programs()
    if bin is None:
        pytest.skip("PostgreSQL is not installed")
    with running_cluster(bin) as cluster:
        address = cluster.new_database()
        async with (
            EmbeddedServer(database=address) as server,
            aiohttp.ClientSession(headers={"X-API-KEY": server.api_key}) as session,
        ):
            api = Api(server, session, address)
            assert (await api.post("/chat", CHAT))[0] == 200
            await asyncio.to_thread(cluster.control, "stop", "-m", "immediate")
            async with session.get(server.base_url.replace("/v4", "/ready")) as response:
                assert response.status == 503
            for path in ("/chat", "/sessions"):
                async with session.post(server.base_url + path, json=CHAT) as response:
                    assert (response.status, response.headers["Retry-After"]) == (503, "1")
                    assert "the database is unreachable" in await response.text()
            await asyncio.to_thread(cluster.control, "start")
            for _ in range(3):
                assert (await api.post("/chat", CHAT))[0] == 200
            assert len(api.logs()) == 4
            await asyncio.to_thread(
                cluster.control, "stop", "-m", "immediate"
            )  # the server stops without the database, too


async def test_a_statement_that_takes_too_long_is_cancelled(postgres: Cluster) -> None:
    url = postgres.new_database()
    database = await Database.open(url, migrate=False, command_timeout=0.2)
    with pytest.raises(TimeoutError):
        async with database.read() as connection:
            await connection.execute(text("SELECT pg_sleep(20)"))
    await database.aclose()
    postgres.drop(url)


async def test_commits_wait_for_the_disk_by_default(postgres: Cluster) -> None:
    """The server relies on this default of PostgreSQL, which the cluster of the tests changes."""
    url = postgres.new_database()
    database = await Database.open(url)
    async with database.read() as connection:
        default = await connection.execute(text("SELECT boot_val FROM pg_settings WHERE name = 'synchronous_commit'"))
        assert default.scalar() == "on"
    await database.aclose()
    postgres.drop(url)


async def test_the_options_of_libpq_urls_work(postgres: Cluster) -> None:
    url = postgres.new_database()
    name = url.rpartition("/")[2]
    by_socket = f"postgresql:///{name}?host={postgres.folder}&port={postgres.port}&user=tests"
    for given in (f"{url}?sslmode=prefer", by_socket, f"postgres://tests@127.0.0.1:{postgres.port}/{name}"):
        await (await Database.open(given)).aclose()
    with pytest.raises(DatabaseError, match=r"cannot open the database postgresql://tests@.*SSL"):
        await Database.open(f"{url}?sslmode=require")
    postgres.drop(url)
