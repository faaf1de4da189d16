"""The access log, also of requests whose client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from tests.server.served import CHAT, with_config


async def test_the_access_log_holds_neither_bodies_nor_keys(
    start: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with start() as api:
        await api.post("/chat", {**CHAT, "provider_api_keys": {"openai": "sk-secret"}})
        await api.stream("/chat", CHAT)
        await api.post("/chat", {**CHAT, "nonsense": "sk-secret"})
        await api.call("GET", "/logs", query={"project_id": "pr_x", "search": "sk-secret"})
        await asyncio.sleep(0.05)
        key = api.server.api_key
    lines = [record.getMessage() for record in caplog.records if record.name == "humanloop_async.server.access"]
    *posts, get = lines
    assert len(posts) == 3
    assert all('"POST /v4/chat HTTP/1.1"' in line for line in posts)
    assert '"GET /v4/logs HTTP/1.1" 404' in get
    access = "\n".join(lines)
    assert "Hello" not in access
    for secret in (key, "sk-secret"):
        assert secret not in caplog.text


@pytest.mark.parametrize("stream", [True, False])
async def test_the_access_log_has_requests_of_disconnected_clients(
    start: Callable[..., Any], caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    caplog.set_level("INFO", "humanloop_async.server.access")
    slow = {**with_config(CHAT, max_tokens=100, other={"tokens_per_second": 5}), "stream": stream}
    async with start() as api:
        url, headers = api.server.base_url + "/chat", {"X-API-KEY": api.server.api_key}
        async with aiohttp.ClientSession(headers=headers) as leaving:
            call = asyncio.create_task(leaving.post(url, json=slow))
            for _ in range(1000):
                await asyncio.sleep(0.01)
                if api.logs():
                    break
            call.cancel()
        for _ in range(1000):
            await asyncio.sleep(0.01)
            if caplog.messages:
                break
    [line] = caplog.messages
    assert '"POST /v4/chat HTTP/1.1" 499 ' in line
