"""A stream without a block, whose readers were cancelled, closes soon, whatever still refers to it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress

import pytest

from humanloop_async import AsyncHumanloop, StreamClosed
from humanloop_async.client.core import OpeningStream
from humanloop_async.client.stream import CompletionStream
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, Action, ScriptedServer, http_chunk, http_response
from tests.events import event

SILENT = (STREAM_HEAD, http_chunk(event(0, "a")), http_chunk(event(1, "b")), Action.WAIT)
WITHIN = 2.0
"""Seconds after a cancellation within which a stream without a block is closed."""

KEPT: list[object] = []
"""Streams that something refers to after their readers have ended."""


def complete(client: AsyncHumanloop, num_samples: int = 2) -> OpeningStream[CompletionStream]:
    return client.complete_stream(project="p", model_config={"model": "m"}, num_samples=num_samples)


@pytest.fixture(autouse=True)
def _no_garbage_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()
    KEPT.clear()


async def loop_over_the_stream(client: AsyncHumanloop) -> None:
    async for _ in await complete(client):
        pass


async def loop_over_the_opening(client: AsyncHumanloop) -> None:
    async for _ in complete(client):
        pass


async def generator(client: AsyncHumanloop) -> None:
    async def outputs() -> AsyncIterator[str]:
        async for piece in complete(client):
            yield piece.output

    async for _ in outputs():
        pass


async def cancelled_outside_of_a_read(client: AsyncHumanloop) -> None:
    # A web framework is cancelled there while it waits for a slow browser.
    stream = await complete(client)
    async for _ in stream.samples[0]:
        await asyncio.sleep(60)


async def failing_outside_of_a_read(client: AsyncHumanloop) -> None:
    stream = await complete(client)
    async for _ in stream.samples[0]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ConnectionError("the browser left") from None


async def cancelled_outside_of_a_read_and_quiet(client: AsyncHumanloop) -> None:
    # Django's handler ignores the cancellation that it requests when the browser leaves.
    stream = await complete(client)
    with suppress(asyncio.CancelledError):
        async for _ in stream.samples[0]:
            await asyncio.sleep(60)
    KEPT.append(stream)


async def all_samples(client: AsyncHumanloop) -> None:
    async def read(sample: AsyncIterator[object]) -> None:
        async for _ in sample:
            pass

    stream = await complete(client)
    await asyncio.gather(*map(read, stream.samples))


async def final(client: AsyncHumanloop) -> None:
    await (await complete(client)).final()


async def cancelled_but_running_on(client: AsyncHumanloop) -> None:
    stream = await complete(client)
    await anext(stream)
    await anext(stream)
    reading = asyncio.ensure_future(anext(stream))
    await asyncio.wait({reading}, timeout=0.1)
    reading.cancel()
    await asyncio.sleep(60)  # the stream is still referred to


READERS: list[Callable[[AsyncHumanloop], Awaitable[None]]] = [
    loop_over_the_stream,
    loop_over_the_opening,
    generator,
    cancelled_outside_of_a_read,
    failing_outside_of_a_read,
    cancelled_outside_of_a_read_and_quiet,
    all_samples,
    final,
]


async def until_closed(server: ScriptedServer) -> float:
    begun = time.monotonic()
    while server.open_connections:
        await asyncio.sleep(0.02)
        assert time.monotonic() < begun + 10, f"{server.open_connections} connections stay open"
    return time.monotonic() - begun


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
async def test_cancelled_readers_leave_no_connection(
    client: AsyncHumanloop, server: ScriptedServer, read: Callable[[AsyncHumanloop], Awaitable[None]]
) -> None:
    server.add_script(*SILENT)
    tasks = [asyncio.ensure_future(read(client)) for _ in range(5)]
    await asyncio.sleep(0.5)
    assert server.open_connections == 5
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)  # with their tracebacks
    assert await until_closed(server) < WITHIN + 0.5
    assert len(ended) == len(tasks) == 5


async def test_a_cancelled_read_closes_though_its_task_runs_on(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(*SILENT)
    task = asyncio.ensure_future(cancelled_but_running_on(client))
    await asyncio.sleep(0.4)
    assert await until_closed(server) < WITHIN + 0.5
    task.cancel()


async def test_a_reader_that_fails_on_its_own_closes(client: AsyncHumanloop, server: ScriptedServer) -> None:
    """As a web framework whose server reports that the browser has left."""
    server.add_script(*SILENT)

    async def read() -> None:
        stream = await complete(client)
        KEPT.append(stream)
        async for _ in stream.samples[0]:
            raise ConnectionError("the browser left")

    task = asyncio.ensure_future(read())
    await asyncio.wait({task})
    assert await until_closed(server) < WITHIN + 0.5
    assert isinstance(task.exception(), ConnectionError)


async def cancel_a_read(reading: Awaitable[object]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await reading


async def test_a_block_keeps_the_stream_open(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(STREAM_HEAD, http_chunk(event(0, "a")), 2.6, http_chunk(event(0, "b", "stop")), LAST_CHUNK)
    async with complete(client, 1) as stream:
        await anext(stream)
        await cancel_a_read(anext(stream))
        await asyncio.sleep(2.2)
        assert (await anext(stream)).output == "b"


async def test_a_block_that_begins_late_keeps_the_stream_open(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(STREAM_HEAD, http_chunk(event(0, "a")), 2.6, http_chunk(event(0, "b", "stop")), LAST_CHUNK)
    stream = await complete(client, 1)
    await anext(stream)
    await cancel_a_read(anext(stream))
    async with stream:
        await asyncio.sleep(2.2)
        assert (await anext(stream)).output == "b"


async def test_reading_again_keeps_the_stream_open(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(STREAM_HEAD, http_chunk(event(0, "a")), 2.6, http_chunk(event(0, "b", "stop")), LAST_CHUNK)
    stream = await complete(client, 1)
    await anext(stream)
    await cancel_a_read(anext(stream))
    await asyncio.sleep(0.5)
    assert (await anext(stream)).output == "b"


async def test_a_cancelled_reader_does_not_close_the_stream_of_a_slow_one(
    client: AsyncHumanloop, server: ScriptedServer
) -> None:
    server.add_script(
        STREAM_HEAD,
        http_chunk(event(0, "a")),
        0.3,
        http_chunk(event(0, "b")),
        2.5,
        http_chunk(event(0, "c", "stop")),
        LAST_CHUNK,
    )
    stream = await complete(client)
    slow, cancelled = stream.samples
    await anext(slow)
    await cancel_a_read(anext(cancelled))
    assert (await anext(slow)).output == "b"
    other = asyncio.ensure_future(anext(cancelled))
    await asyncio.sleep(0.1)
    other.cancel()
    await asyncio.sleep(1.8)  # the slow reader works on its chunk
    assert (await anext(slow)).output == "c"


async def test_a_stream_that_was_closed_says_so(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(*SILENT)
    stream = await complete(client)
    await anext(stream)
    await anext(stream)
    await cancel_a_read(anext(stream))
    await until_closed(server)
    with pytest.raises(StreamClosed):
        await anext(stream)


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"], indirect=True)
async def test_a_cancelled_reader_sends_no_retry(server: ScriptedServer, transport: str) -> None:
    server.add_script(STREAM_HEAD, LAST_CHUNK)  # no event: a retry follows
    async with AsyncHumanloop("k", base_url=server.url, transport=transport, max_retries=9) as client:  # type: ignore[arg-type]
        for _ in range(10):
            stream = await complete(client, 1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await anext(stream)
            sent = len(server.requests)
            await asyncio.sleep(0.2)
            assert len(server.requests) <= sent + 1  # an attempt that was being sent
        sent = len(server.requests)
        await asyncio.sleep(1.5)
        assert len(server.requests) == sent


async def test_the_next_read_makes_the_retry(server: ScriptedServer) -> None:
    server.add_script(STREAM_HEAD, LAST_CHUNK)
    server.add_script(http_response({"detail": "busy"}, "503 Service Unavailable", {"Retry-After": "1"}))
    server.add_stream(event(0, "a", "stop"))
    async with AsyncHumanloop("k", base_url=server.url) as client, complete(client, 1) as stream:
        while True:  # cancelled again and again
            try:
                async with asyncio.timeout(0.01):
                    assert (await anext(stream)).output == "a"
                break
            except TimeoutError:
                continue
        assert len(server.requests) == 3
