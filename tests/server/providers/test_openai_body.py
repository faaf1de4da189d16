"""Bodies for OpenAI's chat completions and legacy completions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from humanloop_async.server.providers.base import ProviderCall, ProviderError
from humanloop_async.server.providers.openai_body import (
    chat_body,
    completion_body,
    paired_messages,
    rejected_parameter,
    without_parameters,
)
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
from humanloop_async.types.shared import AnthropicThinkingContent, FunctionToolChoice


def call(**fields: Any) -> ProviderCall:
    return ProviderCall(**{"provider": "openai", "model": "gpt-4o", **fields})


def user(content: str) -> ChatMessage:
    return ChatMessage(role="user", content=content)


def test_a_body_contains_only_parameters_that_differ_from_the_defaults() -> None:
    body = chat_body(call(messages=[user("hi")]), "OpenAI")
    assert body == {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    fields = {"temperature": 0.0, "top_p": 0.5, "presence_penalty": -1, "frequency_penalty": 2}
    body = chat_body(
        call(num_samples=3, max_tokens=9, stop=["x"], seed=4, user="ada", other={"logit_bias": {}, "n": 9}, **fields),
        "OpenAI",
    )
    assert body == {
        "model": "gpt-4o",
        **fields,
        "seed": 4,
        "user": "ada",
        "stop": ["x"],
        "messages": [],
        "logit_bias": {},
        "max_tokens": 9,
        "n": 3,
    }
    assert completion_body(call(prompt="Once")) == {"model": "gpt-4o", "prompt": "Once"}


def test_a_null_in_other_removes_a_field() -> None:
    other = {"temperature": None, "max_tokens": None, "n": None, "seed": 5, "absent": None}
    body = chat_body(call(temperature=0.5, max_tokens=9, num_samples=2, seed=4, other=other), "OpenAI")
    assert body == {"model": "gpt-4o", "messages": [], "seed": 5}


def test_other_can_neither_turn_on_streaming_nor_set_a_second_limit() -> None:
    other = {"stream": True, "stream_options": {}, "max_completion_tokens": 1}
    body = chat_body(call(max_tokens=9, other=other), "OpenAI")
    assert body == {"model": "gpt-4o", "messages": [], "max_completion_tokens": 9}
    assert chat_body(call(other={"max_completion_tokens": 1}), "OpenAI")["max_completion_tokens"] == 1


def test_messages_contain_the_fields_that_openai_has() -> None:
    made = ToolCall(id="c1", function=FunctionTool(name="f", arguments="{}"))
    messages = [
        ChatMessage(
            role="user",
            content=[TextChatContent(text="what?"), ImageChatContent(image_url=ImageUrl(url="https://x/y.png"))],
        ),
        ChatMessage(
            role="assistant",
            tool_calls=[made],
            tool_call=made.function,
            thinking=[AnthropicThinkingContent(thinking="hm", signature="s")],
        ),
        ChatMessage(role="tool", content="42", tool_call_id="c1"),
    ]
    assert chat_body(call(messages=messages), "OpenAI")["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what?"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            ],
        },
        {
            "role": "assistant",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
    ]


@pytest.mark.parametrize("content", ["", None])
def test_an_assistant_message_without_content_is_sent(content: str | None) -> None:
    messages = [user("hi"), ChatMessage(role="assistant", content=content), user("still there?")]
    sent = chat_body(call(messages=messages), "OpenAI")["messages"]
    assert isinstance(sent, list)
    assert sent[1] == {"role": "assistant", "content": ""}


def assistant(*names: str, ids: tuple[str, ...] = (), old: str | None = None) -> ChatMessage:
    calls = [ToolCall(id=id, function=FunctionTool(name=name)) for id, name in zip(ids, names, strict=True)]
    return ChatMessage(
        role="assistant", tool_calls=calls or None, tool_call=FunctionTool(name=old) if old is not None else None
    )


def result(id: str | None = None, name: str | None = None) -> ChatMessage:
    return ChatMessage(role="tool", content="42", tool_call_id=id, name=name)


@pytest.mark.parametrize(
    ("messages", "pairs"),
    [
        pytest.param([assistant(old="f"), result()], [["call_f_0"], "call_f_0"], id="neither has an id"),
        pytest.param([assistant(old="f"), result("x")], [["x"], "x"], id="the result has one"),
        pytest.param([assistant("f", ids=("a",)), result()], [["a"], "a"], id="the call has one"),
        pytest.param([assistant("f", ids=("a",), old="f"), result("a")], [["a"], "a"], id="both forms at once"),
        pytest.param(
            [assistant("f", "g", ids=("a", "b")), result(name="g"), result(name="f")],
            [["a", "b"], "b", "a"],
            id="by name",
        ),
        pytest.param([assistant("f", "g", ids=("a", "b")), result(), result()], [["a", "b"], "a", "b"], id="in order"),
        pytest.param(
            [assistant("f", "g", ids=("a", "b")), result("a"), result()], [["a", "b"], "a", "b"], id="the open one"
        ),
        pytest.param(
            [assistant(old="f"), result(), assistant(old="f"), result()],
            [["call_f_0"], "call_f_0", ["call_f_1"], "call_f_1"],
            id="two rounds",
        ),
        pytest.param(
            [assistant("f", ids=("call_f_0",)), result("call_f_0"), assistant(old="f"), result()],
            [["call_f_0"], "call_f_0", ["call_f_1"], "call_f_1"],
            id="a new id is new",
        ),
        pytest.param([result()], [None], id="no call"),
    ],
)
def test_older_tool_messages_become_consistent_pairs(messages: list[ChatMessage], pairs: list[Any]) -> None:
    original = msgspec.json.encode(messages)
    paired = paired_messages(messages)
    found = [
        message.tool_call_id if message.role == "tool" else [call.id for call in message.tool_calls or ()]
        for message in paired
    ]
    assert found == pairs
    assert all(message.tool_call is None for message in paired)
    assert msgspec.json.encode(messages) == original


def test_tools_are_wrapped_and_chosen_by_the_model_by_default() -> None:
    """A tool's schema is sent with its nulls; without tools there is no tool_choice."""
    tool = ModelConfigTool(name="f", description="does", parameters={"default": None}, source="inline")
    body = chat_body(call(tools=[tool]), "OpenAI")
    assert body["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "does", "parameters": {"default": None}}}
    ]
    assert body["tool_choice"] == "auto"
    forced = ToolChoice(function=FunctionToolChoice(name="f"))
    assert chat_body(call(tools=[tool], tool_choice=forced), "OpenAI")["tool_choice"] == {
        "type": "function",
        "function": {"name": "f"},
    }
    assert "tool_choice" not in chat_body(call(), "OpenAI")


def test_reasoning_models_have_another_name_for_the_limit() -> None:
    body = chat_body(
        call(
            model="o3-mini",
            max_tokens=9,
            reasoning_effort="low",
            temperature=0.2,
            response_format=ResponseFormat(type="json_schema", json_schema={"name": "a", "schema": {}}),
        ),
        "OpenAI",
    )
    assert body == {
        "model": "o3-mini",
        "messages": [],
        "max_completion_tokens": 9,
        "temperature": 0.2,
        "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
    }


@pytest.mark.parametrize("fields", [{"suffix": "."}, {"logprobs": 2}, {"reasoning_effort": 1000}])
def test_a_parameter_that_chat_models_lack_is_rejected_by_name(fields: dict[str, Any]) -> None:
    with pytest.raises(ProviderError, match=next(iter(fields))) as caught:
        chat_body(call(**fields), "OpenAI")
    assert (caught.value.status, caught.value.origin) == (422, "OpenAI")


def test_a_prompt_is_one_user_message_or_itself() -> None:
    prompt = call(endpoint="complete", prompt="Once", model="davinci-002")
    assert chat_body(prompt, "OpenAI")["messages"] == [{"role": "user", "content": "Once"}]
    prompt.suffix, prompt.logprobs = "end", 2
    body = completion_body(prompt)
    assert (body["prompt"], body["suffix"], body["logprobs"]) == ("Once", "end", 2)
    assert "messages" not in body


OPENAI_LIMIT = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)
MISTRAL_LIMIT = '{"detail":[{"type":"extra_forbidden","loc":["body","max_completion_tokens"],"msg":"Extra inputs are'


@pytest.mark.parametrize(
    ("parameter", "sent", "message"),
    [
        ("stream_options", "stream_options", '{"loc": ["body", "stream_options"], "msg": "Extra inputs"}'),
        ("stream_options", "stream_options", "unknown field include_usage"),
        ("max_tokens", "max_tokens", OPENAI_LIMIT),
        ("max_completion_tokens", "max_completion_tokens", MISTRAL_LIMIT),
        (
            "max_completion_tokens",
            "max_completion_tokens",
            "Argument not supported: max_completion_tokens",
        ),
        (None, "max_tokens", "max_tokens is too large: 100000. This model supports at most 4096 completion tokens"),
        (None, "max_tokens", MISTRAL_LIMIT),
        ("n", "n", "'n' : number must be at most 1"),
        ("n", "n", "Only one completion choice is allowed"),
        ("n", "n", "Argument not supported on this model: n"),
        ("n", "n", '{"error": {"message": "x", "param": "n"}}'),
        (None, "n", "no such model: nano"),
        (None, "temperature", "'n' must be 1, and not max_tokens or stream_options"),
    ],
)
def test_a_rejected_parameter_is_found_in_the_message(parameter: str | None, sent: str, message: str) -> None:
    assert rejected_parameter({"model": "m", sent: 5}, message) == parameter


def test_rejected_parameters_are_left_out_or_renamed() -> None:
    body: dict[str, Json] = {"model": "m", "max_tokens": 5, "n": 2, "stream_options": {}}
    assert without_parameters(body, {"n", "max_tokens"}) == {
        "model": "m",
        "max_completion_tokens": 5,
        "stream_options": {},
    }
    assert without_parameters({"max_completion_tokens": 5}, {"max_completion_tokens"}) == {"max_tokens": 5}
    assert without_parameters(body, {"stream_options"}) == {"model": "m", "max_tokens": 5, "n": 2}
