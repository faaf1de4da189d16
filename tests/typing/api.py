"""Calls as users write them. Type-checked by the tests, never run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_type

from humanloop_async import (
    ApiException,
    AsyncHumanloop,
    ChatChunk,
    ChatMessage,
    ChatMessageParam,
    ChatResponse,
    ChatStream,
    CompletionChunk,
    CompletionResponse,
    CompletionStream,
    CreateLogResponse,
    HttpxTransport,
    Humanloop,
    LogParam,
    ModelConfigChatParam,
    ModelConfigCompletionRequest,
    ProjectResponse,
    ResponseList,
    SampleStream,
    StreamTruncated,
    SyncChatStream,
    SyncCompletionStream,
    SyncSampleStream,
    Timeout,
)

MODEL: ModelConfigChatParam = {"model": "m", "tools": [{"name": "f", "parameters": {"type": "object"}}]}


async def plain_calls(flag: bool) -> None:
    async with AsyncHumanloop(api_key="k", base_url="http://127.0.0.1:8460/v4", timeout=Timeout(idle=5)) as client:
        completion = await client.complete(project="p", model_config={"model": "m", "prompt_template": "{{q}}"})
        assert_type(completion, CompletionResponse)
        assert_type(completion.data[0].output, str)
        assert_type(completion.data[0].finish_reason, str | None)
        assert_type(completion.status, int)
        assert_type(completion.round_trip_time, float)
        text: str = completion.body["data"][0]["output"]
        text = completion["data"][0]["output"]
        text = completion.to_dict()["data"][0]["output"] + text
        assert_type(client.with_options(timeout=3, max_retries=0), AsyncHumanloop)
        struct = ModelConfigCompletionRequest(model="m")
        assert_type(await client.completions.create(model_config=struct, stream=False), CompletionResponse)
        assert_type(await client.complete(model_config=struct, stream=True), CompletionStream)
        assert_type(await client.complete(model_config=struct, stream=flag), CompletionResponse | CompletionStream)
        chat = await client.chat_deployed(
            project="p", messages=[{"role": "user", "content": "hi"}, ChatMessage(role="user", content="ho")], timeout=3
        )
        assert_type(chat, ChatResponse)
        assert_type(
            await client.chats.create_experiment(experiment_id="e", messages=[], stream=True, num_samples=2), ChatStream
        )

        await client.complete(project="p")  # type: ignore[call-overload]
        await client.chat(messages=[{"role": "nobody"}], model_config={"model": "m"})  # type: ignore[call-overload]
        await client.complete(model_config={"model": "m"}, num_sample=1)  # type: ignore[call-overload]
        await client.complete(model_config={"modell": "m"})  # type: ignore[call-overload]
        await client.complete(model_config={"model": "m", "temprature": 1})  # type: ignore[call-overload]
        await client.chat(messages=[{"role": "user", "contnt": "hi"}], model_config=MODEL)  # type: ignore[list-item]
        image: ChatMessageParam = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}
        await client.chat(messages=[image], model_config={"model": "m", "tools": [{"name": "f", "strict": True}]})
        await client.chat(messages=[], model_config={"model": "m", "tools": [{"nmae": "f"}]})  # type: ignore[call-overload]
        await client.chat(messages=[{"role": "user", "content": [{"type": "txt"}]}], model_config=MODEL)  # type: ignore[list-item]
        await client.chat(messages=[], model_config=MODEL, tool_choice="any")  # type: ignore[call-overload]
        await client.chat(messages=[], model_config=MODEL, tool_choice={"function": {"name": "f"}})


async def streams() -> None:
    client = AsyncHumanloop(transport=HttpxTransport())
    async with client.complete_stream(model_config={"model": "m"}, num_samples=3) as stream:
        assert_type(stream, CompletionStream)
        async for chunk in stream:
            assert_type(chunk, CompletionChunk)
        for sample in stream.samples:
            assert_type(sample, SampleStream[CompletionChunk])
            async for text in sample.text_stream:
                assert_type(text, str)
        assert_type(await stream.final(), CompletionResponse)
    chats = await client.chat_stream(messages=[], model_config={"model": "m"})
    assert_type(chats, ChatStream)
    assert_type(await anext(chats), ChatChunk)
    assert_type(chats.partial, ChatResponse)
    async for piece in client.chat_deployed_stream(messages=[]):
        assert_type(piece, ChatChunk)


def sync(flag: bool) -> None:
    with Humanloop("k", host="http://127.0.0.1:8460/v4", max_retries=1) as client:
        assert_type(client.complete(model_config={"model": "m"}), CompletionResponse)
        assert_type(client.chat(messages=[], model_config={"model": "m"}, stream=True), SyncChatStream)
        assert_type(
            client.chat_deployed(messages=[], stream=flag, num_samples=2),
            ChatResponse | SyncChatStream,
        )
        with client.complete_stream(model_config={"model": "m"}) as stream:
            assert_type(stream, SyncCompletionStream)
            for chunk in stream:
                assert_type(chunk, CompletionChunk)
            assert_type(stream.samples, tuple[SyncSampleStream[CompletionChunk], ...])
            assert_type(stream.text_stream, Iterator[str])
            assert_type(stream.final(), CompletionResponse)
        try:
            client.chat_model_config(messages=[], model_config_id="c")
        except StreamTruncated as error:
            assert_type(error.partial, CompletionResponse | ChatResponse | None)
        except ApiException as error:
            assert_type(error.status, int | None)

    client.log(project="p", config={"type": "model", "model": "m"}, outputt="x")  # type: ignore[call-overload]
    client.log(project="p", config={"type": "model", "modell": "m"})  # type: ignore[call-overload]
    log: LogParam = {"project": "p", "config": {"type": "tool", "name": "t"}, "output": "x"}
    assert_type(client.log(log), CreateLogResponse)
    assert_type(client.log([log, log]), ResponseList[CreateLogResponse])
    assert_type(client.projects.create("p", feedback_types=[{"type": "mood", "class": "select"}]), ProjectResponse)
    for project in client.projects.list(sort_by="name"):
        assert_type(project, ProjectResponse)
    client.projects.list(sort_by="colour")  # type: ignore[arg-type]
    client.projects.update("p", positive_labels=[{"type": "rating"}])  # type: ignore[list-item]
    Humanloop(api_keyy="k")  # type: ignore[call-arg]


def misspelt_names() -> None:
    from humanloop_async import AsyncHumanLoop  # type: ignore[attr-defined]  # noqa: F401
    from humanloop_async.server import EmbededServer  # type: ignore[attr-defined]  # noqa: F401
