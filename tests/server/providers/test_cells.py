"""Every cell of the table of capabilities in docs/providers.md, over HTTP, streamed and not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from humanloop_async.server.providers.base import Provider, ProviderCall, ProviderChunk, ProviderError
from humanloop_async.server.providers.capabilities import LABELS
from humanloop_async.server.providers.presets import PRESETS
from humanloop_async.server.providers.registry import Providers, capability_rows
from humanloop_async.server.providers.settings import ProviderSettings
from humanloop_async.testing import ScriptedServer
from humanloop_async.types import ChatMessage, ImageChatContent, ImageUrl, Json, ModelConfigTool, ResponseFormat
from tests.events import DONE
from tests.server.providers.transcripts import call

ROWS = capability_rows()
PICTURE = "https://x.example/picture-42.png"
TOOL = ModelConfigTool(name="weather-42", description="", parameters={"type": "object", "properties": {}})
SCHEMA: dict[str, Json] = {"schema": {"type": "object", "properties": {"colour-42": {"type": "string"}}}}

CALLS: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "stop": ({"stop": ["STOP-42"]}, ["STOP-42"], "stop"),
    "temperature": ({"temperature": 0.25}, ["0.25"], "temperature"),
    "top_p": ({"top_p": 0.75}, ["0.75"], "top_p"),
    "penalties": ({"presence_penalty": 0.5, "frequency_penalty": -0.25}, ["0.5", "-0.25"], "presence_penalty"),
    "seed": ({"seed": 12345}, ["12345"], "seed"),
    "json_object": ({"response_format": ResponseFormat(type="json_object")}, ["json_object"], "json_object"),
    "json_schema": (
        {"response_format": ResponseFormat(type="json_schema", json_schema=SCHEMA)},
        ["colour-42"],
        "json_schema",
    ),
    "completions": ({"endpoint": "complete", "prompt": "x", "suffix": "SUFFIX-42"}, ["SUFFIX-42"], "suffix"),
    "effort": ({"reasoning_effort": "low"}, ['"low"'], "reasoning_effort"),
    "budget": ({"reasoning_effort": 2345}, ["2345"], "reasoning_effort"),
    "tools": ({"tools": [TOOL]}, ["weather-42"], "tools"),
    "tool_choice": ({"tools": [TOOL], "tool_choice": "required"}, ["choice"], "tool_choice"),
    "images": (
        {"messages": [ChatMessage(role="user", content=[ImageChatContent(image_url=ImageUrl(url=PICTURE))])]},
        [PICTURE],
        "images",
    ),
}
"""The parameters: the fields of a call, texts in the body of its request, and the name in the error without support."""

Sent = dict[str, Any]


def openai_body(*, text: str = "hi", thinking: str = "", tool: bool = False, legacy: bool = False) -> tuple[Sent, Sent]:
    """Return a whole response, and the same as the only event of a stream."""
    function = {"name": "weather-42", "arguments": "{}"}
    message: Sent = {"content": text, "reasoning_content": thinking or None}
    if tool:
        message["tool_calls"] = [{"index": 0, "id": "call_1", "type": "function", "function": function}]
    choice: Sent = {"index": 0, "finish_reason": "tool_calls" if tool else "stop"}
    counts = {"prompt_tokens": 4, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 2}}
    whole = {"choices": [choice | ({"text": text} if legacy else {"message": message})], "usage": counts}
    event = {"choices": [choice | ({"text": text} if legacy else {"delta": message})], "usage": counts}
    return whole, event


def anthropic_body(*, text: str = "hi", thinking: str = "", tool: bool = False) -> tuple[Sent, list[Sent]]:
    blocks: list[Sent] = [{"type": "thinking", "thinking": thinking}] if thinking else []
    blocks.append({"type": "text", "text": text})
    if tool:
        blocks.append({"type": "tool_use", "id": "call_1", "name": "weather-42", "input": {}})
    reason = "tool_use" if tool else "end_turn"
    counts = {"input_tokens": 4, "output_tokens": 3, "output_tokens_details": {"thinking_tokens": 2}}
    starts = [{"type": "content_block_start", "index": at, "content_block": block} for at, block in enumerate(blocks)]
    end = {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": counts}
    whole = {"type": "message", "content": blocks, "stop_reason": reason, "usage": counts}
    return whole, [*starts, end, {"type": "message_stop"}]


def cohere_body(*, text: str = "hi", thinking: str = "", tool: bool = False) -> tuple[Sent, list[Sent]]:
    content = [{"type": "thinking", "thinking": thinking}, {"type": "text", "text": text}]
    calls = [{"id": "call_1", "type": "function", "function": {"name": "weather-42", "arguments": "{}"}}]
    end = {
        "finish_reason": "TOOL_CALL" if tool else "COMPLETE",
        "usage": {"tokens": {"input_tokens": 4, "output_tokens": 3}},
    }
    events: list[Sent] = [
        {"type": "content-start", "index": at, "delta": {"message": {"content": part}}}
        for at, part in enumerate(content)
    ]
    if tool:
        events.append({"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": calls[0]}}})
    message = {"content": content} | ({"tool_calls": calls} if tool else {})
    return {"message": message} | end, [*events, {"type": "message-end", "delta": end}]


def respond(scripted: ScriptedServer, name: str, *, streamed: bool, **parts: Any) -> None:
    """Add the response of a provider."""
    kind: Callable[..., tuple[Any, Any]] = {"anthropic": anthropic_body, "cohere": cohere_body}.get(name, openai_body)
    whole, events = kind(**parts)
    if not streamed:
        scripted.add_response(whole)
        return
    scripted.add_stream(*(events if isinstance(events, list) else [events, DONE]))


def provider(name: str, scripted: ScriptedServer) -> Provider:
    """Return a provider as the server creates it from the environment."""
    environ = {f"HUMANLOOP_PROVIDER_{preset.upper()}_BASE_URL": f"{scripted.url}/v1" for preset in PRESETS}
    environ |= {f"HUMANLOOP_PROVIDER_{preset.upper()}_API_KEY": "k-42" for preset in PRESETS}
    environ |= {"OPENAI_BASE_URL": f"{scripted.url}/v1", "AZURE_OPENAI_ENDPOINT": scripted.url}
    environ |= {"ANTHROPIC_BASE_URL": scripted.url, "COHERE_BASE_URL": scripted.url}
    environ |= {f"{key}_API_KEY": "k-42" for key in ("OPENAI", "AZURE_OPENAI", "ANTHROPIC", "COHERE")}
    return Providers(ProviderSettings.from_environ(environ)).get(name)


async def run(made: Provider, sent: ProviderCall, *, streamed: bool) -> tuple[list[ProviderChunk], Any]:
    """Return the chunks of a call, and its token counts. A sample that was not streamed is one chunk."""
    if not streamed:
        reply = await made.generate(sent)
        samples = reply.samples
        return [
            ProviderChunk(s.index, s.text, s.finish_reason, s.tool_calls, b"", s.reasoning) for s in samples
        ], reply.usage
    async with made.stream(sent) as stream:
        return [one async for batch in stream for one in batch], stream.usage


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("capability", CALLS)
@pytest.mark.parametrize("name", ROWS)
async def test_a_parameter(scripted: ScriptedServer, name: str, capability: str, streamed: bool) -> None:
    """It is sent, or rejected by name before anything is sent."""
    fields, texts, lacking = CALLS[capability]
    sent, made = call(provider=name, **fields), provider(name, scripted)
    if not getattr(ROWS[name], capability):
        with pytest.raises(ProviderError, match=lacking) as caught:
            made.request_body(sent)
        assert caught.value.status == 422
        return
    parts = {"legacy": True} if capability == "completions" else {"tool": True} if capability.startswith("tool") else {}
    respond(scripted, name, streamed=streamed, **parts)
    chunks, _ = await run(made, sent, streamed=streamed)
    [request] = scripted.requests
    body = json.dumps(request.json)
    assert [text for text in texts if text not in body] == []
    assert "k-42" not in json.dumps(made.request_body(sent))
    assert request.json.get("stream", False) == streamed
    if capability == "completions":
        assert "/chat/" not in request.path
    assert "".join(one.text for one in chunks) == "hi"
    assert chunks[-1].finish_reason == ("tool_call" if capability.startswith("tool") else "stop")
    if capability.startswith("tool"):
        [tool_call] = chunks[-1].tool_calls or []
        assert (tool_call.id, tool_call.function.name, tool_call.function.arguments) == ("call_1", "weather-42", "{}")
    await made.aclose()


@pytest.mark.parametrize("name", ROWS)
async def test_native_samples(scripted: ScriptedServer, name: str, streamed: bool) -> None:
    """Two samples are one request, or two requests."""
    made = provider(name, scripted)
    if not (native := ROWS[name].native_samples):
        respond(scripted, name, streamed=streamed)
        respond(scripted, name, streamed=streamed)
    elif streamed:
        choices = [{"index": at, "delta": {"content": "hi"}, "finish_reason": "stop"} for at in (0, 1)]
        scripted.add_stream({"choices": choices}, DONE)
    else:
        choices = [{"index": at, "message": {"content": "hi"}, "finish_reason": "stop"} for at in (0, 1)]
        scripted.add_response({"choices": choices})
    chunks, _ = await run(made, call(provider=name, num_samples=2), streamed=streamed)
    for index in (0, 1):
        assert "".join(one.text for one in chunks if one.index == index) == "hi"
    assert [request.json.get("n") for request in scripted.requests] == ([2] if native else [None, None])
    await made.aclose()


@pytest.mark.parametrize("name", ROWS)
async def test_unlimited(scripted: ScriptedServer, name: str, streamed: bool) -> None:
    respond(scripted, name, streamed=streamed)
    made = provider(name, scripted)
    await run(made, call(provider=name, max_tokens=None), streamed=streamed)
    [request] = scripted.requests
    limits = [value for key, value in request.json.items() if key in ("max_tokens", "max_completion_tokens")]
    assert (limits == []) == ROWS[name].unlimited
    await made.aclose()


@pytest.mark.parametrize("name", ROWS)
async def test_user(scripted: ScriptedServer, name: str, streamed: bool) -> None:
    """Without support it is left out."""
    respond(scripted, name, streamed=streamed)
    made = provider(name, scripted)
    await run(made, call(provider=name, user="user-42"), streamed=streamed)
    [request] = scripted.requests
    assert ("user-42" in json.dumps(request.json)) == ROWS[name].user
    await made.aclose()


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.thinking])
async def test_thinking(scripted: ScriptedServer, name: str, streamed: bool) -> None:
    respond(scripted, name, streamed=streamed, thinking="hm")
    made = provider(name, scripted)
    chunks, _ = await run(made, call(provider=name), streamed=streamed)
    assert ("".join(one.text for one in chunks), "".join(one.reasoning for one in chunks)) == ("hi", "hm")
    await made.aclose()


@pytest.mark.parametrize(
    ("name", "capability"),
    [(name, kind) for name, row in ROWS.items() for kind in ("usage", "reasoning_tokens") if getattr(row, kind)],
)
async def test_token_counts(scripted: ScriptedServer, name: str, capability: str, streamed: bool) -> None:
    respond(scripted, name, streamed=streamed)
    made = provider(name, scripted)
    _, usage = await run(made, call(provider=name), streamed=streamed)
    counts = (usage.prompt_tokens, usage.generation_tokens, usage.total_tokens)
    assert usage.reasoning_tokens == 2 if capability == "reasoning_tokens" else counts == (4, 3, 7)
    await made.aclose()


def test_every_capability_has_a_test() -> None:
    others = {"native_samples", "unlimited", "user", "thinking", "usage", "reasoning_tokens"}
    assert {*CALLS, *others} == set(LABELS)
