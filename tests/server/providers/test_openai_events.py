"""Responses and events of OpenAI and of compatible servers, without a network.

The byte strings are responses as servers send them; `test_openai.py` has tests over HTTP.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from humanloop_async.server.providers.base import ProviderChunk
from humanloop_async.server.providers.openai_events import EventReader, read_response
from humanloop_async.server.providers.reading import ErrorEvent, MalformedResponse
from humanloop_async.types import FunctionTool, ToolCall, Usage


def read(num_samples: int, *events: object, ended: bool = False) -> tuple[EventReader, list[ProviderChunk]]:
    """Read events, and ``[DONE]`` if `ended`, up to the end of the stream."""
    reader, chunks = EventReader(num_samples), list[ProviderChunk]()
    for event in (*events, b"[DONE]") if ended else events:
        reader.read([event if isinstance(event, bytes) else json.dumps(event).encode()], chunks.append)
    reader.end(chunks.append)
    return reader, chunks


def delta(index: int | None, content: object = None, finish: object = None, **fields: Any) -> dict[str, Any]:
    choice: dict[str, Any] = {"delta": {"content": content, **fields}, "finish_reason": finish}
    return {"choices": [choice if index is None else {"index": index, **choice}]}


def usage(prompt: object, completion: object, **fields: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, **fields}


def shown(chunks: list[ProviderChunk]) -> list[tuple[int, str, str | None]]:
    return [(chunk.index, chunk.text, chunk.finish_reason) for chunk in chunks]


def joined(chunks: list[ProviderChunk]) -> tuple[str, str, str | None]:
    """Return the text, the reasoning and the finish reason of one sample."""
    finished = [chunk.finish_reason for chunk in chunks if chunk.finish_reason is not None]
    assert len(finished) <= 1
    assert not finished or chunks[-1].finish_reason is not None
    text, reasoning = "".join(chunk.text for chunk in chunks), "".join(chunk.reasoning for chunk in chunks)
    return text, reasoning, finished[0] if finished else None


def tool(index: int | None, id: str | None = None, name: str | None = None, arguments: str = "") -> dict[str, Any]:
    piece: dict[str, Any] = {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
    return {name: value for name, value in piece.items() if value is not None}


CALL = ToolCall(id="a", function=FunctionTool(name="f", arguments="{}"))


# Streams as OpenAI documents them


def test_deltas_become_chunks_and_empty_ones_nothing() -> None:
    """Whitespace stays, the first delta has no text, and `raw` is the event itself."""
    first = delta(0, None, role="assistant")
    _, chunks = read(2, first, delta(1, " b"), delta(0, "a\n"), delta(0, "", "stop"), delta(1, None, "length"))
    assert shown(chunks) == [(1, " b", None), (0, "a\n", None), (0, "", "stop"), (1, "", "length")]
    assert chunks[0].raw == json.dumps(delta(1, " b")).encode()
    assert json.loads(chunks[2].raw) == delta(0, "", "stop")


def test_legacy_events_have_text() -> None:
    """/completions has the text next to the index."""
    events = [
        {"choices": [{"index": 0, "text": text, "finish_reason": end}]} for text, end in (("hi", None), ("!", "stop"))
    ]
    _, chunks = read(1, *events)
    assert shown(chunks) == [(0, "hi", None), (0, "!", "stop")]


def test_tool_calls_arrive_complete_with_the_end_of_their_sample() -> None:
    """While their pieces arrive, empty chunks say that the provider works."""
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
    assert shown(chunks[:5]) == [(index, "", None) for index in (0, 1, 0, 0, 0)]
    first, second = chunks[5:]
    assert (first.index, first.finish_reason, second.index, second.finish_reason) == (0, "tool_call", 1, "tool_call")
    assert first.tool_calls == [
        ToolCall(id="a", function=FunctionTool(name="f", arguments='{"x":1}')),
        ToolCall(id="b", function=FunctionTool(name="g", arguments='{"y":2}')),
    ]
    assert second.tool_calls == [ToolCall(id="c", function=FunctionTool(name="h", arguments="{}"))]


# Streams of other servers: each is one sample that says "Hello" after the thinking "hm", and ends.

HELLO = [
    pytest.param([{"choices": None, "usage": usage(1, 2)}, delta(0, "Hello", "stop")], id="choices null next to usage"),
    pytest.param(
        [{"choices": {"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}}], id="choices an object"
    ),
    pytest.param([{"choices": [None]}, delta(0, "Hello", "stop")], id="a choice null"),
    pytest.param([delta(None, "Hel"), delta(None, "lo", "stop")], id="index missing"),
    pytest.param(
        [{"choices": [{"index": None, "delta": {"content": "Hello"}, "finish_reason": "stop"}]}], id="index null"
    ),
    *(
        pytest.param(
            [{"choices": [{"index": index, "delta": {"content": "Hello"}, "finish_reason": "stop"}]}],
            id=f"index {index!r}",
        )
        for index in (0.0, "0", "", 1, 7)
    ),
    pytest.param([delta(5, "Hel"), delta(None, "lo"), delta(5, "", "stop")], id="index sometimes missing"),
    pytest.param([{"choices": [{"delta": None}]}, delta(0, "Hello", "stop")], id="delta null"),
    pytest.param([{"choices": [{"delta": "Hello", "finish_reason": "stop"}]}], id="delta a string"),
    pytest.param([{"choices": [{"delta": []}]}, delta(0, "Hello", "stop")], id="delta an empty array, from PHP"),
    pytest.param([delta(0, [{"type": "text", "text": "Hel"}]), delta(0, "lo", "stop")], id="parts and strings"),
    pytest.param([delta(0, ["Hel", {"text": "lo"}], "stop")], id="a list with strings and untyped parts"),
    pytest.param([delta(0, {"type": "text", "text": "Hello"}, "stop")], id="content one part"),
    pytest.param([delta(0, [{"type": "text", "text": {"value": "Hello"}}], "stop")], id="text in an object"),
    pytest.param(
        [delta(0, [{"type": "reference", "reference_ids": [1]}, {"type": "text", "text": "Hello"}, None], "stop")],
        id="unknown parts",
    ),
    pytest.param([delta(0, None, refusal="Hel"), delta(0, "lo", "stop")], id="a refusal"),
    pytest.param([delta(0, "Hel", refusal="lo"), delta(0, None, "stop")], id="a refusal next to content"),
    pytest.param([{"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}], id="message, no delta"),
    pytest.param(
        [delta(0, "Hello"), {"choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]}],
        id="the whole message repeated at the end",
    ),
    pytest.param([b"", b" ", b"ping", b'"ping"', b"null", {"type": "ping"}, delta(0, "Hello", "stop")], id="no events"),
    pytest.param([b": OPENROUTER PROCESSING", delta(0, "Hello", "stop")], id="a comment sent as an event"),
    pytest.param(
        [b'{"choices":[{"delta":{"content":"Hel"}}]}\n{"choices":[{"delta":{"content":"lo"},"finish_reason":"stop"}]}'],
        id="no blank lines between events",
    ),
    pytest.param(
        [b'{"choices": [{"delta":\n {"content": "Hello"}, "finish_reason": "stop"}]}'], id="JSON on two lines"
    ),
    pytest.param([b'\xef\xbb\xbf{"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]}'], id="a BOM"),
    *(
        pytest.param(
            [b'{"x": %b, "choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]}' % value],
            id=f"unread {value[:9]!r}",
        )
        for value in (b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b'"\xff"', b'"\\ud83d"', b'"\x01"', b'{"\xf0": []}')
    ),
    pytest.param([delta(0, "Hel", ""), delta(0, "lo", "null"), delta(0, "", "stop")], id="empty finish reasons"),
    pytest.param([delta(0, "Hel", False), delta(0, "lo", {"type": "stop"})], id="finish reasons in another form"),
    pytest.param([delta(0, "Hel", "stop"), delta(0, "lo", "stop")], id="a finish reason on every event"),
    pytest.param([delta(0, "Hello", "stop"), delta(0, "", "stop"), delta(0, "", None)], id="the end sent twice"),
    pytest.param([delta(0, "Hello", "stop"), {**delta(0, "", "stop"), "usage": usage(1, 1)}], id="with usage"),
    pytest.param([delta(0, "Hello"), {"error": None, **delta(0, "", "stop")}], id="error null"),
    pytest.param([delta(0, "Hello", "stop"), {"error": {"message": "late"}}], id="an error after the end"),
    pytest.param([delta(0, "Hello", "stop"), b"{oops"], id="garbage after the end"),
    pytest.param([delta(0, "Hello", "stop"), b"[DONE]", delta(0, "more"), b"{oops"], id="events after [DONE]"),
]


def read_to_end(*events: object) -> list[ProviderChunk]:
    """Read a stream of one sample as `HttpStream` does: errors after the sample's end do not matter."""
    reader, chunks = EventReader(1), list[ProviderChunk]()
    try:
        reader.read(
            [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events], chunks.append
        )
    except (ErrorEvent, MalformedResponse):
        assert not reader.unfinished
    reader.end(chunks.append)
    return chunks


@pytest.mark.parametrize("events", HELLO)
def test_an_event_that_can_be_understood_in_one_way_is_understood(events: list[Any]) -> None:
    chunks = read_to_end(*events)
    assert joined(chunks) == ("Hello", "", "stop")
    for chunk in chunks:  # what the client gets is valid JSON on one line, in UTF-8
        assert b"\n" not in chunk.raw
        assert isinstance(json.loads(chunk.raw.decode(), parse_constant=pytest.fail, parse_int=float), dict)


@pytest.mark.parametrize(
    "thinking",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning": "hm", "reasoning_content": "hm"},
        {"reasoning_content": None, "reasoning": "hm"},
        {"reasoning": {"text": "hm"}},
        {"reasoning_content": [{"type": "text", "text": "h"}, "m"]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
        {"content": [{"type": "thinking", "thinking": "hm"}]},
        {"content": [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": ""}]},
    ],
)
@pytest.mark.parametrize("early_end", [None, "stop"])
def test_thinking_is_kept_apart_from_the_text(thinking: dict[str, Any], early_end: str | None) -> None:
    """Also where its event has a finish reason, which is then not the end of the sample."""
    chunks = read_to_end(
        {"choices": [{"index": 0, "delta": thinking, "finish_reason": early_end}]},
        delta(0, "Hel"),
        delta(0, "lo"),
        delta(0, "", "length"),
    )
    assert joined(chunks) == ("Hello", "hm", "length")
    whole = {"choices": [{"message": {"content": "Hello"} | thinking, "finish_reason": "stop"}]}
    if "content" not in thinking:
        samples, _ = read_response(json.dumps(whole).encode(), 1)
        assert (samples[0].text, samples[0].reasoning) == ("Hello", "hm")


def test_a_finish_reason_with_thinking_is_the_end_if_nothing_follows() -> None:
    """For one of several samples too, while the others continue."""
    end = {"choices": [{"index": 0, "delta": {"reasoning": "hm"}, "finish_reason": "length"}]}
    assert joined(read_to_end(end)) == ("", "hm", "length")
    _, chunks = read(2, end, delta(1, "a"), delta(1, "b", "stop"))
    assert [(chunk.index, chunk.text + chunk.reasoning, chunk.finish_reason) for chunk in chunks] == [
        (1, "a", None),
        (0, "hm", "length"),
        (1, "b", "stop"),
    ]


@pytest.mark.parametrize("key", ["content", "reasoning", "reasoning_content"])
def test_a_surrogate_pair_in_two_events_is_joined(key: str) -> None:
    """A half without the other becomes U+FFFD, wherever it is."""
    for parts, expected in (
        (["a\ud83d", "\ude00b"], "a😀b"),
        (["\ud83d", "", "\ude00"], "😀"),
        (["a\ud83d", "b"], "a\ufffdb"),
        (["a", "\ude00b"], "a\ufffdb"),
        (["a\ud83d"], "a\ufffd"),
        (["\ud83d\ud83d", "\ude00"], "\ufffd😀"),
        (["a\ud83db"], "a\ufffdb"),
    ):
        events = [{"choices": [{"index": 0, "delta": {key: part}}]} for part in parts]
        chunks = read_to_end(*events, delta(0, "", "stop"))
        text, reasoning, finish = joined(chunks)
        assert (text + reasoning, finish) == (expected, "stop")
        for chunk in chunks:
            chunk.raw.decode()
        whole = {"choices": [{"message": {key: "".join(parts)}, "finish_reason": "stop"}]}
        samples, _ = read_response(json.dumps(whole).encode(), 1)
        assert samples[0].text + samples[0].reasoning == expected


def test_thinking_in_openrouters_parts_is_reasoning() -> None:
    """Beside `reasoning` it repeats the text. A part that is encrypted has none."""
    text = {"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0, "format": "anthropic-claude-v1"}
    summary = {"type": "reasoning.summary", "summary": "so", "id": None}
    encrypted = {"type": "reasoning.encrypted", "data": "x==", "id": "r"}
    for message, thoughts in (
        ({"reasoning_details": [text, encrypted, summary]}, "hmso"),
        ({"reasoning": "hm", "reasoning_details": [text]}, "hm"),
        ({"reasoning": None, "reasoning_details": [summary]}, "so"),
        ({"reasoning_details": [encrypted]}, ""),
    ):
        for content in ("", "a", "\ud83da"):  # the last one is read in the tolerant way
            event = {"choices": [{"index": 0, "delta": {**message, "content": content}}]}
            chunks = read_to_end(event, delta(0, "b", "stop"))
            assert joined(chunks)[1] == thoughts
            whole = {"choices": [{"message": {**message, "content": content}, "finish_reason": "stop"}]}
            assert read_response(json.dumps(whole).encode(), 1)[0][0].reasoning == thoughts


def test_groqs_own_counts_are_used_unless_there_are_others() -> None:
    counts = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8, "total_time": 0.01}
    begin = {"choices": [{"index": 0, "delta": {"content": "a"}}], "x_groq": {"id": "req_1"}}
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "x_groq": {"id": "r", "usage": counts}}
    expected = Usage(prompt_tokens=5, generation_tokens=3, total_tokens=8)
    for events in ([begin, last], [begin, last, {"choices": [], "usage": counts}]):
        reader, _ = read(1, *events)
        assert reader.usage == expected
    whole = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "x_groq": {"usage": counts}}
    assert read_response(json.dumps(whole).encode(), 1)[1] == expected


def test_halves_of_two_samples_are_not_mixed_up() -> None:
    _, chunks = read(
        2, delta(0, "\ud83d"), delta(1, "\ud83d"), delta(1, "\ude00"), delta(0, "\ude01", "stop"), delta(1, "", "stop")
    )
    assert ["".join(chunk.text for chunk in chunks if chunk.index == index) for index in (0, 1)] == ["😁", "😀"]


def test_positions_tell_samples_apart_where_indexes_do_not() -> None:
    """Only if all samples are in the event."""
    both = {"choices": [{"delta": {"content": text}, "finish_reason": "stop"} for text in "ab"]}
    assert shown(read(2, both)[1]) == [(0, "a", "stop"), (1, "b", "stop")]
    same = {"choices": [{"index": 0, **choice} for choice in both["choices"]]}
    assert shown(read(2, same)[1]) == [(0, "a", "stop"), (1, "b", "stop")]
    for num_samples, event in ((1, both), (3, both), (1, same), (2, delta(None, "x"))):
        with pytest.raises(MalformedResponse, match="index"):
            read(num_samples, event)


@pytest.mark.parametrize(
    ("finish", "calls", "expected"),
    [
        ("stop", True, "tool_call"),
        ("tool_calls", True, "tool_call"),
        ("function_call", False, "tool_call"),
        ("end_turn", True, "tool_call"),
        ("length", True, "length"),
        ("content_filter", True, "content_filter"),
        ("eos", False, "eos"),
        (None, False, "unknown"),
        (None, True, "tool_call"),
    ],
)
def test_clients_can_test_for_tool_call(finish: str | None, calls: bool, expected: str) -> None:
    """Streamed, and in a whole response."""
    message = {"content": "x", "tool_calls": [tool(0, "a", "f", "{}")] if calls else None}
    _, chunks = read(1, {"choices": [{"index": 0, "delta": message}]}, delta(0, "", finish), ended=True)
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    samples, _ = read_response(json.dumps(whole).encode(), 1)
    assert (chunks[-1].finish_reason, samples[0].finish_reason) == (expected, expected)
    assert chunks[-1].tool_calls == samples[0].tool_calls == ([CALL] if calls else None)


# The end of a stream


def test_done_without_a_finish_reason_ends_what_has_arrived() -> None:
    """The text is complete; the reason is "unknown"."""
    reader, chunks = read(2, delta(0, "a"), delta(1, "b"), ended=True)
    assert shown(chunks) == [(0, "a", None), (1, "b", None), (0, "", "unknown"), (1, "", "unknown")]
    assert (reader.ended, reader.unfinished, reader.missing) == (True, set(), set())


@pytest.mark.parametrize(("events", "words"), [([], ""), ([{"message": "overloaded"}, delta(0, "a")], "overloaded")])
def test_done_after_nothing_or_after_an_error_is_no_end(events: list[Any], words: str) -> None:
    reader, _ = read(1, *events, ended=True)
    assert (reader.unfinished, reader.missing, reader.words) == ({0}, set(), words)


def test_the_end_of_the_connection_is_no_end_of_a_sample() -> None:
    reader, chunks = read(1, delta(0, "a"))
    assert shown(chunks) == [(0, "a", None)]
    assert (reader.ended, reader.unfinished) == (False, {0})


@pytest.mark.parametrize("ended", [True, False])
def test_samples_that_the_server_did_not_generate_are_missing(ended: bool) -> None:
    """Only if the others are complete."""
    reader, _ = read(3, delta(0, "a", "stop"), delta(2, "c", "stop"), ended=ended)
    assert reader.missing == {1}
    reader, _ = read(3, delta(0, "a", "stop"), delta(2, "c"))
    assert reader.missing == set()


@pytest.mark.parametrize(
    ("event", "status", "message"),
    [
        ({"error": {"message": "gone wrong", "code": 429}}, 429, "gone wrong"),
        ({"error": {"message": "gone wrong", "code": "429"}}, 429, "gone wrong"),
        ({"error": {"message": "gone wrong", "code": 429.0}}, 429, "gone wrong"),
        ({"error": {"message": "gone wrong", "code": "rate_limit_exceeded"}}, 429, "gone wrong"),
        ({"error": {"message": "gone wrong", "code": None, "type": "invalid_request_error"}}, 400, "gone wrong"),
        ({"error": {"message": "gone wrong", "status": "RESOURCE_EXHAUSTED"}}, 429, "gone wrong"),
        ({"error": {"message": "gone wrong", "code": "server_error"}}, 503, "gone wrong"),
        ({"error": "gone wrong"}, 503, "gone wrong"),
        ({"error": {"message": "gone wrong", "code": 7}, "choices": []}, 503, "gone wrong"),
        ({"object": "error", "message": "gone wrong", "code": 400}, 400, "gone wrong"),
        ([{"error": {"message": "gone wrong", "code": 400}}], 400, "gone wrong"),
        ({"error": {"code": 502, "message": "gone wrong"}, **delta(0, "", "error")}, 502, "gone wrong"),
        (
            {"choices": [{"index": 0, "finish_reason": "error", "error": {"code": 502, "message": "gone wrong"}}]},
            502,
            "gone wrong",
        ),
        (delta(0, "", "error"), 503, 'the sample ended with finish_reason "error"'),
        ({"error": {"code": 500}}, 500, '{"code":500}'),
    ],
)
def test_an_error_object_is_an_error(event: Any, status: int, message: str) -> None:
    """With its message and, where it has one, its status; the text of its event is kept."""
    with pytest.raises(ErrorEvent) as caught:
        read(1, event)
    assert (caught.value.status, caught.value.message) == (status, message)
    with pytest.raises(ErrorEvent) as whole:
        read_response(json.dumps(event).encode(), 1)
    assert (whole.value.status, whole.value.message) == (status, message)


def test_the_text_next_to_an_error_is_kept() -> None:
    for event in ({**delta(0, "b"), "error": {"message": "x"}}, delta(0, "b", "error")):
        reader, chunks = EventReader(1), list[ProviderChunk]()
        with pytest.raises(ErrorEvent):
            reader.read([json.dumps(data).encode() for data in (delta(0, "a"), event)], chunks.append)
        assert joined(chunks) == ("ab", "", None)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([b"{not json"], "not json"),
        ([b'"surprise"'], "object"),
        ([b"[1, 2]"], "object"),
        ([b'{"error": ' + b"[" * 100_000], "."),
        ([{"choices": "x"}], "choices is not a list"),
        ([{"choices": ["x"]}], "a choice is not an object"),
        ([delta(0, 5)], "content is not a list"),
        ([delta(0, [5])], "neither text nor an object"),
        ([delta(0, [{"type": "text", "text": 5}])], "not text"),
        ([{"choices": [{"index": 1.5, "delta": {"content": "x"}}]}], "index 1.5"),
        ([delta(2, "x")], "2 is not in range"),
        ([delta(0, "x", "stop"), delta(0, "y")], "continues after its finish reason"),
        ([delta(0, "x", "stop"), delta(0, tool_calls=[tool(0, "a", "f")])], "continues after its finish reason"),
        ([delta(0, tool_calls=[tool(0, "a")]), delta(0, finish="stop")], "has no name"),
    ],
)
def test_text_is_neither_lost_nor_mixed_up(events: list[Any], message: str) -> None:
    with pytest.raises(MalformedResponse, match=message):
        read(2, *events)


# Usage


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([{"choices": [], "usage": usage(5, 7)}], (5, 7, 12), id="OpenAI: one for all"),
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
            id="running counts with the events of each sample",
        ),
        pytest.param(
            [{**delta(0, "x"), "usage": usage(5, 1)}, {"choices": [], "usage": usage(5, 7)}],
            (5, 7, 12),
            id="running counts, then the total",
        ),
        pytest.param(
            [{"choices": [], "usage": None}, {"usage": usage(5, 7), "choices": []}], (5, 7, 12), id="null, then one"
        ),
        pytest.param(
            [{**delta(0, "x"), "usage": {}}, {**delta(0, ""), "usage": usage(5, 7)}, {**delta(0, ""), "usage": {}}],
            (5, 7, 12),
            id="empty before and after",
        ),
        pytest.param(
            [{"choices": [], "usage": usage(5, 7)}, {"choices": [], "usage": usage(0, 0)}], (5, 7, 12), id="zeros after"
        ),
        pytest.param([{"choices": None, "usage": usage("5", 7.0)}], (5, 7, 12), id="other JSON forms"),
        pytest.param([{"choices": [], "usage": usage(5, 7, total_tokens=20)}], (5, 7, 20), id="thinking in the total"),
    ],
)
def test_usage_is_counted_once(events: list[Any], expected: tuple[int, int, int]) -> None:
    reader, _ = read(2, *events)
    assert reader.usage is not None
    assert (reader.usage.prompt_tokens, reader.usage.generation_tokens, reader.usage.total_tokens) == expected
    assert reader.usage.reasoning_tokens is None


def test_reasoning_tokens_are_counted() -> None:
    for fields in ({"completion_tokens_details": {"reasoning_tokens": 3}}, {"reasoning_tokens": 3}):
        reader, _ = read(1, {"choices": [], "usage": usage(5, 7, **fields)})
        assert reader.usage is not None
        assert reader.usage.reasoning_tokens == 3
    assert EventReader(1).usage is None


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        (None, None),
        ({}, None),
        ("many", None),
        ([5], None),
        ({"prompt_tokens": True, "completion_tokens": "x"}, None),
        ({"prompt_tokens": None, "completion_tokens": 5.0}, (0, 5)),
        ({"prompt_tokens": -5, "completion_tokens": 1.5}, (0, 1)),
        ({"prompt_tokens": 2**31 - 1, "completion_tokens": 2**31}, (2**31 - 1, 0)),
        ({"prompt_tokens": 10**25, "completion_tokens_details": "x"}, None),
    ],
)
def test_counts_that_make_no_sense_end_no_call(counted: object, expected: tuple[int, int] | None) -> None:
    """They count as none, like those that no log can hold."""
    reader, chunks = read(1, {"choices": [], "usage": counted}, delta(0, "x", "stop"))
    response = {"choices": [{"index": 0, "text": "x", "finish_reason": "stop"}], "usage": counted}
    _, whole = read_response(json.dumps(response).encode(), 1)
    assert [chunk.text for chunk in chunks] == ["x"]
    for found in (reader.usage, whole):
        assert (found and (found.prompt_tokens, found.generation_tokens)) == expected


# Whole responses


def test_a_whole_response_is_read() -> None:
    """Chat and legacy, out of order, with tool calls and a refusal."""
    response = {
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
    samples, counted = read_response(json.dumps(response).encode(), 3)
    assert [(index, samples[index].text, samples[index].finish_reason) for index in range(3)] == [
        (0, "I would rather not", "stop"),
        (1, "", "tool_call"),
        (2, "legacy", "content_filter"),
    ]
    assert samples[1].tool_calls is not None
    assert [made.function.name for made in samples[1].tool_calls] == ["f", "g"]
    assert counted is not None
    assert counted.total_tokens == 12


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": "Hello"}, "finish_reason": "stop"},
        {"index": None, "message": {"content": "Hello"}, "finish_reason": "stop"},
        {"index": 1, "message": {"content": "Hello"}, "finish_reason": "stop"},
        {"index": "0", "text": "Hello", "finish_reason": "stop"},
        {"index": 0, "message": {"content": [{"type": "text", "text": "Hel"}, "lo"]}, "finish_reason": "stop"},
        {"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"},
        {"index": 0, "message": "Hello", "finish_reason": "stop"},
    ],
)
def test_a_whole_response_that_can_be_understood_in_one_way_is_understood(choice: dict[str, Any]) -> None:
    for body in (
        {"choices": [choice]},
        {"choices": choice},
        [{"choices": [choice]}],
        {"choices": [choice], "x": 1e999},
    ):
        samples, _ = read_response(b"\n\n " + json.dumps(body).encode(), 1)
        assert [(sample.index, sample.text, sample.finish_reason) for sample in samples.values()] == [
            (0, "Hello", "stop")
        ]


def test_samples_without_distinct_indexes_are_told_apart_by_position() -> None:
    for indexes in ([0, 0], [None, None], [1, 2]):
        body = {"choices": [{"index": index, "text": text} for index, text in zip(indexes, "ab", strict=True)]}
        samples, _ = read_response(json.dumps(body).encode(), 2)
        assert [samples[index].text for index in (0, 1)] == ["a", "b"]


def test_a_stream_in_place_of_a_whole_response_is_read() -> None:
    """Some servers only stream."""
    body = b": hi\n\n" + b"".join(
        b"data: %b\n\n" % json.dumps(event).encode() for event in (delta(0, "a"), delta(0, "b", "stop"))
    )
    for data in (body, body.rstrip(), b"\xef\xbb\xbf" + body + b"data: [DONE]"):
        samples, _ = read_response(data, 1)
        assert (samples[0].text, samples[0].finish_reason) == ("ab", "stop")
    with pytest.raises(MalformedResponse, match="before all samples"):
        read_response(b"data: " + json.dumps(delta(0, "a")).encode(), 1)


def test_a_whole_response_may_have_fewer_samples_but_not_more() -> None:
    one = {"index": 1, "text": "x", "finish_reason": "stop"}
    assert set(read_response(json.dumps({"choices": [one]}).encode(), 3)[0]) == {1}
    for body, message in (
        ({"choices": []}, "no samples"),
        ({"message": "out of quota"}, "no samples: out of quota"),
        ({"choices": [{"index": 0}]}, "neither a message nor text"),
        ({"choices": [{"text": "a"}, {"text": "b"}]}, "requested 1 samples, received 2"),
    ):
        with pytest.raises(MalformedResponse, match=message):
            read_response(json.dumps(body).encode(), 1)


def test_an_error_next_to_complete_samples_does_not_matter() -> None:
    body = {"choices": [{"index": 0, "text": "x", "finish_reason": "stop"}], "error": {"message": "late"}}
    assert read_response(json.dumps(body).encode(), 1)[0][0].text == "x"
