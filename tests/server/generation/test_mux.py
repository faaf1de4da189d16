"""The multiplexer without a server: from chunks to the bytes of events."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from humanloop_async.server.generation import mux as mux_module
from humanloop_async.server.generation.generation import Generation, Target
from humanloop_async.server.generation.mux import MAX_FIRST_LINE, MAX_LINE, Mux
from humanloop_async.server.generation.responses import build_response
from humanloop_async.server.providers.base import ProviderCall, ProviderChunk
from humanloop_async.server.providers.mock import MockProvider
from humanloop_async.server.records.references import CallContext
from humanloop_async.types import (
    ChatEvent,
    ChatRequest,
    ChatResponse,
    CompletionEvent,
    CompletionRequest,
    CompletionResponse,
    Usage,
)
from humanloop_async.wire.demux import Demultiplexer
from humanloop_async.wire.requests import decode_request
from humanloop_async.wire.sse import EventStreamDecoder
from tests.server.served import CHAT, COMPLETION


def _generation(body: dict[str, Any], echo: dict[str, Any] | None = None) -> Generation:
    kind = ChatRequest if "messages" in body else CompletionRequest
    request = decode_request(json.dumps(body).encode(), kind)
    messages = request.messages if isinstance(request, ChatRequest) else []
    call = ProviderCall(provider="mock", model="m", num_samples=request.num_samples, messages=messages)
    context = CallContext(project_id="pr_1", config_id="config_1", session_id=None, parent_id=None)
    return Generation(request, Target(MockProvider(), call, echo or {"model": "m"}), context)


def _events(data: bytes) -> list[dict[str, Any]]:
    events = EventStreamDecoder().feed(data)
    assert data.count(b"\n") == 2 * len(events)
    return [json.loads(event) for event in events]


TEXTS = [
    "plain",
    " ",
    'quotes " and \\ backslashes \\"',
    "line\nbreaks\r\n\r and \t tabs",
    "data: {}\n\ndata: [DONE]",
    "nul \0output\0 raw\0",
    "日本語 é \u2028 \u2029 \x85 🙂 \x7f \x1b",
    "x" * 100_000,
]


@pytest.mark.parametrize("body", [CHAT, COMPLETION])
def test_any_text_arrives_as_it_was(body: dict[str, Any]) -> None:
    """Newlines are escaped, so a text cannot end its event; and no text can act as a placeholder."""
    generation = _generation({**body, "user": "\0output\0", "metadata": {"\0raw\0": "\0usage\0"}})
    mux = Mux(generation)
    data = mux.feed(ProviderChunk(0, text, raw=b'{"a":1}') for text in TEXTS)
    events = _events(data)
    assert [event["data"][0]["output"] for event in events] == TEXTS
    assert [event["data"][0]["raw_output"] for event in events] == TEXTS
    assert {(event["user"], str(event["metadata"])) for event in events} == {
        ("\0output\0", str({"\0raw\0": "\0usage\0"}))
    }
    if body is CHAT:
        assert [event["data"][0]["output_message"]["content"] for event in events] == TEXTS
    assert generation.samples[0].text == "".join(TEXTS)


@pytest.mark.parametrize("body", [CHAT, COMPLETION])
def test_fields_in_another_order_are_an_error(body: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Events are joined from bytes before and after the provider's chunk, so the samples must be encoded before it."""

    def build_in_another_order(*args: Any, **kwargs: Any) -> dict[str, Any]:
        fields = msgspec.structs.asdict(build_response(*args, **kwargs))
        return {"provider_responses": fields.pop("provider_responses"), **fields}

    Mux(_generation(body))
    monkeypatch.setattr(mux_module, "build_response", build_in_another_order)
    with pytest.raises(AssertionError, match="`data` before `provider_responses`"):
        Mux(_generation(body))


def test_events_have_the_index_of_their_sample_and_last_events_wait() -> None:
    generation = _generation({**CHAT, "num_samples": 2})
    mux = Mux(generation)
    data = mux.feed(
        [ProviderChunk(1, "b"), ProviderChunk(0, "a"), ProviderChunk(1, "c", "stop"), ProviderChunk(0, "d")]
    )
    assert [(e["data"][0]["index"], e["data"][0]["output"]) for e in _events(data)] == [(1, "b"), (0, "a"), (0, "d")]
    assert mux.unfinished == 1
    [(sample, chunk)] = mux.take_finished()
    assert mux.take_finished() == []
    [event] = _events(mux.last_event(sample, chunk))
    assert event["data"][0]["id"] == generation.samples[1].id
    assert (event["data"][0]["output"], event["data"][0]["finish_reason"]) == ("c", "stop")
    assert event["usage"] is None
    assert mux.feed([ProviderChunk(0, "", "length")]) == b""
    [(sample, chunk)] = mux.take_finished()
    usage = Usage(prompt_tokens=1, generation_tokens=2, total_tokens=3)
    [event] = _events(mux.last_event(sample, chunk, usage))
    assert event["data"][0]["output_message"]["content"] is None
    assert event["usage"]["total_tokens"] == 3
    assert mux.unfinished == 0


def test_the_first_event_of_each_sample_carries_the_messages() -> None:
    mux = Mux(_generation({**CHAT, "num_samples": 2}))
    chunks = [
        ProviderChunk(0, "a"),
        ProviderChunk(0, "b"),
        ProviderChunk(1, "", "stop"),
    ]
    events = _events(mux.feed(chunks))
    assert [bool(event["data"][0]["messages"]) for event in events] == [True, False]
    [finished] = mux.take_finished()
    [event] = _events(mux.last_event(*finished))
    assert event["data"][0]["messages"][0]["content"] == "Hello"


def test_events_contain_the_providers_chunk_unless_the_line_gets_too_long() -> None:
    mux = Mux(_generation(CHAT))
    raw = b'{"choices":[{"index":0,"delta":{"content":"a"}}]}'
    long = b'"' + b"x" * MAX_LINE + b'"'
    huge = b'"' + b"x" * MAX_FIRST_LINE + b'"'
    chunks = [ProviderChunk(0, "a", raw=huge), *(ProviderChunk(0, "a", raw=data) for data in (raw, long, b"", raw))]
    data = mux.feed(chunks)
    assert [event["provider_responses"] for event in _events(data)] == [
        [],
        [json.loads(raw)],
        [],
        [],
        [json.loads(raw)],
    ]
    assert all(len(line) <= MAX_LINE for line in data.split(b"\n\n"))
    assert mux.feed([ProviderChunk(0, "a", "stop", raw=raw)]) == b""
    [event] = _events(mux.last_event(*mux.take_finished()[0]))
    assert event["provider_responses"] == [json.loads(raw)]


def test_echoes_are_left_out_when_they_would_make_every_line_long() -> None:
    body = {**COMPLETION, "inputs": {"name": "x" * MAX_LINE}, "metadata": {"a": 1}}
    mux = Mux(_generation(body, echo={"prompt": "x" * MAX_LINE}))
    first, second = _events(mux.feed([ProviderChunk(0, "a"), ProviderChunk(0, "b")]))
    assert first["data"][0]["inputs"] == body["inputs"]
    assert first["provider_request"] == {"prompt": "x" * MAX_LINE}
    assert first["metadata"] == {"a": 1}
    assert (second["data"][0]["inputs"], second["provider_request"], second["metadata"]) == ({}, None, None)
    assert second.keys() == first.keys()


@pytest.mark.parametrize(
    ("body", "event", "response"), [(CHAT, ChatEvent, ChatResponse), (COMPLETION, CompletionEvent, CompletionResponse)]
)
def test_the_clients_demultiplexer_accepts_the_stream(body: dict[str, Any], event: Any, response: Any) -> None:
    """The stream passes the client's checks: indexes, finish reasons, no event after the last one."""
    mux = Mux(_generation({**body, "num_samples": 3}))
    chunks = [
        ProviderChunk(index, f" w{index}", "stop" if turn == 4 else None) for turn in range(5) for index in range(3)
    ]
    data = mux.feed(chunks) + b"".join(mux.last_event(*finished) for finished in mux.take_finished())
    demux: Demultiplexer[Any, Any] = Demultiplexer(event, response, 3)
    assert len(demux.feed(EventStreamDecoder().feed(data))) == 15
    demux.end()
    assert demux.failure is None
    assert [sample.output for sample in demux.assemble().data] == [(f" w{index}" * 5).strip() for index in range(3)]


@pytest.mark.parametrize("body", [CHAT, COMPLETION])
def test_reasoning_is_in_the_next_event_of_its_sample_and_in_no_text(body: dict[str, Any]) -> None:
    """Events without reasoning have no such field, which v4 does not know."""
    generation = _generation({**body, "num_samples": 2})
    mux = Mux(generation)
    mux.feed([ProviderChunk(1, "first")])
    thoughts = [
        ProviderChunk(index, reasoning=text) for index, text in ((0, "h"), (1, "x\0raw\0"), (0, 'm"'), (1, "y"))
    ]
    events = _events(mux.feed([*thoughts, ProviderChunk(0, "a"), ProviderChunk(0, "b"), ProviderChunk(1, "c")]))
    samples = [event["data"][0] for event in events]
    assert [(sample["index"], sample["output"], sample.get("reasoning")) for sample in samples] == [
        (0, "", "h"),
        (0, "a", 'm"'),
        (0, "b", None),
        (1, "c", "x\0raw\0y"),
    ]
    assert [sample.reasoning for sample in generation.samples] == ['hm"', "x\0raw\0y"]
    assert [sample.text for sample in generation.samples] == ["ab", "firstc"]
    assert "reasoning" not in samples[2]
    mux.feed([ProviderChunk(0, reasoning="late"), ProviderChunk(0, "", "stop")])
    ((sample, chunk),) = mux.take_finished()
    (last,) = _events(mux.last_event(sample, chunk))
    assert (last["data"][0]["reasoning"], last["data"][0]["finish_reason"]) == ("late", "stop")


def test_a_working_provider_sends_an_event_without_text_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """For reasoning and for tool calls; events with text are never held back."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    mux = Mux(_generation(CHAT))
    sent: list[tuple[float, str, str | None]] = []
    chunks = [ProviderChunk(0, reasoning="x"), ProviderChunk(0, raw=b'{"a":1}')] * 15
    for place, chunk in enumerate([*chunks, ProviderChunk(0, "text"), *chunks[:4]]):
        now = 100 + place * 0.1
        for event in _events(mux.feed([chunk])):
            data = event["data"][0]
            assert data["finish_reason"] is None
            assert data["output_message"]["content"] == (data["output"] or None)
            sent.append((round(now - 100, 1), data["output"], data.get("reasoning")))
    assert sent == [(0, "", "x"), (1, "", "xxxxx"), (2, "", "xxxxx"), (3, "text", "xxxx"), (3.1, "", "x")]


@pytest.mark.parametrize("body", [CHAT, COMPLETION])
def test_events_are_ascii(body: dict[str, Any]) -> None:
    text, raw = "é漢🙂", '{"content":"é漢🙂"}'.encode()
    generation = _generation({**body, "user": text, "inputs": {"name": text}, "metadata": {text: text}})
    mux = Mux(generation)
    chunks = [ProviderChunk(0, text, raw=raw), ProviderChunk(0, text, raw=raw), ProviderChunk(0, reasoning=text)]
    data = mux.feed(chunks) + mux.last_event(generation.samples[0], ProviderChunk(0, text, "stop", raw=raw))
    assert data.isascii()
    events = [json.loads(line.removeprefix(b"data: ")) for line in data.split(b"\n\n")[:-1]]
    assert [event["data"][0]["output"] for event in events] == [text, text, "", text]
    assert [event["provider_responses"] for event in events if event["data"][0]["output"]] == [[{"content": text}]] * 3
    assert events[2]["data"][0]["reasoning"] == text
    assert events[0]["user"] == text
