from __future__ import annotations

from collections.abc import Iterator

import pytest

from humanloop_async import Humanloop
from humanloop_async.testing import ScriptedServer


@pytest.fixture(params=["aiohttp", "httpx"])
def client(threaded_server: ScriptedServer, request: pytest.FixtureRequest) -> Iterator[Humanloop]:
    with Humanloop("hl_key", base_url=f"{threaded_server.url}/v4", transport=request.param, max_retries=0) as client:
        yield client
