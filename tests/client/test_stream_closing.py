"""Leaving a stream early: the server sees it within a second, and nothing is left behind."""

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
from tests.scripted import END, STREAM, Action, ScriptedServer, chunk, completion, event, interleaved, words


def complete(client: AsyncHumanloop, num_samples: int = 1) -> OpeningStream[CompletionStream]:
    return client.complete_stream(project="p", model_config={"model": "m"}, num_samples=num_samples)


async def break_inside_the_block(client: AsyncHumanloop) -> None:
    async with complete(client) as stream:
        async for _ in stream:
            break


async def break_without_a_block(client: AsyncHumanloop) -> None:
    stream = await complete(client)
    async for _ in stream:
        break
    await asyncio.sleep(0.3)  # the stream is still there; leaving its loop was enough
    assert stream.status == 200


async def break_without_opening(client: AsyncHumanloop) -> None:
    opening = complete(client)
    async for _ in opening:
        break
    await asyncio.sleep(0.3)


async def break_the_text_without_a_block(client: AsyncHumanloop) -> None:
    stream = await complete(client)
    async for _ in stream.text_stream:
        break
    await asyncio.sleep(0.3)
    assert stream.status == 200


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


WAYS = [
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


@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__)
async def test_the_server_sees_it_within_a_second(
    client: AsyncHumanloop, server: ScriptedServer, leave: Callable[[AsyncHumanloop], Awaitable[None]]
) -> None:
    server.add_script(STREAM, chunk(event(0, "a")), Action.WAIT)
    server.add_response(completion("next"))
    await leave(client)
    await asyncio.wait_for(server.client_left.wait(), 10)
    assert (await client.complete(model_config={"model": "m"})).data[0].output == "next"


async def test_a_hundred_finished_streams_use_one_connection(client: AsyncHumanloop, server: ScriptedServer) -> None:
    """However they are read to their end."""
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
    """With one connection allowed, the next call waits for it, and gets it, however the stream was left."""
    server.add_script(STREAM, chunk(event(0, "a")), Action.WAIT)
    async with AsyncHumanloop(base_url=server.url, transport=transport, max_connections=1) as client:  # type: ignore[arg-type]
        for leave in WAYS:
            await asyncio.wait_for(leave(client), 10)
        server.scripts[:] = [()]
        server.scripts.clear()
        server.add_response(completion("next"))
        assert (await asyncio.wait_for(client.complete(model_config={"model": "m"}), 10)).data[0].output == "next"


@pytest.mark.parametrize("double", [False, True])
async def test_cancelled_at_any_point(server: ScriptedServer, transport: str, double: bool) -> None:
    """300 times, more at once than there are connections: afterwards all of those can be used."""
    pieces = [chunk(data) for data in interleaved(2, 5)]
    server.add_script(0.001, STREAM, *(step for piece in pieces for step in (piece, 0.001)), END)
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
        server.scripts.clear()
        server.add_script(STREAM, chunk(event(0, "a")), Action.WAIT)
        async with asyncio.timeout(10), AsyncExitStack() as all_connections:
            for _ in range(4):
                stream = await all_connections.enter_async_context(complete(client))
                assert (await anext(stream)).output == "a"
            assert server.open_connections == 4
    await asyncio.sleep(0.1)
    assert server.open_connections == 0


async def test_closing_the_client_ends_its_calls(server: ScriptedServer, transport: str) -> None:
    """A running call ends with an error of ours; it is not tried again on a connection nobody closes."""
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
    await asyncio.sleep(0.1)
    assert (len(server.requests), server.open_connections) == (1, 0)


async def test_closing_the_client_ends_its_streams(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(STREAM, chunk(event(0, "a")), Action.WAIT)
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


async def test_closing_the_client_after_the_last_chunk(client: AsyncHumanloop, server: ScriptedServer) -> None:
    """The response is whole; only whether its connection can be used again was still open."""
    server.add_script(STREAM, *map(chunk, words("a", "b")), Action.WAIT)
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
