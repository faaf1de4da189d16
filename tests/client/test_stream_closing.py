"""Leaving a stream early closes its connection within a second, and leaks nothing."""

# ruff: noqa: PT012 - a stream raises from a loop, so the loop is inside of `raises`

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import anyio
import pytest

from humanloop_async import ApiException, AsyncHumanloop, ClientClosed, StreamClosed
from humanloop_async.client.core import OpeningStream
from humanloop_async.client.stream import CompletionStream
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, Action, ScriptedServer, http_chunk
from tests.events import completion, event, interleaved, words


def complete(client: AsyncHumanloop, num_samples: int = 1) -> OpeningStream[CompletionStream]:
    return client.complete_stream(project="p", model_config={"model": "m"}, num_samples=num_samples)


async def break_inside_the_block(client: AsyncHumanloop) -> None:
    async with complete(client) as stream:
        async for _ in stream:
            break


async def break_without_a_block(client: AsyncHumanloop) -> object:
    stream = await complete(client)
    async for _ in stream:
        break
    return stream


async def break_without_opening(client: AsyncHumanloop) -> object:
    opening = complete(client)
    async for _ in opening:
        break
    return opening


async def break_the_text_without_a_block(client: AsyncHumanloop) -> object:
    stream = await complete(client)
    async for _ in stream.text_stream:
        break
    return stream


async def leave_the_block_without_reading(client: AsyncHumanloop) -> None:
    async with complete(client):
        pass


async def fail_inside_the_loop(client: AsyncHumanloop) -> None:
    with pytest.raises(ZeroDivisionError):
        async for _ in await complete(client):
            _ = 1 / 0


async def fail_inside_the_block(client: AsyncHumanloop) -> None:
    with pytest.raises(ZeroDivisionError):
        async with complete(client):
            _ = 1 / 0


async def forget_the_stream(client: AsyncHumanloop) -> None:
    stream = await complete(client)
    await anext(stream)
    del stream
    gc.collect()


async def forget_the_samples(client: AsyncHumanloop) -> None:
    stream = await complete(client)
    async for _ in stream.samples[0]:
        break
    del stream
    gc.collect()


async def close_it(client: AsyncHumanloop) -> None:
    stream = await complete(client)
    await anext(stream)
    await stream.aclose()
    await stream.aclose()


async def return_from_a_generator(client: AsyncHumanloop) -> None:
    async def texts() -> AsyncIterator[str]:
        async with complete(client) as stream:
            async for chunk in stream:
                yield chunk.output

    source = texts()
    async for _ in source:
        break
    await source.aclose()  # type: ignore[attr-defined]


async def cancel_the_reader(client: AsyncHumanloop) -> None:
    async def read() -> None:
        async with complete(client) as stream:
            async for _ in stream:
                pass

    task = asyncio.ensure_future(read())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_the_scope(client: AsyncHumanloop) -> None:
    with anyio.move_on_after(0.1):
        async with complete(client, 2) as stream, anyio.create_task_group() as tasks:
            for sample in stream.samples:
                tasks.start_soon(anext, sample)
            await anyio.sleep_forever()


async def close_under_a_reader(client: AsyncHumanloop) -> None:
    stream = await complete(client)
    await anext(stream)
    reader = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.02)
    await stream.aclose()
    with pytest.raises(StreamClosed):
        await asyncio.wait_for(reader, 10)


async def close_under_readers_of_samples(client: AsyncHumanloop) -> None:
    stream = await complete(client, 3)
    readers = [asyncio.ensure_future(anext(sample)) for sample in stream.samples]
    await asyncio.sleep(0.05)
    await stream.aclose()
    done, pending = await asyncio.wait(readers, timeout=10)
    assert not pending
    assert [type(task.exception()) for task in readers[1:]] == [StreamClosed] * 2
    assert len(done) == 3


WAYS: list[Callable[[AsyncHumanloop], Awaitable[object]]] = [
    break_inside_the_block,
    break_without_a_block,
    break_without_opening,
    break_the_text_without_a_block,
    leave_the_block_without_reading,
    fail_inside_the_loop,
    fail_inside_the_block,
    forget_the_stream,
    forget_the_samples,
    close_it,
    return_from_a_generator,
    cancel_the_reader,
    cancel_the_scope,
    close_under_a_reader,
    close_under_readers_of_samples,
]


@pytest.mark.parametrize("leave", WAYS, ids=lambda leave: leave.__name__)
async def test_leaving_a_stream_closes_its_connection_within_a_second(
    client: AsyncHumanloop, server: ScriptedServer, leave: Callable[[AsyncHumanloop], Awaitable[object]]
) -> None:
    server.add_stream(event(0, "a"), end=(Action.WAIT,))
    server.add_response(completion("next"))
    stream = await leave(client)  # it still exists: leaving its loop was enough to close the connection
    await asyncio.wait_for(server.client_left.wait(), 10)
    del stream
    assert (await client.complete(model_config={"model": "m"})).data[0].output == "next"


async def test_a_hundred_finished_streams_use_one_connection(client: AsyncHumanloop, server: ScriptedServer) -> None:
    """It does not matter how they are read to their end."""
    server.add_stream(*interleaved(2, 3))
    for number in range(100):
        async with complete(client, 2) as stream:
            if number % 4 == 0:
                await stream.final()
            elif number % 4 == 1:
                _ = [chunk async for chunk in stream]
            elif number % 4 == 2:
                _ = [chunk for sample in stream.samples for chunk in [c async for c in sample]]
            else:
                await asyncio.gather(stream.final(), *(anext(sample) for sample in stream.samples))
    assert (len(server.requests), server.connections) == (100, 1)


async def test_leaving_frees_the_connection(server: ScriptedServer, transport: str) -> None:
    """With one connection in the pool, the next call gets it, however the stream was left."""
    server.add_stream(event(0, "a"), end=(Action.WAIT,))
    async with AsyncHumanloop(base_url=server.url, transport=transport, max_connections=1) as client:  # type: ignore[arg-type]
        for leave in WAYS:
            await asyncio.wait_for(leave(client), 10)
        server.add_response(completion("next"))
        assert (await asyncio.wait_for(client.complete(model_config={"model": "m"}), 10)).data[0].output == "next"


@pytest.mark.parametrize("double", [False, True])
async def test_calls_cancelled_at_any_point_leak_no_connection(
    server: ScriptedServer, transport: str, double: bool
) -> None:
    """300 calls, more at once than the pool has connections, are cancelled. Then every connection can be used."""
    pieces = [http_chunk(data) for data in interleaved(2, 5)]
    server.add_script(0.001, STREAM_HEAD, *(step for piece in pieces for step in (piece, 0.001)), LAST_CHUNK)
    rng = random.Random(7)

    async def use(client: AsyncHumanloop) -> None:
        async with complete(client, 2) as stream, anyio.create_task_group() as tasks:
            for sample in stream.samples:
                tasks.start_soon(read, sample)

    async def read(sample: AsyncIterator[object]) -> None:
        async for _ in sample:
            pass

    async def use_and_cancel(client: AsyncHumanloop) -> None:
        task = asyncio.ensure_future(use(client))
        await asyncio.sleep(rng.random() * 0.035)
        task.cancel()
        if double:
            await asyncio.sleep(0)
            task.cancel()
        try:
            await asyncio.wait_for(asyncio.shield(task), 10)
        except asyncio.CancelledError:
            assert task.cancelled()

    async with AsyncHumanloop(base_url=server.url, transport=transport, max_connections=4, max_retries=0) as client:  # type: ignore[arg-type]
        for _ in range(50):
            await asyncio.gather(*(use_and_cancel(client) for _ in range(6)))
        server.add_stream(event(0, "a"), end=(Action.WAIT,))
        async with asyncio.timeout(10), AsyncExitStack() as all_connections:
            for _ in range(4):
                stream = await all_connections.enter_async_context(complete(client))
                assert (await anext(stream)).output == "a"
            assert server.open_connections == 4
    await server.wait_until_closed()


async def test_closing_the_client_ends_its_calls(server: ScriptedServer, transport: str) -> None:
    """A running call ends with `ClientClosed`, and is not retried on a connection that would never be closed."""
    server.add_script(Action.WAIT)
    client = AsyncHumanloop(base_url=server.url, transport=transport)  # type: ignore[arg-type]
    call = asyncio.ensure_future(client.complete(model_config={"model": "m"}))
    await asyncio.wait_for(server.arrived.wait(), 10)
    await client.aclose()
    done, _ = await asyncio.wait({call}, timeout=10)
    call.cancel()
    await asyncio.wait({call})
    await client.aclose()
    assert done, "the call still runs"
    assert isinstance(call.exception(), ApiException)
    await server.wait_until_closed()
    assert len(server.requests) == 1


async def test_closing_the_client_ends_its_streams(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(event(0, "a"), end=(Action.WAIT,))
    stream = await complete(client)
    await anext(stream)
    reader = asyncio.ensure_future(stream.final())
    await asyncio.sleep(0.02)
    await client.aclose()
    await asyncio.wait_for(server.client_left.wait(), 10)
    done, _ = await asyncio.wait({reader}, timeout=10)
    assert done
    assert reader.exception() is not None
    await stream.aclose()
    with pytest.raises(ClientClosed):
        await client.complete(model_config={"model": "m"})
    with pytest.raises(ClientClosed):
        await complete(client)


async def test_closing_the_client_after_the_last_chunk_is_no_error(
    client: AsyncHumanloop, server: ScriptedServer
) -> None:
    """The response is complete: the stream only waited to see whether its connection can be used again."""
    server.add_stream(*words("a", "b"), end=(Action.WAIT,))
    stream = await complete(client)
    assert [(await anext(stream)).output for _ in range(2)] == ["a", "b"]
    reader = asyncio.ensure_future(stream.final())
    await asyncio.sleep(0.02)
    await client.aclose()
    assert (await asyncio.wait_for(reader, 10)).data[0].output == "ab"
    assert (await stream.final()).data[0].output == "ab"


async def test_a_stream_read_before_its_client_is_closed_stays_readable(
    client: AsyncHumanloop, server: ScriptedServer
) -> None:
    server.add_stream(*words("a", "b"))
    async with complete(client) as stream:
        response = await stream.final()
    await client.aclose()
    assert response.data[0].output == "ab"
    assert (await stream.final()).data[0].output == "ab"
