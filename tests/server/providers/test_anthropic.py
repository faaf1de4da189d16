"""Transcripts of the Messages API, from its documentation (read on 2026-11-30), and odd ones."""
# ruff: noqa: E501 - the events are as documented

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from humanloop_async.server.providers.anthropic import (
    SAMPLING_VERSION,
    VERSION,
    AnthropicAdapter,
    message_body,
    output_limit,
    read_message,
)
from humanloop_async.server.providers.base import ProviderError
from humanloop_async.server.providers.http_provider import HttpProvider
from humanloop_async.server.providers.reading import ErrorEvent, MalformedResponse
from humanloop_async.testing import LAST_CHUNK, Action, ScriptedServer, Step
from humanloop_async.types import (
    ChatMessage,
    FunctionTool,
    ImageChatContent,
    ImageUrl,
    Json,
    ModelConfigTool,
    ProviderApiKeys,
    ResponseFormat,
    TextChatContent,
    ToolCall,
    ToolChoice,
)
from humanloop_async.types.shared import (
    AnthropicRedactedThinkingContent,
    AnthropicThinkingContent,
    FunctionToolChoice,
)
from tests.server.providers.transcripts import add_random_splits, call, stream_all

KEY = "sk-ant-0123456789"
MODEL = "claude-opus-5-5"

TEXT = b"""event: message_start
data: {"type": "message_start", "message": {"id": "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY", "type": "message", "role": "assistant", "content": [], "model": "claude-opus-5-5", "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 25, "output_tokens": 1}}}

event: content_block_start
data: {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}

event: content_block_delta
data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "! \xc3\xa9"}}

event: content_block_stop
data: {"type": "content_block_stop", "index": 0}

event: message_delta
data: {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 15}}

event: message_stop
data: {"type": "message_stop"}

"""

THINKING_AND_TOOLS = b"""event: message_start
data: {"type":"message_start","message":{"id":"msg_014p7gG3wDgGV9EUtLvnow3U","type":"message","role":"assistant","model":"claude-opus-5-5","stop_sequence":null,"usage":{"input_tokens":472,"cache_read_input_tokens":28,"output_tokens":2},"content":[],"stop_reason":null}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"I need to find the GCD"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":" of 1071."}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"EmwKAhgBEgy3va3pzix"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"Let me check"}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{"type":"char_location","cited_text":"x"}}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: content_block_start
data: {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_01T1x1fJ34qAmk2tNTrN7Up6","name":"get_weather","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\\"location\\":"}}

event: content_block_delta
data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":" \\"San Francisco, CA\\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":3}

event: content_block_start
data: {"type":"content_block_start","index":4,"content_block":{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"{\\"query\\": 1}"}}

event: content_block_start
data: {"type":"content_block_start","index":5,"content_block":{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","title":"x"}],"text":{"an":"object"}}}

event: content_block_start
data: {"type":"content_block_start","index":6,"content_block":{"type":"tool_use","id":"toolu_02","name":"now","input":{}}}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":89,"output_tokens_details":{"thinking_tokens":40}}}

event: message_stop
data: {"type":"message_stop"}

"""


@pytest.fixture
async def provider(scripted: ScriptedServer) -> AsyncIterator[HttpProvider]:
    base_url = scripted.url
    made = HttpProvider("anthropic", "Anthropic", AnthropicAdapter(), base_url=base_url, api_key=KEY)
    yield made
    await made.aclose()


async def test_a_stream_of_text(scripted: ScriptedServer, provider: HttpProvider) -> None:
    add_random_splits(scripted, TEXT)
    chunks, usage, error = await stream_all(provider, call(model=MODEL, max_tokens=1024))
    assert error is None
    assert [(made.text, made.finish_reason) for made in chunks] == [("Hello", None), ("! é", None), ("", "stop")]
    assert json.loads(chunks[0].raw)["delta"]["text"] == "Hello"
    assert (usage.prompt_tokens, usage.generation_tokens, usage.reasoning_tokens) == (25, 15, None)
    (request,) = scripted.requests
    assert request.path == "/v1/messages"
    assert request.headers["anthropic-version"] == VERSION
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["x-api-key"] == KEY  # for gateways that read only this one
    assert request.headers["content-type"] == "application/json"
    assert request.json == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 1024,
        "stream": True,
    }


async def test_thinking_is_kept_apart_and_tool_calls_are_complete(
    scripted: ScriptedServer, provider: HttpProvider
) -> None:
    """Tools that the provider runs, citations, signatures and unknown blocks are neither text nor calls."""
    add_random_splits(scripted, THINKING_AND_TOOLS)
    chunks, usage, error = await stream_all(provider, call(model=MODEL))
    assert error is None
    assert "".join(made.reasoning for made in chunks) == "I need to find the GCD of 1071."
    assert "".join(made.text for made in chunks) == "Let me check"
    assert sum(not made.text and not made.reasoning for made in chunks[:-1]) == 4, "progress of the tools' input"
    assert chunks[-1].finish_reason == "tool_call"
    assert chunks[-1].tool_calls == [
        ToolCall(
            id="toolu_01T1x1fJ34qAmk2tNTrN7Up6",
            function=FunctionTool(name="get_weather", arguments='{"location": "San Francisco, CA"}'),
        ),
        ToolCall(id="toolu_02", function=FunctionTool(name="now", arguments="{}")),
    ]
    assert (usage.prompt_tokens, usage.generation_tokens, usage.reasoning_tokens) == (500, 89, 40)


async def test_events_of_unknown_types_are_skipped(scripted: ScriptedServer, provider: HttpProvider) -> None:
    odd = b'event: vibe\ndata: {"type":"vibe","level":[1]}\n\ndata: {"type":"content_block_delta","index":0,"delta":'
    odd += b'{"type":"colour_delta","text":{"not":"text"}}}\n\n'
    add_random_splits(scripted, TEXT.replace(b"event: ping\n", odd + b"event: ping\n"))
    chunks, _, error = await stream_all(provider, call(model=MODEL))
    assert error is None
    assert "".join(made.text for made in chunks) == "Hello! é"


@pytest.mark.parametrize(
    ("error_type", "status"),
    [
        ("overloaded_error", 503),
        ("rate_limit_error", 429),
        ("authentication_error", 401),
        ("permission_error", 401),
        ("invalid_request_error", 422),
        ("not_found_error", 404),
        ("something_new", 503),
    ],
)
async def test_an_error_event_ends_the_stream_after_its_texts(
    scripted: ScriptedServer, provider: HttpProvider, error_type: str, status: int
) -> None:
    head = TEXT.partition(b"event: content_block_stop")[0]
    error_event = b'event: error\ndata: {"type": "error", "error": {"type": "%b", "message": "Overloaded"}}\n\n'
    add_random_splits(scripted, head + error_event % error_type.encode())
    chunks, _, error = await stream_all(provider, call(model=MODEL))
    assert [made.text for made in chunks] == ["Hello", "! é"]
    assert error is not None
    assert (error.status, error.message, error.origin) == (status, "Overloaded", "Anthropic")


@pytest.mark.parametrize("end", [LAST_CHUNK, Action.CLOSE])
async def test_a_stream_without_its_end_is_an_error(
    scripted: ScriptedServer, provider: HttpProvider, end: Step
) -> None:
    add_random_splits(scripted, TEXT.partition(b"event: message_delta")[0], 0.05, end)
    chunks, _, error = await stream_all(provider, call(model=MODEL))
    assert [made.text for made in chunks] == ["Hello", "! é"]
    assert error is not None
    assert error.status == 503


async def test_a_stream_that_is_cut_after_the_stop_reason_is_complete(
    scripted: ScriptedServer, provider: HttpProvider
) -> None:
    add_random_splits(scripted, TEXT.partition(b"event: message_stop")[0], 0.05, Action.CLOSE)
    chunks, usage, error = await stream_all(provider, call(model=MODEL))
    assert error is None
    assert chunks[-1].finish_reason == "stop"
    assert usage.generation_tokens == 15


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
        ("pause_turn", "pause_turn"),
    ],
)
async def test_finish_reasons_are_v4s(
    scripted: ScriptedServer, provider: HttpProvider, reason: str, expected: str
) -> None:
    add_random_splits(scripted, TEXT.replace(b"end_turn", reason.encode()))
    chunks, _, _ = await stream_all(provider, call(model=MODEL))
    assert chunks[-1].finish_reason == expected
    message = {"type": "message", "content": [{"type": "text", "text": "x"}], "stop_reason": reason, "usage": {}}
    (sample,), _ = read_message(json.dumps(message).encode())
    assert sample.finish_reason == expected


MESSAGE: dict[str, Any] = {
    "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
    "type": "message",
    "role": "assistant",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "x"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "It is ", "citations": None},
        {"type": "web_search_tool_result", "content": [], "text": {}},
        {"type": "text", "text": "15."},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"location": "Paris"}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 12, "output_tokens": 8, "output_tokens_details": {"thinking_tokens": 3}},
}


async def test_an_unstreamed_message(scripted: ScriptedServer, provider: HttpProvider) -> None:
    scripted.add_response(MESSAGE)
    reply = await provider.generate(call(model=MODEL))
    (sample,) = reply.samples
    assert (sample.text, sample.reasoning, sample.finish_reason) == ("It is 15.", "Hm.", "tool_call")
    assert sample.tool_calls is not None
    assert json.loads(sample.tool_calls[0].function.arguments or "") == {"location": "Paris"}
    assert reply.usage is not None
    assert (reply.usage.total_tokens, reply.usage.reasoning_tokens) == (20, 3)
    assert reply.responses == [MESSAGE]
    assert "stream" not in scripted.requests[0].json


@pytest.mark.parametrize("message", [{}, {"content": [], "stop_reason": None}, {"content": [1], "stop_reason": "x"}])
def test_an_unfinished_message_is_malformed(message: Any) -> None:
    with pytest.raises(MalformedResponse):
        read_message(json.dumps(message).encode())


def test_an_error_with_status_200_is_an_error() -> None:
    with pytest.raises(ErrorEvent, match="busy") as caught:
        read_message(b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}')
    assert caught.value.status == 529


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_other_cannot_change_the_form_of_the_response(
    scripted: ScriptedServer, provider: HttpProvider, is_streamed: bool
) -> None:
    made = call(model=MODEL, other={"stream": not is_streamed, "n": 2})
    if is_streamed:
        add_random_splits(scripted, TEXT)
        assert (await stream_all(provider, made))[2] is None
    else:
        scripted.add_response(MESSAGE)
        await provider.generate(made)
    assert scripted.requests[0].json.get("stream") == (True if is_streamed else None)
    assert "n" not in scripted.requests[0].json


async def test_samples_are_parallel_requests(scripted: ScriptedServer, provider: HttpProvider) -> None:
    for word in (b"Hello", b"Howdy", b"Hey"):
        add_random_splits(scripted, TEXT.replace(b"Hello", word))
    chunks, usage, error = await stream_all(provider, call(model=MODEL, num_samples=3))
    assert error is None
    texts = {index: "".join(made.text for made in chunks if made.index == index) for index in range(3)}
    assert sorted(texts.values()) == ["Hello! é", "Hey! é", "Howdy! é"]
    assert usage.generation_tokens == 45


async def test_sampling_parameters_use_the_version_that_has_them(
    scripted: ScriptedServer, provider: HttpProvider
) -> None:
    scripted.add_response(MESSAGE)
    await provider.generate(
        call(model=MODEL, temperature=0.2, top_p=0.9, keys=ProviderApiKeys(anthropic="sk-ant-own-0123456789"))
    )
    (request,) = scripted.requests
    assert request.headers["anthropic-version"] == SAMPLING_VERSION
    assert request.headers["x-api-key"] == "sk-ant-own-0123456789"
    assert "authorization" not in request.headers
    assert (request.json["temperature"], request.json["top_p"]) == (0.2, 0.9)


def test_a_conversation_becomes_blocks() -> None:
    """Results of parallel tool calls are in one user message, and the system messages are at the top."""
    weather = FunctionTool(name="get_weather", arguments='{"location": "Paris"}')
    picture = "data:image/png;base64,aGk="
    body = message_body(
        call(
            messages=[
                ChatMessage(role="system", content="Be brief."),
                ChatMessage(
                    role="user",
                    content=[
                        TextChatContent(text="And here?"),
                        ImageChatContent(image_url=ImageUrl(url=picture)),
                        ImageChatContent(image_url=ImageUrl(url="https://x.example/a.png")),
                    ],
                ),
                ChatMessage(
                    role="assistant",
                    content="Let me see.",
                    thinking=[
                        AnthropicThinkingContent(thinking="Hm.", signature="s"),
                        AnthropicRedactedThinkingContent(data="d"),
                    ],
                    tool_calls=[ToolCall(id="a", function=weather), ToolCall(id="b", function=weather)],
                ),
                ChatMessage(role="tool", tool_call_id="a", content="18"),
                ChatMessage(role="tool", tool_call_id="b", content="20"),
                ChatMessage(role="assistant", content=""),
                ChatMessage(role="system", content="Be kind."),
                ChatMessage(role="user", content="So?"),
            ],
            user="user-1",
            stop=["END"],
            other={"top_k": 5, "metadata": None},
        )
    )
    assert body["system"] == "Be brief.\n\nBe kind."
    use = {"type": "tool_use", "name": "get_weather", "input": {"location": "Paris"}}
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And here?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "text", "text": "Let me see."},
                {**use, "id": "a"},
                {**use, "id": "b"},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "18"},
                {"type": "tool_result", "tool_use_id": "b", "content": "20"},
            ],
        },
        {"role": "user", "content": "So?"},
    ]
    assert body["stop_sequences"] == ["END"]
    assert body["top_k"] == 5
    assert "metadata" not in body


def test_v4s_older_tool_messages_become_a_pair() -> None:
    body: dict[str, Any] = message_body(
        call(
            messages=[
                ChatMessage(role="assistant", tool_call=FunctionTool(name="now")),
                ChatMessage(role="tool", content="noon"),
            ]
        )
    )
    use, result = body["messages"]
    assert use["content"][0]["id"] == result["content"][0]["tool_use_id"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        (ToolChoice(function=FunctionToolChoice(name="now")), {"type": "tool", "name": "now"}),
        (None, None),
    ],
)
def test_tools_and_tool_choice(choice: Any, expected: Any) -> None:
    body = message_body(call(tools=[ModelConfigTool(name="now", strict=True)], tool_choice=choice))
    assert body["tools"] == [{"name": "now", "input_schema": {"type": "object", "properties": {}}, "strict": True}]
    assert body.get("tool_choice") == expected


def test_effort_budget_and_schema() -> None:
    schema: dict[str, Json] = {"type": "object"}
    wrapped = ResponseFormat(type="json_schema", json_schema={"name": "x", "schema": schema})
    body = message_body(call(reasoning_effort="low", response_format=wrapped))
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": schema}, "effort": "low"}
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    body = message_body(call(reasoning_effort=2048))
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2048}


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("claude-opus-5-5", 128_000),
        ("claude-sonnet-4-6", 128_000),
        ("claude-haiku-4-5-20251001", 64_000),
        ("claude-sonnet-4-20250514", 64_000),
        ("claude-opus-4-5-20251101", 64_000),
        ("claude-opus-4-1-20250805", 32_000),
        ("claude-opus-4-20250514", 32_000),
        ("claude-3-5-haiku-20241022", 8192),
        ("claude-3-haiku-20240307", 4096),
        ("a-local-model", 4096),
    ],
)
def test_no_limit_is_the_models_largest(model: str, limit: int) -> None:
    """The API requires `max_tokens` and rejects more than the model can generate."""
    assert output_limit(model) == limit
    assert message_body(call(model=model))["max_tokens"] == limit


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"seed": 1}, "seed"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
        ({"response_format": ResponseFormat(type="json_object")}, "json_object"),
        ({"endpoint": "complete", "suffix": "x"}, "suffix"),
        ({"endpoint": "complete", "logprobs": 1}, "logprobs"),
    ],
)
def test_a_parameter_that_the_api_lacks_is_named(provider: HttpProvider, fields: Any, names: str) -> None:
    with pytest.raises(ProviderError, match=f"Anthropic does not support.*{names}") as caught:
        provider.request_body(call(model=MODEL, **fields))
    assert caught.value.status == 422


def test_arguments_that_are_not_an_object_are_named() -> None:
    broken = [ToolCall(id="call_7", function=FunctionTool(name="now", arguments="[1"))]
    with pytest.raises(ProviderError, match="call_7"):
        message_body(call(messages=[ChatMessage(role="assistant", tool_calls=broken)]))
