"""The server that the documentation's examples talk to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from humanloop_async import EmbeddedServer
from humanloop_async.server import ServerSettings


@pytest.fixture(scope="module")
def settings() -> ServerSettings:
    """The server's settings; a module may override them."""
    return ServerSettings()


@pytest.fixture(scope="module")
def server(settings: ServerSettings) -> Iterator[EmbeddedServer]:
    """The embedded server in a separate thread, so that blocking examples can use it."""
    embedded = EmbeddedServer(settings=settings)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(embedded) as server:
        yield server


@pytest.fixture
def server_environment(server: EmbeddedServer) -> dict[str, str]:
    """The environment of a program that finds the server where the SDK looks for it."""
    return os.environ | {
        "HUMANLOOP_BASE_URL": server.base_url,
        "HUMANLOOP_API_KEY": server.api_key,
        "PYTEST_ADDOPTS": "-p no:asyncio -p no:cacheprovider",  # pytest-asyncio warns about settings that it lacks
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
