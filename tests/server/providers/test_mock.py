"""The mock provider: deterministic words, with the requested pace and failures."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
from typing import Any

import pytest

from humanloop_async.server.providers.base import ProviderCall, ProviderChunk, ProviderError
from humanloop_async.server.providers.mock import MockProvider
from humanloop_async.types import ChatMessage, ModelConfigTool, ResponseFormat, ToolChoice
from humanloop_async.types.shared import FunctionToolChoice


def call(**fields: Any) -> ProviderCall:
    return ProviderCall(**{"provider": "mock", "model": "m", "endpoint": "complete", "prompt": "Say hello", **fields})


def chat(text: str, **fields: Any) -> ProviderCall:
    return call(endpoint="chat", messages=[ChatMessage(role="user", content=text)], **fields)


async def chunks(made: ProviderCall, provider: MockProvider | None = None) -> list[ProviderChunk]:
    async with (provider or MockProvider()).stream(made) as stream:
        return [chunk async for batch in stream for chunk in batch]


async def texts(made: ProviderCall) -> list[str]:
    return [sample.text for sample in (await MockProvider().generate(made)).samples]


async def test_the_same_call_gives_the_same_chunks_in_the_same_order() -> None:
    """Only the call determines the words: seed, prompt and model each change them."""
    made = call(num_samples=4, seed=7)
    assert await chunks(made) == await chunks(made)
    different = [call(seed=7), call(seed=8), call(seed=7, prompt="Other"), call(seed=7, model="n"), chat("Say hello")]
    assert len({(await texts(one))[0] for one in different}) == len(different)


async def test_a_sample_does_not_depend_on_its_siblings() -> None:
    """Sample 0 of one sample equals sample 0 of three."""
    assert (await texts(call(num_samples=3)))[0] == (await texts(call()))[0]
    assert len(set(await texts(call(num_samples=3)))) == 3


async def test_another_process_makes_the_same_text() -> None:
    """Hash randomisation has no influence."""
    script = (
        "import asyncio; from humanloop_async.server.providers.mock import *;"
        "call = ProviderCall(provider='mock', model='m', endpoint='complete', prompt='Say hello');"
        "print(ascii(asyncio.run(MockProvider().generate(call)).samples[0].text))"
    )
    found = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == ascii((await texts(call()))[0])


async def test_samples_interleave_and_each_finishes_once() -> None:
    """Chunks of the samples interleave, and only the last chunk of each has a finish reason."""
    got = await chunks(call(num_samples=3, other={"tokens": 40}))
    order = [chunk.index for chunk in got]
    assert len(got) == 120
    assert sum(a != b for a, b in itertools.pairwise(order)) > 60
    for index in range(3):
        mine = [chunk.finish_reason for chunk in got if chunk.index == index]
        assert mine == [None] * 39 + ["stop"]
    assert order != sorted(order)


async def test_generating_gives_what_streaming_gives_and_counts_words() -> None:
    """The text is the same, and the usage counts the prompt once and all samples."""
    made = call(num_samples=2, prompt="five words are in here")
    reply = await MockProvider().generate(made)
    streamed = ["".join(chunk.text for chunk in await chunks(made) if chunk.index == index) for index in range(2)]
    assert [sample.text for sample in reply.samples] == streamed
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == 5
    assert reply.usage.generation_tokens == sum(len(text.split()) for text in streamed)
    assert reply.usage.total_tokens == 5 + reply.usage.generation_tokens


async def test_max_tokens_and_stop_end_a_sample() -> None:
    """The reason is "length" for max_tokens, and "stop" for a stop sequence, also across words."""
    (whole,) = await texts(call(other={"tokens": 30}))
    (short,) = (await MockProvider().generate(call(other={"tokens": 30}, max_tokens=5))).samples
    assert (short.text, short.finish_reason) == (" ".join(whole.split()[:5]), "length")
    stop = whole[7:12]
    (cut,) = (await MockProvider().generate(call(other={"tokens": 30}, stop=["", stop, "nowhere"]))).samples
    assert (cut.text, cut.finish_reason) == (whole[: whole.index(stop)], "stop")
    (empty,) = (await MockProvider().generate(call(other={"tokens": 30}, stop=[whole[:3]]))).samples
    assert (empty.text, empty.finish_reason) == ("", "stop")


async def test_a_pace_takes_its_time_and_samples_have_paces_of_their_own() -> None:
    """20 tokens at 100 per second take about 0.2 s, in many batches, and the samples end at different times."""
    started = time.monotonic()
    ends: dict[int, float] = {}
    made = call(num_samples=3, other={"tokens": 20, "tokens_per_second": 100})
    batches = 0
    async with MockProvider().stream(made) as stream:
        async for batch in stream:
            batches += 1
            ends |= {chunk.index: time.monotonic() - started for chunk in batch if chunk.finish_reason}
    assert 0.14 <= min(ends.values()) <= max(ends.values()) < 2
    assert len(set(ends.values())) == 3
    assert batches >= 20


async def test_the_servers_pace_holds_where_the_call_sets_none() -> None:
    """`tokens_per_second` in `other` takes precedence over the provider's."""
    slow = MockProvider(tokens_per_second=50)
    started = time.monotonic()
    await chunks(call(other={"tokens": 10}), slow)
    paced = time.monotonic() - started
    started = time.monotonic()
    await chunks(call(other={"tokens": 10, "tokens_per_second": 0}), slow)
    assert paced > 0.14
    assert time.monotonic() - started < paced


async def test_a_failure_comes_after_as_many_chunks_as_asked_for() -> None:
    """The chunks before it are complete, and there is no usage."""
    got: list[ProviderChunk] = []
    made = call(num_samples=2, other={"fail_after": 3, "status": 429, "retry_after": 4})
    async with MockProvider().stream(made) as stream:
        batches = aiter(stream)
        while len(got) < 3:
            got += await anext(batches)
        with pytest.raises(ProviderError) as caught:
            await anext(batches)
        assert stream.usage is None
    assert len(got) == 3
    assert (caught.value.status, caught.value.retry_after, caught.value.origin) == (429, 4, "Mock")
    with pytest.raises(ProviderError):
        await MockProvider().generate(made)


@pytest.mark.parametrize(("status", "mapped"), [(500, 503), (403, 401), (404, 404), (429, 429), (400, 422)])
async def test_a_rejection_is_raised_on_entering_with_a_status_of_v4(status: int, mapped: int) -> None:
    """fail_after 0 rejects the call; statuses are mapped like a real provider's."""
    with pytest.raises(ProviderError) as caught:
        await chunks(call(other={"fail_after": 0, "status": status}))
    assert caught.value.status == mapped


async def test_invalid_options_are_rejected() -> None:
    """The error names the option."""
    with pytest.raises(ProviderError, match="tokens_per_second") as caught:
        await chunks(call(other={"tokens_per_second": "fast"}))
    assert caught.value.status == 422


TOOL = ModelConfigTool(
    name="get_weather",
    parameters={
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 4},
            "days": {"type": "integer", "minimum": 2, "maximum": 5},
            "unit": {"enum": ["C", "F"]},
            "exact": {"type": ["null", "boolean"]},
            "tags": {"type": "array", "items": {"type": "number"}},
        },
    },
)


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "required"},
        {"tool_choice": ToolChoice(function=FunctionToolChoice(name="get_weather"))},
        {"tool_choice": "auto"},
        {},
    ],
)
async def test_a_wanted_tool_is_called_with_fitting_arguments(fields: dict[str, Any]) -> None:
    """One chunk has the complete call, and its arguments conform to the schema."""
    got = await chunks(chat("Please use get_weather", tools=[TOOL], **fields))
    (only,) = got
    assert only.finish_reason == "tool_call"
    assert only.tool_calls is not None
    (made,) = only.tool_calls
    arguments = json.loads(made.function.arguments or "")
    assert made.function.name == "get_weather"
    assert set(arguments) == {"city", "days", "unit", "exact", "tags"}
    assert len(arguments["city"]) <= 4
    assert 2 <= arguments["days"] <= 5
    assert arguments["unit"] in ("C", "F")
    assert isinstance(arguments["exact"], bool)
    assert all(isinstance(tag, float) for tag in arguments["tags"])


async def test_no_tool_is_called_when_none_is_wanted() -> None:
    """A forbidden, unrequested or completed call gives text."""
    asked = ChatMessage(role="user", content="Please use get_weather")
    answered = [asked, ChatMessage(role="tool", content="sunny", tool_call_id="call_1")]
    for made in (
        chat("Please use get_weather", tools=[TOOL], tool_choice="none"),
        chat("Hello", tools=[TOOL]),
        call(endpoint="chat", messages=answered, tools=[TOOL]),
    ):
        (sample,) = (await MockProvider().generate(made)).samples
        assert sample.finish_reason == "stop"
        assert sample.tool_calls is None
        assert sample.text


async def test_a_missing_tool_is_rejected() -> None:
    """A forced tool must exist."""
    for choice in ("required", ToolChoice(function=FunctionToolChoice(name="other"))):
        with pytest.raises(ProviderError, match="tool_choice"):
            await chunks(chat("hi", tool_choice=choice))


async def test_a_json_answer_is_json() -> None:
    """The value conforms to the schema, in OpenAI's wrapper or without it."""
    schema: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}}
    for response_format in (
        ResponseFormat(type="json_object"),
        ResponseFormat(type="json_schema", json_schema=schema),
        ResponseFormat(type="json_schema", json_schema={"name": "answer", "schema": schema}),
    ):
        (text,) = await texts(chat("hi", response_format=response_format))
        decoded = json.loads(text)
        assert isinstance(decoded, dict)
        if response_format.type == "json_schema":
            assert isinstance(decoded["n"], int)


async def test_leaving_early_is_quiet_and_other_calls_go_on() -> None:
    """A slow call ends at once."""
    async with asyncio.timeout(10):
        async with MockProvider().stream(call(other={"tokens_per_second": 1, "tokens": 100})) as stream:
            task = asyncio.ensure_future(anext(aiter(stream)))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await texts(call())


def test_the_request_body_says_what_was_asked() -> None:
    """v4 returns it as provider_request."""
    body = MockProvider().request_body(call(num_samples=2, seed=3, other={"tokens": 4}))
    assert body == {"model": "m", "n": 2, "prompt": "Say hello", "seed": 3, "tokens": 4}
    assert MockProvider().request_body(chat("hi"))["messages"] == [{"role": "user", "content": "hi"}]
