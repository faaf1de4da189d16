"""A real server on loopback for each test."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from served import Api

from humanloop_async.server.embedded import EmbeddedServer
from humanloop_async.server.settings import ServerSettings


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Any]:
    """Starts servers with settings of the test's choice: ``async with start(keep_alive=0.1) as api``."""

    @asynccontextmanager
    async def started(providers: Any = None, shutdown_timeout: float = 0, **settings: Any) -> AsyncGenerator[Api]:
        path = tmp_path / "humanloop.db"
        server = EmbeddedServer(
            database=path,
            providers=providers,
            shutdown_timeout=shutdown_timeout,
            settings=ServerSettings(**settings),
        )
        async with server, aiohttp.ClientSession(headers={"X-API-KEY": server.api_key}) as session:
            yield Api(server, session, path)

    return started


@pytest.fixture
async def api(start: Callable[..., Any]) -> AsyncGenerator[Api]:
    """A server with default settings."""
    async with start() as api:
        yield api
