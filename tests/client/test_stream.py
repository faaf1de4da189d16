"""The whole response of a stream, the part so far, text and tool calls; and the limit of its buffers."""

# ruff: noqa: PT012 - a stream raises from a loop, so the loop is inside of `raises`

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from humanloop_async import (
    AsyncHumanloop,
    BufferLimitExceeded,
    ChatStream,
    CompletionChunk,
    CompletionStream,
    InvalidArgument,
    SampleStream,
    StreamClosed,
    ToolCall,
)
from humanloop_async.client.core import OpeningStream
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, Action, ScriptedServer, http_chunk
from tests.events import COMMENT, DONE, event, interleaved, sse, text_of, words

DATA = Path(__file__).parent.parent / "data"


def complete(client: AsyncHumanloop, num_samples: int = 1) -> OpeningStream[CompletionStream]:
    return client.complete_stream(project="p", model_config={"model": "m"}, num_samples=num_samples)


async def texts(sample: SampleStream[CompletionChunk]) -> str:
    return "".join([chunk.output async for chunk in sample])


async def test_final_reads_the_whole_stream(client: AsyncHumanloop, server: ScriptedServer) -> None:
    usage = {"prompt_tokens": 3, "generation_tokens": 4, "total_tokens": 7}
    server.add_stream(
        event(0, "  a "), event(1, "x", "length"), event(0, "b\n", "stop", usage=usage, session_id="sesh_1")
    )
    async with complete(client, 2) as stream:
        response = await stream.final()
    assert [(d.index, d.id, d.output, d.raw_output, d.finish_reason) for d in response.data] == [
        (0, "data_0", "a b", "  a b\n", "stop"),
        (1, "data_1", "x", "x", "length"),
    ]
    assert response.usage is not None
    assert response.usage.total_tokens == 7
    assert (response.project_id, response.session_id, response.num_samples) == ("pr_1", "sesh_1", 2)
    assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
    assert response.round_trip_time > 0
    body: Any = response.body
    assert body["data"][0]["output"] == "a b"


async def test_final_can_be_awaited_in_the_middle_and_again(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(*words("a", "b", "c"))
    async with complete(client) as stream:
        assert (await anext(stream)).output == "a"
        assert (await stream.final()).data[0].output == "abc"
        assert (await stream.final()).data[0].output == "abc"
        assert [chunk async for chunk in stream] == []
    assert (await stream.final()).data[0].output == "abc"  # the stream ended before it was closed


async def test_final_keeps_the_chunks_of_samples(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(*interleaved(2, 5))
    async with complete(client, 2) as stream:
        samples = stream.samples
        await stream.final()
        assert [await texts(sample) for sample in samples] == [text_of(0, 5), text_of(1, 5)]


async def test_final_can_be_awaited_while_samples_are_read(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(
        STREAM_HEAD, *(step for data in interleaved(2, 10) for step in (http_chunk(data), 0.002)), LAST_CHUNK
    )
    async with complete(client, 2) as stream:
        samples = (
            stream.samples
        )  # before `final`, which drops chunks that no sample buffers; an eager task runs it at once
        final = asyncio.ensure_future(stream.final())
        got = await asyncio.gather(*map(texts, samples))
        assert got == [text_of(0, 10), text_of(1, 10)]
        assert [data.raw_output for data in (await final).data] == got


async def test_partial_grows_with_each_event(client: AsyncHumanloop, server: ScriptedServer) -> None:
    go_on = asyncio.Event()
    server.add_script(STREAM_HEAD, http_chunk(event(0, "a")), go_on, http_chunk(event(0, "b", "stop")), LAST_CHUNK)
    async with complete(client, 2) as stream:
        assert stream.partial.data == []
        await anext(stream)
        [data] = stream.partial.data
        assert (data.index, data.output, data.finish_reason) == (0, "a", None)
        go_on.set()
        await anext(stream)
        assert stream.partial.data[0].finish_reason == "stop"


async def test_the_text_of_a_stream_and_of_samples(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(event(0, "a"), event(0, ""), event(0, " b"), event(0, "", "stop"))
    async with complete(client) as stream:
        assert [text async for text in stream.text_stream] == ["a", " b"]
    server.add_stream(*interleaved(2, 3))
    async with complete(client, 2) as stream:
        with pytest.raises(InvalidArgument, match="samples"):
            stream.text_stream  # noqa: B018
        assert "".join([text async for text in stream.samples[1].text_stream]) == text_of(1, 3)


async def test_looking_at_a_view_does_not_close_the_stream(client: AsyncHumanloop, server: ScriptedServer) -> None:
    """A debugger that shows every property does not close it, nor does a loop that is created and never run."""
    server.add_stream(*words("a", "b"))
    async with complete(client) as stream:
        for name in dir(stream):
            if not name.startswith("_") and name != "samples":
                getattr(stream, name)
        aiter(stream)
        assert [chunk.output async for chunk in stream] == ["a", "b"]


async def test_done_and_comments_are_tolerated(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(COMMENT, event(0, "a"), COMMENT, event(0, "b", "stop"), COMMENT, DONE, COMMENT)
    async with complete(client) as stream:
        assert [chunk.output async for chunk in stream] == ["a", "b"]


async def test_usage_may_arrive_after_the_last_sample_ended(client: AsyncHumanloop, server: ScriptedServer) -> None:
    usage = {"prompt_tokens": 1, "generation_tokens": 2, "total_tokens": 3, "reasoning_tokens": 1}
    server.add_stream(event(0, "a", "stop"), sse({"data": [], "usage": usage}))
    async with complete(client) as stream:
        response = await stream.final()
    assert response.usage is not None
    assert (response.usage.generation_tokens, response.usage.reasoning_tokens) == (2, 1)


async def test_a_streamed_chat_has_tool_calls_and_messages(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream((DATA / "chat_tool_calls.sse").read_bytes())
    async with client.chat_stream(project="p", model_config={"model": "m"}, messages=[]) as stream:
        assert isinstance(stream, ChatStream)
        first, last = [chunk async for chunk in stream]
        response = await stream.final()
    assert first.output_message is not None
    assert (first.output_message.role, first.output_message.content) == ("assistant", "Let me look")
    assert last.finish_reason == "tool_call"
    assert last.tool_calls is not None
    assert [call.function.name for call in last.tool_calls] == ["weather", "time"]
    [data] = response.data
    assert data.tool_calls is not None
    assert isinstance(data.tool_calls[0], ToolCall)
    assert data.tool_calls[0].function.arguments == '{"city":"Bern"}'
    assert data.output_message is not None
    assert data.output_message.tool_calls == data.tool_calls
    assert data.messages is not None
    assert [message.role for message in data.messages] == ["system", "user"]
    assert response.usage is not None
    assert response.usage.total_tokens == 20


async def test_unread_samples_have_bounded_buffers(server: ScriptedServer) -> None:
    """The sample that is read delivers its chunks, then raises `BufferLimitExceeded`, and the connection is closed."""
    events = [event(index, "x" * 1000) for _ in range(50) for index in (0, 1)]
    server.add_stream(*events, end=(Action.WAIT,))
    async with AsyncHumanloop(base_url=server.url, max_buffered_bytes=20_000) as client, complete(client, 2) as stream:
        got = []
        with pytest.raises(BufferLimitExceeded, match="sample 1") as caught:
            async for piece in stream.samples[0]:
                got.append(piece.output)  # noqa: PERF401
        assert len(got) >= 15
        assert caught.value.partial is not None
        await asyncio.wait_for(server.client_left.wait(), 10)


async def test_a_closed_sample_needs_no_buffer(server: ScriptedServer) -> None:
    events = [event(index, "x" * 1000) for _ in range(50) for index in (0, 1)]
    server.add_stream(*events, *words("end", index=0), *words("end", index=1))
    async with AsyncHumanloop(base_url=server.url, max_buffered_bytes=60_000) as client, complete(client, 2) as stream:
        await stream.samples[1].aclose()
        assert len([chunk async for chunk in stream.samples[0]]) == 51


async def test_a_reader_of_all_chunks_needs_no_buffer(server: ScriptedServer) -> None:
    server.add_stream(b"".join(event(0, "x" * 1000) for _ in range(300)), *words("end"))
    async with AsyncHumanloop(base_url=server.url, max_buffered_bytes=2000) as client, complete(client) as stream:
        assert len([chunk async for chunk in stream]) == 301


async def test_reading_a_closed_stream_is_an_error(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(event(0, "a"), end=(Action.WAIT,))
    async with complete(client) as stream:
        assert (await anext(stream)).output == "a"
    for read in (stream.final(), anext(stream), anext(stream.samples[0])):
        with pytest.raises(StreamClosed) as caught:
            await read
        assert caught.value.partial is not None
        assert caught.value.partial.data[0].output == "a"
