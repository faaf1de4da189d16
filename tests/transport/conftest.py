"""Both transports on every event loop. A blocking call in the loop fails the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from humanloop_async import AiohttpTransport, HttpxTransport
from tests.loops import available_loops


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return available_loops()


@pytest.fixture(autouse=True)
def _nothing_blocks(blocking_calls_fail: None) -> None:
    pass


@pytest.fixture(params=["aiohttp", "httpx"])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[AiohttpTransport | HttpxTransport]:
    transport = AiohttpTransport() if request.param == "aiohttp" else HttpxTransport()
    yield transport
    await transport.aclose()
