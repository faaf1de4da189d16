"""The client on both transports and every event loop. A blocking call in the loop fails the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

import humanloop_async.transport.aiohttp_transport
import humanloop_async.transport.httpx_transport  # noqa: F401 - imported here, because an import blocks the loop
from humanloop_async import AsyncHumanloop
from humanloop_async.testing import ScriptedServer
from tests.loops import available_loops


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return available_loops()


@pytest.fixture(autouse=True)
def _nothing_blocks(blocking_calls_fail: None) -> None:
    pass


@pytest.fixture(params=["aiohttp", "httpx"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def client(server: ScriptedServer, transport: str) -> AsyncIterator[AsyncHumanloop]:
    """Connect to the scripted server, without retries."""
    async with AsyncHumanloop("hl_key", base_url=f"{server.url}/v4", transport=transport, max_retries=0) as client:  # type: ignore[arg-type]
        yield client
