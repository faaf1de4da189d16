"""A real server on loopback for each test, and databases of both kinds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from humanloop_async.server.running.embedded import EmbeddedServer
from humanloop_async.server.settings import ServerSettings
from humanloop_async.server.storage.database import Database
from tests.postgres import Cluster
from tests.server.served import Api


@pytest.fixture
def database_kind() -> str:
    """The kind of `database_address`: SQLite, unless a test is marked with `served.on_both_databases`."""
    return "sqlite"


@pytest.fixture
def database_address(database_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The path or URL of a new database. On PostgreSQL it is a copy of a template with all tables."""
    if database_kind == "sqlite":
        yield str(tmp_path / "humanloop.db")
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    url = cluster.new_database(request.getfixturevalue("migrated_template"))
    yield url
    cluster.drop(url)


@pytest.fixture(scope="session")
def migrated_template(postgres: Cluster) -> str:
    """The name of a PostgreSQL database with up-to-date tables."""
    url = postgres.new_database()

    async def migrate() -> None:
        await (await Database.open(url)).aclose()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(migrate())).result()
    return url.rpartition("/")[2]


@pytest.fixture
async def database(database_address: str) -> AsyncGenerator[Database]:
    """An open database with up-to-date tables."""
    database = await Database.open(database_address)
    yield database
    await database.aclose()


@pytest.fixture
def start(database_address: str) -> Callable[..., Any]:
    """A function that runs a server with some settings.

    ::

        async with start(keep_alive=0.1) as api:
    """

    @asynccontextmanager
    async def started(providers: Any = None, shutdown_timeout: float = 0, **settings: Any) -> AsyncGenerator[Api]:
        server = EmbeddedServer(
            database=database_address,
            providers=providers,
            shutdown_timeout=shutdown_timeout,
            settings=ServerSettings(**settings),
        )
        async with server, aiohttp.ClientSession(headers={"X-API-KEY": server.api_key}) as session:
            yield Api(server, session, database_address)

    return started


@pytest.fixture
async def api(start: Callable[..., Any]) -> AsyncGenerator[Api]:
    """A server with default settings."""
    async with start() as api:
        yield api
