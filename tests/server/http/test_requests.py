"""Reading of requests: API keys, malformed, slow, large and compressed bodies, and ``Expect``."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from tests.server.served import CHAT, Api, error_message


@pytest.mark.parametrize("body", [b"", b"not json", b'{"project": ', b"[1, 2]", b'"text"', b"\xff\xfe", b"[" * 100_000])
async def test_a_body_that_is_not_a_json_object_is_malformed(api: Api, body: bytes) -> None:
    async with api.session.post(api.server.base_url + "/chat", data=body) as response:
        assert response.status == 400
        error_message(await response.json(), 400)


@pytest.mark.parametrize("headers", [{}, {"X-API-KEY": ""}, {"X-API-KEY": "wrong"}, {"Authorization": "Bearer x"}])
async def test_a_missing_or_wrong_key_is_401_before_the_body_is_read(api: Api, headers: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/chat", "/chat-deployed"):
            async with session.post(api.server.base_url + path, data=b"not json", headers=headers) as response:
                assert response.status == 401
                assert "X-API-KEY" in error_message(await response.json(), 401)


async def test_a_key_that_is_not_utf_8_is_401(api: Api) -> None:
    async with aiohttp.ClientSession() as session:
        headers = {"X-API-KEY": "caf\udce9"}
        async with session.post(api.server.base_url + "/chat", headers=headers) as response:
            assert response.status == 401


ZIPPED = gzip.compress(json.dumps({**CHAT, "user": "".join(map(chr, range(32, 1000)))}).encode())


@pytest.mark.parametrize(("method", "path"), [("POST", "/chat"), ("POST", "/logs"), ("DELETE", "/projects/pr_x")])
@pytest.mark.parametrize(
    ("coding", "body", "expected"),
    [
        ("gzip", b"not compressed", 400),
        ("gzip", ZIPPED[:-8] + b"\0" * 4 + ZIPPED[-4:], 400),  # wrong checksum
        ("gzip", ZIPPED[:40] + b"\xff" * 8 + ZIPPED[48:], 400),
        ("deflate", ZIPPED, 400),
        ("x-gzip", ZIPPED, 415),
        ("gzip, gzip", gzip.compress(ZIPPED), 415),
    ],
)
async def test_a_body_that_cannot_be_decompressed_is_a_clear_error(
    api: Api, method: str, path: str, coding: str, body: bytes, expected: int, caplog: pytest.LogCaptureFixture
) -> None:
    url, headers = api.server.base_url + path, {"Content-Encoding": coding}
    async with api.session.request(method, url, data=body, headers=headers) as response:
        assert response.status == expected
        assert "Content-Encoding" in error_message(await response.json(), expected)
    assert (await api.post("/chat", CHAT))[0] == 200
    assert caplog.records == []


async def test_a_compressed_body_is_read(api: Api) -> None:
    headers = {"Content-Encoding": "GZIP"}
    async with api.session.post(api.server.base_url + "/chat", data=ZIPPED, headers=headers) as response:
        assert response.status == 200


async def test_a_body_above_the_limit_is_413(start: Callable[..., Any]) -> None:
    async with start(max_body_bytes=1000) as api:
        status, answer = await api.post("/chat", {**CHAT, "user": "x" * 1000})
        assert status == 413
        assert "1000 bytes" in error_message(answer, 413)


HEAD = "POST /v4{path} HTTP/1.1\r\nHost: x\r\nX-API-KEY: {key}\r\nContent-Length: 1000\r\n\r\n{{"


@pytest.mark.parametrize("path", ["/chat", "/projects"])
async def test_a_body_that_does_not_arrive_is_408_and_no_generation(start: Callable[..., Any], path: str) -> None:
    async with start(body_timeout=0.3, max_generations=1) as api:
        host, port = api.server.base_url.split("/")[2].split(":")
        begun = time.monotonic()
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(HEAD.format(path=path, key=api.server.api_key).encode())
        await asyncio.sleep(0.1)
        assert (await api.post("/chat", CHAT))[0] == 200  # the slow request does not count as a generation
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert 0.25 < time.monotonic() - begun < 5
        assert b"did not arrive within 0.3 seconds" in await reader.readuntil(b"}}")
        writer.close()
        await writer.wait_closed()


async def opened(api: Api, path: str, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, and send only the headers of a call."""
    host, port = api.server.base_url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"POST /v4{path} HTTP/1.1", "Host: x", *headers, "\r\n"]
    writer.write("\r\n".join(lines).encode())
    return reader, writer


@pytest.mark.parametrize("path", ["/chat", "/projects"])
@pytest.mark.parametrize("expect", [[], ["Expect: 100-continue"]])
async def test_a_body_that_is_announced_as_too_large_is_rejected_at_once(
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
async def test_expect_100_continue_gets_a_100_only_if_the_headers_are_accepted(api: Api, path: str) -> None:
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
