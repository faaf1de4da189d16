"""A browser for each module, and a server for each test, on one event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from humanloop_async import AsyncHumanloop, EmbeddedServer
from humanloop_async.server.providers.mock_script import MockScript
from humanloop_async.server.providers.settings import ProviderSettings
from humanloop_async.server.settings import ServerSettings
from tests.web.browser import opened, root, running_browser

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncGenerator[Browser]:
    """A browser without a window."""
    async with running_browser() as browser:
        yield browser


@pytest.fixture
def script() -> MockScript:
    """The replies of the provider mock; words while it has none."""
    return MockScript()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The database of the server."""
    return tmp_path / "humanloop.db"


@pytest_asyncio.fixture(loop_scope="module")
async def server(script: MockScript, database: Path) -> AsyncGenerator[EmbeddedServer]:
    """The server of the page, without the local model, which the playground would prefer to mock."""
    providers = ProviderSettings(local_gguf=Path("missing.gguf"), mock_script=script)
    settings = ServerSettings(providers=providers, python_evaluators=True)
    async with EmbeddedServer(database=database, settings=settings) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: EmbeddedServer) -> AsyncGenerator[AsyncHumanloop]:
    """A client of the server, to create the objects that the page shows."""
    async with AsyncHumanloop(server.api_key, base_url=server.base_url) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, server: EmbeddedServer) -> AsyncGenerator[Page]:
    """The page of the server, opened with its key."""
    async with opened(browser, f"{root(server)}#key={server.api_key}") as page:
        yield page
