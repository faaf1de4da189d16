"""The OpenAI adapter against a server that plays scripts over loopback."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from humanloop_async.server.providers import http_provider
from humanloop_async.server.providers.base import ProviderCall, ProviderChunk, ProviderError, ProviderStream
from humanloop_async.server.providers.openai import CompatibleProvider, OpenAIProvider
from humanloop_async.server.providers.settings import CompatibleServer
from humanloop_async.types import ChatMessage, ProviderApiKeys

KEY = "sk-server-0123456789"
HELLO = [ChatMessage(role="user", content="hi")]


def call(**fields: Any) -> ProviderCall:
    return ProviderCall(**{"provider": "openai", "model": "gpt-4o", "messages": HELLO, **fields})


def text(index: int, content: str, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": content}, "finish_reason": finish}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}
ANSWER = {"choices": [{"index": 0, "message": {"content": "hello"}, "finish_reason": "stop"}], "usage": USAGE["usage"]}


@pytest.fixture
async def provider(scripted: Any) -> Any:
    made = OpenAIProvider(scripted.url, KEY)
    yield made
    await made.aclose()


async def drain(stream: ProviderStream) -> tuple[list[ProviderChunk], ProviderError | None]:
    """All chunks, and the error that ended them."""
    chunks: list[ProviderChunk] = []
    try:
        async for batch in stream:
            assert batch, "a batch is never empty"
            chunks += batch
    except ProviderError as error:
        return chunks, error
    return chunks, None


@pytest.mark.parametrize("size", [0, 1, 7])
async def test_a_stream_is_read_however_it_is_cut(scripted: Any, provider: OpenAIProvider, size: int) -> None:
    """Two samples, mixed, in one read or byte by byte; usage at the end."""
    events = [text(0, "é"), text(1, "b"), text(0, "", "stop"), text(1, "!", "length"), USAGE]
    scripted.streams(*events, size=size)
    async with provider.stream(call(num_samples=2)) as stream:
        chunks, error = await drain(stream)
        assert error is None
        assert [(chunk.index, chunk.text, chunk.finish_reason) for chunk in chunks] == [
            (0, "é", None),
            (1, "b", None),
            (0, "", "stop"),
            (1, "!", "length"),
        ]
        assert [json.loads(chunk.raw) for chunk in chunks] == events[:4]
        assert stream.usage is not None
        assert stream.usage.total_tokens == 7
    (request,) = scripted.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body["stream"] is True
    assert request.body["stream_options"] == {"include_usage": True}
    assert request.body["n"] == 2


async def test_all_of_one_read_comes_in_one_batch(scripted: Any, provider: OpenAIProvider) -> None:
    """The server forwards it in one hop."""
    scripted.streams(*(text(0, str(n)) for n in range(20)), text(0, "", "stop"))
    async with provider.stream(call()) as stream:
        assert [len(batch) async for batch in stream] == [21]


async def test_a_stream_read_to_its_end_leaves_its_connection_to_the_next(scripted: Any, provider: Any) -> None:
    """Three streams, one connection; one that is left early takes its connection along."""
    for _ in range(3):
        scripted.streams(text(0, "a", "stop"))
        async with provider.stream(call()) as stream:
            await drain(stream)
    assert scripted.connections == 1
    scripted.add_script(b"HTTP/1.1 200 OK\r\n\r\n", "hang")
    async with provider.stream(call()):
        pass
    scripted.add_response(ANSWER)
    await provider.generate(call())
    assert scripted.connections == 2


async def test_generating_returns_samples_usage_and_the_raw_answer(scripted: Any, provider: Any) -> None:
    """Not streamed: one request, one raw response."""
    scripted.add_response(ANSWER)
    reply = await provider.generate(call())
    assert [(sample.index, sample.text, sample.finish_reason) for sample in reply.samples] == [(0, "hello", "stop")]
    assert reply.usage.total_tokens == 7
    assert reply.responses == [ANSWER]
    assert "stream" not in scripted.requests[0].body
    assert scripted.requests[0].body == provider.request_body(call())


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gpt-3.5-turbo-instruct-0914", "/v1/completions"),
        ("text-davinci-003", "/v1/completions"),
        ("ft:davinci-002:us::1", "/v1/completions"),
        ("gpt-4o", "/v1/chat/completions"),
        ("o3", "/v1/chat/completions"),
    ],
)
async def test_legacy_models_get_the_prompt_as_it_is(scripted: Any, provider: Any, model: str, path: str) -> None:
    """Others get it as a message of the user. A legacy model gets a limit, as its default is 16 tokens."""
    scripted.streams({"choices": [{"index": 0, "text": "x", "delta": {}, "finish_reason": "stop"}]})
    async with provider.stream(call(endpoint="complete", prompt="Once", model=model)) as stream:
        chunks, error = await drain(stream)
    assert error is None
    assert chunks[0].text == "x"
    body = scripted.requests[0].body
    assert scripted.requests[0].path == path
    assert body.get("prompt") == ("Once" if path == "/v1/completions" else None)
    assert body.get("max_tokens", 0) > 1000 if path == "/v1/completions" else "max_tokens" not in body


async def test_keys_of_the_request_win_and_a_missing_key_says_what_to_do(scripted: Any) -> None:
    """401 in the provider's name, before anything is sent."""
    provider = OpenAIProvider(scripted.url)
    scripted.add_response(ANSWER)
    await provider.generate(call(keys=ProviderApiKeys(openai="sk-own")))
    assert scripted.requests[0].headers["authorization"] == "Bearer sk-own"
    injected = ProviderApiKeys(openai="sk-bad\r\nX-Other: 1")
    for keys, words in ((ProviderApiKeys(), "OPENAI_API_KEY.*provider_api_keys.openai"), (injected, "characters")):
        with pytest.raises(ProviderError, match=words) as caught:
            await provider.generate(call(keys=keys))
        assert (caught.value.status, caught.value.origin) == (401, "OpenAI")
        assert "sk-bad" not in str(caught.value)
    assert len(scripted.requests) == 1
    await provider.aclose()


@pytest.mark.parametrize(
    ("status", "mapped"),
    [
        ("400 Bad Request", 422),
        ("401 Unauthorized", 401),
        ("403 Forbidden", 401),
        ("404 Not Found", 404),
        ("422 Unprocessable", 422),
        ("429 Too Many Requests", 429),
        ("500 Internal Server Error", 503),
        ("503 Service Unavailable", 503),
        ("302 Found", 503),
    ],
)
async def test_refusals_are_mapped_with_the_providers_words(
    scripted: Any, provider: Any, status: str, mapped: int
) -> None:
    """Streamed or not; raised on entering the stream; with the wait that was asked for, and without keys."""
    body = {"error": {"message": f"No, not with {KEY} nor sk-se****6789", "type": "x"}}
    for refused in (provider.generate(call()), provider.stream(call()).__aenter__()):
        scripted.add_response(body, status, ["Retry-After: 7"])
        with pytest.raises(ProviderError) as caught:
            await refused
        error = caught.value
        assert (error.status, error.origin, error.retry_after) == (mapped, "OpenAI", 7)
        requested = f" (requested {scripted.url}/chat/completions)" if mapped == 404 else ""
        assert error.message == f"No, not with ... nor ...{requested}"


async def test_a_refusal_without_words_has_some(scripted: Any, provider: Any) -> None:
    """The status line stands in."""
    scripted.add_response(b"", "502 Bad Gateway")
    with pytest.raises(ProviderError, match="Bad Gateway"):
        await provider.generate(call())


@pytest.mark.parametrize(
    ("tail", "status", "words"),
    [
        pytest.param([{"error": {"message": "overloaded", "code": 429}}], 429, "overloaded", id="error event"),
        pytest.param([{"error": {"message": "server"}}, text(0, "late")], 503, "server", id="nothing after an error"),
        pytest.param([], 503, "before sample 0, 1 had a finish reason", id="the end"),
        pytest.param([text(1, "", "stop")], 503, "before sample 0 had a finish reason", id="one unfinished"),
        pytest.param(["surprise"], 503, "not as documented", id="not an event"),
    ],
)
@pytest.mark.parametrize("size", [0, 5])
async def test_what_came_whole_comes_before_the_error(
    scripted: Any, provider: Any, tail: list[Any], status: int, words: str, size: int
) -> None:
    """A stream that goes wrong midway delivers its chunks first, and makes up no finish reason."""
    scripted.streams(text(0, "a"), text(1, "b"), *tail, size=size)
    async with provider.stream(call(num_samples=2)) as stream:
        chunks, error = await drain(stream)
    assert [chunk.text for chunk in chunks[:2]] == ["a", "b"]
    assert "late" not in [chunk.text for chunk in chunks]
    assert error is not None
    assert error.status == status
    assert words in error.message


@pytest.mark.parametrize("end", ["cut", "0\r\n\r\n"])
async def test_a_cut_is_an_error_unless_every_sample_is_whole(scripted: Any, provider: Any, end: str) -> None:
    """A reset or an early end; after the last finish reason only the usage is missing, and that is no error."""
    tail = end if end == "cut" else end.encode()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    one = b"data: %b\n\n" % json.dumps(text(0, "a")).encode()
    scripted.add_script(head, chunked(one + b"data: {"), 0.05, tail)
    async with provider.stream(call()) as stream:
        chunks, error = await drain(stream)
    assert [chunk.text for chunk in chunks] == ["a"]
    assert error is not None
    assert error.status == 503
    scripted.add_script(head, chunked(b"data: %b\n\n" % json.dumps(text(0, "a", "stop")).encode()), 0.05, tail)
    async with provider.stream(call()) as stream:
        chunks, error = await drain(stream)
        assert stream.usage is None
    assert [chunk.finish_reason for chunk in chunks] == ["stop"]
    assert error is None


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def test_an_endless_event_is_an_error(scripted: Any, provider: Any) -> None:
    """What came before it is delivered; memory stays bounded."""
    one = b"data: %b\n\n" % json.dumps(text(0, "a")).encode()
    scripted.add_script(b"HTTP/1.1 200 OK\r\n\r\n", one, b"data: " + b"x" * 17 * 1024 * 1024, "hang")
    async with provider.stream(call()) as stream:
        chunks, error = await drain(stream)
    assert [chunk.text for chunk in chunks] == ["a"]
    assert error is not None
    assert (error.status, "larger than" in error.message) == (503, True)


async def test_silence_ends_in_an_error(scripted: Any, provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before an answer and inside one; a dead provider does not hold a call for ever."""
    monkeypatch.setattr(http_provider, "RESPONSE_TIMEOUT", 0.2)
    monkeypatch.setattr(http_provider, "IDLE_TIMEOUT", 0.2)
    scripted.add_script("hang")
    with pytest.raises(ProviderError, match="no response within"):
        await provider.generate(call())
    scripted.streams(text(0, "a"), done=False, end="hang")
    async with provider.stream(call()) as stream:
        chunks, error = await drain(stream)
    assert len(chunks) == 1
    assert error is not None
    assert (error.status, error.message) == (503, "no data for 0.2 seconds within a response")


@pytest.mark.parametrize("how", ["break", "cancel"])
async def test_leaving_closes_the_connection_within_a_second(scripted: Any, provider: Any, how: str) -> None:
    """The provider must not go on generating for nobody."""
    scripted.streams(text(0, "a"), done=False, end="hang")
    reading = asyncio.Event()

    async def read() -> None:
        async with provider.stream(call()) as stream:
            async for _ in stream:
                reading.set()
                if how == "break":
                    break

    task = asyncio.create_task(read())
    await asyncio.wait_for(reading.wait(), 10)
    if how == "cancel":
        task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() == (how == "cancel")
    await asyncio.wait_for(scripted.left.wait(), 10)


async def test_cancelling_a_call_that_is_not_streamed_closes_its_connection(scripted: Any, provider: Any) -> None:
    """Also while nothing has been answered yet."""
    scripted.add_script("hang")
    task = asyncio.create_task(provider.generate(call()))
    while not scripted.requests:  # noqa: ASYNC110 - the script has no event for "arrived"
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait_for(scripted.left.wait(), 10)
    assert (await asyncio.wait([task]))[0]


async def test_a_kept_connection_that_died_is_replaced_once(scripted: Any, provider: Any) -> None:
    """A reused connection that breaks before any byte is tried again on a new one; a second break is an error."""
    scripted.add_response(ANSWER)
    await provider.generate(call())
    scripted.add_script("cut")
    scripted.add_response(ANSWER)
    assert (await provider.generate(call())).samples[0].text == "hello"
    scripted.add_script("cut")
    scripted.add_script("cut")
    with pytest.raises(ProviderError) as caught:
        await provider.generate(call())
    assert caught.value.status == 503
    assert len(scripted.requests) == 5


async def test_a_first_connection_that_breaks_is_not_tried_again(scripted: Any, provider: Any) -> None:
    """The provider may have begun to generate, and to charge."""
    scripted.add_script("cut")
    with pytest.raises(ProviderError):
        await provider.generate(call())
    assert len(scripted.requests) == 1


async def test_nobody_listening_is_a_503() -> None:
    """The message says why, and not where: addresses are the operator's, and may hold credentials."""
    provider = OpenAIProvider("http://127.0.0.1:9/v1", KEY)
    with pytest.raises(ProviderError) as caught:
        await provider.generate(call())
    assert (caught.value.status, caught.value.origin) == (503, "OpenAI")
    assert caught.value.message == "cannot reach the provider: Connection refused"
    await provider.aclose()


# Servers that are compatible


@pytest.fixture
async def ollama(scripted: Any) -> Any:
    made = CompatibleProvider("ollama", CompatibleServer(base_url=scripted.url))
    yield made
    await made.aclose()


async def test_samples_beyond_what_a_server_makes_at_once_are_several_calls(scripted: Any, ollama: Any) -> None:
    """Three calls of one sample: indexes, seeds and usage come out as of one call with three."""
    for word in "abc":
        scripted.streams(text(0, word), text(0, word, "stop"), USAGE)
    async with ollama.stream(call(num_samples=3, seed=5)) as stream:
        chunks, error = await drain(stream)
        assert error is None
        assert stream.usage.generation_tokens == 12
    whole = {index: "".join(chunk.text for chunk in chunks if chunk.index == index) for index in range(3)}
    assert sorted(whole.values()) == ["aa", "bb", "cc"]
    assert sorted(request.body["seed"] for request in scripted.requests) == [5, 6, 7]
    assert all("n" not in request.body and "authorization" not in request.headers for request in scripted.requests)
    for _ in range(2):
        scripted.add_response(ANSWER)
    reply = await ollama.generate(call(num_samples=2))
    assert [(sample.index, sample.text) for sample in reply.samples] == [(0, "hello"), (1, "hello")]
    assert reply.responses == [ANSWER, ANSWER]


async def test_one_of_several_calls_that_fails_ends_the_others(scripted: Any, ollama: Any) -> None:
    """The chunks of the others that came whole are delivered; their connections are closed."""
    scripted.streams(text(0, "a"), done=False, end="hang")
    scripted.add_response({"error": "no room"}, "429 Too Many Requests")
    async with asyncio.timeout(10):
        try:
            async with ollama.stream(call(num_samples=2)) as stream:
                _, error = await drain(stream)
        except ProviderError as refused:
            error = refused
        assert error is not None
        assert (error.status, error.message, error.origin) == (429, "no room", "ollama")
        await scripted.left.wait()


async def test_leaving_closes_all_of_several_calls(scripted: Any, ollama: Any) -> None:
    """None goes on for nobody."""
    for _ in range(2):
        scripted.streams(text(0, "a"), done=False, end="hang")
    async with ollama.stream(call(num_samples=2)) as stream:
        await anext(aiter(stream))
    await asyncio.wait_for(scripted.left.wait(), 10)


async def test_a_server_with_completions_gets_prompts_of_any_model(scripted: Any) -> None:
    """A setting, as the model's name tells nothing there."""
    server = CompatibleServer(base_url=scripted.url, completions=True, api_key="gw-key", max_n=4)
    gateway = CompatibleProvider("gateway", server)
    events = [{"choices": [{"index": index, "text": "x", "finish_reason": "stop"}]} for index in range(3)]
    scripted.streams(*events)
    made = call(endpoint="complete", prompt="Once", model="llama", num_samples=3, suffix=".", keys=ProviderApiKeys())
    async with gateway.stream(made) as stream:
        chunks, error = await drain(stream)
    assert error is None
    assert len(chunks) == 3
    (request,) = scripted.requests
    assert request.path == "/v1/completions"
    assert request.headers["authorization"] == "Bearer gw-key"
    assert (request.body["prompt"], request.body["n"], request.body["suffix"]) == ("Once", 3, ".")
    await gateway.aclose()


async def test_a_requests_openai_key_goes_to_openai_only(scripted: Any, ollama: Any) -> None:
    """A key for one provider is never shown to another."""
    scripted.add_response(ANSWER)
    await ollama.generate(call(keys=ProviderApiKeys(openai="sk-own")))
    assert "authorization" not in scripted.requests[0].headers
