"""Bodies that come slowly, not at all, or only when asked for; the other limits are with the bad requests."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.server.served import CHAT, Api

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


async def opened(api: Api, path: str, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A call whose headers have been sent, and nothing more."""
    host, port = api.server.base_url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"POST /v4{path} HTTP/1.1", "Host: x", *headers, "\r\n"]
    writer.write("\r\n".join(lines).encode())
    return reader, writer


@pytest.mark.parametrize("path", ["/chat", "/projects"])
@pytest.mark.parametrize("expect", [[], ["Expect: 100-continue"]])
async def test_a_body_that_says_it_is_too_large_is_not_waited_for(
    start: Callable[..., Any], path: str, expect: list[str]
) -> None:
    async with start(max_body_bytes=1000) as api:
        reader, writer = await opened(api, path, f"X-API-KEY: {api.server.api_key}", "Content-Length: 1001", *expect)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"Connection: close" in answer
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("path", ["/chat", "/projects"])
async def test_a_body_is_asked_for_when_the_headers_are_right(api: Api, path: str) -> None:
    body = json.dumps(CHAT if path == "/chat" else {"name": "greeter"}).encode()
    length, expect, key = f"Content-Length: {len(body)}", "Expect: 100-Continue", f"X-API-KEY: {api.server.api_key}"
    reader, writer = await opened(api, path, length, expect, key)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 20")
    writer.close()
    await writer.wait_closed()
    for headers, expected in (([length, expect], b"401"), ([length, key, "Expect: magic"], b"417")):
        reader, writer = await opened(api, path, *headers)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 %b " % expected)
        assert b"Content-Type: application/json" in answer
        writer.close()
        await writer.wait_closed()
