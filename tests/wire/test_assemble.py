"""A stream is assembled into the response that the same call returns without streaming."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanloop_async.types import ChatEvent, ChatResponse, CompletionEvent, CompletionResponse
from humanloop_async.wire.demux import Demultiplexer
from humanloop_async.wire.sse import EventStreamDecoder

DATA = Path(__file__).parent.parent / "data"
USAGE = {"prompt_tokens": 3, "generation_tokens": 4, "total_tokens": 7, "reasoning_tokens": None}
CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}},
    {"id": "call_2", "type": "function", "function": {"name": "time", "arguments": ""}},
]
ECHOES: dict[str, Any] = {
    "project_id": "pr_1",
    "logprobs": 2,
    "suffix": ".",
    "user": "ada",
    "metadata": {"team": None, "size": 3},
    "provider_request": {"n": 2, "stop": None},
    "session_id": "sesh_1",
}


def completions(num_samples: int = 1) -> Demultiplexer[Any, CompletionResponse]:
    return Demultiplexer(CompletionEvent, CompletionResponse, num_samples)


def chats(num_samples: int = 1) -> Demultiplexer[Any, ChatResponse]:
    return Demultiplexer(ChatEvent, ChatResponse, num_samples)


def encoded(*events: dict[str, Any]) -> list[bytes]:
    return [json.dumps(event).encode() for event in events]


def chunk(index: int, output: str = "", finish_reason: str | None = None, /, **more: Any) -> dict[str, Any]:
    return {"data": [{"index": index, "id": f"data_{index}", "output": output, "finish_reason": finish_reason, **more}]}


def streamed(response_body: dict[str, Any], sizes: list[int]) -> list[bytes]:
    """Split a response into the events of a stream: pieces of text, one sample per event, in turns."""
    parts: list[list[dict[str, Any]]] = []
    for sample in response_body["data"]:
        text, pieces = sample["raw_output"], list[str]()
        for size in sizes:
            pieces.append(text[:size])
            text = text[size:]
        every = {key: sample[key] for key in ("id", "index", "inputs", "model_config_id", "tool_results")}
        chunks = [
            {**every, "output": piece, "raw_output": piece, "finish_reason": None} for piece in (*pieces, text, "")
        ]
        if "messages" in sample:
            chunks[0]["messages"] = sample["messages"]
            chunks[-1]["tool_calls"] = sample["tool_calls"]
        chunks[-1]["finish_reason"] = sample["finish_reason"]
        parts.append(chunks)
    items = [chunk for turn in zip(*parts, strict=True) for chunk in turn]
    events = [{**response_body, "data": [chunk], "usage": None} for chunk in items]
    events[-1]["usage"] = response_body["usage"]
    return encoded(*events)


def completion_response_body(texts: list[str]) -> dict[str, Any]:
    return {
        **ECHOES,
        "num_samples": len(texts),
        "usage": USAGE,
        "provider_responses": [],
        "data": [
            {
                "id": f"data_{index}",
                "index": index,
                "output": text.strip(),
                "raw_output": text,
                "inputs": {"name": "Ada", "age": None},
                "finish_reason": ["stop", "length"][index % 2],
                "model_config_id": "config_1",
                "tool_results": [{"id": "1", "name": "f", "signature": "f(x)", "result": "y"}],
            }
            for index, text in enumerate(texts)
        ],
    }


def chat_response_body(texts: list[str]) -> dict[str, Any]:
    response_body = completion_response_body(texts)
    response_body["tool_choice"] = {"type": "function", "function": {"name": "weather"}}
    response_body["tool_call"] = {"name": "weather"}
    for sample, text in zip(response_body["data"], texts, strict=True):
        calls = CALLS if sample["index"] == 0 else None
        sample["messages"] = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
        sample["tool_calls"] = calls
        sample["tool_call"] = calls and calls[0]["function"]
        sample["output_message"] = {"role": "assistant", "content": text or None, "tool_calls": calls}
    return response_body


texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=4)


@given(texts, st.lists(st.integers(0, 5), max_size=6))
def test_a_completion_is_the_same_streamed_or_not(texts: list[str], sizes: list[int]) -> None:
    response_body = completion_response_body(texts)
    demux = completions(len(texts))
    demux.feed(streamed(response_body, sizes))
    assert demux.finished
    assert demux.assemble() == msgspec.convert(response_body, CompletionResponse)


@given(texts, st.lists(st.integers(0, 5), max_size=6))
def test_a_chat_is_the_same_streamed_or_not(texts: list[str], sizes: list[int]) -> None:
    response_body = chat_response_body(texts)
    demux = chats(len(texts))
    demux.feed(streamed(response_body, sizes))
    assert demux.finished
    assert demux.assemble() == msgspec.convert(response_body, ChatResponse)


def test_output_is_stripped_and_raw_output_is_not() -> None:
    demux = completions()
    demux.feed(encoded(chunk(0, "\n  a"), chunk(0, " b "), chunk(0, "\t", "stop")))
    (sample,) = demux.assemble().data
    assert sample.output == "a b"
    assert sample.raw_output == "\n  a b \t"


@given(st.lists(st.sampled_from(["", "a", " word", "Grüße", "\N{GRINNING FACE}", "x" * 300, "語" * 500]), max_size=100))
def test_text_is_complete_after_every_piece(pieces: list[str]) -> None:
    stream = completions(2)
    for number, piece in enumerate(pieces):
        stream.feed(encoded(chunk(number % 2, piece)))
        assert [sample.text for sample in stream.samples] == [
            "".join(pieces[: number + 1][index::2]) for index in range(2)
        ]


def test_pieces_of_one_tool_call_are_joined_by_its_id() -> None:
    """Complete and split calls, interleaved; the first call is also the deprecated ``tool_call``."""

    def call(ident: str, name: str, arguments: str | None) -> dict[str, Any]:
        return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}

    demux = chats()
    demux.feed(
        encoded(
            chunk(0, "", tool_calls=[call("a", "f", '{"x"'), call("b", "g", None)]),
            chunk(0, "", tool_calls=[call("b", "g", "{}")]),
            chunk(0, "", "tool_call", tool_calls=[call("a", "f", ":1}")]),
        )
    )
    (sample,) = demux.assemble().data
    assert sample.tool_calls is not None
    assert [(each.id, each.function.arguments) for each in sample.tool_calls] == [("a", '{"x":1}'), ("b", "{}")]
    assert sample.tool_call == sample.tool_calls[0].function
    assert sample.output_message is not None
    assert sample.output_message.tool_calls == sample.tool_calls
    assert sample.output_message.content is None
    assert sample.finish_reason == "tool_call"


def test_a_recorded_chat_becomes_its_response() -> None:
    demux = chats(3)
    demux.feed(EventStreamDecoder().feed((DATA / "chat_three_samples.sse").read_bytes()))
    response = demux.assemble()
    assert [(data.index, data.output, data.finish_reason) for data in response.data] == [
        (0, "Hello Ada.", "stop"),
        (1, "Good day", "length"),
        (2, "Hey there!", "stop"),
    ]
    assert [data.id for data in response.data] == [
        "data_A1b2C3d4E5f6G7h8I9j0K",
        "data_L1m2N3o4P5q6R7s8T9u0V",
        "data_W1x2Y3z4A5b6C7d8E9f0G",
    ]
    assert all(data.messages is not None and len(data.messages) == 2 for data in response.data)
    assert response.num_samples == 3
    assert response.metadata == {"team": "greeters"}
    assert response.session_id == "sesh_a1B2c3D4e5F6g7H8i9J0k"
    assert response.usage is not None
    assert response.usage.generation_tokens == 8


def test_a_partial_response_has_only_the_samples_that_started() -> None:
    demux = completions(3)
    empty = demux.assemble()
    assert (empty.data, empty.usage, empty.num_samples) == ([], None, 3)
    demux.feed(encoded(chunk(2, "c")))
    assert [(data.index, data.output, data.finish_reason) for data in demux.assemble().data] == [(2, "c", None)]
    demux.feed(encoded(chunk(0, "a", "stop"), chunk(2, "C")))
    assert [(data.index, data.output, data.finish_reason) for data in demux.assemble().data] == [
        (0, "a", "stop"),
        (2, "cC", None),
    ]


def test_samples_that_share_a_first_event_keep_separate_inputs() -> None:
    demux = completions(2)
    items = [chunk(index, "x", "stop", inputs={"n": index})["data"][0] for index in (1, 0)]
    demux.feed(encoded({"data": items}))
    assert [(data.index, data.inputs) for data in demux.assemble().data] == [(0, {"n": 0}), (1, {"n": 1})]


@pytest.mark.parametrize("make", [completions, chats])
def test_only_the_echoed_fields_of_a_large_first_event_are_stored(make: Any) -> None:
    padding = {"pad": "x" * 100_000}
    items = [chunk(index, "x", inputs={"n": index}, model_config_id="c", **padding)["data"][0] for index in (1, 0)]
    small, large = make(2), make(2)
    for demux, more in ((small, {}), (large, padding)):
        demux.feed(encoded({**ECHOES, **more, "data": items}, chunk(0, "", "stop"), chunk(1, "", "stop")))
    assert large.assemble() == small.assemble()
    assert all(len(sample.first) < 1000 for sample in large.samples)
    assert large.assemble().data[1].inputs == {"n": 1}
    assert large.assemble().user == "ada"


def test_assembling_does_not_change_the_state() -> None:
    """A partial response is a snapshot and can be assembled at any time."""
    demux = completions()
    demux.feed(encoded(chunk(0, "a")))
    before = demux.assemble()
    demux.feed(encoded(chunk(0, "b", "stop")))
    assert before.data[0].output == "a"
    assert demux.assemble() == demux.assemble()
    assert demux.assemble().data[0].output == "ab"


@pytest.mark.parametrize(
    "closing", [[], [b"[DONE]"], [b'{"detail": "x"}'], [b"nonsense"], [b'{"data": [{"index": 9}]}']]
)
@pytest.mark.parametrize("together", [True, False])
def test_echoed_fields_come_from_the_first_events_and_the_last(closing: list[bytes], together: bool) -> None:
    """Holds for any order of samples and any end of the stream after the last valid event."""
    events = encoded(
        {**chunk(1, "b", inputs={"n": 1}), "project_id": "pr_1", "session_id": None},
        {**chunk(0, "a", inputs={"n": 0}), "user": "ada"},
        {**chunk(0, "", inputs={"n": 2}), "session_id": "sesh_1", "user": None},
    )
    demux = completions(2)
    for batch in [events + closing] if together else [[event] for event in events + closing]:
        demux.feed(batch)
    response = demux.assemble()
    assert (response.project_id, response.user, response.session_id) == ("pr_1", "ada", "sesh_1")
    assert [data.inputs for data in response.data] == [{"n": 0}, {"n": 1}]


@pytest.mark.parametrize(
    "bad",
    [
        {"metadata": "text"},
        {"num_samples": "two"},
        {"session_id": {"id": 1}},
        {"data": [{"index": 0, "output": "a", "inputs": "text"}]},
        {"data": [{"index": 0, "output": "a", "messages": [{"role": "nobody"}]}]},
        {"data": [{"index": 0, "output": "a", "inputs": None, "tool_results": None, "messages": None}]},
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [completions, chats])
def test_echoed_fields_of_a_wrong_type_do_not_lose_the_samples(make: Any, bad: dict[str, Any]) -> None:
    demux = make()
    demux.feed(encoded({**chunk(0, "a"), **bad}, {**chunk(0, "b", "stop"), "usage": USAGE}))
    assert demux.failure is None
    response = demux.assemble()
    assert (response.data[0].output, response.data[0].finish_reason) == ("ab", "stop")
    assert response.usage is not None
    assert response.usage.total_tokens == 7


def test_echoed_fields_survive_invalid_utf8_in_the_same_event() -> None:
    demux = completions()
    demux.feed([b'{"data":[{"index":0,"output":"a\xff","finish_reason":"stop"}],"user":"\xc3","project_id":"pr_1"}'])
    response = demux.assemble()
    assert (response.data[0].output, response.user, response.project_id) == ("a\ufffd", "\ufffd", "pr_1")


def test_a_sample_without_an_id_has_an_empty_chunk() -> None:
    demux = completions()
    demux.feed([b'{"data":[{"index":0,"output":"a","finish_reason":"stop"}]}'])
    assert demux.assemble().data[0].id == ""
