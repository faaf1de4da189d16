"""``.prompt`` files: the documented examples, exact round trips, and texts that are not files."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanloop_async.server.records.prompt_files import PromptFile, PromptFileError, read_prompt_file, write_prompt_file
from humanloop_async.server.storage.model_config import ModelConfig
from humanloop_async.types import ModelConfigRequest, ModelConfigTool

CHAT = """\
---
model: gpt-4
temperature: 1.0
max_tokens: -1
top_p: 1.0
provider: openai
endpoint: chat
---
<system>
  You are a friendly assistant.

  Be {{ mood }}.
</system>

<user>
  <text>
    What is in this image?
  </text>
  <image url="https://example.com/a%2Cb.jpg?x=1&copy=2" detail="low" />
</user>

<assistant>
  Let me see.
  <tool name="look" id="call_1">
    {
      "at": "it"
    }
  </tool>
</assistant>

<tool name="look" id="call_1">
  A cat.
</tool>
"""

COMPLETION = """\
---
model: claude-2
temperature: 0.7
max_tokens: 256
top_p: 1.0
provider: anthropic
endpoint: complete
---
Human: Write about {{topic}}.

Assistant:
"""

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", " ", "\n", "  a\n b\r\n", "<text>\n  a\n</text>", "</system>", "<tool ", "---\n", '"', "<image "]
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXTS, JSON, max_size=3)
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.builds(lambda url: {"type": "image_url", "image_url": {"url": url}}, TEXTS),
)
CALLS = st.builds(
    lambda id, name, arguments: {"id": id, "function": {"name": name, "arguments": arguments}},
    TEXTS,
    TEXTS,
    st.none() | TEXTS,
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"])},
    optional={
        "content": TEXTS | st.lists(PARTS, max_size=3),
        "name": TEXTS,
        "tool_call_id": TEXTS,
        "tool_calls": st.lists(CALLS, max_size=2),
        "thinking": st.just([{"type": "redacted_thinking", "data": "x"}]),
    },
)
CONFIGS = st.fixed_dictionaries(
    {"model": TEXTS, "endpoint": st.sampled_from(["complete", "chat", "edit"])},
    optional={
        "provider": TEXTS,
        "name": TEXTS,
        "description": TEXTS,
        "prompt_template": TEXTS,
        "chat_template": st.lists(MESSAGES, max_size=3),
        "max_tokens": st.integers(-1, 10**9),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "stop": TEXTS | st.lists(TEXTS, max_size=3),
        "presence_penalty": st.floats(-2, 2),
        "other": OBJECTS,
        "seed": st.integers(-(2**53), 2**53),
        "response_format": st.builds(lambda schema: {"type": "json_schema", "json_schema": schema}, OBJECTS),
        "tools": st.lists(
            st.builds(lambda name, schema: {"name": name, "parameters": schema}, TEXTS, OBJECTS), max_size=2
        ),
        "reasoning_effort": st.sampled_from(["high", 2048]),
        "template_language": st.just("jinja"),
    },
)


def file_of(fields: dict[str, Any]) -> PromptFile:
    request = msgspec.convert({**fields, "type": "model"}, ModelConfigRequest)
    return PromptFile(ModelConfig.from_request(request), request.name, request.description)


@pytest.mark.parametrize("text", [CHAT, COMPLETION])
def test_a_file_in_the_documented_form_is_read_and_written_unchanged(text: str) -> None:
    assert write_prompt_file(read_prompt_file(text)) == text


def test_the_documented_form_means_these_messages() -> None:
    config = read_prompt_file(CHAT).config
    assert (config.model, config.endpoint) == ("gpt-4", "chat")
    system, user, assistant, tool = msgspec.to_builtins(config.chat_template)
    assert system["content"] == "You are a friendly assistant.\n\nBe {{ mood }}."
    assert [part["type"] for part in user["content"]] == ["text", "image_url"]
    assert user["content"][1]["image_url"] == {"url": "https://example.com/a%2Cb.jpg?x=1&copy=2", "detail": "low"}
    assert (assistant["content"], len(assistant["tool_calls"])) == ("Let me see.", 1)
    assert assistant["tool_calls"][0]["function"] == {"name": "look", "arguments": '{\n  "at": "it"\n}'}
    assert (tool["role"], tool["content"], tool["tool_call_id"]) == ("tool", "A cat.", "call_1")
    assert read_prompt_file(COMPLETION).config.prompt_template == "Human: Write about {{topic}}.\n\nAssistant:"


def test_files_written_by_hand_may_differ_in_layout() -> None:
    expected = read_prompt_file(CHAT)
    assert read_prompt_file(CHAT.replace("\n", "\r\n")) == expected
    assert read_prompt_file(CHAT.replace("endpoint: chat\n", "") + "\n\n") == expected
    assert read_prompt_file("---\nmodel: m\n---\n<user>Hi</user>").config.chat_template is not None
    assert read_prompt_file("---\nmodel: m\n---\nHi").config.prompt_template == "Hi"
    tools = 'tools: [\n  {\n    "name": "f",\n    "parameters": {"type": "object"}\n  }\n]\n'
    config = read_prompt_file(f"---\nmodel: m\n{tools}---\n").config
    assert config.tools == [ModelConfigTool(name="f", parameters={"type": "object"})]


@settings(deadline=None, max_examples=400)
@given(CONFIGS)
def test_every_configuration_survives_the_round_trip(fields: dict[str, Any]) -> None:
    file = file_of(fields)
    text = write_prompt_file(file)
    assert read_prompt_file(text) == file, text
    assert read_prompt_file(msgspec.json.encode(file_fields(file)).decode()) == file


def file_fields(file: PromptFile) -> dict[str, Any]:
    return {**msgspec.to_builtins(file.config), "name": file.name, "description": file.description}


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60).map("---\nmodel: m\n".__add__) | st.text(max_size=60).map(CHAT.__add__) | st.text())
def test_any_other_text_is_read_or_is_a_prompt_file_error(text: str) -> None:
    with suppress(PromptFileError):
        read_prompt_file(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "header"),
        ("model: m", "header"),
        ("---\n- m\n---\n", "mapping"),
        ("---\nmodel: [\n---\n", "YAML"),
        ("---\nmodel: 0b_\n---\n", "YAML"),
        ("---\nmodel: &a m\nname: *a\n---\n", "aliases"),
        ("---\nmodel: 1\n---\n", "Expected `str`"),
        ("---\nmodel: m\nsize: 1\n---\n", "size"),
        ("---\nmodel: m\nendpoint: chat\n---\nHi", "'Hi' in place of a tag"),
        ("---\nmodel: m\nendpoint: chat\n---\n<user>\n  Hi\n", "not closed"),
        ("---\nmodel: m\nendpoint: chat\n---\n<human>\n  Hi\n</human>", "human"),
        ('---\nmodel: m\nendpoint: chat\n---\n<user id="1">\n  Hi\n</user>', "attribute 'id'"),
        ("---\nmodel: m\nendpoint: edit\n---\nHi", "no template"),
        ("---\nmodel: m\nprompt_template: a\n---\nHi", "remove one"),
        ("{", "JSON"),
        ('{"model": 1}', "Expected `str`"),
        ("---\nother: " + "[" * 5000 + "\n---\n", "deep"),
    ],
)
def test_the_error_names_the_problem(text: str, problem: str) -> None:
    with pytest.raises(PromptFileError, match=problem):
        read_prompt_file(text)


def test_many_tags_that_are_not_closed_take_no_quadratic_time() -> None:
    start = time.perf_counter()
    with pytest.raises(PromptFileError, match="not closed"):
        read_prompt_file("---\nmodel: m\nendpoint: chat\n---\n" + "<user>\n" * 200_000)
    assert time.perf_counter() - start < 5
