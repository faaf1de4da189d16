"""Malformed HTTP, and many connections at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.server.served import Api, error_message

HEAD = b"POST /v4/chat HTTP/1.1\r\nHost: localhost\r\n"

MALFORMED = {
    "space after a header's name": HEAD + b"X-API-KEY : sk-secret\r\n\r\n",
    "two lengths": HEAD + b"X-API-KEY: sk-secret\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
    "length is no number": HEAD + b"Content-Length: sk-secret\r\n\r\n",
    "size of a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZsk-secret\r\nabc",
    "end of a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcXsk-secret\r\n0\r\n\r\n",
    "encoding": HEAD + b"Transfer-Encoding: sk-secret\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00sk-secret\x01\x00\x01\xfc\x03\x03",
    "version": b"GET /health HTTP/9.9 sk-secret\r\n\r\n",
    "URL": b"GET http://[sk-secret HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "NUL": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: a\0sk-secret\r\n\r\n",
    "long line": b"GET /sk-secret" + b"a" * 300_000 + b" HTTP/1.1\r\n\r\n",
    "many headers": b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    + b"".join(b"x%d: sk-secret\r\n" % i for i in range(300))
    + b"\r\n",
}


def address(api: Api) -> tuple[str, int]:
    host, port = api.server.base_url.split("/")[2].split(":")
    return host, int(port)


@pytest.mark.parametrize("kind", MALFORMED)
async def test_malformed_http_is_a_json_error_and_one_line_without_its_bytes(
    api: Api, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    reader, writer = await asyncio.open_connection(*address(api))
    writer.write(MALFORMED[kind])
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert head.startswith(b"HTTP/1.0 400 ")
    assert b"Content-Type: application/json" in head
    assert "not valid HTTP" in error_message(json.loads(body), 400)
    [record] = caplog.records
    assert record.exc_info is None
    assert "\n" not in record.getMessage()
    assert "sk-secret" not in caplog.text
    assert b"sk-secret" not in body


async def test_a_broken_chunk_in_the_middle_of_a_body_leaves_no_bytes_in_the_log(
    start: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with start(body_timeout=0.5) as api:
        reader, writer = await asyncio.open_connection(*address(api))
        key = api.server.api_key.encode()
        writer.write(HEAD + b"X-API-KEY: %b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" % key)
        await asyncio.sleep(0.1)
        writer.write(b"ZZsk-secret\r\n")
        head = await reader.readuntil(b"\r\n")
        writer.close()
        await writer.wait_closed()
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
    assert all(record.exc_info is None for record in caplog.records)
    assert "sk-secret" not in caplog.text


async def test_many_connections_at_once_are_accepted(api: Api) -> None:
    async def call() -> bytes:
        reader, writer = await asyncio.open_connection(*address(api))
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        response = await reader.read()
        writer.close()
        return response

    responses = await asyncio.gather(*(call() for _ in range(400)))
    assert all(response.startswith(b"HTTP/1.1 200 ") for response in responses)


async def test_an_idle_connection_is_closed(start: Callable[..., Any]) -> None:
    async with start(idle_timeout=0.2) as api:
        reader, writer = await asyncio.open_connection(*address(api))
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await writer.wait_closed()
