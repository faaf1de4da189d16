"""A scripted server sends exactly its scripts, to clients that share nothing with it, and records their requests."""

from __future__ import annotations

import asyncio
import json
import math
import ssl
import urllib.error
import urllib.request
from collections.abc import AsyncIterator

import httpx
import pytest
import trustme

from humanloop_async.testing import (
    LAST_CHUNK,
    STREAM_HEAD,
    Action,
    ScriptedServer,
    Step,
    http_chunk,
    http_response,
)

GET = b"GET /a?b=%20c HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n"


async def bytes_of(server: ScriptedServer, request: bytes = GET, *, half_close: bool = False) -> bytes:
    """Send a request over a plain socket, and return every byte until the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    try:
        writer.write(request)
        if half_close:
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ((b"not HTTP", 0.01, b" at all", Action.CLOSE), b"not HTTP at all"),
        ((b"half", Action.HALF_CLOSE, Action.WAIT), b"half"),
        ((STREAM_HEAD, http_chunk(b"x"), LAST_CHUNK, Action.CLOSE), STREAM_HEAD + b"1\r\nx\r\n0\r\n\r\n"),
    ],
)
async def test_a_client_gets_exactly_the_bytes(
    server: ScriptedServer, script: tuple[Step, ...], expected: bytes
) -> None:
    server.add_script(*script)
    assert await bytes_of(server) == expected


async def test_a_reset_is_a_reset(server: ScriptedServer) -> None:
    server.add_script(b"half", 0.05, Action.RESET)
    with pytest.raises(ConnectionResetError):
        await bytes_of(server)


async def test_an_event_holds_a_response_back(server: ScriptedServer) -> None:
    """The order is the test's, without a pause that could be too short."""
    gate = asyncio.Event()
    server.add_script(gate, b"late", Action.CLOSE)
    waiting = asyncio.create_task(bytes_of(server))
    await asyncio.wait_for(server.arrived.wait(), 10)
    assert not waiting.done()
    gate.set()
    assert await waiting == b"late"


async def test_a_client_that_leaves_is_noticed(server: ScriptedServer) -> None:
    server.add_script(STREAM_HEAD, Action.WAIT)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(GET)
    assert await reader.readexactly(len(STREAM_HEAD)) == STREAM_HEAD
    assert (server.open_connections, server.client_left.is_set(), server.left_at) == (1, False, [])
    with pytest.raises(TimeoutError):
        await server.wait_until_closed(0.05)
    writer.close()
    await server.wait_until_closed()
    assert (server.open_connections, server.client_left.is_set(), len(server.left_at)) == (0, True, 1)


async def test_requests_are_recorded(server: ScriptedServer) -> None:
    """With their query as sent, every header, and a body of known length, in chunks, or none."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"a":'
        yield b"1}"

    server.add_response({"ok": True}, 201, {"X-Kind": "test", "content-type": "application/x"})
    async with httpx.AsyncClient(trust_env=False) as client:
        for body in (b'{"a":1}', pieces()):
            response = await client.post(f"{server.url}/v4/é?x=%C3%A9&x=2", content=body)
            assert (response.status_code, response.json(), response.headers["x-kind"]) == (201, {"ok": True}, "test")
            assert response.headers.get_list("content-type") == ["application/x"]
    for request in server.requests:
        assert (request.method, request.path) == ("POST", "/v4/%C3%A9?x=%C3%A9&x=2")
        assert (request.body, request.json) == (b'{"a":1}', {"a": 1})
    assert [request.connection for request in server.requests] == [1, 1]
    server.add_script(b"end", Action.CLOSE)
    await bytes_of(server)
    await bytes_of(server)
    last = server.requests[-1]
    assert (last.path, last.headers.getall("x-two"), last.body, last.connection) == ("/a?b=%20c", ["1", "2"], b"", 3)


@pytest.mark.parametrize("size", [None, 1, 7, 10_000])
async def test_a_stream_can_be_cut_into_chunks_of_any_size(server: ScriptedServer, size: int | None) -> None:
    """Objects are sent as JSON, bytes as they are; a line end in the JSON would end the event, so there is none."""
    server.add_stream(
        {"text": "a\né"}, b": comment\n\n", b"data: [DONE]\n\n", end=(LAST_CHUNK, Action.CLOSE), size=size
    )
    whole = await bytes_of(server)
    assert whole.startswith(STREAM_HEAD)
    sizes = []
    body, rest = b"", whole.removeprefix(STREAM_HEAD)
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        sizes.append(int(line, 16))
        body, rest = body + rest[: sizes[-1]], rest[sizes[-1] + 2 :]
    assert body == 'data: {"text":"a\\né"}\n\n: comment\n\ndata: [DONE]\n\n'.encode()
    assert sizes[-1] == 0
    assert len(sizes) - 1 == (3 if size is None else math.ceil(len(body) / size))


async def test_the_last_script_repeats_unless_it_must_not() -> None:
    """Scripts come in order. A request without a script gets the reason."""
    for repeat, expected in ((True, [503, 200, 200]), (False, [503, 200, 404])):
        async with ScriptedServer(repeat=repeat) as server, httpx.AsyncClient(trust_env=False) as client:
            server.add_response({}, "503 Very Busy")
            server.add_response({})
            responses = [await client.get(server.url) for _ in range(3)]
            assert [response.status_code for response in responses] == expected
            assert responses[0].reason_phrase == "Very Busy"
            assert len(server.requests) == 3
    assert "no script for request 3, GET /" in responses[-1].json()["detail"]["message"]


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["start line", "length", "chunk"],
)
async def test_a_request_that_is_not_http_gets_a_400(server: ScriptedServer, request_: bytes) -> None:
    """A mistake in the tested client is not a hanging test."""
    server.add_response({})
    response = await bytes_of(server, request_)
    assert response.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"cannot read this request" in response
    assert not server.requests


async def test_a_client_that_stops_within_a_request_is_no_request(server: ScriptedServer) -> None:
    server.add_response({})
    assert await bytes_of(server, b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf", half_close=True) == b""
    assert not server.requests


def test_a_test_that_blocks_runs_the_server_in_a_thread() -> None:
    """Also with TLS."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with ScriptedServer(tls=context).in_thread() as server:
        server.add_script(http_response(b"plain", headers={"Content-Type": "text/plain"}))
        server.add_response({"detail": "no"}, 429, {"Retry-After": "3"})
        with urllib.request.urlopen(server.url, context=trusting, timeout=10) as response:
            assert (response.read(), response.headers["Content-Type"]) == (b"plain", "text/plain")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(server.url, context=trusting, timeout=10)
        with caught.value as error:
            assert (error.code, error.reason, error.headers["Retry-After"]) == (429, "Too Many Requests", "3")
            assert json.loads(error.read()) == {"detail": "no"}
    assert len(server.requests) == 2


async def test_leaving_the_block_ends_open_connections() -> None:
    async with ScriptedServer() as server:
        server.add_script(b"half", 3600)
        waiting = asyncio.create_task(bytes_of(server))
        await asyncio.wait_for(server.arrived.wait(), 10)
    assert await asyncio.wait_for(waiting, 10) == b"half"
