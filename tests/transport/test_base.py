"""What every transport must do, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from humanloop_async.errors import ApiConnectionError
from humanloop_async.transport.base import ResponseStream, Transport
from humanloop_async.wire.requests import HttpRequest
from tests.scripted import END, STREAM, UNTIL_CLOSE, Action, ScriptedServer, chunk, http_response


def post(url: str, **headers: str) -> HttpRequest:
    return HttpRequest("POST", f"{url}/v4/chat", {"Content-Type": "application/json", **headers}, b'{"a":1}')


Send = Callable[[Transport, ScriptedServer], Awaitable[ResponseStream]]


@pytest.fixture
async def send() -> AsyncIterator[Send]:
    """Sends, and closes every answer at the end, as its reader must."""
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


async def test_the_request_arrives_as_it_was(transport: Transport, server: ScriptedServer) -> None:
    server.add_response({})
    response = await transport.send(post(server.url, **{"X-API-KEY": "k"}), None)
    await whole(response)
    [request] = server.requests
    assert (request.method, request.path, request.raw) == ("POST", "/v4/chat", b'{"a":1}')
    assert request.headers["x-api-key"] == "k"
    assert request.headers["content-type"] == "application/json"


async def test_status_reason_headers_and_body(transport: Transport, server: ScriptedServer, send: Send) -> None:
    """Any status is an answer; headers are found whatever their case."""
    server.add_response({"detail": "no"}, "422 Very Wrong", X_Thing="seven")
    response = await send(transport, server)
    assert (response.status, response.reason) == (422, "Very Wrong")
    assert response.headers["x-thing"] == response.headers["X-THING"] == "seven"
    assert response.headers.get("Absent") is None
    assert await whole(response) == b'{"detail": "no"}'
    assert await response.read(5) == b""  # after the end, too


async def test_no_reason_is_an_empty_one(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_script(b"HTTP/1.1 204 \r\n\r\n")
    response = await send(transport, server)
    assert (response.status, response.reason, await whole(response)) == (204, "", b"")


BODY = b"data: {}\n\n" + "ünï\u2028🙂".encode() + bytes(range(256))


@pytest.mark.parametrize(
    "script",
    [
        (http_response(BODY),),
        (STREAM, chunk(BODY), END),
        (STREAM, *(chunk(bytes([byte])) for byte in BODY), END),
        (STREAM + b"".join(chunk(bytes([byte])) for byte in BODY) + END,),
        (STREAM, chunk(BODY)[:7], 0.02, chunk(BODY)[7:], 0.02, END[:2], 0.02, END[2:]),
        (UNTIL_CLOSE, BODY[:9], 0.02, BODY[9:], Action.CLOSE),
        (UNTIL_CLOSE + BODY, Action.HALF_CLOSE, Action.WAIT),
    ],
    ids=["content-length", "chunked", "bytes", "bytes-at-once", "split", "until-close", "half-close"],
)
async def test_bodies_of_every_kind(
    transport: Transport, server: ScriptedServer, send: Send, script: tuple[bytes, ...]
) -> None:
    server.add_script(*script)
    assert await whole(await send(transport, server)) == BODY


async def test_bytes_come_when_they_come(transport: Transport, server: ScriptedServer, send: Send) -> None:
    """No waiting for a full buffer: the server sends on only after the first piece was read."""
    go_on = asyncio.Event()
    server.add_script(STREAM, chunk(b"a"), go_on, chunk(b"b"), END)
    response = await send(transport, server)
    assert await response.read(5) == b"a"
    go_on.set()
    assert await whole(response) == b"b"


async def test_a_read_that_takes_too_long(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_script(STREAM, chunk(b"a"), Action.WAIT)
    response = await send(transport, server)
    assert await response.read(1) == b"a"
    started = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        await response.read(0.1)
    assert 0.09 < time.monotonic() - started < 3
    assert type(caught.value) is TimeoutError
    await response.aclose()
    await asyncio.wait_for(server.client_left.wait(), 10)


async def test_a_later_read_may_have_a_shorter_or_a_longer_limit(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    server.add_script(STREAM, chunk(b"a"), 0.3, chunk(b"b"), Action.WAIT)
    response = await send(transport, server)
    assert await response.read(0.1) == b"a"
    assert await response.read(5) == b"b"
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await response.read(0.05)
    assert time.monotonic() - started < 3


async def test_bytes_that_came_meanwhile_are_read_even_without_time(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    """A reader was cancelled and comes back late, its clock run out: what arrived before that counts."""
    server.add_script(STREAM, chunk(b"a"), 0.1, chunk(b"b"), Action.WAIT)
    response = await send(transport, server)
    assert await response.read(5) == b"a"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(response.read(5), 0.02)
    await asyncio.sleep(0.2)
    assert await response.read(0) == b"b"


async def test_headers_that_take_too_long(transport: Transport, server: ScriptedServer) -> None:
    server.add_script(Action.WAIT)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await transport.send(post(server.url), 0.1)
    assert 0.09 < time.monotonic() - started < 3
    await asyncio.wait_for(server.client_left.wait(), 10)  # the connection is not left behind


async def test_nobody_listens(transport: Transport, unused_tcp_port: int) -> None:
    with pytest.raises(ApiConnectionError) as caught:
        await transport.send(post(f"http://127.0.0.1:{unused_tcp_port}"), 5)
    assert f"127.0.0.1:{unused_tcp_port}" in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("end", [Action.RESET, Action.CLOSE])
async def test_a_connection_that_breaks_before_the_headers(
    transport: Transport, server: ScriptedServer, send: Send, end: Action
) -> None:
    server.add_script(end)
    with pytest.raises(ApiConnectionError):
        await send(transport, server)


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 100])
async def test_an_answer_that_is_no_http(
    transport: Transport, server: ScriptedServer, send: Send, garbage: bytes
) -> None:
    """The next one would not be, either, and would be paid for again."""
    server.add_script(garbage, Action.CLOSE)
    with pytest.raises(ApiConnectionError) as caught:
        await send(transport, server)
    assert not caught.value.retryable


@pytest.mark.parametrize("end", [Action.RESET, Action.CLOSE])
async def test_a_connection_that_breaks_in_the_middle(
    transport: Transport, server: ScriptedServer, send: Send, end: Action
) -> None:
    """What came before is read first, then the error, and the error again."""
    server.add_script(STREAM, chunk(b"a"), 0.1, end)
    response = await send(transport, server)
    assert await response.read(5) == b"a"
    for _ in range(2):
        with pytest.raises(ApiConnectionError):
            await response.read(5)


@pytest.mark.parametrize("end", [Action.RESET, Action.CLOSE])
async def test_a_connection_that_breaks_while_nobody_reads(
    transport: Transport, server: ScriptedServer, send: Send, end: Action
) -> None:
    """What came is still read first. (The pause before the break lets it come.)"""
    server.add_script(STREAM, chunk(b"a"), chunk(b"b"), 0.1, end)
    response = await send(transport, server)
    if end is Action.RESET and type(transport).__name__ == "HttpxTransport":
        # httpx reads the socket only when asked, and a reset takes what the kernel still held.
        assert await response.read(5) in {b"a", b"ab"}
    await asyncio.sleep(0.25)
    got = b""
    with pytest.raises(ApiConnectionError):  # noqa: PT012
        while data := await response.read(5):
            got += data
    if type(transport).__name__ == "AiohttpTransport":
        assert got == b"ab"


async def test_a_body_shorter_than_announced(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_script(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Action.CLOSE)
    response = await send(transport, server)
    assert await response.read(5) == b"abc"
    with pytest.raises(ApiConnectionError):
        await response.read(5)


async def test_broken_chunks(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_script(STREAM, chunk(b"a"), 0.05, b"zzz\r\n", Action.WAIT)
    response = await send(transport, server)
    assert await response.read(5) == b"a"
    with pytest.raises(ApiConnectionError):
        await response.read(5)


async def test_compressed_bodies(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_response(gzip.compress(BODY), Content_Encoding="gzip")
    assert await whole(await send(transport, server)) == BODY


async def test_a_body_that_is_not_compressed_as_it_says(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    server.add_response(b"not gzip at all", Content_Encoding="gzip")
    with pytest.raises(ApiConnectionError):
        await whole(await send(transport, server))


async def test_a_body_compressed_twice_is_not_unpacked(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    """A few bytes of that can be a gigabyte."""
    packed = gzip.compress(gzip.compress(bytes(1 << 20)))
    server.add_response(packed, Content_Encoding="gzip, gzip")
    assert await whole(await send(transport, server)) == packed


async def test_a_large_request_body(transport: Transport, server: ScriptedServer) -> None:
    server.add_response({})
    body = b'"%b"' % (b"a" * 3_000_000)
    response = await transport.send(HttpRequest("POST", server.url, {"Content-Type": "application/json"}, body), 5)
    await whole(response)
    assert (server.requests[0].raw, server.requests[0].headers["content-type"]) == (body, "application/json")


async def test_a_large_header(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_response({}, X_Large="a" * 60_000)
    assert len((await send(transport, server)).headers["x-large"]) == 60_000


async def test_a_reason_and_headers_in_latin_1_can_be_written_down(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    server.add_script("HTTP/1.1 500 Pas trouvé\r\nX-Who: André\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))
    response = await send(transport, server)
    assert response.reason.encode().startswith(b"Pas trouv")
    assert response.headers["x-who"] == "André"


async def test_no_cookie_is_kept(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_response({}, Set_Cookie="a=b; Path=/")
    for _ in range(2):
        await whole(await send(transport, server))
    assert not any("cookie" in request.headers for request in server.requests)


async def test_a_cancelled_read_loses_nothing(transport: Transport, server: ScriptedServer, send: Send) -> None:
    go_on = asyncio.Event()
    server.add_script(STREAM, chunk(b"a"), go_on, chunk(b"b"), 0.02, chunk(b"c"), END)
    response = await send(transport, server)
    assert await response.read(5) == b"a"
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await response.read(5)
    go_on.set()
    assert await whole(response) == b"bc"


async def test_reads_cancelled_again_and_again(transport: Transport, server: ScriptedServer, send: Send) -> None:
    """At any moment: also when the bytes have just come."""
    pieces = [b"%d," % number for number in range(200)]
    server.add_script(STREAM, *(step for piece in pieces for step in (chunk(piece), 0.0005)), END)
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


async def test_closing_before_the_end(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_script(STREAM, chunk(b"a"), Action.WAIT)
    response = await send(transport, server)
    await response.read(5)
    response.close()
    response.close()
    await asyncio.wait_for(server.client_left.wait(), 10)
    with pytest.raises(ApiConnectionError):
        await response.read(5)
    await response.aclose()


async def test_closing_under_a_reader(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_script(STREAM, chunk(b"a"), Action.WAIT)
    response = await send(transport, server)
    await response.read(5)
    reader = asyncio.ensure_future(response.read(5))
    await asyncio.sleep(0.02)
    response.close()
    with pytest.raises(ApiConnectionError):
        await asyncio.wait_for(reader, 10)


async def test_aclose_under_a_reader(transport: Transport, server: ScriptedServer, send: Send) -> None:
    """The reader gets an error of ours; it is not cancelled, for nobody cancelled it."""
    server.add_script(STREAM, chunk(b"a"), Action.WAIT)
    response = await send(transport, server)
    await response.read(5)
    reader = asyncio.ensure_future(response.read(5))
    await asyncio.sleep(0.02)
    await response.aclose()
    with pytest.raises(ApiConnectionError):
        await asyncio.wait_for(reader, 10)


async def test_a_hundred_answers_read_to_their_end_use_one_connection(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    server.add_stream(b"data: 1\n\n", b"data: 2\n\n")
    for _ in range(100):
        response = await send(transport, server)
        assert await whole(response) == b"data: 1\n\ndata: 2\n\n"
        response.close()
        await response.aclose()
    assert (len(server.requests), server.connections) == (100, 1)


async def test_an_answer_that_nobody_asked_for_answers_nothing(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    server.add_script(http_response({"first": True}), 0.05, http_response({"unasked": True}))
    server.add_response({"second": True})
    assert await whole(await send(transport, server)) == b'{"first": true}'
    await asyncio.sleep(0.2)
    assert await whole(await send(transport, server)) == b'{"second": true}'
    assert [request.connection for request in server.requests] == [1, 2]


async def test_an_answer_left_early_gives_nothing_back(
    transport: Transport, server: ScriptedServer, send: Send
) -> None:
    """Its connection still has bytes on it, and is not used again."""
    server.add_script(STREAM, chunk(b"a"), 0.1, chunk(b"b"), END)
    server.add_response({"second": True})
    first = await send(transport, server)
    await first.read(5)
    await first.aclose()
    assert await whole(await send(transport, server)) == b'{"second": true}'
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_answers(transport: Transport, server: ScriptedServer, send: Send, status: int) -> None:
    server.add_response({}, f"{status} Elsewhere", Location="/other")
    response = await send(transport, server)
    assert (response.status, response.headers["location"]) == (status, "/other")
    await whole(response)
    assert len(server.requests) == 1


async def test_closing_twice(transport: Transport, server: ScriptedServer, send: Send) -> None:
    server.add_response({})
    await whole(await send(transport, server))
    await transport.aclose()
    await transport.aclose()
    await asyncio.sleep(0.05)
    assert server.open_connections == 0
