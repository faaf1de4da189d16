"""A scripted server as a provider."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from humanloop_async.testing import ScriptedServer


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    """A provider that gives one response per script; a request that no test expects fails."""
    async with ScriptedServer(repeat=False) as scripted:
        yield scripted
