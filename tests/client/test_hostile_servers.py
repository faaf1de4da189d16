"""Bodies that are large, compressed, slow or broken cost the client little, and their connections are closed."""

from __future__ import annotations

import asyncio
import gc
import gzip
import tracemalloc
from functools import cache

import pytest

from humanloop_async import (
    ApiConnectionError,
    AsyncHumanloop,
    EventTooLarge,
    InvalidResponse,
    ModelConfigCompletionParam,
    ServerError,
    StatusError,
    Timeout,
)
from humanloop_async.testing import STREAM_HEAD, Action, ScriptedServer, http_chunk
from tests.events import event, words

MIB = 1 << 20
HEAD = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
MODEL: ModelConfigCompletionParam = {"model": "m"}


@cache
def bomb() -> bytes:
    """Return a body of 400 MiB in less than 2 MB."""
    return gzip.compress(b"data: " + bytes(400 * MIB), compresslevel=1)


async def final(client: AsyncHumanloop) -> object:
    return await (await client.complete_stream(model_config=MODEL)).final()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("status", [b"200 OK", b"500 Internal Server Error"])
async def test_a_bomb_is_not_unpacked_and_its_connection_is_closed(
    server: ScriptedServer, transport: str, status: bytes, streamed: bool
) -> None:
    kind = b"text/event-stream" if streamed else b"application/json"
    server.add_script(HEAD % (status, kind, len(bomb()) + 1), bomb(), Action.WAIT)
    async with AsyncHumanloop(
        base_url=server.url,
        transport=transport,  # type: ignore[arg-type]
        max_retries=0,
        max_event_bytes=4 * MIB,
    ) as client:
        tracemalloc.start()
        try:
            with pytest.raises((InvalidResponse, EventTooLarge, ServerError)) as caught:
                await (final(client) if streamed else client.complete(model_config=MODEL))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        await asyncio.wait_for(server.client_left.wait(), 1)  # while the error is referred to
    assert caught.value.status == int(status[:3])
    assert peak < 12 * MIB


async def test_rejecting_an_event_takes_little_more_memory_than_the_limit(
    server: ScriptedServer, transport: str
) -> None:
    limit = 16 * MIB
    piece = http_chunk(b"a" * 65_536)
    server.add_script(STREAM_HEAD, http_chunk(b"data: "), *[piece] * 300, Action.WAIT)
    async with AsyncHumanloop(base_url=server.url, transport=transport, max_event_bytes=limit) as client:  # type: ignore[arg-type]
        stream = await client.complete_stream(model_config=MODEL)
        tracemalloc.start()
        try:
            with pytest.raises(EventTooLarge):
                await stream.final()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 1.5 * limit


async def test_an_error_body_respects_the_clocks(server: ScriptedServer, transport: str) -> None:
    head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\nbusy"
    server.add_script(head, Action.WAIT)
    loop = asyncio.get_running_loop()
    async with AsyncHumanloop("k", base_url=server.url, transport=transport, max_retries=0) as client:  # type: ignore[arg-type]
        for timeout in (0.3, Timeout(connect=0.3), Timeout(first_token=0.3), Timeout(total=0.3)):
            began = loop.time()
            with pytest.raises(StatusError, match="503: busy"):
                await client.complete_stream(model_config=MODEL, timeout=timeout)
            assert loop.time() - began < 1.5
        began = loop.time()
        with pytest.raises(StatusError, match="503: busy"):
            await client.complete(model_config=MODEL, timeout=0.3)
        assert loop.time() - began < 1.5


@pytest.mark.parametrize("response", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
async def test_tls_to_a_plain_port_leaves_no_socket(transport: str, response: bytes) -> None:
    """A socket that nothing closes warns, and warnings fail tests."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(response)
        writer.close()

    plain = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}"
    for _ in range(3):
        async with AsyncHumanloop(base_url=url, transport=transport, max_retries=0) as client:  # type: ignore[arg-type]
            with pytest.raises(ApiConnectionError):
                await client.complete(model_config=MODEL, timeout=5)
    gc.collect()
    plain.close()


async def test_an_error_event_of_a_gateway_keeps_its_message(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(event(0, "a"), b"event: error\ndata: no healthy upstream\n\n")
    stream = await client.complete_stream(model_config=MODEL)
    with pytest.raises(ServerError, match="no healthy upstream") as caught:
        await stream.final()
    assert caught.value.partial is not None
    assert caught.value.partial.data[0].output == "a"


async def test_a_repeated_last_event_changes_nothing(client: AsyncHumanloop, server: ScriptedServer) -> None:
    *_, last = words("a", "")
    server.add_stream(*words("a", ""), last, last)
    stream = await client.complete_stream(model_config=MODEL)
    assert [piece.output async for piece in stream] == ["a", ""]
    assert (await stream.final()).data[0].output == "a"
