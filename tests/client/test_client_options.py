"""Copies of a client, calls as coroutines, and what they say when they are dropped."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc

import msgspec
import pytest

from humanloop_async import (
    AsyncHumanloop,
    ClientClosed,
    CompletionStream,
    Humanloop,
    InvalidArgument,
    ModelConfigCompletionParam,
    TotalTimeout,
)
from humanloop_async.testing import Action, ScriptedServer
from tests.events import completion, event, words

CONFIG: ModelConfigCompletionParam = {"model": "m"}


async def test_a_copy_has_other_defaults_and_the_same_connections(server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    client = AsyncHumanloop(base_url=server.url, max_retries=0).with_options()  # the first one is dropped
    gc.collect()
    for other in (client, copy.copy(client), copy.deepcopy(client)):
        assert (await other.complete(model_config=CONFIG)).data[0].output == "a"
    assert server.connections == 1
    server.add_script(Action.WAIT)
    with pytest.raises(TotalTimeout):
        await client.with_options(timeout=0.1).complete(model_config=CONFIG)
    with pytest.raises(InvalidArgument):
        client.with_options(max_retries=-1)
    await copy.copy(client).aclose()
    with pytest.raises(ClientClosed):
        await client.complete(model_config=CONFIG)


def test_a_copy_of_the_sync_client(threaded_server: ScriptedServer) -> None:
    threaded_server.add_response(completion("a"))
    with Humanloop(base_url=threaded_server.url) as client:
        copied = copy.copy(client.with_options(timeout=5))
        assert copied.complete(model_config=CONFIG).data[0].output == "a"
    with pytest.raises(ClientClosed):
        copied.complete(model_config=CONFIG)


async def test_a_streamed_call_is_a_coroutine(server: ScriptedServer) -> None:
    server.add_stream(*words("a", "b"))
    async with AsyncHumanloop(base_url=server.url) as client:
        stream = await asyncio.create_task(client.complete_stream(model_config=CONFIG))
        assert isinstance(stream, CompletionStream)
        assert (await stream.final()).data[0].output == "ab"
        assert repr(stream) == "<CompletionStream: ended, 1 of 1 samples finished>"


async def test_a_streamed_call_that_is_never_sent_warns(server: ScriptedServer) -> None:
    async with AsyncHumanloop(base_url=server.url) as client:
        opening = client.complete_stream(model_config=CONFIG)
        assert repr(opening) == "<OpeningStream: not sent>"
        with pytest.warns(RuntimeWarning, match="never sent"):
            del opening
        client.complete_stream(model_config=CONFIG).close()
    assert not server.requests


async def test_closing_the_text_closes_the_stream(server: ScriptedServer) -> None:
    server.add_stream(event(0, "a"), end=(Action.WAIT,))
    async with AsyncHumanloop(base_url=server.url) as client:
        stream = await client.complete_stream(model_config=CONFIG)
        async with contextlib.aclosing(stream.text_stream) as texts:
            assert await anext(texts) == "a"
        await asyncio.wait_for(server.client_left.wait(), 5)


async def test_names_of_the_official_clients_name_the_way_out(server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    async with AsyncHumanloop(base_url=server.url) as client:
        response = await client.complete(model_config=CONFIG)
        server.add_stream(*words("a"))
        async with client.complete_stream(model_config=CONFIG) as stream:
            for owner, name, hint in (
                (client, "achat", r"await chat\(\)"),
                (client.projects, "alist", r"await list\(\)"),
                (client, "prompts", "v5"),
                (Humanloop(base_url=server.url), "achat", "AsyncHumanloop"),
                (stream, "content", "text_stream"),
                (response, "dict", "to_dict"),
                (response.data[0], "model_dump", "to_dict"),
            ):
                assert not hasattr(owner, name)
                with pytest.raises(AttributeError, match=hint):
                    getattr(owner, name)
            async for piece in stream:
                assert msgspec.to_builtins(piece)["output"] == piece.to_dict()["output"] == "a"
        assert await response is response  # type: ignore[misc]


def test_awaiting_a_response_of_the_sync_client_names_the_way_out(threaded_server: ScriptedServer) -> None:
    threaded_server.add_response(completion("a"))
    with Humanloop(base_url=threaded_server.url) as client:
        response = client.complete(model_config=CONFIG)

        async def wrong() -> None:
            await response  # type: ignore[misc]

        with pytest.raises(TypeError, match="AsyncHumanloop"):
            asyncio.run(wrong())


async def test_the_parts_of_a_stream_show_their_state(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(*words("a", "bc"))
    async with client.complete_stream(model_config={"model": "m"}) as stream:
        (sample,) = stream.samples
        assert repr(sample) == "<SampleStream 0: open, 0 characters received>"
        await stream.final()
        assert repr(sample) == "<SampleStream 0: finish_reason 'stop', 3 characters received>"
        assert repr(sample.text_stream) == f"<TextStream of {sample!r}>"
        assert repr(stream.text_stream) == "<TextStream of <ChunkIterator: 0 chunks unread>>"
        await sample.aclose()
        assert repr(sample) == "<SampleStream 0: closed, 3 characters received>"


def test_the_samples_of_a_sync_stream_show_their_state(threaded_server: ScriptedServer) -> None:
    threaded_server.add_stream(*words("a", "bc"))
    with (
        Humanloop(base_url=threaded_server.url) as client,
        client.complete_stream(model_config={"model": "m"}) as stream,
    ):
        (sample,) = stream.samples
        stream.final()
        assert repr(sample) == "<SyncSampleStream 0: finish_reason 'stop', 3 characters received>"
