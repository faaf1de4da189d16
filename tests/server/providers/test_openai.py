"""OpenAI and OpenAI-compatible providers, against a server on loopback that sends scripted bytes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from humanloop_async.server.providers import http_provider
from humanloop_async.server.providers.base import ProviderCall, ProviderChunk, ProviderError, ProviderStream
from humanloop_async.server.providers.openai import CompatibleProvider, OpenAIProvider
from humanloop_async.server.providers.settings import CompatibleServer
from humanloop_async.testing import LAST_CHUNK, Action, ScriptedServer, Step, http_chunk
from humanloop_async.types import ChatMessage, ProviderApiKeys
from tests.events import DONE

KEY = "sk-server-0123456789"
HELLO = [ChatMessage(role="user", content="hi")]


def call(**fields: Any) -> ProviderCall:
    return ProviderCall(**{"provider": "openai", "model": "gpt-4o", "messages": HELLO, **fields})


def text(index: int, content: str, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": content}, "finish_reason": finish}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}
RESPONSE = {
    "choices": [{"index": 0, "message": {"content": "hello"}, "finish_reason": "stop"}],
    "usage": USAGE["usage"],
}


@pytest.fixture
async def provider(scripted: ScriptedServer) -> Any:
    made = OpenAIProvider(f"{scripted.url}/v1", KEY)
    yield made
    await made.aclose()


async def drain(stream: ProviderStream) -> tuple[list[ProviderChunk], ProviderError | None]:
    """Return all chunks, and the error that ended them."""
    chunks: list[ProviderChunk] = []
    try:
        async for batch in stream:
            assert batch, "a batch is never empty"
            chunks += batch
    except ProviderError as error:
        return chunks, error
    return chunks, None


@pytest.mark.parametrize("size", [100_000, 1, 7])
async def test_a_stream_is_read_however_it_is_cut(
    scripted: ScriptedServer, provider: OpenAIProvider, size: int
) -> None:
    """Two samples, in turn, in one read or byte by byte; the usage at the end."""
    events = [text(0, "é"), text(1, "b"), text(0, "", "stop"), text(1, "!", "length"), USAGE]
    scripted.add_stream(*events, DONE, size=size)
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
    assert request.json["stream"] is True
    assert request.json["stream_options"] == {"include_usage": True}
    assert request.json["n"] == 2


async def test_all_of_one_read_comes_in_one_batch(scripted: ScriptedServer, provider: OpenAIProvider) -> None:
    """So the server forwards them with one write."""
    scripted.add_stream(*(text(0, str(n)) for n in range(20)), text(0, "", "stop"), DONE)
    async with provider.stream(call()) as stream:
        assert [len(batch) async for batch in stream] == [21]


async def test_a_stream_read_to_its_end_leaves_its_connection_to_the_next(
    scripted: ScriptedServer, provider: Any
) -> None:
    """Three streams use one connection; a stream that is left early closes its connection."""
    for _ in range(3):
        scripted.add_stream(text(0, "a", "stop"), DONE)
        async with provider.stream(call()) as stream:
            await drain(stream)
    assert scripted.connections == 1
    scripted.add_script(b"HTTP/1.1 200 OK\r\n\r\n", Action.WAIT)
    async with provider.stream(call()):
        pass
    scripted.add_response(RESPONSE)
    await provider.generate(call())
    assert scripted.connections == 2


async def test_generating_returns_samples_usage_and_the_raw_response(scripted: ScriptedServer, provider: Any) -> None:
    scripted.add_response(RESPONSE)
    reply = await provider.generate(call())
    assert [(sample.index, sample.text, sample.finish_reason) for sample in reply.samples] == [(0, "hello", "stop")]
    assert reply.usage.total_tokens == 7
    assert reply.responses == [RESPONSE]
    assert "stream" not in scripted.requests[0].json
    assert scripted.requests[0].json == provider.request_body(call())


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
async def test_legacy_models_get_the_prompt_as_it_is(
    scripted: ScriptedServer, provider: Any, model: str, path: str
) -> None:
    """Others get a user message. A legacy model gets a limit, because its default is 16 tokens."""
    scripted.add_stream({"choices": [{"index": 0, "text": "x", "delta": {}, "finish_reason": "stop"}]}, DONE)
    async with provider.stream(call(endpoint="complete", prompt="Once", model=model)) as stream:
        chunks, error = await drain(stream)
    assert error is None
    assert chunks[0].text == "x"
    body = scripted.requests[0].json
    assert scripted.requests[0].path == path
    assert body.get("prompt") == ("Once" if path == "/v1/completions" else None)
    assert body.get("max_tokens", 0) > 1000 if path == "/v1/completions" else "max_tokens" not in body


async def test_keys_of_the_request_win_and_a_missing_key_says_what_to_do(scripted: ScriptedServer) -> None:
    """The error is a 401 of the provider, and no request is sent."""
    provider = OpenAIProvider(f"{scripted.url}/v1")
    scripted.add_response(RESPONSE)
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
    scripted: ScriptedServer, provider: Any, status: str, mapped: int
) -> None:
    """Streamed or not, with the requested delay and without keys."""
    body = {"error": {"message": f"No, not with {KEY} nor sk-se****6789", "type": "x"}}
    for refused in (provider.generate(call()), provider.stream(call()).__aenter__()):
        scripted.add_response(body, status, {"Retry-After": "7"})
        with pytest.raises(ProviderError) as caught:
            await refused
        error = caught.value
        assert (error.status, error.origin, error.retry_after) == (mapped, "OpenAI", 7)
        requested = f" (requested {scripted.url}/v1/chat/completions)" if mapped == 404 else ""
        assert error.message == f"No, not with ... nor ...{requested}"


async def test_a_refusal_without_words_has_some(scripted: ScriptedServer, provider: Any) -> None:
    """The reason phrase is the message."""
    scripted.add_response(b"", "502 Bad Gateway")
    with pytest.raises(ProviderError, match="Bad Gateway"):
        await provider.generate(call())


@pytest.mark.parametrize(
    ("tail", "status", "words"),
    [
        pytest.param([{"error": {"message": "overloaded", "code": 429}}], 429, "overloaded", id="error event"),
        pytest.param([{"error": {"message": "server"}}, text(0, "late")], 503, "server", id="nothing after an error"),
        pytest.param(["END"], 503, "before sample 0, 1 had a finish reason", id="the end"),
        pytest.param([text(1, "", "stop"), "END"], 503, "before sample 0 had a finish reason", id="one unfinished"),
        pytest.param(["surprise"], 503, "not as documented", id="not an event"),
    ],
)
@pytest.mark.parametrize("size", [100_000, 5])
async def test_what_came_whole_comes_before_the_error(
    scripted: ScriptedServer, provider: Any, tail: list[Any], status: int, words: str, size: int
) -> None:
    """A stream that fails in the middle delivers its chunks first, and invents no finish reason."""
    is_end = tail[-1:] == ["END"]  # without [DONE], which declares the text complete
    scripted.add_stream(text(0, "a"), text(1, "b"), *(tail[:-1] if is_end else [*tail, DONE]), size=size)
    async with provider.stream(call(num_samples=2)) as stream:
        chunks, error = await drain(stream)
    assert [chunk.text for chunk in chunks[:2]] == ["a", "b"]
    assert "late" not in [chunk.text for chunk in chunks]
    assert error is not None
    assert error.status == status
    assert words in error.message


@pytest.mark.parametrize("end", [Action.CLOSE, LAST_CHUNK])
async def test_a_cut_is_an_error_unless_every_sample_is_whole(
    scripted: ScriptedServer, provider: Any, end: Step
) -> None:
    """After the last finish reason only the usage can be missing, and that is no error."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    one = b"data: %b\n\n" % json.dumps(text(0, "a")).encode()
    scripted.add_script(head, http_chunk(one + b"data: {"), 0.05, end)
    async with provider.stream(call()) as stream:
        chunks, error = await drain(stream)
    assert [chunk.text for chunk in chunks] == ["a"]
    assert error is not None
    assert error.status == 503
    whole = b"data: %b\n\n" % json.dumps(text(0, "a", "stop")).encode()
    scripted.add_script(head, http_chunk(whole), 0.05, end)
    async with provider.stream(call()) as stream:
        chunks, error = await drain(stream)
        assert stream.usage is None
    assert [chunk.finish_reason for chunk in chunks] == ["stop"]
    assert error is None


async def test_an_endless_event_is_an_error(scripted: ScriptedServer, provider: Any) -> None:
    """The chunks before it arrive; memory stays limited."""
    one = b"data: %b\n\n" % json.dumps(text(0, "a")).encode()
    scripted.add_script(b"HTTP/1.1 200 OK\r\n\r\n", one, b"data: " + b"x" * 17 * 1024 * 1024, Action.WAIT)
    async with provider.stream(call()) as stream:
        chunks, error = await drain(stream)
    assert [chunk.text for chunk in chunks] == ["a"]
    assert error is not None
    assert (error.status, "larger than" in error.message) == (503, True)


async def test_silence_ends_in_an_error(scripted: ScriptedServer, provider: Any) -> None:
    """Before a response and within one: a dead provider does not hold a call forever."""
    provider.response_timeout = provider.idle_timeout = 0.2
    scripted.add_script(Action.WAIT)
    with pytest.raises(ProviderError, match="no response within"):
        await provider.generate(call())
    scripted.add_stream(text(0, "a"), end=(Action.WAIT,))
    async with provider.stream(call()) as stream:
        chunks, error = await drain(stream)
    assert len(chunks) == 1
    assert error is not None
    assert (error.status, error.message) == (503, "no data for 0.2 seconds within a response")


@pytest.mark.parametrize("how", ["break", "cancel"])
async def test_leaving_closes_the_connection_within_a_second(scripted: ScriptedServer, provider: Any, how: str) -> None:
    """The provider stops generating when the client leaves."""
    scripted.add_stream(text(0, "a"), end=(Action.WAIT,))
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
    await asyncio.wait_for(scripted.client_left.wait(), 10)


async def test_cancelling_a_call_that_is_not_streamed_closes_its_connection(
    scripted: ScriptedServer, provider: Any
) -> None:
    """Also before the response begins."""
    scripted.add_script(Action.WAIT)
    task = asyncio.create_task(provider.generate(call()))
    while not scripted.requests:  # noqa: ASYNC110 - the script has no event for "arrived"
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait_for(scripted.client_left.wait(), 10)
    assert (await asyncio.wait([task]))[0]


async def test_a_kept_connection_that_died_is_replaced_once(scripted: ScriptedServer, provider: Any) -> None:
    """A request on a reused connection that breaks before the first byte is repeated once, on a new one."""
    scripted.add_response(RESPONSE)
    await provider.generate(call())
    scripted.add_script(Action.CLOSE)
    scripted.add_response(RESPONSE)
    assert (await provider.generate(call())).samples[0].text == "hello"
    scripted.add_script(Action.CLOSE)
    scripted.add_script(Action.CLOSE)
    with pytest.raises(ProviderError) as caught:
        await provider.generate(call())
    assert caught.value.status == 503
    assert len(scripted.requests) == 5


async def test_a_first_connection_that_breaks_is_not_tried_again(scripted: ScriptedServer, provider: Any) -> None:
    """The provider may have begun to generate, and to bill."""
    scripted.add_script(Action.CLOSE)
    with pytest.raises(ProviderError):
        await provider.generate(call())
    assert len(scripted.requests) == 1


async def test_nobody_listening_is_a_503() -> None:
    """The message has the reason, and no address: the base URL may contain credentials."""
    provider = OpenAIProvider("http://127.0.0.1:9/v1", KEY)
    with pytest.raises(ProviderError) as caught:
        await provider.generate(call())
    assert (caught.value.status, caught.value.origin) == (503, "OpenAI")
    assert caught.value.message == "cannot reach the provider: Connection refused"
    await provider.aclose()


# Servers that are compatible


@pytest.fixture
async def ollama(scripted: ScriptedServer) -> Any:
    made = CompatibleProvider("ollama", CompatibleServer(base_url=f"{scripted.url}/v1"))
    yield made
    await made.aclose()


async def test_samples_beyond_what_a_server_makes_at_once_are_several_calls(
    scripted: ScriptedServer, ollama: Any
) -> None:
    """Three requests for one sample have the indexes, seeds and usage of one request for three."""
    for word in "abc":
        scripted.add_stream(text(0, word), text(0, word, "stop"), USAGE, DONE)
    async with ollama.stream(call(num_samples=3, seed=5)) as stream:
        chunks, error = await drain(stream)
        assert error is None
        assert stream.usage.generation_tokens == 12
    whole = {index: "".join(chunk.text for chunk in chunks if chunk.index == index) for index in range(3)}
    assert sorted(whole.values()) == ["aa", "bb", "cc"]
    assert sorted(request.json["seed"] for request in scripted.requests) == [5, 6, 7]
    assert all("n" not in request.json and "authorization" not in request.headers for request in scripted.requests)
    for _ in range(2):
        scripted.add_response(RESPONSE)
    reply = await ollama.generate(call(num_samples=2))
    assert [(sample.index, sample.text) for sample in reply.samples] == [(0, "hello"), (1, "hello")]
    assert reply.responses == [RESPONSE, RESPONSE]


async def test_one_of_several_calls_that_fails_ends_the_others(scripted: ScriptedServer, ollama: Any) -> None:
    """The chunks of the others arrive; their connections are closed."""
    scripted.add_stream(text(0, "a"), end=(Action.WAIT,))
    scripted.add_response({"error": "no room"}, "429 Too Many Requests")
    async with asyncio.timeout(10):
        try:
            async with ollama.stream(call(num_samples=2)) as stream:
                _, error = await drain(stream)
        except ProviderError as refused:
            error = refused
        assert error is not None
        assert (error.status, error.message, error.origin) == (429, "no room", "ollama")
        await scripted.client_left.wait()


async def test_leaving_closes_all_of_several_calls(scripted: ScriptedServer, ollama: Any) -> None:
    """Every one of the connections is closed."""
    for _ in range(2):
        scripted.add_stream(text(0, "a"), end=(Action.WAIT,))
    async with ollama.stream(call(num_samples=2)) as stream:
        await anext(aiter(stream))
    await asyncio.wait_for(scripted.client_left.wait(), 10)


async def test_a_server_with_completions_gets_prompts_of_any_model(scripted: ScriptedServer) -> None:
    """The setting decides, because a model's name says nothing there."""
    server = CompatibleServer(base_url=f"{scripted.url}/v1", completions=True, api_key="gw-key", max_n=4)
    gateway = CompatibleProvider("gateway", server)
    events = [{"choices": [{"index": index, "text": "x", "finish_reason": "stop"}]} for index in range(3)]
    scripted.add_stream(*events, DONE)
    made = call(endpoint="complete", prompt="Once", model="llama", num_samples=3, suffix=".", keys=ProviderApiKeys())
    async with gateway.stream(made) as stream:
        chunks, error = await drain(stream)
    assert error is None
    assert len(chunks) == 3
    (request,) = scripted.requests
    assert request.path == "/v1/completions"
    assert request.headers["authorization"] == "Bearer gw-key"
    assert (request.json["prompt"], request.json["n"], request.json["suffix"]) == ("Once", 3, ".")
    await gateway.aclose()


async def test_a_requests_openai_key_goes_to_openai_only(scripted: ScriptedServer, ollama: Any) -> None:
    """No provider gets the key of another one."""
    scripted.add_response(RESPONSE)
    await ollama.generate(call(keys=ProviderApiKeys(openai="sk-own")))
    assert "authorization" not in scripted.requests[0].headers


# Responses that are not as documented


@pytest.mark.parametrize("address", ["http://a..b/v1", "http://user:pa55@127.0.0.1:9/v1"])
async def test_an_unusable_base_url_is_a_503(address: str) -> None:
    provider = OpenAIProvider(address, KEY)
    for failing in (provider.generate(call()), provider.stream(call()).__aenter__()):
        with pytest.raises(ProviderError) as caught:
            await failing
        assert caught.value.status == 503
        assert "a..b" not in caught.value.message
        assert "pa55" not in caught.value.message
    await provider.aclose()


SECRET = "gsk_0123456789abcdef"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + f"{SECRET:>40}".encode()], id="no JSON"),
        pytest.param(
            [b"HTTP/1.1 400 X\r\nContent-Length: 2100\r\n\r\n" + b"x" * 1990 + f"{SECRET:<110}".encode()], id="cut"
        ),
        pytest.param([b"HTTP/1.1 200 OK\r\nAuthorization " + SECRET.encode() + b"\r\n\r\n", Action.CLOSE], id="header"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", SECRET.encode(), Action.CLOSE], id="chunk"
        ),
    ],
)
async def test_no_error_contains_the_servers_key(scripted: ScriptedServer, script: list[Any]) -> None:
    """Neither in full nor its beginning."""
    provider = OpenAIProvider(f"{scripted.url}/v1", SECRET)
    for streamed in (False, True):
        scripted.add_script(*script)
        if streamed:
            _, _, error = await stream_text(provider, call())
            assert error is not None
        else:
            with pytest.raises(ProviderError) as caught:
                await provider.generate(call())
            error = caught.value
        assert SECRET[:8] not in error.message
        assert "127.0.0.1" not in error.message
    await provider.aclose()


async def test_numbers_that_no_type_can_hold_are_null_in_the_raw_response(
    scripted: ScriptedServer, provider: Any
) -> None:
    for number in (b"1e999", b"9" * 5000, b"NaN"):
        scripted.add_response(json.dumps(RESPONSE).encode().replace(b"{", b'{"x":' + number + b",", 1))
        reply = await provider.generate(call())
        assert (reply.samples[0].text, reply.responses) == ("hello", [{"x": None, **RESPONSE}])


async def stream_text(provider: Any, made: ProviderCall) -> tuple[str, str | None, ProviderError | None]:
    """Return the text and the finish reason of a stream of one sample, and its error."""
    try:
        async with provider.stream(made) as stream:
            chunks, error = await drain(stream)
    except ProviderError as exc:
        return "", None, exc
    return "".join(chunk.text for chunk in chunks), chunks[-1].finish_reason if chunks else None, error


EVENTS = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in (text(0, "hel"), text(0, "lo", "stop")))


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", "text/html; charset=utf-8"])
@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        pytest.param(json.dumps(RESPONSE).encode(), None, "", id="a whole response"),
        pytest.param(b"\n\n \r\n" + json.dumps(RESPONSE, indent=1).encode(), None, "", id="after blanks"),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(RESPONSE).encode(), None, "", id="after a byte order mark"),
        pytest.param(EVENTS, None, "", id="events"),
        pytest.param(b"\n\n\n" + EVENTS, None, "", id="events after blank lines"),
        pytest.param(EVENTS.rstrip(), None, "", id="no blank line at the end"),
        pytest.param(EVENTS + b"data: [DONE]", None, "", id="[DONE] without a line end"),
        pytest.param(EVENTS.replace(b"\n\n", b"\n"), None, "", id="no blank lines"),
        pytest.param(EVENTS.replace(b"\n", b"\r\n"), None, "", id="CRLF"),
        pytest.param(b'{"error": {"message": "no quota", "code": 429}}', 429, "no quota", id="an error"),
        pytest.param(
            b'\n[{"error": {"message": "no quota", "code": "429"}}]', 429, "no quota", id="an error in a list"
        ),
        pytest.param(b'{"message": "no quota"}', 503, "no samples: no quota", id="a message"),
        pytest.param(b"<html><title>Bad Gateway</title></html>", 503, ": Bad Gateway", id="HTML"),
        pytest.param(b'{"choices": [', 503, "not as documented", id="cut"),
        pytest.param(b"\n \n", 503, "before sample 0 had", id="blanks alone"),
        pytest.param(b"", 503, "before sample 0 had", id="nothing"),
    ],
)
async def test_a_streamed_call_accepts_a_response_of_any_form(
    scripted: ScriptedServer, provider: Any, content_type: str, size: int, body: bytes, status: int | None, message: str
) -> None:
    """Whatever its content type says, and however it is cut."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)] if size else [body]
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    scripted.add_script(head.encode(), *(http_chunk(piece) for piece in pieces if piece), LAST_CHUNK)
    result, finish, error = await stream_text(provider, call())
    if status is None:
        assert (result, finish, error) == ("hello", "stop", None)
    else:
        assert error is not None
        assert error.status == status
        assert message in error.message


async def test_a_whole_response_to_a_streamed_call_has_its_usage_and_its_reasoning(
    scripted: ScriptedServer, provider: Any
) -> None:
    thinking = {"choices": [{"message": {"content": "hello", "reasoning": "hm"}, "finish_reason": "stop"}]}
    scripted.add_response(thinking | {"usage": USAGE["usage"]}, headers={"Content-Type": "application/json"})
    async with provider.stream(call()) as stream:
        (chunk,), error = await drain(stream)
        assert error is None
        assert (chunk.text, chunk.reasoning, stream.usage.total_tokens) == ("hello", "hm", 7)


async def test_events_in_place_of_a_whole_response_are_read(scripted: ScriptedServer, provider: Any) -> None:
    scripted.add_response(EVENTS, headers={"Content-Type": "text/event-stream"})
    reply = await provider.generate(call())
    assert [(sample.text, sample.finish_reason) for sample in reply.samples] == [("hello", "stop")]


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("late", [b'data: {"error": {"message": "late"}}\n\n', b"data: {oops\n\n", b"garbage"])
async def test_failures_after_the_last_sample_do_not_matter(
    scripted: ScriptedServer, provider: Any, size: int, late: bytes
) -> None:
    body = EVENTS + late
    pieces = [body[at : at + size] for at in range(0, len(body), size)] if size else [body]
    scripted.add_script(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *map(http_chunk, pieces), Action.CLOSE
    )
    assert await stream_text(provider, call()) == ("hello", "stop", None)


async def test_done_ends_a_sample_without_a_finish_reason(scripted: ScriptedServer, provider: Any) -> None:
    scripted.add_stream(text(0, "a"), DONE)
    assert await stream_text(provider, call()) == ("a", "unknown", None)


async def test_the_message_of_an_event_of_another_form_is_kept(scripted: ScriptedServer, provider: Any) -> None:
    scripted.add_response(b'event: error\ndata: {"message": "overloaded"}\n\n')
    _, _, error = await stream_text(provider, call())
    assert error is not None
    assert error.message.endswith("finish reason: overloaded")


async def test_a_response_without_an_end_is_an_error(
    scripted: ScriptedServer, provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although its events are small and add no text."""
    monkeypatch.setattr(http_provider, "MAX_RESPONSE_BYTES", 10_000)
    piece = {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "x" * 500}}]}}]}
    scripted.add_stream(text(0, "a"), *[piece] * 50, end=(Action.WAIT,), size=1000)
    result, _, error = await stream_text(provider, call())
    assert result == "a"
    assert error is not None
    assert (error.status, error.message) == (503, "a response above 10,000 bytes")


# Strict servers

UNKNOWN_FIELD = {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs"}]}
NO_MAX_TOKENS = {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}}
ONE_SAMPLE = {"error": {"message": "'n' : number must be at most 1"}}
BAD, UNPROCESSABLE = "400 Bad Request", "422 Unprocessable Entity"


async def test_rejected_stream_options_are_left_out_from_then_on(scripted: ScriptedServer, provider: Any) -> None:
    scripted.add_response(UNKNOWN_FIELD, UNPROCESSABLE)
    for _ in range(2):
        scripted.add_stream(text(0, "a", "stop"), DONE)
        assert await stream_text(provider, call()) == ("a", "stop", None)
    assert ["stream_options" in request.json for request in scripted.requests] == [True, False, False]
    assert all(request.json["stream"] for request in scripted.requests)


async def test_other_may_leave_stream_options_out(scripted: ScriptedServer, provider: Any) -> None:
    scripted.add_stream(text(0, "a", "stop"), DONE)
    scripted.add_stream(text(0, "a", "stop"), DONE)
    await stream_text(provider, call(other={"stream_options": None}))
    await stream_text(provider, call(other={"stream_options": {"include_usage": False}}))
    assert [request.json.get("stream_options") for request in scripted.requests] == [None, {"include_usage": False}]


async def test_a_rejected_limit_gets_its_other_name_from_then_on(scripted: ScriptedServer, provider: Any) -> None:
    """For this model; the echo of the request shows the name, too."""
    scripted.add_response(NO_MAX_TOKENS, BAD)
    for _ in range(2):
        scripted.add_response(RESPONSE)
        await provider.generate(call(max_tokens=9))
    sent = [
        (request.json.get("max_tokens"), request.json.get("max_completion_tokens")) for request in scripted.requests
    ]
    assert sent == [(9, None), (None, 9), (None, 9)]
    assert provider.request_body(call(max_tokens=9))["max_completion_tokens"] == 9
    assert provider.request_body(call(model="gpt-3.5-turbo", max_tokens=9))["max_tokens"] == 9


async def test_both_may_be_rejected_in_one_call(scripted: ScriptedServer, provider: Any) -> None:
    scripted.add_response(NO_MAX_TOKENS, BAD)
    scripted.add_response(UNKNOWN_FIELD, UNPROCESSABLE)
    scripted.add_stream(text(0, "a", "stop"), DONE)
    assert await stream_text(provider, call(max_tokens=9)) == ("a", "stop", None)
    assert scripted.requests[-1].json.keys() == {"model", "messages", "max_completion_tokens", "stream"}


async def test_a_limit_that_is_rejected_by_both_names_is_an_error(scripted: ScriptedServer, provider: Any) -> None:
    """The error is the first one, and nothing is remembered."""
    for _ in range(2):
        scripted.add_response(NO_MAX_TOKENS, BAD)
        scripted.add_response({"error": {"message": "unknown parameter max_completion_tokens"}}, BAD)
        with pytest.raises(ProviderError, match="Unsupported parameter") as caught:
            await provider.generate(call(max_tokens=9))
        assert caught.value.status == 422
    assert [*scripted.requests[2].json] == ["model", "messages", "max_tokens"]
    assert len(scripted.requests) == 4


async def test_an_error_about_something_else_is_raised_at_once(scripted: ScriptedServer, provider: Any) -> None:
    scripted.add_response({"error": {"message": "max_tokens is too large: 9"}}, BAD)
    with pytest.raises(ProviderError, match="too large"):
        await provider.generate(call(max_tokens=9))
    assert len(scripted.requests) == 1


@pytest.fixture
async def gateway(scripted: ScriptedServer) -> Any:
    made = CompatibleProvider("gateway", CompatibleServer(base_url=f"{scripted.url}/v1", max_n=8))
    yield made
    await made.aclose()


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_server_that_rejects_n_gets_one_request_per_sample(
    scripted: ScriptedServer, gateway: Any, streamed: bool
) -> None:
    scripted.add_response(ONE_SAMPLE, BAD)
    for _ in range(2):
        for word in "abc":
            add_sample(scripted, streamed, word)
        assert sorted((await samples_of(gateway, call(num_samples=3, seed=5), streamed)).values()) == ["a", "b", "c"]
    assert [request.json.get("n") for request in scripted.requests] == [3] + [None] * 6
    assert sorted(request.json["seed"] for request in scripted.requests[1:]) == [5, 5, 6, 6, 7, 7]


@pytest.mark.parametrize(("streamed", "index"), [(True, 0), (True, 1), (False, 0), (False, 1), (False, None)])
async def test_samples_that_did_not_come_back_are_requested_one_by_one(
    scripted: ScriptedServer, gateway: Any, streamed: bool, index: int | None
) -> None:
    """The usage is that of all requests."""
    add_sample(scripted, streamed, "first", index)
    for word in "ab":
        add_sample(scripted, streamed, word)
    found = await samples_of(gateway, call(num_samples=3), streamed)
    assert found.pop(index or 0) == "first"
    assert sorted(found.values()) == ["a", "b"]
    add_sample(scripted, streamed, "c")
    add_sample(scripted, streamed, "d")
    await samples_of(gateway, call(num_samples=2), streamed)
    assert [request.json.get("n") for request in scripted.requests] == [3, None, None, None, None]


async def test_leaving_a_stream_closes_the_requests_for_missing_samples(scripted: ScriptedServer, gateway: Any) -> None:
    add_sample(scripted, True, "first")
    scripted.add_stream(text(0, "a"), end=(Action.WAIT,))
    async with gateway.stream(call(num_samples=2)) as stream:
        batches = aiter(stream)
        assert [chunk.text for chunk in await anext(batches)] == ["first"]
        assert [chunk.text for chunk in await anext(batches)] == ["a"]
    await asyncio.wait_for(scripted.client_left.wait(), 10)


def add_sample(scripted: ScriptedServer, streamed: bool, content: str, index: int | None = 0) -> None:
    if streamed:
        assert index is not None
        scripted.add_stream(text(index, content, "stop"), USAGE, DONE)
    else:
        choice = {"index": index, "message": {"content": content}, "finish_reason": "stop"}
        scripted.add_response(USAGE | {"choices": [choice]})


async def samples_of(provider: Any, made: ProviderCall, streamed: bool) -> dict[int, str]:
    """Return the text of each sample, after checking the usage."""
    if streamed:
        async with provider.stream(made) as stream:
            chunks, error = await drain(stream)
            assert error is None
            usage, found = stream.usage, {chunk.index: chunk.text for chunk in chunks}
    else:
        reply = await provider.generate(made)
        assert [sample.index for sample in reply.samples] == list(range(made.num_samples))
        usage, found = reply.usage, {sample.index: sample.text for sample in reply.samples}
    assert usage.generation_tokens == 4 * made.num_samples
    return found


# Legacy completions


@pytest.mark.parametrize("fields", [{"suffix": "."}, {"logprobs": 2}, {"suffix": "", "logprobs": 0}])
@pytest.mark.parametrize("streamed", [True, False])
async def test_suffix_and_logprobs_go_to_legacy_completions(
    scripted: ScriptedServer, provider: Any, ollama: Any, fields: dict[str, Any], streamed: bool
) -> None:
    """For every model that is not known to be a chat model only, also on a compatible server."""
    made = call(endpoint="complete", prompt="Once", model="model_example", messages=[], **fields)
    for target in (provider, ollama):
        choice = {"index": 0, "text": "x", "finish_reason": "stop"}
        if streamed:
            scripted.add_stream({"choices": [choice]}, DONE)
            assert await stream_text(target, made) == ("x", "stop", None)
        else:
            scripted.add_response({"choices": [choice]})
            await target.generate(made)
        request = scripted.requests[-1]
        assert request.path == "/v1/completions"
        assert {name: request.json[name] for name in fields} == fields
        assert request.json["prompt"] == "Once"


@pytest.mark.parametrize("model", ["gpt-4o", "openai/gpt-5", "o3", "chatgpt-4o-latest", "claude-3", "ft:gpt-4o:x"])
async def test_suffix_and_logprobs_are_rejected_for_chat_models(provider: Any, ollama: Any, model: str) -> None:
    for target in (provider, ollama):
        with pytest.raises(ProviderError, match="suffix") as caught:
            await target.generate(call(endpoint="complete", prompt="Once", model=model, suffix="."))
        assert caught.value.status == 422
