"""Reading of requests: API keys, malformed, slow, large and compressed bodies, and ``Expect``."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

import aiohttp
import pytest

from humanloop_async.server.errors import ApiError
from humanloop_async.server.http.requests import decompress
from tests.server.served import CHAT, Api, error_message, with_config

LOG = {"project": "p", "config": {"type": "model", "model": "m"}, "output": "Hello", "inputs": {}}


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


HEAD = "POST /v4{path} HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: {key}\r\nContent-Length: 1000\r\n\r\n{{"


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
        assert b"did not arrive within 0.3 seconds" in await reader.readuntil(b"}")
        writer.close()
        await writer.wait_closed()


async def opened(api: Api, path: str, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, and send only the headers of a call."""
    host, port = api.server.base_url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"POST /v4{path} HTTP/1.1", "Host: localhost", *headers, "\r\n"]
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


async def pieces(body: bytes) -> AsyncGenerator[bytes]:
    """Yield a large body in pieces, so that the client does not stop the event loop."""
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


def bomb() -> bytes:
    """Return a megabyte of gzip that expands to a GiB."""
    packer = zlib.compressobj(9, wbits=31)
    first = packer.compress(bytes(1024 * 1024)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1024 * 1024)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + block * 1023  # after a full flush, a block does not depend on those before it


async def test_compressed_bodies_without_a_key_are_not_decompressed(api: Api) -> None:
    data = bomb()
    root = api.server.base_url.removesuffix("/v4")

    async def send(path: str) -> int:
        headers = {"Content-Encoding": "gzip", "X-API-KEY": "wrong"}
        async with api.session.post(root + path, data=pieces(data), headers=headers) as response:
            assert response.headers["Connection"] == "close"
            return response.status

    cpu = time.process_time()
    statuses = await asyncio.gather(*(send(path) for path in ("/v4/chat", "/v4/logs", "/health", "/nothing") * 5))
    assert time.process_time() - cpu < 0.5  # includes the client; one decompression takes about one second
    assert statuses == [401, 401, 405, 404] * 5


async def test_a_compressed_body_is_not_decompressed_beyond_the_limit(api: Api) -> None:
    headers, packed = {"Content-Encoding": "gzip"}, bomb()
    cpu = time.process_time()
    async with api.session.post(api.server.base_url + "/chat", data=pieces(packed), headers=headers) as response:
        assert response.status == 413
    assert time.process_time() - cpu < 1


@pytest.mark.parametrize(
    ("coding", "window_bits"), [("gzip", 31), ("deflate", zlib.MAX_WBITS), ("deflate", -zlib.MAX_WBITS)]
)
def test_each_coding_is_decompressed_up_to_its_limit(coding: str, window_bits: int) -> None:
    packer = zlib.compressobj(wbits=window_bits)
    data = packer.compress(b"x" * 100_000) + packer.flush()
    assert decompress(data, coding, 100_000) == b"x" * 100_000
    for body, limit, status in ((data, 99_999, 413), (data[:-1], 200_000, 400), (data + data, 200_000, 400)):
        with pytest.raises(ApiError) as caught:
            decompress(body, coding, limit)
        assert caught.value.status == status


async def test_bodies_in_flight_have_a_common_limit(start: Callable[..., Any]) -> None:
    async with start(max_bodies_bytes=5000) as api:
        slow = with_config({**CHAT, "user": "x" * 4000}, max_tokens=1000, other={"tokens_per_second": 5})
        async with api.opened("/chat", slow) as response:
            await response.content.readany()
            async with api.session.post(f"{api.server.base_url}/chat", json={**CHAT, "user": "x" * 1000}) as rejected:
                assert rejected.status == 503
                assert rejected.headers["Retry-After"] == "1"
                assert "5000 bytes" in error_message(await rejected.json(), 503)
            assert (await api.post("/chat", CHAT))[0] == 200
            response.close()
        status = 0
        for _ in range(500):
            status, _ = await api.post("/chat", {**CHAT, "user": "x" * 4000})
            if status == 200:
                break
            await asyncio.sleep(0.01)
        assert status == 200


async def test_operations_without_content_have_a_smaller_limit(api: Api) -> None:
    text = "x" * (2 * 1024 * 1024)
    calls: list[tuple[str, str, Any, int]] = [
        ("POST", "/projects", {"name": text}, 413),
        ("DELETE", "/projects/pr_x", [text], 413),
        ("POST", "/chat", {**CHAT, "user": text}, 200),
    ]
    for method, path, body, expected in calls:
        data = pieces(json.dumps(body).encode())
        async with api.session.request(method, api.server.base_url + path, data=data) as response:
            assert response.status == expected


HOSTILE = {
    "objects": (b'{"inputs": {"a": [' + b"{}," * 5_000_000 + b"0]}}", 422),
    "strings": (b'{"inputs": {"a": [' + b'"",' * 5_000_000 + b"0]}}", 422),
    "commas in a text": (b'{"project": "p", "output": "' + b"," * 15_000_000 + b'"}', 422),
    "backslashes": (b'{"nothing": "' + rb"\\" * 7_500_000 + b'"}', 422),
    "nesting": (b'{"inputs": ' + b"[" * 15_000_000, 422),
    "not JSON": (b"," * 400_000, 400),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_large_body_does_not_stop_the_event_loop(api: Api, kind: str) -> None:
    body, expected = HOSTILE[kind]
    loop = asyncio.get_running_loop()
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = loop.time()
            await asyncio.sleep(0.001)
            longest = max(longest, loop.time() - before)

    watching = asyncio.create_task(watch())
    async with api.session.post(api.server.base_url + "/logs", data=pieces(body)) as response:
        assert response.status == expected
    watching.cancel()
    assert longest < 0.4


@pytest.mark.parametrize("name", ["HUMANLOOP", "x" * 300_000])
async def test_a_write_that_has_arrived_runs_to_its_end_without_its_client(api: Api, name: str) -> None:
    body = json.dumps({**LOG, "output": name}).encode()
    for _ in range(10):
        _, writer = await opened(api, "/logs", f"X-API-KEY: {api.server.api_key}", f"Content-Length: {len(body)}")
        writer.write(body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    for _ in range(1000):
        if len(api.logs()) == 10:
            break
        await asyncio.sleep(0.01)
    assert [log["output"] for log in api.logs()] == [name] * 10


async def test_a_write_whose_client_leaves_before_the_end_of_its_body_does_nothing(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps(LOG).encode()
    _, writer = await opened(api, "/logs", f"X-API-KEY: {api.server.api_key}", f"Content-Length: {len(body) + 1}")
    writer.write(body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await api.post("/logs", LOG))[0] == 200
    assert len(api.logs()) == 1
    assert caplog.records == []
