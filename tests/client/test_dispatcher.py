"""Reading a stream: all chunks or single samples, in any order and from any number of tasks."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import anyio
import pytest

from humanloop_async import (
    AsyncHumanloop,
    CompletionChunk,
    CompletionResponse,
    CompletionStream,
    InvalidArgument,
    SampleStream,
    StreamBusy,
)
from humanloop_async.client.core import OpeningStream
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, Action, ScriptedServer, http_chunk
from tests.events import event, interleaved, text_of, words

DATA = Path(__file__).parent.parent / "data"


def complete(client: AsyncHumanloop, num_samples: int = 1) -> OpeningStream[CompletionStream]:
    return client.complete_stream(project="p", model_config={"model": "m"}, num_samples=num_samples)


async def texts(sample: SampleStream[CompletionChunk]) -> str:
    return "".join([chunk.output async for chunk in sample])


async def test_all_chunks_are_read_in_the_order_of_arrival(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(
        event(2, "c"), event(0, "a"), event(1, "b", "stop"), event(0, "A", "stop"), event(2, "C", "length")
    )
    async with complete(client, 3) as stream:
        assert isinstance(stream, CompletionStream)
        got = [(chunk.index, chunk.output, chunk.finish_reason) async for chunk in stream]
    assert got == [(2, "c", None), (0, "a", None), (1, "b", "stop"), (0, "A", "stop"), (2, "C", "length")]


async def test_awaiting_the_call_opens_the_stream(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(*words("a", "b"))
    stream = await complete(client)
    assert [chunk.output async for chunk in stream] == ["a", "b"]
    assert [chunk.output async for chunk in stream] == []  # the stream stays at its end
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    await stream.aclose()


async def test_a_loop_opens_the_stream(client: AsyncHumanloop, server: ScriptedServer) -> None:
    """`async for` over the call is enough, and the call is sent once."""
    server.add_stream(*words("a", "b"))
    opening = complete(client)
    assert [chunk.output async for chunk in opening] == ["a", "b"]
    with pytest.raises(InvalidArgument, match="sent once"):
        _ = [chunk async for chunk in opening]
    assert len(server.requests) == 1


async def test_a_plain_call_with_stream_true_streams(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(*words("a"))
    async with await client.complete(project="p", model_config={"model": "m"}, stream=True) as stream:
        assert [chunk.output async for chunk in stream] == ["a"]


async def test_a_stream_has_a_status_and_headers(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(*words("a"))
    async with complete(client) as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")


async def test_events_may_be_cut_anywhere(client: AsyncHumanloop, server: ScriptedServer) -> None:
    data = b"".join(words("ünï\u2028", "🙂", "end")).replace(b"\n", b"\r\n")
    server.add_script(STREAM_HEAD, *(http_chunk(data[at : at + 7]) for at in range(0, len(data), 7)), LAST_CHUNK)
    async with complete(client) as stream:
        assert [chunk.output async for chunk in stream] == ["ünï\u2028", "🙂", "end"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_samples_can_be_read_one_after_another_in_any_order(
    client: AsyncHumanloop, server: ScriptedServer, order: tuple[int, ...]
) -> None:
    """Reading one sample to its end first is no deadlock: chunks of the others are buffered."""
    server.add_stream(*interleaved(3, 20))
    async with complete(client, 3) as stream:
        samples = stream.samples
        assert [sample.index for sample in samples] == [0, 1, 2]
        for index in order:
            assert samples[index].id is None or index != order[0]
            assert await texts(samples[index]) == text_of(index, 20)
            assert samples[index].finish_reason == "stop"
            assert samples[index].id == f"data_{index}"
            assert samples[index].text == text_of(index, 20)


@pytest.mark.parametrize("pause", [0, 0.001])
async def test_each_sample_can_have_a_task_in_a_task_group(
    client: AsyncHumanloop, server: ScriptedServer, pause: float
) -> None:
    pieces = [http_chunk(data) for data in interleaved(4, 30)]
    server.add_script(STREAM_HEAD, *(step for piece in pieces for step in (piece, pause)), LAST_CHUNK)
    got: dict[int, str] = {}

    async def read(sample: SampleStream[CompletionChunk]) -> None:
        got[sample.index] = await texts(sample)

    async with complete(client, 4) as stream:
        async with anyio.create_task_group() as tasks:
            for sample in stream.samples:
                tasks.start_soon(read, sample)
        response = await stream.final()
    assert got == {index: text_of(index, 30) for index in range(4)}
    assert [data.raw_output for data in response.data] == [text_of(index, 30) for index in range(4)]


async def test_each_sample_can_have_a_task_in_gather(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(*interleaved(3, 10))
    async with complete(client, 3) as stream:
        got = await asyncio.gather(*map(texts, stream.samples), stream.final())
    assert list(got[:3]) == [text_of(index, 10) for index in range(3)]
    assert isinstance(got[3], CompletionResponse)


async def test_samples_may_have_different_lengths(client: AsyncHumanloop, server: ScriptedServer) -> None:
    """The task whose sample ends first lets another task read, so none waits forever."""
    go_on = asyncio.Event()
    server.add_script(
        STREAM_HEAD,
        http_chunk(event(0, "a", "stop")),
        go_on,
        http_chunk(event(1, "b")),
        0.02,
        http_chunk(event(1, "c", "stop")),
        LAST_CHUNK,
    )
    async with complete(client, 2) as stream:
        first, second = [asyncio.ensure_future(texts(sample)) for sample in stream.samples]
        assert await asyncio.wait_for(first, 10) == "a"  # at once, although the stream continues
        go_on.set()
        assert await asyncio.wait_for(second, 10) == "bc"


async def test_cancelling_the_reader_of_one_sample_loses_nothing(
    client: AsyncHumanloop, server: ScriptedServer
) -> None:
    """Also if it reads the socket for all: the others continue, and its sample can be read again."""
    go_on = asyncio.Event()
    server.add_script(STREAM_HEAD, http_chunk(event(0, "0")), go_on, *map(http_chunk, interleaved(3, 5)), LAST_CHUNK)
    async with complete(client, 3) as stream:
        tasks = [asyncio.ensure_future(texts(sample)) for sample in stream.samples]
        await asyncio.sleep(0.05)
        for task in tasks[:2]:
            task.cancel()
        go_on.set()
        assert await asyncio.wait_for(tasks[2], 10) == text_of(2, 5)
        assert await texts(stream.samples[1]) == text_of(1, 5)
        assert stream.samples[0].text == "0" + text_of(0, 5)
        for task in tasks[:2]:
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_readers_cancelled_at_random_lose_nothing(client: AsyncHumanloop, server: ScriptedServer) -> None:
    """Every reader is cancelled many times and then continues with its sample."""
    pieces = [http_chunk(data) for data in interleaved(3, 60)]
    server.add_script(STREAM_HEAD, *(step for piece in pieces for step in (piece, 0.0005)), LAST_CHUNK)
    rng = random.Random(1)

    async def stubborn(sample: SampleStream[CompletionChunk]) -> str:
        got = ""
        while True:
            task = asyncio.ensure_future(anext(sample))
            await asyncio.wait({task}, timeout=rng.random() * 0.003)
            task.cancel()
            try:
                got += (await task).output
            except asyncio.CancelledError:
                pass
            except StopAsyncIteration:
                return got

    async with complete(client, 3) as stream:
        got = await asyncio.wait_for(asyncio.gather(*map(stubborn, stream.samples)), 15)
    assert got == [text_of(index, 60) for index in range(3)]


@pytest.mark.parametrize("of_sample", [False, True])
async def test_polling_with_short_timeouts_loses_nothing(
    client: AsyncHumanloop, server: ScriptedServer, of_sample: bool
) -> None:
    expected = [f"{number}," for number in range(30)]
    server.add_script(
        STREAM_HEAD, *(step for data in words(*expected) for step in (http_chunk(data), 0.004)), LAST_CHUNK
    )
    async with complete(client) as stream:
        source = stream.samples[0] if of_sample else aiter(stream)
        got: list[str] = []
        polls = 0
        while True:
            polls += 1
            try:
                got.append((await asyncio.wait_for(anext(source), 0.002)).output)
            except TimeoutError:
                continue
            except StopAsyncIteration:
                break
    assert got == expected
    assert polls > 31


async def test_polling_ends_although_the_server_never_closes(client: AsyncHumanloop, server: ScriptedServer) -> None:
    """The wait for the body's end is bounded once for all polls, however often the reader is cancelled."""
    server.add_stream(*words("a"), end=(Action.WAIT,))
    async with complete(client) as stream:
        source = aiter(stream)
        assert (await anext(source)).output == "a"
        async with asyncio.timeout(10):
            while True:
                try:
                    await asyncio.wait_for(anext(source), 0.02)
                except StopAsyncIteration:
                    break
                except TimeoutError:
                    continue


async def test_closing_a_sample_drops_its_chunks(client: AsyncHumanloop, server: ScriptedServer) -> None:
    """Its buffered and later chunks are dropped; the other samples are not affected."""
    server.add_stream(*interleaved(3, 10))
    async with complete(client, 3) as stream:
        first, second, third = stream.samples
        assert (await anext(second)).output == "1.0 "
        await second.aclose()
        await second.aclose()
        assert [chunk async for chunk in second] == []
        assert await texts(third) == text_of(2, 10)
        assert await texts(first) == text_of(0, 10)
        response = await stream.final()
    assert response.data[1].raw_output == text_of(1, 10)  # dropped for its reader, not from the response


async def test_a_closed_sample_is_closed_for_the_stream_too(client: AsyncHumanloop, server: ScriptedServer) -> None:
    """A reader of all chunks gets no buffered or later chunk of the closed sample."""
    events = interleaved(3, 4)
    server.add_stream(b"".join(events[:6]), *events[6:])
    async with complete(client, 3) as stream:
        samples = stream.samples
        await samples[1].aclose()
        assert (await anext(stream)).index == 0
        await samples[2].aclose()
        assert {chunk.index async for chunk in stream} == {0}
        assert [data.output for data in (await stream.final()).data] == [text_of(i, 4).strip() for i in range(3)]
    async with complete(client, 3) as stream:
        assert [(await anext(stream)).index for _ in range(2)] == [0, 1]
        samples = stream.samples
        await samples[1].aclose()
        assert (await anext(samples[0])).output == "0.1 "
        assert {chunk.index async for chunk in stream} == {0, 2}


async def test_closing_a_sample_ends_its_reader(client: AsyncHumanloop, server: ScriptedServer) -> None:
    go_on = asyncio.Event()
    server.add_script(
        STREAM_HEAD,
        http_chunk(event(0, "a")),
        go_on,
        *map(http_chunk, words("b", index=0)),
        *map(http_chunk, words("c", index=1)),
        LAST_CHUNK,
    )
    async with complete(client, 2) as stream:
        first, second = stream.samples
        tasks = [asyncio.ensure_future(texts(sample)) for sample in (second, first)]
        await asyncio.sleep(0.05)
        await first.aclose()  # its reader waits while the other one reads the socket
        assert await asyncio.wait_for(tasks[1], 10) in {"a", ""}
        go_on.set()
        assert await asyncio.wait_for(tasks[0], 10) == "c"


async def test_a_second_reader_of_a_sample_is_an_error(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(STREAM_HEAD, http_chunk(event(0, "a")), 0.1, http_chunk(event(0, "b", "stop")), LAST_CHUNK)
    async with complete(client) as stream:
        [sample] = stream.samples
        await anext(sample)
        first = asyncio.ensure_future(anext(sample))
        await asyncio.sleep(0.01)
        with pytest.raises(StreamBusy):
            await anext(sample)
        assert (await first).output == "b"


async def test_a_second_reader_of_the_stream_is_an_error(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(STREAM_HEAD, http_chunk(event(0, "a")), 0.1, http_chunk(event(0, "b", "stop")), LAST_CHUNK)
    async with complete(client) as stream:
        await anext(stream)
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.01)
        for second in (anext(stream), stream.final()):
            with pytest.raises(StreamBusy):
                await second
        assert (await first).output == "b"


async def test_reading_samples_and_the_stream_at_once_is_an_error(
    client: AsyncHumanloop, server: ScriptedServer
) -> None:
    server.add_script(STREAM_HEAD, http_chunk(event(0, "a")), 0.1, http_chunk(event(0, "b", "stop")), LAST_CHUNK)
    async with complete(client) as stream:
        await anext(stream)
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.01)
        with pytest.raises(StreamBusy):
            stream.samples  # noqa: B018
        assert (await first).output == "b"
    async with complete(client) as stream:
        [sample] = stream.samples
        await anext(sample)
        first = asyncio.ensure_future(anext(sample))
        await asyncio.sleep(0.01)
        with pytest.raises(StreamBusy):
            await anext(stream)
        assert (await first).output == "b"


async def test_the_stream_and_its_samples_can_be_read_in_turn(client: AsyncHumanloop, server: ScriptedServer) -> None:
    """Every chunk is delivered once, by the stream or by its sample."""
    server.add_stream(*interleaved(2, 6))
    async with complete(client, 2) as stream:
        got = [await anext(stream) for _ in range(3)]
        got += [await anext(stream.samples[1]) for _ in range(2)]
        got.append(await anext(stream))
        got += [chunk async for chunk in stream.samples[0]]
        got += [chunk async for chunk in stream]
    for index in range(2):
        assert "".join(chunk.output for chunk in got if chunk.index == index) == text_of(index, 6)
