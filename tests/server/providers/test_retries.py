"""Requests that are repeated, and those that are not."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest

from humanloop_async.server.providers.anthropic import AnthropicAdapter
from humanloop_async.server.providers.base import ProviderChunk, ProviderError
from humanloop_async.server.providers.http_provider import HttpProvider
from humanloop_async.server.providers.openai import OpenAIProvider
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, Action, ScriptedServer, http_chunk
from tests.server.providers.test_anthropic import MESSAGE, TEXT
from tests.server.providers.transcripts import add_random_splits, call, drain, stream_all

KEY = "sk-ant-0123456789"
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


@pytest.fixture
async def provider(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpProvider]:
    monkeypatch.setattr(random, "random", lambda: 0.0)  # delays of 0, unless the provider sets one
    base_url = scripted.url
    made = HttpProvider("anthropic", "Anthropic", AnthropicAdapter(), base_url=base_url, api_key=KEY, max_retries=2)
    yield made
    await made.aclose()


@pytest.mark.parametrize(
    "status", ["408 Timeout", "409 Conflict", "429 Too Many", "500 Error", "503 Unavailable", "529 Overloaded"]
)
async def test_a_failure_that_may_pass_is_repeated(
    scripted: ScriptedServer, provider: HttpProvider, status: str
) -> None:
    for _ in range(2):
        scripted.add_response(OVERLOADED, status)
    scripted.add_response(MESSAGE)
    assert (await provider.generate(call())).samples[0].text == "It is 15."
    assert len(scripted.requests) == 3
    assert scripted.requests[0].json == scripted.requests[2].json


async def test_the_last_error_is_raised(scripted: ScriptedServer, provider: HttpProvider) -> None:
    for _ in range(3):
        scripted.add_response(OVERLOADED, "529 Overloaded")
    with pytest.raises(ProviderError, match="Overloaded") as caught:
        await provider.generate(call())
    assert caught.value.status == 503
    assert len(scripted.requests) == 3


@pytest.mark.parametrize("status", ["400 Bad", "401 Unauthorized", "403 Forbidden", "404 Not Found", "422 Invalid"])
async def test_a_rejection_is_not_repeated(scripted: ScriptedServer, provider: HttpProvider, status: str) -> None:
    scripted.add_response(OVERLOADED, status)
    with pytest.raises(ProviderError):
        await provider.generate(call())
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(("name", "value"), [("Retry-After", "1"), ("retry-after-ms", "300")])
async def test_the_providers_delay_is_kept(
    scripted: ScriptedServer, provider: HttpProvider, name: str, value: str
) -> None:
    scripted.add_response(OVERLOADED, "429 Too Many", {name: value})
    scripted.add_response(MESSAGE)
    started = time.monotonic()
    await provider.generate(call())
    assert time.monotonic() - started >= (0.3 if "ms" in name else 1)


async def test_too_long_a_delay_is_passed_on(scripted: ScriptedServer, provider: HttpProvider) -> None:
    scripted.add_response(OVERLOADED, "429 Too Many", {"Retry-After": "3600"})
    with pytest.raises(ProviderError) as caught:
        await provider.generate(call())
    assert (caught.value.status, caught.value.retry_after) == (429, 3600)
    assert len(scripted.requests) == 1


@pytest.mark.parametrize("failure", ["error event", "end", "cut", "status"])
async def test_a_stream_is_repeated_before_its_first_token(
    scripted: ScriptedServer, provider: HttpProvider, failure: str
) -> None:
    start = TEXT.partition(b"event: content_block_delta")[0]
    if failure == "error event":
        add_random_splits(
            scripted, start + b'data: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'
        )
    elif failure == "status":
        scripted.add_response(OVERLOADED, "529 Overloaded")
    else:
        add_random_splits(scripted, start, 0.05, Action.CLOSE if failure == "cut" else LAST_CHUNK)
    add_random_splits(scripted, TEXT)
    chunks, usage, error = await stream_all(provider, call())
    assert error is None
    assert "".join(made.text for made in chunks) == "Hello! é"
    assert usage.generation_tokens == 15
    assert len(scripted.requests) == 2


async def test_a_stream_is_not_repeated_after_its_first_token(scripted: ScriptedServer, provider: HttpProvider) -> None:
    start = TEXT.partition(b"event: content_block_stop")[0]
    add_random_splits(scripted, start, 0.05, Action.CLOSE)
    chunks, _, error = await stream_all(provider, call())
    assert "".join(made.text for made in chunks) == "Hello! é"
    assert error is not None
    assert len(scripted.requests) == 1


async def test_a_token_on_the_fast_path_is_a_first_token(scripted: ScriptedServer, provider: HttpProvider) -> None:
    """A chunk that the callback took cannot be taken back."""
    start = TEXT.partition(b"event: content_block_stop")[0]
    pieces = [part + b"\n\n" for part in start.split(b"\n\n") if part]
    scripted.add_script(STREAM_HEAD, *(step for piece in pieces for step in (http_chunk(piece), 0.05)), Action.CLOSE)
    taken: list[str] = []

    def on_batch(batch: list[ProviderChunk]) -> bool:
        taken.extend(made.text for made in batch)
        return True

    async with provider.stream(call()) as stream:
        stream.on_batch = on_batch
        chunks, error = await drain(stream)
    assert "".join(taken) + "".join(made.text for made in chunks) == "Hello! é"
    assert taken, "the fast path was not used"
    assert error is not None
    assert len(scripted.requests) == 1


async def test_cancelling_ends_the_wait_for_the_next_attempt(scripted: ScriptedServer, provider: HttpProvider) -> None:
    scripted.add_response(OVERLOADED, "429 Too Many", {"Retry-After": "60"})
    task = asyncio.create_task(provider.generate(call()))
    while not scripted.requests:  # noqa: ASYNC110 - the script has no event for the arrival of a request
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    task.cancel()
    async with asyncio.timeout(1):
        await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.parametrize("script", ["echoed key", "malformed", "cut", "unreachable"])
async def test_no_exception_contains_the_key(scripted: ScriptedServer, script: str) -> None:
    """Neither the error nor an exception behind it, nor their arguments."""
    secret = "sk-proj-very-secret-0123456789"
    url = "http://127.0.0.1:9/v1" if script == "unreachable" else f"{scripted.url}/v1"
    provider = OpenAIProvider(url, secret)
    if script == "echoed key":
        scripted.add_response({"error": {"message": f"wrong key {secret}"}}, "401 Unauthorized")
    elif script == "malformed":
        scripted.add_response(f'{{"choices": "{secret}"}}'.encode())
    elif script == "cut":
        scripted.add_script(Action.CLOSE)
    with pytest.raises(ProviderError) as caught:
        await provider.generate(call())
    seen: list[str] = []
    exc: BaseException | None = caught.value
    while exc is not None:
        seen += [str(exc), repr(exc), repr(exc.args), repr(vars(exc))]
        exc = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    assert secret not in "".join(seen)
    assert secret not in str(provider.request_body(call()))
    await provider.aclose()
