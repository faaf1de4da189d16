"""Tool calls from pieces, in the variants of OpenAI-compatible servers."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from humanloop_async.server.providers.openai_json import ToolCallPiece, decode_usual, read_unusual
from humanloop_async.server.providers.openai_tool_calls import ToolCalls
from humanloop_async.server.providers.reading import MalformedResponse


def piece(
    name: str | None = None, arguments: str | None = None, *, index: int | None = None, id: str | None = None
) -> dict[str, Any]:
    return {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}


def assembled(pieces: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    calls = ToolCalls()
    for item in pieces:
        body = json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [item]}}]}).encode()
        try:
            response = decode_usual(body)
        except msgspec.DecodeError:
            response, _ = read_unusual(body)
        delta = response.choices[0].delta
        assert delta is not None
        for part in delta.pieces:
            calls.add(part)
    return [(call.id, call.function.name, call.function.arguments) for call in calls.complete(0) or ()]


F = '{"x":1}'
G = '{"y":"{"}'
TWO = [("a", "f", F), ("b", "g", G)]

TWO_CALLS = {
    "OpenAI: index on all pieces, id on the first": [
        piece("f", "", index=0, id="a"),
        piece(None, '{"x"', index=0),
        piece(None, ":1}", index=0),
        piece("g", "", index=1, id="b"),
        piece(None, G, index=1),
    ],
    "interleaved": [
        piece("f", index=0, id="a"),
        piece("g", index=1, id="b"),
        piece(None, G, index=1),
        piece(None, F, index=0),
    ],
    "in the opposite order": [piece("g", G, index=1, id="b"), piece("f", F, index=0, id="a")],
    "Ollama: index 0 for whole calls": [piece("f", F, index=0, id="a"), piece("g", G, index=0, id="b")],
    "LMDeploy: index 0, pieces without id": [
        piece("f", "", index=0, id="a"),
        piece(None, F, index=0, id=""),
        piece("g", "", index=0, id="b"),
        piece(None, G, index=0, id=""),
    ],
    "SGLang: index 0, id on every piece": [
        piece("f", "", index=0, id="a"),
        piece(None, F, index=0, id="a"),
        piece("g", "", index=0, id="b"),
        piece(None, G, index=0, id="b"),
    ],
    "Poolside: another id on later pieces": [
        piece("f", "", index=0, id="a"),
        piece(None, '{"x":', index=0, id="z1"),
        piece(None, "1}", index=0, id="z2"),
        piece("g", "", index=1, id="b"),
        piece(None, G, index=1, id="z3"),
    ],
    "no index, id on every piece": [
        piece("f", '{"x"', id="a"),
        piece(None, ":1}", id="a"),
        piece("g", '{"y":', id="b"),
        piece(None, '"{"}', id="b"),
    ],
    "no index, id on every piece, interleaved": [
        piece("f", '{"x"', id="a"),
        piece("g", '{"y":', id="b"),
        piece(None, ":1}", id="a"),
        piece(None, '"{"}', id="b"),
    ],
    "no index, id on the first piece": [
        piece("f", '{"x"', id="a"),
        piece(None, ":1}"),
        piece("g", id="b"),
        piece(None, G),
    ],
    "no index, another id on later pieces": [
        piece("f", '{"x"', id="a"),
        piece(None, ":1}", id="z"),
        piece("g", G, id="b"),
    ],
    "id and name repeated": [
        piece("f", "", index=0, id="a"),
        piece("f", '{"x":', index=0, id="a"),
        piece("f", "1}", index=0, id="a"),
        piece("g", G, index=1, id="b"),
    ],
    "the id first, then the name": [
        piece(index=0, id="a"),
        piece("f", index=0),
        piece(None, F, index=0),
        piece(index=1, id="b"),
        piece("g", G, index=1),
    ],
    "whole calls repeated at the end": [
        piece("f", '{"x":', index=0, id="a"),
        piece(None, "1}", index=0),
        piece("g", G, index=1, id="b"),
        piece("f", F, index=0, id="a"),
        piece("g", G, index=1, id="b"),
    ],
    "a placeholder for arguments": [
        piece("f", "{}", index=0, id="a"),
        piece(None, F, index=0),
        piece("g", "{}", index=1, id="b"),
        piece(None, '{"y":', index=1),
        piece(None, '"{"}', index=1),
    ],
    "arguments as objects": [
        {"id": "a", "function": {"name": "f", "arguments": {"x": 1}}},
        {"id": "b", "function": {"name": "g", "arguments": {"y": "{"}}},
    ],
    "without the object `function`": [
        {"index": 0, "id": "a", "name": "f", "arguments": ""},
        {"index": 0, "arguments": F},
        {"index": 1, "id": "b", "name": "g", "arguments": {"y": "{"}},
    ],
    "indexes and ids in another JSON form": [
        {"index": "0", "id": "a", "function": {"name": "f", "arguments": F}},
        {"index": 1.0, "id": "b", "function": {"name": "g", "arguments": G}},
    ],
    "blanks and empty pieces": [
        piece("f", F, index=0, id="a"),
        piece(None, "\n", index=0),
        piece(index=0),
        {},
        piece("g", G, index=1, id="b"),
        piece("", "", index=1, id=""),
    ],
}


@pytest.mark.parametrize("pieces", TWO_CALLS.values(), ids=TWO_CALLS.keys())
def test_two_calls_are_told_apart(pieces: list[dict[str, Any]]) -> None:
    expected = [(id, name, json.loads(arguments)) for id, name, arguments in TWO]
    assert [(id, name, json.loads(arguments or "")) for id, name, arguments in assembled(pieces)] == expected


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param(
            [piece("f", F), piece("g", G)], [("call_0_0", "f", F), ("call_0_1", "g", G)], id="neither index nor id"
        ),
        pytest.param(
            [piece("f", '{"x"'), piece(None, ":1}"), piece("f", F)],
            [("call_0_0", "f", F), ("call_0_1", "f", F)],
            id="neither, in pieces, the same function",
        ),
        pytest.param(
            [piece("f", '{"x"'), piece("f", ":1}")], [("call_0_0", "f", F)], id="neither, the name on every piece"
        ),
        pytest.param([piece("f", ""), piece("f", F)], [("call_0_0", "f", F)], id="neither, the first piece empty"),
        pytest.param(
            [piece("f", F, index=0, id="x"), piece("f", F, index=1, id="x")],
            [("x", "f", F), ("x_1", "f", F)],
            id="one id for two calls",
        ),
        pytest.param(
            [
                piece("f", index=0, id="f"),
                piece(None, F, index=0),
                piece("f", index=1, id="f"),
                piece(None, F, index=1),
            ],
            [("f", "f", F), ("f_1", "f", F)],
            id="one id for two calls, in pieces",
        ),
        pytest.param(
            [piece("f", "{}", index=0, id="a"), piece("f", "{}", index=0, id="b")],
            [("a", "f", "{}"), ("b", "f", "{}")],
            id="calls without arguments",
        ),
        pytest.param(
            [piece("f", index=0, id="a"), piece("f", index=0, id="b")],
            [("a", "f", ""), ("b", "f", "")],
            id="calls without any arguments",
        ),
        pytest.param([{"id": 7, "function": {"name": "f"}}], [("7", "f", "")], id="a number as id"),
        pytest.param(
            [piece("f", '{"x": "\ud83d'), piece(None, '\ude00"}')], [("call_0_0", "f", '{"x": "😀"}')], id="half"
        ),
    ],
)
def test_ids_and_arguments(pieces: list[dict[str, Any]], expected: list[tuple[str, str, str]]) -> None:
    assert assembled(pieces) == expected


def test_a_call_needs_a_name() -> None:
    with pytest.raises(MalformedResponse, match="tool call 0 of sample 0 has no name"):
        assembled([piece(None, F, index=0, id="a")])
    assert assembled([{}, piece(index=0)]) == []


def test_the_deprecated_form_is_one_call() -> None:
    response = decode_usual(b'{"choices": [{"delta": {"function_call": {"name": "f", "arguments": "{}"}}}]}')
    delta = response.choices[0].delta
    assert delta is not None
    assert [type(part) for part in delta.pieces] == [ToolCallPiece]
    calls = ToolCalls()
    calls.add(delta.pieces[0])
    complete = calls.complete(3)
    assert complete is not None
    assert (complete[0].id, complete[0].function.name) == ("call_3_0", "f")
