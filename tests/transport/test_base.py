"""The contract of `Transport`, which both transports keep, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from humanloop_async.errors import ApiConnectionError
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, Action, ScriptedServer, http_chunk, http_response
from humanloop_async.transport.base import ResponseStream, Transport
from humanloop_async.wire.requests import HttpRequest
from tests.events import UNTIL_CLOSE


def post(url: str, **headers: str) -> HttpRequest:
    return HttpRequest("POST", f"{url}/v4/chat", {"Content-Type": "application/json", **headers}, b'{"a":1}')


Send = Callable[[Transport, ScriptedServer], Awaitable[ResponseStream]]


@pytest.fixture
async def send() -> AsyncIterator[Send]:
    """A function that sends a request. Every response is closed at the end of the test."""
    answers = []

    async def send(transport: Transport, server: ScriptedServer) -> ResponseStream:
        answers.append(await transport.send(post(server.url), 5))
        return answers[-1]

    yield send
    for sent in answers:
        await sent.aclose()


async def whole(response: ResponseStream) -> bytes:
    pieces = []
    while data := await response.read(5):
        pieces.append(data)
    return b"".join(pieces)


async def test_the_server_receives_the_request(transport: Transport, server: ScriptedServer) -> None:
    server.add_response({})
    response = await transport.send(post(server.url, **{"X-API-KEY": "k"}), None)
    await whole(response)
    [request] = server.requests
    assert (request.method, request.path, request.body) == ("POST", "/v4/chat", b'{"a":1}')
    assert request.headers["x-api-key"] == "k"
    assert request.headers["content-type"] == "application/json"


async def test_a_response_has_status_reason_headers_and_body(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    """Every status is a response, and the names of headers are case-insensitive."""
    server.add_response({"detail": "no"}, "422 Very Wrong", {"X-Thing": "seven"})
    response = await send(transport, server)
    assert (response.status, response.reason) == (422, "Very Wrong")
    assert response.headers["x-thing"] == response.headers["X-THING"] == "seven"
    assert response.headers.get("Absent") is None
    assert await whole(response) == b'{"detail":"no"}'
    assert await response.read(5) == b""  # also after the end


async def test_a_missing_reason_is_empty(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_script(b"HTTP/1.1 204 \r\n\r\n")
    response = await send(transport, server)
    assert (response.status, response.reason, await whole(response)) == (204, "", b"")


BODY = b"data: {}\n\n" + "ünï\u2028🙂".encode() + bytes(range(256))


@pytest.mark.parametrize(
    "script",
    [
        (http_response(BODY),),
        (STREAM_HEAD, http_chunk(BODY), LAST_CHUNK),
        (STREAM_HEAD, *(http_chunk(bytes([byte])) for byte in BODY), LAST_CHUNK),
        (STREAM_HEAD + b"".join(http_chunk(bytes([byte])) for byte in BODY) + LAST_CHUNK,),
        (STREAM_HEAD, http_chunk(BODY)[:7], 0.02, http_chunk(BODY)[7:], 0.02, LAST_CHUNK[:2], 0.02, LAST_CHUNK[2:]),
        (UNTIL_CLOSE, BODY[:9], 0.02, BODY[9:], Action.CLOSE),
        (UNTIL_CLOSE + BODY, Action.HALF_CLOSE, Action.WAIT),
    ],
    ids=["content-length", "chunked", "bytes", "bytes-at-once", "split", "until-close", "half-close"],
)
async def test_bodies_of_every_framing_are_read(
    transport: Transport, server: ScriptedServer, send: Send, script: tuple[bytes, ...]
) -> None:
    server.add_script(*script)
    assert await whole(await send(transport, server)) == BODY


async def test_bytes_are_delivered_when_they_arrive(transport: Transport, server: ScriptedServer, send: Send) -> None:
    """A read does not wait for a full buffer: the server continues only after the first bytes were read."""
    proceed = asyncio.Event()
    server.add_script(STREAM_HEAD, http_chunk(b"a"), proceed, http_chunk(b"b"), LAST_CHUNK)
    response = await send(transport, server)
    assert await response.read(5) == b"a"
    proceed.set()
    assert await whole(response) == b"b"


async def test_a_read_ends_at_its_timeout(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_stream(b"a", end=(Action.WAIT,))
    response = await send(transport, server)
    assert await response.read(1) == b"a"
    started = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        await response.read(0.1)
    assert 0.09 < time.monotonic() - started < 3
    assert type(caught.value) is TimeoutError
    await response.aclose()
    await asyncio.wait_for(server.client_left.wait(), 10)


async def test_each_read_has_its_timeout(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_script(STREAM_HEAD, http_chunk(b"a"), 0.3, http_chunk(b"b"), Action.WAIT)
    response = await send(transport, server)
    assert await response.read(0.1) == b"a"
    assert await response.read(5) == b"b"
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await response.read(0.05)
    assert time.monotonic() - started < 3


async def test_bytes_that_have_arrived_are_read_with_a_timeout_of_zero(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    """A cancelled reader reads again after its timeout: bytes that arrived before are delivered."""
    server.add_script(STREAM_HEAD, http_chunk(b"a"), 0.1, http_chunk(b"b"), Action.WAIT)
    response = await send(transport, server)
    assert await response.read(5) == b"a"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(response.read(5), 0.02)
    await asyncio.sleep(0.2)
    assert await response.read(0) == b"b"


async def test_waiting_for_headers_ends_at_the_timeout(transport: Transport, server: ScriptedServer) -> None:
    server.add_script(Action.WAIT)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await transport.send(post(server.url), 0.1)
    assert 0.09 < time.monotonic() - started < 3
    await asyncio.wait_for(server.client_left.wait(), 10)  # the connection is closed


async def test_a_port_without_a_server_is_a_connection_error(transport: Transport, unused_tcp_port: int) -> None:
    with pytest.raises(ApiConnectionError) as caught:
        await transport.send(post(f"http://127.0.0.1:{unused_tcp_port}"), 5)
    assert f"127.0.0.1:{unused_tcp_port}" in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("end", [Action.RESET, Action.CLOSE])
async def test_a_connection_broken_before_the_headers_is_an_error(
    transport: Transport, server: ScriptedServer, send: Send, end: Action
) -> None:
    server.add_script(end)
    with pytest.raises(ApiConnectionError):
        await send(transport, server)


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 100])
async def test_a_response_that_is_not_http_is_an_error_without_retry(
    transport: Transport, server: ScriptedServer, send: Send, garbage: bytes
) -> None:
    """A retry would cost again, and would probably get no better response."""
    server.add_script(garbage, Action.CLOSE)
    with pytest.raises(ApiConnectionError) as caught:
        await send(transport, server)
    assert not caught.value.retryable


@pytest.mark.parametrize("end", [Action.RESET, Action.CLOSE])
async def test_a_connection_broken_within_the_body_is_an_error(
    transport: Transport, server: ScriptedServer, send: Send, end: Action
) -> None:
    """Bytes that arrived before are delivered first, then the error, as often as `read` is called."""
    server.add_stream(b"a", end=(0.1, end))
    response = await send(transport, server)
    assert await response.read(5) == b"a"
    for _ in range(2):
        with pytest.raises(ApiConnectionError):
            await response.read(5)


@pytest.mark.parametrize("end", [Action.RESET, Action.CLOSE])
async def test_a_connection_broken_between_reads_is_an_error(
    transport: Transport, server: ScriptedServer, send: Send, end: Action
) -> None:
    """Bytes that arrived before are delivered first. The pause lets them arrive."""
    server.add_stream(b"a", b"b", end=(0.1, end))
    response = await send(transport, server)
    if end is Action.RESET and type(transport).__name__ == "HttpxTransport":
        # httpx reads the socket only when the caller reads, and a reset discards the bytes in the kernel.
        assert await response.read(5) in {b"a", b"ab"}
    await asyncio.sleep(0.25)
    got = b""
    with pytest.raises(ApiConnectionError):  # noqa: PT012
        while data := await response.read(5):
            got += data
    if type(transport).__name__ == "AiohttpTransport":
        assert got == b"ab"


async def test_a_body_shorter_than_its_content_length_is_an_error(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    server.add_script(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Action.CLOSE)
    response = await send(transport, server)
    assert await response.read(5) == b"abc"
    with pytest.raises(ApiConnectionError):
        await response.read(5)


async def test_invalid_chunks_are_an_error(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_stream(b"a", end=(0.05, b"zzz\r\n", Action.WAIT))
    response = await send(transport, server)
    assert await response.read(5) == b"a"
    with pytest.raises(ApiConnectionError):
        await response.read(5)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY, wbits=-15)),
    ],
    ids=["gzip", "upper-case", "deflate", "deflate-without-header"],
)
async def test_compressed_bodies_are_decompressed(
    transport: Transport, server: ScriptedServer, send: Send, encoding: str, packed: bytes
) -> None:
    server.add_response(packed, headers={"Content-Encoding": encoding})
    assert await whole(await send(transport, server)) == BODY
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


async def test_a_compressed_body_that_ends_early_is_an_error(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    server.add_response(zlib.compress(BODY)[:-9], headers={"Content-Encoding": "deflate"})
    with pytest.raises(ApiConnectionError):
        await whole(await send(transport, server))


async def test_a_read_decompresses_a_bounded_amount(transport: Transport, server: ScriptedServer, send: Send) -> None:
    """A read of 64 KB could become 64 MB."""
    size = 20 << 20
    server.add_response(gzip.compress(bytes(size)), headers={"Content-Encoding": "gzip"})
    response = await send(transport, server)
    reads = []
    while data := await response.read(5):
        reads.append(len(data))
    assert sum(reads) == size
    assert max(reads) <= 1 << 20


async def test_a_body_without_the_declared_compression_is_an_error(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    server.add_response(b"not gzip at all", headers={"Content-Encoding": "gzip"})
    with pytest.raises(ApiConnectionError):
        await whole(await send(transport, server))


async def test_a_doubly_compressed_body_is_not_decompressed(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    """A few doubly compressed bytes can become a gigabyte."""
    packed = gzip.compress(gzip.compress(bytes(1 << 20)))
    server.add_response(packed, headers={"Content-Encoding": "gzip, gzip"})
    assert await whole(await send(transport, server)) == packed


async def test_a_large_request_body_is_sent(transport: Transport, server: ScriptedServer) -> None:
    server.add_response({})
    body = b'"%b"' % (b"a" * 3_000_000)
    response = await transport.send(HttpRequest("POST", server.url, {"Content-Type": "application/json"}, body), 5)
    await whole(response)
    assert (server.requests[0].body, server.requests[0].headers["content-type"]) == (body, "application/json")


async def test_a_large_header_is_read(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_response({}, headers={"X-Large": "a" * 60_000})
    assert len((await send(transport, server)).headers["x-large"]) == 60_000


async def test_a_reason_and_headers_in_latin_1_are_decoded(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    server.add_script("HTTP/1.1 500 Pas trouvé\r\nX-Who: André\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))
    response = await send(transport, server)
    assert response.reason.encode().startswith(b"Pas trouv")
    assert response.headers["x-who"] == "André"


async def test_cookies_are_not_stored(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_response({}, headers={"Set-Cookie": "a=b; Path=/"})
    for _ in range(2):
        await whole(await send(transport, server))
    assert not any("cookie" in request.headers for request in server.requests)


async def test_a_cancelled_read_loses_nothing(transport: Transport, server: ScriptedServer, send: Send) -> None:
    proceed = asyncio.Event()
    server.add_script(STREAM_HEAD, http_chunk(b"a"), proceed, http_chunk(b"b"), 0.02, http_chunk(b"c"), LAST_CHUNK)
    response = await send(transport, server)
    assert await response.read(5) == b"a"
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await response.read(5)
    proceed.set()
    assert await whole(response) == b"bc"


async def test_reads_cancelled_many_times_lose_nothing(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    """Some reads are cancelled just when bytes have arrived."""
    pieces = [b"%d," % number for number in range(200)]
    server.add_script(STREAM_HEAD, *(step for piece in pieces for step in (http_chunk(piece), 0.0005)), LAST_CHUNK)
    response = await send(transport, server)
    got = b""
    while True:
        task = asyncio.ensure_future(response.read(5))
        await asyncio.wait({task}, timeout=0.0004)
        task.cancel()
        try:
            data = await task
        except asyncio.CancelledError:
            continue
        if not data:
            break
        got += data
    assert got == b"".join(pieces)


async def test_closing_before_the_end_closes_the_connection(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    server.add_stream(b"a", end=(Action.WAIT,))
    response = await send(transport, server)
    await response.read(5)
    response.close()
    response.close()
    await asyncio.wait_for(server.client_left.wait(), 10)
    with pytest.raises(ApiConnectionError):
        await response.read(5)
    await response.aclose()


async def test_closing_ends_a_waiting_read(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_stream(b"a", end=(Action.WAIT,))
    response = await send(transport, server)
    await response.read(5)
    reader = asyncio.ensure_future(response.read(5))
    await asyncio.sleep(0.02)
    response.close()
    with pytest.raises(ApiConnectionError):
        await asyncio.wait_for(reader, 10)


async def test_aclose_ends_a_waiting_read(transport: Transport, server: ScriptedServer, send: Send) -> None:
    """The reader gets an `ApiConnectionError`, not a cancellation."""
    server.add_stream(b"a", end=(Action.WAIT,))
    response = await send(transport, server)
    await response.read(5)
    reader = asyncio.ensure_future(response.read(5))
    await asyncio.sleep(0.02)
    await response.aclose()
    with pytest.raises(ApiConnectionError):
        await asyncio.wait_for(reader, 10)


async def test_a_hundred_complete_responses_use_one_connection(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    server.add_stream(b"data: 1\n\n", b"data: 2\n\n")
    for _ in range(100):
        response = await send(transport, server)
        assert await whole(response) == b"data: 1\n\ndata: 2\n\n"
        response.close()
        await response.aclose()
    assert (len(server.requests), server.connections) == (100, 1)


async def test_an_unsolicited_response_is_not_read_as_the_next_one(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    server.add_script(http_response({"first": True}), 0.05, http_response({"unasked": True}))
    server.add_response({"second": True})
    assert await whole(await send(transport, server)) == b'{"first":true}'
    await asyncio.sleep(0.2)
    assert await whole(await send(transport, server)) == b'{"second":true}'
    assert [request.connection for request in server.requests] == [1, 2]


async def test_the_connection_of_an_incomplete_response_is_not_used_again(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    """Its connection still has unread bytes, and is not used again."""
    server.add_script(STREAM_HEAD, http_chunk(b"a"), 0.1, http_chunk(b"b"), LAST_CHUNK)
    server.add_response({"second": True})
    first = await send(transport, server)
    await first.read(5)
    await first.aclose()
    assert await whole(await send(transport, server)) == b'{"second":true}'
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_returned_and_not_followed(
    transport: Transport, server: ScriptedServer, send: Send, status: int
) -> None:
    server.add_response({}, f"{status} Elsewhere", {"Location": "/other"})
    response = await send(transport, server)
    assert (response.status, response.headers["location"]) == (status, "/other")
    await whole(response)
    assert len(server.requests) == 1


async def test_closing_again_has_no_effect(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_response({})
    await whole(await send(transport, server))
    await transport.aclose()
    await transport.aclose()
    await server.wait_until_closed()
