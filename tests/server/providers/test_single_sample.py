"""Unusual JSON from the providers whose requests generate one sample: split surrogate pairs, odd bytes and numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from humanloop_async.server.providers import anthropic, cohere
from humanloop_async.server.providers.base import ProviderChunk, ProviderSample
from humanloop_async.server.providers.reading import MalformedResponse
from humanloop_async.server.providers.single_sample import SingleSampleReader


def anthropic_delta(kind: str, text: str) -> dict[str, Any]:
    name = {"text": "text", "thinking": "thinking", "arguments": "partial_json"}[kind]
    delta = {"type": "input_json_delta" if kind == "arguments" else f"{kind}_delta", name: text}
    return {"type": "content_block_delta", "index": 0, "delta": delta}


def cohere_delta(kind: str, text: str) -> dict[str, Any]:
    if kind == "arguments":
        message: dict[str, Any] = {"tool_calls": {"function": {"arguments": text}}}
        return {"type": "tool-call-delta", "index": 0, "delta": {"message": message}}
    return {"type": "content-delta", "index": 0, "delta": {"message": {"content": {kind: text}}}}


def anthropic_whole(kind: str, text: str) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": kind, kind: text}], "stop_reason": "end_turn"}


def cohere_whole(kind: str, text: str) -> dict[str, Any]:
    return {"message": {"content": [{"type": kind, kind: text}]}, "finish_reason": "COMPLETE"}


FORMATS: dict[str, tuple[Callable[[], SingleSampleReader], Callable[[str, str], Any], Any, list[Any], list[Any]]] = {
    "anthropic": (
        anthropic.MessageReader,
        anthropic_delta,
        lambda kind, text: anthropic.read_message(json.dumps(anthropic_whole(kind, text)).encode())[0],
        [{"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "a", "name": "f"}}],
        [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}],
    ),
    "cohere": (
        cohere.ChatReader,
        cohere_delta,
        lambda kind, text: cohere.read_response(json.dumps(cohere_whole(kind, text)).encode())[0],
        [{"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": {"function": {"name": "f"}}}}}],
        [{"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}],
    ),
}
PARTS = [
    (["a\ud83d", "\ude00b"], "a😀b"),
    (["\ud83d", "", "\ude00"], "😀"),
    (["a\ud83d", "b"], "a\ufffdb"),
    (["a", "\ude00b"], "a\ufffdb"),
    (["a\ud83d"], "a\ufffd"),
    (["\ud83d\ud83d", "\ude00"], "\ufffd😀"),
    (["\ud83d", "\ud83d", "\ude00"], "\ufffd😀"),
    (["\ud83d", "x\ud83d", "\ude00"], "\ufffdx😀"),
    (["a\ud83db"], "a\ufffdb"),
]


def read(reader: SingleSampleReader, *events: object) -> list[ProviderChunk]:
    chunks: list[ProviderChunk] = []
    reader.read([event if isinstance(event, bytes) else json.dumps(event).encode() for event in events], chunks.append)
    reader.end(chunks.append)
    return chunks


@pytest.mark.parametrize("kind", ["text", "thinking"])
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("parts", "expected"), PARTS, ids=ascii)
def test_a_surrogate_pair_in_two_events_is_joined(name: str, kind: str, parts: list[str], expected: str) -> None:
    """A half without the other becomes U+FFFD, wherever it is."""
    reader, delta, whole, _, end = FORMATS[name]
    chunks = read(reader(), *(delta(kind, part) for part in parts), *end)
    assert "".join(chunk.text + chunk.reasoning for chunk in chunks) == expected
    assert chunks[-1].finish_reason == "stop"
    for chunk in chunks:
        chunk.raw.decode()
    sample: ProviderSample
    [sample] = whole(kind, "".join(parts))
    assert (sample.text if kind == "text" else sample.reasoning) == expected


@pytest.mark.parametrize("name", FORMATS)
def test_the_arguments_of_a_tool_call_are_joined_too(name: str) -> None:
    reader, delta, _, start, end = FORMATS[name]
    pieces = [delta("arguments", piece) for piece in ('{"x": "\ud83d', '\ude00"}')]
    calls = read(reader(), *start, *pieces, *end)[-1].tool_calls
    assert calls is not None
    assert [json.loads(call.function.arguments or "") for call in calls] == [{"x": "😀"}]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("odd", [b'"\xff"', b"NaN", b"1e999", b"1" * 400])
def test_odd_values_that_nobody_reads_end_no_call(name: str, odd: bytes) -> None:
    reader, delta, *_, end = FORMATS[name]
    event = json.dumps(delta("text", "a")).encode()
    chunks = read(reader(), event[:-1] + b', "odd": ' + odd + b"}", *end)
    assert "".join(chunk.text for chunk in chunks) == "a"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("data", [b"x", b"[1]", b'{"type": 1}'])
def test_an_event_that_is_no_json_object_is_malformed(name: str, data: bytes) -> None:
    with pytest.raises(MalformedResponse):
        read(FORMATS[name][0](), data)
