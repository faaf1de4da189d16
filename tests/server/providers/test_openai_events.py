"""OpenAI's wire format without a network: bodies, answers, events, and what compatible servers make of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from humanloop_async.server.providers.base import ProviderCall, ProviderChunk, ProviderError
from humanloop_async.server.providers.openai_body import chat_body, completion_body
from humanloop_async.server.providers.openai_events import EventReader, read_answer
from humanloop_async.server.providers.reading import ErrorEvent, MalformedResponse, error_message
from humanloop_async.types import (
    ChatMessage,
    FunctionTool,
    ImageChatContent,
    ImageUrl,
    ModelConfigTool,
    ResponseFormat,
    TextChatContent,
    ToolCall,
    ToolChoice,
)
from humanloop_async.types.shared import AnthropicThinkingContent, FunctionToolChoice


def call(**fields: Any) -> ProviderCall:
    return ProviderCall(**{"provider": "openai", "model": "gpt-4o", **fields})


def read(num_samples: int, *events: object) -> tuple[EventReader, list[ProviderChunk]]:
    reader, chunks = EventReader(num_samples), list[ProviderChunk]()
    for event in events:
        reader.read([event if isinstance(event, bytes) else json.dumps(event).encode()], chunks.append)
    return reader, chunks


def delta(index: int, content: str | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": content, **fields}, "finish_reason": finish}]}


def usage(prompt: int, completion: int, **fields: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, **fields}


# Bodies


def test_a_chat_body_has_what_was_asked_and_no_nulls() -> None:
    """Nothing is sent that was not asked for; n only where there are several samples."""
    assert chat_body(call(messages=[ChatMessage(role="user", content="hi")]), "OpenAI") == {
        "model": "gpt-4o",
        "temperature": 1,
        "top_p": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "messages": [{"role": "user", "content": "hi"}],
    }
    body = chat_body(
        call(
            num_samples=3, max_tokens=9, stop=["x"], seed=4, user="ada", other={"logit_bias": {}, "n": 9, "top_p": 0.5}
        ),
        "OpenAI",
    )
    assert body["n"] == 3
    assert body["max_tokens"] == 9
    assert body["top_p"] == 0.5
    assert (body["stop"], body["seed"], body["user"], body["logit_bias"]) == (["x"], 4, "ada", {})


def test_messages_keep_what_openai_knows() -> None:
    """Images, tool calls and results stay; Anthropic's thinking goes; the old tool call only without the new."""
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
        ChatMessage(role="assistant", tool_call=FunctionTool(name="old", arguments="{}")),
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
        {"role": "assistant", "function_call": {"name": "old", "arguments": "{}"}},
    ]


def test_tools_are_wrapped_and_chosen_by_the_model_unless_told() -> None:
    """A tool's schema is passed on with its nulls; tool_choice defaults to auto, and to nothing without tools."""
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


def test_formats_efforts_and_reasoning_models() -> None:
    """Reasoning models have another name for the limit, and take no sampling parameters but the default."""
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
def test_what_chat_models_lack_is_refused_by_name(fields: dict[str, Any]) -> None:
    """422, with the name of the field and in the provider's name."""
    with pytest.raises(ProviderError, match=next(iter(fields))) as caught:
        chat_body(call(**fields), "OpenAI")
    assert (caught.value.status, caught.value.origin) == (422, "OpenAI")


def test_prompts() -> None:
    """A prompt is one user message for chat, and itself for legacy completions."""
    prompt = call(endpoint="complete", prompt="Once", model="davinci-002")
    assert chat_body(prompt, "OpenAI")["messages"] == [{"role": "user", "content": "Once"}]
    prompt.suffix, prompt.logprobs = "end", 2
    body = completion_body(prompt)
    assert (body["prompt"], body["suffix"], body["logprobs"]) == ("Once", "end", 2)
    assert "messages" not in body


# Events


def test_deltas_become_chunks_and_empty_ones_nothing() -> None:
    """Whitespace stays, a first delta without content is silent, raw is the event itself."""
    first = delta(0, None, role="assistant")
    reader, chunks = read(2, first, delta(1, " b"), delta(0, "a\n"), delta(0, "", "stop"), delta(1, None, "length"))
    assert [(chunk.index, chunk.text, chunk.finish_reason) for chunk in chunks] == [
        (1, " b", None),
        (0, "a\n", None),
        (0, "", "stop"),
        (1, "", "length"),
    ]
    assert chunks[0].raw == json.dumps(delta(1, " b")).encode()
    assert reader.unfinished == set()
    assert not reader.ended
    reader.read([b"[DONE]"], chunks.append)
    assert reader.ended


def test_raw_is_one_line() -> None:
    """An event of several lines of JSON is put on one."""
    _, (only,) = read(1, b'{"choices":\n[{"index": 0, "text": "x"}]}')
    assert only.raw == b'{"choices":[{"index":0,"text":"x"}]}'


def test_legacy_events_have_text() -> None:
    """/completions puts the text beside the index."""
    _, chunks = read(
        1,
        {"choices": [{"index": 0, "text": "hi", "finish_reason": None}]},
        {"choices": [{"index": 0, "text": "!", "finish_reason": "stop"}]},
    )
    assert [(chunk.text, chunk.finish_reason) for chunk in chunks] == [("hi", None), ("!", "stop")]


def tool(index: int | None, id: str | None = None, name: str | None = None, arguments: str = "") -> dict[str, Any]:
    piece: dict[str, Any] = {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
    return {name: value for name, value in piece.items() if value is not None}


def test_tool_calls_are_put_together_and_come_whole_with_the_end() -> None:
    """Pieces of two calls of two samples, mixed; "tool_calls" is v4's "tool_call"."""
    _, chunks = read(
        2,
        delta(0, tool_calls=[tool(0, "a", "f")]),
        delta(1, tool_calls=[tool(0, "c", "h", "{}")]),
        delta(0, tool_calls=[tool(1, "b", "g", '{"y"')]),
        delta(0, tool_calls=[tool(0, arguments='{"x":'), tool(1, arguments=":2}")]),
        delta(0, tool_calls=[tool(0, arguments="1}")]),
        delta(0, finish="tool_calls"),
        delta(1, finish="tool_calls"),
    )
    assert [(chunk.index, chunk.finish_reason) for chunk in chunks] == [(0, "tool_call"), (1, "tool_call")]
    assert chunks[0].tool_calls == [
        ToolCall(id="a", function=FunctionTool(name="f", arguments='{"x":1}')),
        ToolCall(id="b", function=FunctionTool(name="g", arguments='{"y":2}')),
    ]
    assert chunks[1].tool_calls == [ToolCall(id="c", function=FunctionTool(name="h", arguments="{}"))]


def test_tool_calls_of_sloppy_servers() -> None:
    """Without an index a new id begins a new call; the deprecated form has no id; a call needs a name."""
    _, (only,) = read(
        1,
        delta(0, tool_calls=[tool(None, "a", "f", "{"), tool(None, None, None, "}"), tool(None, "b", "g", "{}")]),
        delta(0, finish="tool_calls"),
    )
    assert only.tool_calls is not None
    assert [(made.id, made.function.name, made.function.arguments) for made in only.tool_calls] == [
        ("a", "f", "{}"),
        ("b", "g", "{}"),
    ]
    _, (old,) = read(1, delta(0, function_call={"name": "f", "arguments": "{}"}), delta(0, finish="function_call"))
    assert old.finish_reason == "tool_call"
    assert old.tool_calls == [ToolCall(id="call_0_0", function=FunctionTool(name="f", arguments="{}"))]
    with pytest.raises(MalformedResponse, match="no name"):
        read(1, delta(0, tool_calls=[tool(0, "a")]), delta(0, finish="tool_calls"))


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([{"choices": [], "usage": usage(5, 7)}], (5, 7, 12), id="openai: one for all"),
        pytest.param(
            [{"choices": [], "usage": usage(5, 3)}, {"choices": [], "usage": usage(5, 4)}],
            (5, 7, 12),
            id="llama.cpp: one for each sample",
        ),
        pytest.param(
            [
                {**delta(0, "x"), "usage": usage(5, 1)},
                {**delta(1, "x"), "usage": usage(5, 1)},
                {**delta(0, "x"), "usage": usage(5, 2)},
                {**delta(1, "x"), "usage": usage(5, 5)},
            ],
            (5, 7, 12),
            id="running counts on the events of each sample",
        ),
        pytest.param(
            [{**delta(0, "x"), "usage": usage(5, 1)}, {"choices": [], "usage": usage(5, 7)}],
            (5, 7, 12),
            id="running counts, then the total",
        ),
        pytest.param(
            [{"choices": [], "usage": None}, {"usage": usage(5, 7), "choices": []}], (5, 7, 12), id="null, then one"
        ),
    ],
)
def test_usage_is_counted_once_however_it_comes(events: list[Any], expected: tuple[int, int, int]) -> None:
    """Servers count in their own ways; the prompt is one prompt."""
    reader, _ = read(2, *events)
    assert reader.usage is not None
    assert (reader.usage.prompt_tokens, reader.usage.generation_tokens, reader.usage.total_tokens) == expected
    assert reader.usage.reasoning_tokens is None


def test_reasoning_tokens_are_told() -> None:
    """And no usage is no usage."""
    counted = usage(5, 7, completion_tokens_details={"reasoning_tokens": 3})
    reader, _ = read(1, {"choices": [], "usage": counted})
    assert reader.usage is not None
    assert reader.usage.reasoning_tokens == 3
    assert EventReader(1).usage is None


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"error": {"message": "gone wrong", "code": 429}}, 429),
        ({"error": {"message": "gone wrong", "code": "server_error"}}, 503),
        ({"error": "gone wrong"}, 503),
        ({"error": {"message": "gone wrong", "code": 7}, "choices": []}, 503),
    ],
)
def test_an_error_object_is_an_error(event: object, status: int) -> None:
    """With its words, and its status where it has one."""
    with pytest.raises(ErrorEvent) as caught:
        read(1, event)
    assert (caught.value.status, caught.value.message) == (status, "gone wrong")


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([b"{not json"], "not json"),
        ([b"[1]"], "object"),
        ([b'{"choices": [{"text": "\xff"}]}'], "."),
        ([b'{"choices": [{"text": "\\ud800"}]}'], "."),
        ([b'{"error": ' + b"[" * 100_000], "."),
        ([delta(2, "x")], "2 is not in range"),
        ([delta(-1, "x")], "-1 is not in range"),
        ([delta(0, "x", "stop"), delta(0, "y")], "after its finish reason"),
    ],
)
def test_events_that_cannot_be_are_refused(events: list[Any], words: str) -> None:
    """Not JSON, not an event, a sample nobody asked for, a sample that goes on after its end."""
    with pytest.raises(MalformedResponse, match=words):
        read(2, *events)


def test_an_end_told_twice_is_told_once() -> None:
    """Some repeat the finish reason on the event with the usage."""
    _, chunks = read(1, delta(0, "x", "stop"), {**delta(0, "", "stop"), "usage": usage(1, 1)})
    assert len(chunks) == 1


# Whole answers


def test_a_whole_answer_is_read() -> None:
    """Chat and legacy, out of order, with tool calls and a refusal."""
    answer = {
        "choices": [
            {
                "index": 1,
                "message": {"content": None, "tool_calls": [tool(None, "a", "f", "{}"), tool(None, "b", "g", "{}")]},
                "finish_reason": "tool_calls",
            },
            {"index": 0, "message": {"content": None, "refusal": "I would rather not"}, "finish_reason": "stop"},
            {"index": 2, "text": "legacy", "finish_reason": "content_filter"},
        ],
        "usage": usage(5, 7),
    }
    samples, counted = read_answer(json.dumps(answer).encode(), 3)
    assert [(sample.index, sample.text, sample.finish_reason) for sample in samples] == [
        (0, "I would rather not", "stop"),
        (1, "", "tool_call"),
        (2, "legacy", "content_filter"),
    ]
    assert samples[1].tool_calls is not None
    assert [made.function.name for made in samples[1].tool_calls] == ["f", "g"]
    assert counted is not None
    assert counted.total_tokens == 12


@pytest.mark.parametrize(
    "choices",
    [
        [],
        [{"index": 1, "text": "", "finish_reason": "stop"}],
        [{"index": 0, "text": ""}],
        [{"index": 0, "text": "", "finish_reason": "stop"}, {"index": 1, "text": "", "finish_reason": "stop"}],
    ],
)
def test_a_whole_answer_has_each_sample_finished(choices: list[Any]) -> None:
    """A finish reason is never made up, and neither is a sample."""
    with pytest.raises(MalformedResponse):
        read_answer(json.dumps({"choices": choices}).encode(), 1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "no such model", "type": "x"}}', "no such model"),
        (b'{"error": "no such model"}', "no such model"),
        (b'{"message": "no such model"}', "no such model"),
        (b'{"detail": [1]}', "[1]"),
        (b"<html>bad gateway</html>", "<html>bad gateway</html>"),
        (b"", ""),
        (b"\xff" + b"x" * 5000, "�" + "x" * 5000),
    ],
)
def test_error_bodies_say_what_they_say(body: bytes, words: str) -> None:
    """OpenAI's form, its relatives, and text; it is cut where keys have been taken out of it."""
    assert error_message(body) == words
