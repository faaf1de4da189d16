"""PostgreSQL in place of the SQLite file: restarts, races of several servers, and what is durable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from select import select
from typing import Any

import aiohttp
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from humanloop_async import EmbeddedServer
from humanloop_async.server.settings import ServerSettings
from humanloop_async.server.storage.database import READERS, Database
from humanloop_async.server.storage.errors import DatabaseError, is_unreachable
from tests.postgres import Cluster, programs, running_cluster
from tests.server.served import CHAT, COMPLETION, Api, on_both_databases, rows, with_config


@asynccontextmanager
async def several(address: str, count: int = 3) -> AsyncGenerator[list[EmbeddedServer]]:
    """Servers on one database, started at the same moment."""
    settings = ServerSettings(api_key="of the tests")
    async with AsyncExitStack() as stack:
        servers = [EmbeddedServer(database=address, settings=settings) for _ in range(count)]
        yield list(await asyncio.gather(*(stack.enter_async_context(server) for server in servers)))


@on_both_databases
async def test_racing_servers_make_one_project_config_and_session(database_address: str) -> None:
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
    answers = await asyncio.gather(*(api.post("/chat", slow) for _ in range(5 * READERS)))
    assert {status for status, _ in answers} == {200}


@on_both_databases
async def test_slow_reads_keep_no_log_from_being_written(database: Database) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(READERS):
            await stack.enter_async_context(database.read())
        async with asyncio.timeout(10), database.write() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar() == 1


@on_both_databases
async def test_what_is_done_together_lasts_together(database: Database) -> None:
    insert = "INSERT INTO environments (id, name, created_at) VALUES (:id, :name, '2026-01-01 00:00:00')"

    async def names() -> list[str]:
        async with database.read() as connection:
            found = await connection.execute(
                text("SELECT name FROM environments WHERE name <> 'production' ORDER BY 1")
            )
            return list(found.scalars())

    async def add(name: str) -> None:
        async with database.write() as connection:
            await connection.execute(text(insert), {"id": name, "name": name})

    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - leaving the block is what is tested
        async with database.unit_of_work():
            await add("a")
            assert await names() == ["a"]
            raise ZeroDivisionError
    assert await names() == []
    async with database.unit_of_work():
        await add("b")
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - likewise
            async with database.write():
                await add("c")
                raise ZeroDivisionError
        await add("d")
        assert await asyncio.create_task(names()) == []  # another task
    assert await names() == ["b", "d"]


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
            await asyncio.to_thread(cluster.control, "stop", "-m", "immediate")  # stops without it, too


async def test_what_postgresql_says_of_itself_is_told_from_what_it_says_of_a_statement(postgres: Cluster) -> None:
    url = postgres.new_database()
    database = await Database.open(url, migrate=False)
    for statement, parameter, unreachable in (
        ("SELECT pg_terminate_backend(pg_backend_pid())", None, True),
        ("DO $$ BEGIN RAISE SQLSTATE '53300'; END $$", None, True),
        ("DO $$ BEGIN RAISE SQLSTATE '25006'; END $$", None, True),
        ("SELECT 1 / 0", None, False),
        ("SELECT CAST(:parameter AS integer)", 2**31, False),
    ):
        with pytest.raises(DBAPIError) as caught:
            async with database.read() as connection:
                await connection.execute(text(statement), {} if parameter is None else {"parameter": parameter})
        assert is_unreachable(caught.value) is unreachable
    await database.aclose()
    postgres.drop(url)


@pytest.mark.parametrize("begins", [True, False])
async def test_a_connection_that_has_heard_its_end_and_not_seen_it_counts_as_gone(
    postgres: Cluster, *, begins: bool
) -> None:
    """PostgreSQL's last message comes one turn of the event loop before the end of the connection does."""
    url = postgres.new_database()
    database = await Database.open(url, migrate=False)
    block = database.write if begins else database.read
    async with block() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        other = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar()
    rows(url, "SELECT pg_terminate_backend(?)", other)
    assert select([raw._transport.get_extra_info("socket")], [], [], 10)[0]
    for _ in range(2):  # this task goes before what the selector finds
        await asyncio.sleep(0)
    assert not raw.is_closed()
    with pytest.raises(DBAPIError) as caught:
        async with block() as connection:
            await connection.execute(text("SELECT 1"))
    assert is_unreachable(caught.value)
    async with block() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1
    await database.aclose()
    postgres.drop(url)


async def test_a_statement_that_takes_too_long_is_given_up(postgres: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database.__init__, "__defaults__", (0.2,))
    url = postgres.new_database()
    database = await Database.open(url, migrate=False)
    with pytest.raises(TimeoutError):
        async with database.read() as connection:
            await connection.execute(text("SELECT pg_sleep(20)"))
    await database.aclose()
    postgres.drop(url)


async def test_a_commit_waits_for_the_disk(postgres: Cluster) -> None:
    """The server relies on PostgreSQL's default; the tests' own cluster has it switched off."""
    url = postgres.new_database()
    database = await Database.open(url)
    async with database.read() as connection:
        default = await connection.execute(text("SELECT boot_val FROM pg_settings WHERE name = 'synchronous_commit'"))
        assert default.scalar() == "on"
    await database.aclose()
    postgres.drop(url)


async def test_a_url_is_read_as_libpq_reads_it(postgres: Cluster) -> None:
    url = postgres.new_database()
    name = url.rpartition("/")[2]
    by_socket = f"postgresql:///{name}?host={postgres.folder}&port={postgres.port}&user=tests"
    for given in (f"{url}?sslmode=prefer", by_socket, f"postgres://tests@127.0.0.1:{postgres.port}/{name}"):
        await (await Database.open(given)).aclose()
    with pytest.raises(DatabaseError, match=r"cannot open the database postgresql://tests@.*SSL"):
        await Database.open(f"{url}?sslmode=require")
    postgres.drop(url)
