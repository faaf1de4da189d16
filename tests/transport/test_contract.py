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
from tests.scripted import END, STREAM, UNTIL_CLOSE, Do, ScriptedServer, answer, chunk


def post(url: str, **headers: str) -> HttpRequest:
    return HttpRequest("POST", f"{url}/v4/chat", {"Content-Type": "application/json", **headers}, b'{"a":1}')


Send = Callable[[Transport, ScriptedServer], Awaitable[ResponseStream]]


@pytest.fixture
async def send() -> AsyncIterator[Send]:
    """Sends, and closes every answer at the end, as its reader must."""
    answers = []

    async def send(transport: Transport, peer: ScriptedServer) -> ResponseStream:
        answers.append(await transport.send(post(peer.url), 5))
        return answers[-1]

    yield send
    for sent in answers:
        await sent.aclose()


async def whole(response: ResponseStream) -> bytes:
    pieces = []
    while data := await response.read(5):
        pieces.append(data)
    return b"".join(pieces)


async def test_the_request_arrives_as_it_was(transport: Transport, peer: ScriptedServer) -> None:
    peer.answers({})
    response = await transport.send(post(peer.url, **{"X-API-KEY": "k"}), None)
    await whole(response)
    [request] = peer.requests
    assert (request.method, request.path, request.raw) == ("POST", "/v4/chat", b'{"a":1}')
    assert request.headers["x-api-key"] == "k"
    assert request.headers["content-type"] == "application/json"


async def test_status_reason_headers_and_body(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    """Any status is an answer; headers are found whatever their case."""
    peer.answers({"detail": "no"}, "422 Very Wrong", X_Thing="seven")
    response = await send(transport, peer)
    assert (response.status, response.reason) == (422, "Very Wrong")
    assert response.headers["x-thing"] == response.headers["X-THING"] == "seven"
    assert response.headers.get("Absent") is None
    assert await whole(response) == b'{"detail": "no"}'
    assert await response.read(5) == b""  # after the end, too


async def test_no_reason_is_an_empty_one(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    peer.plays(b"HTTP/1.1 204 \r\n\r\n")
    response = await send(transport, peer)
    assert (response.status, response.reason, await whole(response)) == (204, "", b"")


BODY = b"data: {}\n\n" + "ünï\u2028🙂".encode() + bytes(range(256))


@pytest.mark.parametrize(
    "script",
    [
        (answer(BODY),),
        (STREAM, chunk(BODY), END),
        (STREAM, *(chunk(bytes([byte])) for byte in BODY), END),
        (STREAM + b"".join(chunk(bytes([byte])) for byte in BODY) + END,),
        (STREAM, chunk(BODY)[:7], 0.02, chunk(BODY)[7:], 0.02, END[:2], 0.02, END[2:]),
        (UNTIL_CLOSE, BODY[:9], 0.02, BODY[9:], Do.CLOSE),
        (UNTIL_CLOSE + BODY, Do.HALF_CLOSE, Do.WAIT),
    ],
    ids=["content-length", "chunked", "bytes", "bytes-at-once", "split", "until-close", "half-close"],
)
async def test_bodies_of_every_kind(
    transport: Transport, peer: ScriptedServer, send: Send, script: tuple[bytes, ...]
) -> None:
    peer.plays(*script)
    assert await whole(await send(transport, peer)) == BODY


async def test_bytes_come_when_they_come(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    """No waiting for a full buffer: the server sends on only after the first piece was read."""
    go_on = asyncio.Event()
    peer.plays(STREAM, chunk(b"a"), go_on, chunk(b"b"), END)
    response = await send(transport, peer)
    assert await response.read(5) == b"a"
    go_on.set()
    assert await whole(response) == b"b"


async def test_a_read_that_takes_too_long(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    peer.plays(STREAM, chunk(b"a"), Do.WAIT)
    response = await send(transport, peer)
    assert await response.read(1) == b"a"
    started = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        await response.read(0.1)
    assert 0.09 < time.monotonic() - started < 3
    assert type(caught.value) is TimeoutError
    await response.aclose()
    await asyncio.wait_for(peer.client_left.wait(), 10)


async def test_a_later_read_may_have_a_shorter_or_a_longer_limit(
    transport: Transport, peer: ScriptedServer, send: Send
) -> None:
    peer.plays(STREAM, chunk(b"a"), 0.3, chunk(b"b"), Do.WAIT)
    response = await send(transport, peer)
    assert await response.read(0.1) == b"a"
    assert await response.read(5) == b"b"
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await response.read(0.05)
    assert time.monotonic() - started < 3


async def test_bytes_that_came_meanwhile_are_read_even_without_time(
    transport: Transport, peer: ScriptedServer, send: Send
) -> None:
    """A reader was cancelled and comes back late, its clock run out: what arrived before that counts."""
    peer.plays(STREAM, chunk(b"a"), 0.1, chunk(b"b"), Do.WAIT)
    response = await send(transport, peer)
    assert await response.read(5) == b"a"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(response.read(5), 0.02)
    await asyncio.sleep(0.2)
    assert await response.read(0) == b"b"


async def test_headers_that_take_too_long(transport: Transport, peer: ScriptedServer) -> None:
    peer.plays(Do.WAIT)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await transport.send(post(peer.url), 0.1)
    assert 0.09 < time.monotonic() - started < 3
    await asyncio.wait_for(peer.client_left.wait(), 10)  # the connection is not left behind


async def test_nobody_listens(transport: Transport, unused_tcp_port: int) -> None:
    with pytest.raises(ApiConnectionError) as caught:
        await transport.send(post(f"http://127.0.0.1:{unused_tcp_port}"), 5)
    assert f"127.0.0.1:{unused_tcp_port}" in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("end", [Do.RESET, Do.CLOSE])
async def test_a_connection_that_breaks_before_the_headers(
    transport: Transport, peer: ScriptedServer, send: Send, end: Do
) -> None:
    peer.plays(end)
    with pytest.raises(ApiConnectionError):
        await send(transport, peer)


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 100])
async def test_an_answer_that_is_no_http(
    transport: Transport, peer: ScriptedServer, send: Send, garbage: bytes
) -> None:
    """The next one would not be, either, and would be paid for again."""
    peer.plays(garbage, Do.CLOSE)
    with pytest.raises(ApiConnectionError) as caught:
        await send(transport, peer)
    assert not caught.value.retryable


@pytest.mark.parametrize("end", [Do.RESET, Do.CLOSE])
async def test_a_connection_that_breaks_in_the_middle(
    transport: Transport, peer: ScriptedServer, send: Send, end: Do
) -> None:
    """What came before is read first, then the error, and the error again."""
    peer.plays(STREAM, chunk(b"a"), 0.1, end)
    response = await send(transport, peer)
    assert await response.read(5) == b"a"
    for _ in range(2):
        with pytest.raises(ApiConnectionError):
            await response.read(5)


@pytest.mark.parametrize("end", [Do.RESET, Do.CLOSE])
async def test_a_connection_that_breaks_while_nobody_reads(
    transport: Transport, peer: ScriptedServer, send: Send, end: Do
) -> None:
    """What came is still read first. (The pause before the break lets it come.)"""
    peer.plays(STREAM, chunk(b"a"), chunk(b"b"), 0.1, end)
    response = await send(transport, peer)
    if end is Do.RESET and type(transport).__name__ == "HttpxTransport":
        # httpx reads the socket only when asked, and a reset takes what the kernel still held.
        assert await response.read(5) in {b"a", b"ab"}
    await asyncio.sleep(0.25)
    got = b""
    with pytest.raises(ApiConnectionError):  # noqa: PT012
        while data := await response.read(5):
            got += data
    if type(transport).__name__ == "AiohttpTransport":
        assert got == b"ab"


async def test_a_body_shorter_than_announced(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    peer.plays(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Do.CLOSE)
    response = await send(transport, peer)
    assert await response.read(5) == b"abc"
    with pytest.raises(ApiConnectionError):
        await response.read(5)


async def test_broken_chunks(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    peer.plays(STREAM, chunk(b"a"), 0.05, b"zzz\r\n", Do.WAIT)
    response = await send(transport, peer)
    assert await response.read(5) == b"a"
    with pytest.raises(ApiConnectionError):
        await response.read(5)


async def test_compressed_bodies(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    peer.answers(gzip.compress(BODY), Content_Encoding="gzip")
    assert await whole(await send(transport, peer)) == BODY


async def test_a_body_that_is_not_compressed_as_it_says(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    peer.answers(b"not gzip at all", Content_Encoding="gzip")
    with pytest.raises(ApiConnectionError):
        await whole(await send(transport, peer))


async def test_a_body_compressed_twice_is_not_unpacked(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    """A few bytes of that can be a gigabyte."""
    packed = gzip.compress(gzip.compress(bytes(1 << 20)))
    peer.answers(packed, Content_Encoding="gzip, gzip")
    assert await whole(await send(transport, peer)) == packed


async def test_a_large_request_body(transport: Transport, peer: ScriptedServer) -> None:
    peer.answers({})
    body = b'"%b"' % (b"a" * 3_000_000)
    response = await transport.send(HttpRequest("POST", peer.url, {"Content-Type": "application/json"}, body), 5)
    await whole(response)
    assert (peer.requests[0].raw, peer.requests[0].headers["content-type"]) == (body, "application/json")


async def test_a_large_header(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    peer.answers({}, X_Large="a" * 60_000)
    assert len((await send(transport, peer)).headers["x-large"]) == 60_000


async def test_a_reason_and_headers_in_latin_1_can_be_written_down(
    transport: Transport, peer: ScriptedServer, send: Send
) -> None:
    peer.plays("HTTP/1.1 500 Pas trouvé\r\nX-Who: André\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))
    response = await send(transport, peer)
    assert response.reason.encode().startswith(b"Pas trouv")
    assert response.headers["x-who"] == "André"


async def test_no_cookie_is_kept(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    peer.answers({}, Set_Cookie="a=b; Path=/")
    for _ in range(2):
        await whole(await send(transport, peer))
    assert not any("cookie" in request.headers for request in peer.requests)


async def test_a_cancelled_read_loses_nothing(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    go_on = asyncio.Event()
    peer.plays(STREAM, chunk(b"a"), go_on, chunk(b"b"), 0.02, chunk(b"c"), END)
    response = await send(transport, peer)
    assert await response.read(5) == b"a"
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await response.read(5)
    go_on.set()
    assert await whole(response) == b"bc"


async def test_reads_cancelled_again_and_again(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    """At any moment: also when the bytes have just come."""
    pieces = [b"%d," % number for number in range(200)]
    peer.plays(STREAM, *(step for piece in pieces for step in (chunk(piece), 0.0005)), END)
    response = await send(transport, peer)
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


async def test_closing_before_the_end(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    peer.plays(STREAM, chunk(b"a"), Do.WAIT)
    response = await send(transport, peer)
    await response.read(5)
    response.close()
    response.close()
    await asyncio.wait_for(peer.client_left.wait(), 10)
    with pytest.raises(ApiConnectionError):
        await response.read(5)
    await response.aclose()


async def test_closing_under_a_reader(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    peer.plays(STREAM, chunk(b"a"), Do.WAIT)
    response = await send(transport, peer)
    await response.read(5)
    reader = asyncio.ensure_future(response.read(5))
    await asyncio.sleep(0.02)
    response.close()
    with pytest.raises(ApiConnectionError):
        await asyncio.wait_for(reader, 10)


async def test_aclose_under_a_reader(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    """The reader gets an error of ours; it is not cancelled, for nobody cancelled it."""
    peer.plays(STREAM, chunk(b"a"), Do.WAIT)
    response = await send(transport, peer)
    await response.read(5)
    reader = asyncio.ensure_future(response.read(5))
    await asyncio.sleep(0.02)
    await response.aclose()
    with pytest.raises(ApiConnectionError):
        await asyncio.wait_for(reader, 10)


async def test_a_hundred_answers_read_to_their_end_use_one_connection(
    transport: Transport, peer: ScriptedServer, send: Send
) -> None:
    peer.streams(b"data: 1\n\n", b"data: 2\n\n")
    for _ in range(100):
        response = await send(transport, peer)
        assert await whole(response) == b"data: 1\n\ndata: 2\n\n"
        response.close()
        await response.aclose()
    assert (len(peer.requests), peer.connections) == (100, 1)


async def test_an_answer_that_nobody_asked_for_answers_nothing(
    transport: Transport, peer: ScriptedServer, send: Send
) -> None:
    peer.plays(answer({"first": True}), 0.05, answer({"unasked": True}))
    peer.answers({"second": True})
    assert await whole(await send(transport, peer)) == b'{"first": true}'
    await asyncio.sleep(0.2)
    assert await whole(await send(transport, peer)) == b'{"second": true}'
    assert [request.connection for request in peer.requests] == [1, 2]


async def test_an_answer_left_early_gives_nothing_back(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    """Its connection still has bytes on it, and is not used again."""
    peer.plays(STREAM, chunk(b"a"), 0.1, chunk(b"b"), END)
    peer.answers({"second": True})
    first = await send(transport, peer)
    await first.read(5)
    await first.aclose()
    assert await whole(await send(transport, peer)) == b'{"second": true}'
    assert [request.connection for request in peer.requests] == [1, 2]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_answers(transport: Transport, peer: ScriptedServer, send: Send, status: int) -> None:
    peer.answers({}, f"{status} Elsewhere", Location="/other")
    response = await send(transport, peer)
    assert (response.status, response.headers["location"]) == (status, "/other")
    await whole(response)
    assert len(peer.requests) == 1


async def test_closing_twice(transport: Transport, peer: ScriptedServer, send: Send) -> None:
    peer.answers({})
    await whole(await send(transport, peer))
    await transport.aclose()
    await transport.aclose()
    await asyncio.sleep(0.05)
    assert peer.open_connections == 0
