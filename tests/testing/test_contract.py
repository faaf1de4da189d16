"""A transport that records or breaks another one keeps the contract of `Transport`: the tests of the real ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from humanloop_async import AiohttpTransport, HttpxTransport, Transport
from humanloop_async.testing import Cut, FaultTransport, RecordingTransport
from tests.transport.test_base import *  # noqa: F403 - every test runs with the fixture below


@pytest.fixture(params=["recording-aiohttp", "recording-httpx", "faults-aiohttp", "faults-httpx"])
async def transport(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Transport]:
    kind, _, library = request.param.partition("-")
    inner = AiohttpTransport() if library == "aiohttp" else HttpxTransport()
    if kind == "recording":
        outer: Transport = RecordingTransport(inner, tmp_path / "calls.jsonl")
    else:
        outer = FaultTransport(inner, Cut(after_bytes=10**9))  # every response is watched, and none is cut
    yield outer
    await outer.aclose()
