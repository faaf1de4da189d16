"""Bodies that come slowly, or not at all; the other limits are with the bad requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from served import CHAT

HEAD = "POST /v4{path} HTTP/1.1\r\nHost: x\r\nX-API-KEY: {key}\r\nContent-Length: 1000\r\n\r\n{{"


@pytest.mark.parametrize("path", ["/chat", "/projects"])
async def test_a_body_that_does_not_arrive_is_408_and_takes_no_place(start: Callable[..., Any], path: str) -> None:
    async with start(body_timeout=0.3, max_generations=1) as api:
        host, port = api.server.base_url.split("/")[2].split(":")
        begun = time.monotonic()
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(HEAD.format(path=path, key=api.server.api_key).encode())
        await asyncio.sleep(0.1)
        assert (await api.post("/chat", CHAT))[0] == 200  # the one place is free
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert 0.25 < time.monotonic() - begun < 5
        assert b"did not arrive within 0.3 seconds" in await reader.readuntil(b"}}")
        writer.close()
        await writer.wait_closed()
