"""The fast path for chunked bodies: equal to aiohttp's parser, bounded, and off where aiohttp is not supported."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import zlib
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp.client_proto import ResponseHandler
from hypothesis import given
from hypothesis import strategies as st

from humanloop_async import AiohttpTransport
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, Action, ScriptedServer, http_chunk
from humanloop_async.transport import aiohttp_fast_path
from humanloop_async.transport.aiohttp_transport import AiohttpResponse
from humanloop_async.wire.requests import HttpRequest


async def ask(transport: AiohttpTransport, server: ScriptedServer) -> AiohttpResponse:
    return await transport.send(HttpRequest("POST", server.url, {}, b"{}"), 5)


async def whole(response: AiohttpResponse) -> bytes:
    pieces = []
    while data := await response.read(5):
        pieces.append(data)
    return b"".join(pieces)


async def test_the_installed_aiohttp_is_supported(server: ScriptedServer) -> None:
    """If only this test fails with a new aiohttp, everything works, but streams take a little longer."""
    server.add_stream(b"a", end=(Action.WAIT,))
    async with aclosing(AiohttpTransport()) as transport, aclosing(await ask(transport, server)) as response:
        assert isinstance(response._response.content, aiohttp_fast_path.FastPathReader)


async def test_without_support_aiohttps_reader_is_used(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp_fast_path, "_SUPPORTED", False)
    pieces = [b"%d " % number for number in range(50)]
    server.add_stream(*pieces)
    async with aclosing(AiohttpTransport()) as transport, aclosing(await ask(transport, server)) as response:
        assert not isinstance(response._response.content, aiohttp_fast_path.FastPathReader)
        assert await whole(response) == b"".join(pieces)


async def test_the_number_of_unread_tiny_chunks_is_bounded(server: ScriptedServer) -> None:
    """Each takes more memory than its byte. The reader gets every one of them."""
    started = asyncio.Event()
    server.add_script(STREAM_HEAD, started, *[http_chunk(b"x") * 5_000] * 40, LAST_CHUNK)
    async with aclosing(AiohttpTransport()) as transport, aclosing(await ask(transport, server)) as response:
        content = response._response.content
        started.set()
        async with asyncio.timeout(10):
            while content._size < 200_000:
                await asyncio.sleep(0.01)
                assert len(content._buffer) <= aiohttp_fast_path.MAX_UNREAD_CHUNKS
        assert await whole(response) == b"x" * 200_000


@pytest.mark.parametrize("number", [aiohttp_fast_path.MAX_UNREAD_CHUNKS, 2**15, 2**17])
async def test_many_tiny_chunks_in_one_read_do_not_block_the_next(server: ScriptedServer, number: int) -> None:
    """If aiohttp paused its parser between two chunks, the parser would stop within the next one and keep the rest."""
    again = asyncio.Event()
    server.add_script(STREAM_HEAD, again, http_chunk(b"last") + LAST_CHUNK, Action.WAIT)
    async with aclosing(AiohttpTransport()) as transport, aclosing(await ask(transport, server)) as response:
        assert response._protocol is not None
        response._protocol.data_received(http_chunk(b"x") * number)
        assert await response.read(5) == b"x" * number
        again.set()
        assert await whole(response) == b"last"


@pytest.mark.parametrize("size", [8_000, 70_000])
async def test_unread_chunks_pause_reading_from_the_socket(server: ScriptedServer, size: int) -> None:
    chunks = [http_chunk(b"%d" % (number % 10) * size) for number in range(12_000_000 // size)]
    server.add_script(STREAM_HEAD, *(step for data in chunks for step in (data, 0)), LAST_CHUNK)
    async with aclosing(AiohttpTransport()) as transport, aclosing(await ask(transport, server)) as response:
        content = response._response.content
        async with asyncio.timeout(10):
            while not content._protocol._reading_paused:  # noqa: ASYNC110 - no event is set when it pauses
                await asyncio.sleep(0.01)
        assert content._high_water < content._size < 2 * content._high_water
        assert await whole(response) == b"".join(b"%d" % (n % 10) * size for n in range(len(chunks)))


async def test_compressed_chunks_are_decompressed(server: ScriptedServer) -> None:
    packer = zlib.compressobj(wbits=31)
    texts = [hashlib.sha256(b"%d" % number).digest() for number in range(5)]
    packed = [packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH) for text in texts]
    head = STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    server.add_script(
        head, *(step for data in packed for step in (http_chunk(data), 0.02)), http_chunk(packer.flush()), LAST_CHUNK
    )
    async with aclosing(AiohttpTransport()) as transport, aclosing(await ask(transport, server)) as response:
        assert await whole(response) == b"".join(texts)


async def test_the_next_response_on_the_connection_is_complete(server: ScriptedServer) -> None:
    server.add_script(STREAM_HEAD, http_chunk(b"a"), 0.02, http_chunk(b"b"), 0.02, http_chunk(b"c"), 0.02, LAST_CHUNK)
    async with aclosing(AiohttpTransport()) as transport:
        for _ in range(3):
            async with aclosing(await ask(transport, server)) as response:
                assert await whole(response) == b"abc"
    assert server.connections == 1


async def test_the_framing_of_a_response_does_not_affect_the_next(server: ScriptedServer) -> None:
    inner = http_chunk(b"y" * 16)
    server.add_script(STREAM_HEAD, http_chunk(b"a" * 20), 0.02, http_chunk(b"b" * 20), 0.02, LAST_CHUNK)
    server.add_script(STREAM_HEAD + b"%x\r\n" % (2 * len(inner)), 0.05, inner, 0.05, inner + b"\r\n" + LAST_CHUNK)
    async with aclosing(AiohttpTransport()) as transport:
        for expected in (b"a" * 20 + b"b" * 20, 2 * inner):
            async with aclosing(await ask(transport, server)) as response:
                assert await whole(response) == expected
    assert server.connections == 1


async def test_a_closed_connection_keeps_no_body(server: ScriptedServer) -> None:
    """A reference cycle would keep both until the garbage collector runs."""
    server.add_stream(b"a" * 20, end=(Action.WAIT,))
    async with aclosing(AiohttpTransport()) as transport:
        async with aclosing(await ask(transport, server)) as response:
            handler = response._protocol
            assert handler is not None
            assert handler.body is not None
        async with asyncio.timeout(5):
            await server.client_left.wait()
        assert handler.body is None


class NoTransport(asyncio.Transport):
    def close(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def received(reads: Sequence[bytes], *, direct: bool) -> tuple[object, ...]:
    """Return the body after these reads: its bytes, whether it ended, and its error."""
    loop = asyncio.new_event_loop()
    try:
        handler = aiohttp_fast_path.FastPathProtocol(loop)
        handler.transport = NoTransport()
        handler.set_response_params()
        handler.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        ((_, content), _) = handler._buffer.popleft()
        aiohttp_fast_path.install_fast_path(content, handler, encoded=not direct)
        for data in reads:
            handler.data_received(data)
            assert len(content._buffer) <= aiohttp_fast_path.MAX_UNREAD_CHUNKS
        data = b"".join(content._buffer)
        assert {type(piece) for piece in content._buffer} <= {bytes}
        assert content._size == len(data)
        failures = type(handler.exception()), type(content.exception())
        return data, content.is_eof(), failures, handler.should_close, handler._reading_paused
    finally:
        loop.close()


@pytest.mark.parametrize(
    "reads",
    [
        [b"1", http_chunk(b"y" * 16), b"z" * 600],  # the size is cut: 0x110, not 0x10
        [b"20\r\n", http_chunk(b"y" * 16), b"z" * 600],  # a chunk in a chunk
        [
            http_chunk(b"y" * 300_000) * 4,
            http_chunk(b"z" * 20),
        ],  # more than the limit of the buffer: the parser has paused
        [b"0\r\n\r\n", http_chunk(b"y" * 20)],  # after the end
        [b"0\r\n", http_chunk(b"y" * 20), b"\r\n"],  # as a trailer
        [b"14;\r\n" + b"y" * 20 + b"\r\n", http_chunk(b"z" * 20)],
        [http_chunk(b"y" * 20)[:-2], http_chunk(b"z" * 20)],
        [http_chunk(b"y" * 20)[:-1], http_chunk(b"z" * 20)],
        [b"y" * 20, http_chunk(b"z" * 20)],
        [http_chunk(b"y" * 20) + b"zz\r\n", http_chunk(b"z" * 20)],
        [http_chunk(b"y" * 20)[:-2] + b"zz", http_chunk(b"z" * 20)],
    ],
)
def test_bytes_that_only_look_like_a_chunk_are_parsed(reads: list[bytes]) -> None:
    before = [http_chunk(b"x" * 20)] * 2
    assert received([*before, *reads], direct=True) == received([*before, *reads], direct=False)


SIZES = [1, 2, 15, 16, 17, 254, 255, 256, 257, 4094, 4095, 4096, 4097, 65535, 65536]
well_formed = st.builds(
    lambda size, byte: http_chunk(bytes([byte]) * size), st.sampled_from(SIZES), st.integers(0, 255)
)
lines = st.sampled_from([b"\r\n", b"\n", b"0\r\n", b"5\r\n", b"5\r\nhello\r\n", b"-2\r\n", b"data: {}\n\n"])
odd = st.sampled_from(
    [
        b"A\r\n0123456789\r\n",  # upper case
        b"00a\r\n0123456789\r\n",
        b"a;name=value\r\n0123456789\r\n",
        b"a \r\n0123456789\r\n",
        b"a\n0123456789\n",
        b"a\r\n0123456789",
        b"a\r\n012345678\r\n",
        b"a\r\n01234567890\r\n",
        b"0xa\r\n0123456789\r\n",
        b"+a\r\n0123456789\r\n",
        b"1_0\r\n0123456789abcdef\r\n",
        b"\r\n",
        b"-2\r\n",
        b"0\r\n\r\n",
        b"0\r\nTrailer: 1\r\n\r\n",
    ]
)


@given(st.lists(st.one_of(well_formed, well_formed, lines.map(http_chunk), odd), max_size=12), st.data())
def test_the_fast_path_equals_aiohttps_parser(pieces: list[bytes], data: st.DataObject) -> None:
    """The reads cut the chunks anywhere, and some chunks are invalid."""
    reads: list[bytes] = []
    for piece in pieces:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(piece)), max_size=2)))
        parts = [piece[begin:end] for begin, end in itertools.pairwise([0, *cuts, len(piece)]) if begin < end]
        join: bool = data.draw(st.booleans()) if reads and parts else False
        if join:
            reads[-1] += parts.pop(0)
        reads += parts
    assert received(reads, direct=True) == received(reads, direct=False)


def test_many_unread_chunks_are_all_delivered() -> None:
    data, *_ = received([http_chunk(b"x" * 20)] * 5000, direct=True)
    assert data == b"x" * 100_000


def test_reads_may_be_bytearrays() -> None:
    reads = [http_chunk(b"x" * size) for size in SIZES]
    mutable: list[Any] = [bytearray(read) for read in reads]
    assert received(mutable, direct=True) == received(reads, direct=False)


def test_whole_chunks_do_not_reach_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    receive = ResponseHandler.data_received

    def record(self: ResponseHandler, data: bytes) -> None:
        parsed.append(data)
        receive(self, data)

    monkeypatch.setattr(ResponseHandler, "data_received", record)
    reads = [http_chunk(b"x" * size) for size in SIZES]
    assert received(reads, direct=True)[0] == b"x" * sum(SIZES)
    taken = [size for size, data in zip(SIZES, reads, strict=True) if data not in parsed]
    assert taken == [size for size in SIZES[1:] if 16 <= size < 65536]
