"""Wire formats against the local engine, which serves several of them; nothing is asserted about the text.

CI has the engine and requires these tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from humanloop_async.server.providers.anthropic import AnthropicAdapter
from humanloop_async.server.providers.http_provider import HttpProvider
from humanloop_async.server.providers.local import LocalProvider
from humanloop_async.server.providers.preset_adapter import PresetAdapter
from humanloop_async.server.providers.presets import PRESETS
from humanloop_async.server.providers.settings import ProviderSettings
from humanloop_async.types import ChatMessage
from tests.server.providers.test_local import real
from tests.server.providers.transcripts import call, stream_all

COUNT = [
    ChatMessage(role="system", content="You count."),
    ChatMessage(role="user", content="Count from one to one hundred, in words."),
]


@pytest.fixture
async def engine() -> AsyncIterator[tuple[str, str]]:
    """The root URL of a running engine, and its key."""
    local = LocalProvider(ProviderSettings(local_slots=2, local_context=512))
    child = await local._running()
    url, key = child.provider._base_url, child.provider._api_key
    assert key is not None
    yield url.removesuffix("/v1"), key
    await local.aclose()


@real
async def test_the_messages_api(engine: tuple[str, str]) -> None:
    """Streamed and not, with several samples, and with the headers of both versions."""
    url, key = engine
    provider = HttpProvider("anthropic", "Anthropic", AnthropicAdapter(), base_url=url, api_key=key)
    for temperature in (1, 0.5):
        made = call(model="any", messages=COUNT, max_tokens=8, num_samples=2, temperature=temperature)
        chunks, usage, error = await stream_all(provider, made)
        assert error is None
        assert {part.index for part in chunks if part.text} == {0, 1}
        assert {part.finish_reason for part in chunks if part.finish_reason} <= {"stop", "length"}
        assert usage.prompt_tokens > 10
        assert 2 <= usage.generation_tokens <= 16
    reply = await provider.generate(call(model="any", messages=COUNT, max_tokens=8))
    assert reply.samples[0].text
    assert reply.samples[0].finish_reason in ("stop", "length")
    assert reply.usage is not None
    assert reply.usage.generation_tokens <= 8
    await provider.aclose()


@real
@pytest.mark.parametrize("name", ["ai21", "mistral", "ollama"])
async def test_the_chat_completions_of_presets(engine: tuple[str, str], name: str) -> None:
    url, key = engine
    adapter = PresetAdapter(PRESETS[name])
    provider = HttpProvider(name, PRESETS[name].origin, adapter, base_url=f"{url}/v1", api_key=key)
    chunks, _, error = await stream_all(provider, call(model="any", messages=COUNT, max_tokens=8, num_samples=2))
    assert error is None
    assert {part.index for part in chunks if part.text} == {0, 1}
    reply = await provider.generate(call(model="any", messages=COUNT, max_tokens=8))
    assert reply.samples[0].text
    await provider.aclose()


@real
async def test_cancelling_a_stream_of_messages_ends_it(engine: tuple[str, str]) -> None:
    url, key = engine
    provider = HttpProvider("anthropic", "Anthropic", AnthropicAdapter(), base_url=url, api_key=key)
    started = asyncio.Event()

    async def read() -> None:
        async with provider.stream(call(model="any", messages=COUNT, max_tokens=400)) as stream:
            async for _ in stream:
                started.set()

    task = asyncio.create_task(read())
    await asyncio.wait_for(started.wait(), 60)
    task.cancel()
    async with asyncio.timeout(1):
        await asyncio.wait([task])
    assert task.cancelled()
    await provider.aclose()
