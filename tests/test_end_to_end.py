"""The client calls the server over loopback, with the mock provider."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import anyio
import pytest

from humanloop_async import (
    ApiException,
    AsyncHumanloop,
    AuthenticationError,
    CompletionChunk,
    Humanloop,
    RateLimitError,
    SampleStream,
    UnprocessableEntityError,
)
from humanloop_async.testing import TestServer

TransportName = Literal["aiohttp", "httpx"]
CONFIG: Any = {"provider": "mock", "model": "mock", "prompt_template": "Greet {{name}}", "seed": 7}
CHAT: Any = {"provider": "mock", "model": "mock", "seed": 7}


def connect(server: TestServer, **settings: Any) -> AsyncHumanloop:
    return AsyncHumanloop(server.api_key, base_url=server.base_url, **settings)


@pytest.fixture(params=["aiohttp", "httpx"])
def transport(request: pytest.FixtureRequest) -> TransportName:
    name: TransportName = request.param
    return name


async def test_plain_and_streamed_responses_are_equal(humanloop_server: TestServer, transport: TransportName) -> None:
    async with connect(humanloop_server, transport=transport) as client:
        params: dict[str, Any] = {
            "project": "greeter",
            "model_config": CONFIG,
            "inputs": {"name": "Ada"},
            "num_samples": 3,
        }
        plain = await client.complete(**params)
        texts: dict[int, str] = {}

        async def read(sample: SampleStream[CompletionChunk]) -> None:
            texts[sample.index] = "".join([text async for text in sample.text_stream])

        async with client.complete_stream(**params) as stream:
            async with anyio.create_task_group() as tasks:
                for sample in stream.samples:
                    tasks.start_soon(read, sample)
            streamed = await stream.final()
    assert len({data.id for data in (*plain.data, *streamed.data)}) == 6
    for whole, assembled in zip(plain.data, streamed.data, strict=True):
        assert whole.output == assembled.output != ""
        assert whole.raw_output == assembled.raw_output == texts[whole.index]
        assert whole.model_config_id == assembled.model_config_id is not None
        assert (whole.finish_reason, whole.inputs) == (assembled.finish_reason, assembled.inputs)
    assert plain.project_id == streamed.project_id is not None
    assert plain.usage == streamed.usage is not None


async def test_a_configuration_can_be_called_by_its_id(humanloop_server: TestServer) -> None:
    async with connect(humanloop_server) as client:
        messages: list[Any] = [{"role": "user", "content": "hi"}]
        first = await client.chat(project="p", messages=messages, model_config=CHAT)
        assert first.data[0].model_config_id is not None
        again = await client.chat_model_config(
            project="p",
            messages=messages,
            model_config_id=first.data[0].model_config_id,
        )
        assert again.data[0].output == first.data[0].output
        message = again.data[0].output_message
        assert message is not None
        assert (message.role, bool(message.content)) == ("assistant", True)


async def test_errors_of_the_server_reach_the_caller(humanloop_server: TestServer) -> None:
    async with connect(humanloop_server, max_retries=0) as client:
        with pytest.raises(UnprocessableEntityError) as missing:
            await client.complete(project="p", model_config=CONFIG)
        assert "name" in str(missing.value)
        with pytest.raises(TypeError, match="num_sample"):
            await client.complete(model_config=CONFIG, num_sample=1)  # type: ignore[call-overload]
        failing: Any = {**CHAT, "other": {"fail_after": 0, "status": 429}}
        with pytest.raises(RateLimitError) as rate_limited:
            await client.chat(project="p", messages=[], model_config=failing)
        assert rate_limited.value.origin == "Mock"
        midway: Any = {**CHAT, "other": {"fail_after": 3, "status": 429, "tokens": 50}}
        async with client.chat_stream(project="p", messages=[], model_config=midway) as stream:
            with pytest.raises(ApiException) as caught:
                await stream.final()
        assert caught.value.status == 429
        assert caught.value.partial is not None
        assert caught.value.partial.data[0].finish_reason is None
    async with AsyncHumanloop("wrong", base_url=humanloop_server.base_url) as unauthorized:
        with pytest.raises(AuthenticationError):
            await unauthorized.complete(project="p", model_config=CONFIG)


async def test_streams_left_early_do_not_block_the_server(
    humanloop_server: TestServer, transport: TransportName
) -> None:
    slow: Any = {**CHAT, "other": {"tokens_per_second": 20, "tokens": 10_000}}
    async with connect(humanloop_server, transport=transport) as client:
        for _ in range(5):
            async with client.chat_stream(project="p", messages=[], model_config=slow) as stream:
                async for _ in stream:
                    break
        response = await client.chat(project="p", messages=[], model_config=CHAT)
        assert response.data[0].output


async def test_the_sync_client(humanloop_server: TestServer, transport: TransportName) -> None:
    def complete() -> tuple[str, str]:
        with Humanloop(humanloop_server.api_key, base_url=humanloop_server.base_url, transport=transport) as client:
            params: dict[str, Any] = {"project": "greeter", "model_config": CONFIG, "inputs": {"name": "Ada"}}
            plain = client.complete(**params)
            with client.complete_stream(**params) as stream:
                return plain.data[0].raw_output, "".join(chunk.output for chunk in stream)

    plain, streamed = await asyncio.to_thread(complete)
    assert plain == streamed != ""


async def test_many_streams_at_once(humanloop_server: TestServer) -> None:
    async with connect(humanloop_server) as client:

        async def chat(number: int) -> int:
            async with client.chat_stream(
                project="many",
                messages=[{"role": "user", "content": f"{number}"}],
                model_config=CHAT,
                num_samples=2,
            ) as stream:
                return len((await stream.final()).data)

        assert await asyncio.gather(*map(chat, range(30))) == [2] * 30
