"""Transcripts of Cohere's Chat API, version 2, from its documentation (read on 2026-11-30), and odd ones."""
# ruff: noqa: E501 - the events are as documented

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from humanloop_async.server.providers.base import ProviderError
from humanloop_async.server.providers.cohere import CohereAdapter, chat_body, read_response
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
    ResponseFormat,
    TextChatContent,
    ToolCall,
    ToolChoice,
)
from humanloop_async.types.shared import FunctionToolChoice
from tests.server.providers.transcripts import add_random_splits, call, stream_all

KEY = "co-0123456789"
MODEL = "command-a-plus-05-2026"

TEXT = b"""event: message-start
data: {"id":"29f14a5a-11de-4cae-9800-25e4747408ea","type":"message-start","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}

event: content-start
data: {"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}

event: content-delta
data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"LL"}}}}

event: content-delta
data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Ms \xc3\xa9"}}},"logprobs":null}

event: content-end
data: {"type":"content-end","index":0}

event: message-end
data: {"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":5,"output_tokens":10},"tokens":{"input_tokens":71.0,"output_tokens":12.0}}}}

data: [DONE]

"""

THINKING_AND_TOOLS = b"""event: message-start
data: {"type":"message-start","id":"x","delta":{"message":{"role":"assistant"}}}

event: content-start
data: {"type":"content-start","index":0,"delta":{"message":{"content":{"type":"thinking","thinking":"The user "}}}}

event: content-delta
data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"thinking":"asks."}}}}

event: content-end
data: {"type":"content-end","index":0}

event: tool-plan-delta
data: {"type":"tool-plan-delta","delta":{"message":{"tool_plan":" I will search."}}}

event: tool-call-start
data: {"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"get_weather_1byjy32y4hvq","type":"function","function":{"name":"get_weather","arguments":""}}}}}

event: tool-call-delta
data: {"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{\\"location\\":"}}}}}

event: tool-call-delta
data: {"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":" \\"Toronto\\"}"}}}}}

event: tool-call-end
data: {"type":"tool-call-end","index":0}

event: tool-call-start
data: {"type":"tool-call-start","index":1,"delta":{"message":{"tool_calls":[{"id":"now_2","type":"function","function":{"name":"now"}}]}}}

event: tool-call-end
data: {"type":"tool-call-end","index":1}

event: citation-start
data: {"type":"citation-start","index":0,"delta":{"message":{"citations":{"start":0,"end":4,"text":"LLMs","sources":[]}}}}

event: citation-end
data: {"type":"citation-end","index":0}

event: debug
data: {"type":"debug","prompt":"<|START|>","delta":"not an object"}

event: novelty
data: {"type":"novelty","delta":[{"message":1}],"index":"zero"}

event: message-end
data: {"type":"message-end","delta":{"finish_reason":"TOOL_CALL","usage":{"billed_units":{"input_tokens":5,"output_tokens":10}}}}

"""


@pytest.fixture
async def provider(scripted: ScriptedServer) -> AsyncIterator[HttpProvider]:
    base_url = scripted.url
    made = HttpProvider("cohere", "Cohere", CohereAdapter(), base_url=base_url, api_key=KEY)
    yield made
    await made.aclose()


async def test_a_stream_of_text(scripted: ScriptedServer, provider: HttpProvider) -> None:
    add_random_splits(scripted, TEXT)
    chunks, usage, error = await stream_all(provider, call(model=MODEL))
    assert error is None
    assert [(made.text, made.finish_reason) for made in chunks] == [("LL", None), ("Ms é", None), ("", "stop")]
    assert json.loads(chunks[0].raw)["type"] == "content-delta"
    assert (usage.prompt_tokens, usage.generation_tokens, usage.total_tokens) == (71, 12, 83)
    (request,) = scripted.requests
    assert request.path == "/v2/chat"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.json == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 1,
        "p": 0.99,
        "stream": True,
    }


async def test_thinking_is_kept_apart_and_tool_calls_are_complete(
    scripted: ScriptedServer, provider: HttpProvider
) -> None:
    """Citations, debug events and events of unknown types are skipped, whatever their fields."""
    add_random_splits(scripted, THINKING_AND_TOOLS)
    chunks, usage, error = await stream_all(provider, call(model=MODEL))
    assert error is None
    assert "".join(made.text for made in chunks) == ""
    assert "".join(made.reasoning for made in chunks) == "The user asks. I will search."
    assert sum(not made.text and not made.reasoning for made in chunks[:-1]) == 4, "progress of the tool calls"
    assert chunks[-1].finish_reason == "tool_call"
    weather = FunctionTool(name="get_weather", arguments='{"location": "Toronto"}')
    assert chunks[-1].tool_calls == [
        ToolCall(id="get_weather_1byjy32y4hvq", function=weather),
        ToolCall(id="now_2", function=FunctionTool(name="now", arguments="{}")),
    ]
    assert (usage.prompt_tokens, usage.generation_tokens) == (5, 10)


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (b'{"finish_reason":"ERROR","error":"the model crashed"}', "the model crashed"),
        (b'{"finish_reason":"ERROR"}', "ended with ERROR"),
        (b'{"finish_reason":"TIMEOUT"}', "ended with TIMEOUT"),
        (b'{"error":"gone"}', "gone"),
    ],
)
async def test_a_failed_generation_is_an_error_after_its_texts(
    scripted: ScriptedServer, provider: HttpProvider, end: bytes, message: str
) -> None:
    head = TEXT.partition(b"event: message-end")[0]
    add_random_splits(scripted, head + b'data: {"type":"message-end","delta":%b}\n\n' % end)
    chunks, _, error = await stream_all(provider, call(model=MODEL))
    assert [made.text for made in chunks] == ["LL", "Ms é"]
    assert error is not None
    assert error.status == 503
    assert message in error.message


@pytest.mark.parametrize("end", [LAST_CHUNK, Action.CLOSE])
async def test_a_stream_without_its_end_is_an_error(
    scripted: ScriptedServer, provider: HttpProvider, end: Step
) -> None:
    """An event that only has a message explains the end."""
    head = TEXT.partition(b"event: message-end")[0] + b'data: {"message": "out of credits"}\n\n'
    add_random_splits(scripted, head, 0.05, end)
    chunks, _, error = await stream_all(provider, call(model=MODEL))
    assert [made.text for made in chunks] == ["LL", "Ms é"]
    assert error is not None
    assert error.status == 503
    assert end is Action.CLOSE or error.message.endswith("out of credits")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("COMPLETE", "stop"), ("STOP_SEQUENCE", "stop"), ("MAX_TOKENS", "length"), ("ERROR_TOXIC", "error_toxic")],
)
async def test_finish_reasons_are_v4s(
    scripted: ScriptedServer, provider: HttpProvider, reason: str, expected: str
) -> None:
    add_random_splits(scripted, TEXT.replace(b"COMPLETE", reason.encode()))
    chunks, _, _ = await stream_all(provider, call(model=MODEL))
    assert chunks[-1].finish_reason == expected


RESPONSE: dict[str, Any] = {
    "id": "c14c80c3-18eb-4519-9460-6c92edd8cfb4",
    "finish_reason": "COMPLETE",
    "message": {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "LLMs"}],
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "now", "arguments": "{}"}}],
    },
    "usage": {"tokens": {"input_tokens": 5, "output_tokens": 418}},
}


async def test_an_unstreamed_response(scripted: ScriptedServer, provider: HttpProvider) -> None:
    """A response with tool calls has v4's finish reason for them."""
    scripted.add_response(RESPONSE)
    reply = await provider.generate(call(model=MODEL))
    (sample,) = reply.samples
    assert (sample.text, sample.reasoning, sample.finish_reason) == ("LLMs", "Hm.", "tool_call")
    assert sample.tool_calls == [ToolCall(id="a", function=FunctionTool(name="now", arguments="{}"))]
    assert reply.usage is not None
    assert reply.usage.total_tokens == 423
    assert reply.responses == [RESPONSE]


async def test_an_error_response_has_coheres_message(scripted: ScriptedServer, provider: HttpProvider) -> None:
    scripted.add_response({"id": "x", "message": "invalid api token"}, "401 Unauthorized")
    with pytest.raises(ProviderError) as caught:
        await provider.generate(call(model=MODEL))
    assert (caught.value.status, caught.value.message, caught.value.origin) == (401, "invalid api token", "Cohere")


def test_a_response_without_a_message_is_malformed() -> None:
    with pytest.raises(MalformedResponse):
        read_response(b"{}")
    with pytest.raises(ErrorEvent):
        read_response(b'{"finish_reason": "ERROR"}')


def test_every_parameter_has_coheres_name() -> None:
    schema: dict[str, Json] = {"type": "object"}
    body = chat_body(
        call(
            temperature=0,
            top_p=0.5,
            stop=["END"],
            presence_penalty=0.5,
            frequency_penalty=0.25,
            seed=7,
            max_tokens=50,
            reasoning_effort=512,
            user="left out",
            response_format=ResponseFormat(type="json_schema", json_schema={"schema": schema}),
            tools=[ModelConfigTool(name="now", description="The time", strict=True)],
            tool_choice="required",
            other={"k": 3, "seed": None, "max_tokens": 9},
        )
    )
    del body["messages"]
    function = {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}}
    assert body == {
        "model": "any",
        "temperature": 0,
        "p": 0.5,
        "stop_sequences": ["END"],
        "presence_penalty": 0.5,
        "frequency_penalty": 0.25,
        "thinking": {"type": "enabled", "token_budget": 512},
        "response_format": {"type": "json_object", "json_schema": schema},
        "tools": [{"type": "function", "function": function}],
        "strict_tools": True,
        "tool_choice": "REQUIRED",
        "k": 3,
        "max_tokens": 50,
    }


def test_a_forced_tool_is_the_only_one_offered() -> None:
    tools = [ModelConfigTool(name="now"), ModelConfigTool(name="then")]
    forced = ToolChoice(function=FunctionToolChoice(name="then"))
    body = chat_body(call(tools=tools, tool_choice=forced))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["then"]  # type: ignore[index, union-attr, call-overload]
    assert body["tool_choice"] == "REQUIRED"
    with pytest.raises(ProviderError, match="'never'"):
        chat_body(call(tools=tools, tool_choice=ToolChoice(function=FunctionToolChoice(name="never"))))


def test_a_conversation_keeps_its_tool_calls_and_images() -> None:
    tool_call = ToolCall(id="a", function=FunctionTool(name="now", arguments="{}"))
    picture = ImageChatContent(image_url=ImageUrl(url="https://x.example/a.png"))
    body = chat_body(
        call(
            messages=[
                ChatMessage(role="system", content="Be brief."),
                ChatMessage(role="user", content=[TextChatContent(text="When?"), picture], name="Ada"),
                ChatMessage(role="assistant", tool_calls=[tool_call]),
                ChatMessage(role="tool", tool_call_id="a", content="noon"),
            ]
        )
    )
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "When?"},
                {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
            ],
        },
        {
            "role": "assistant",
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "now", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "noon"},
    ]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"endpoint": "complete", "suffix": "x"}, "suffix"),
        ({"endpoint": "complete", "logprobs": 1}, "logprobs"),
    ],
)
def test_a_parameter_that_the_api_lacks_is_named(provider: HttpProvider, fields: Any, name: str) -> None:
    with pytest.raises(ProviderError, match=f"Cohere does not support.*{name}") as caught:
        provider.request_body(call(model=MODEL, **fields))
    assert caught.value.status == 422
