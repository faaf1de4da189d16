"""The demultiplexer: it assigns chunks to samples, and reports every invalid event as a typed error."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanloop_async.errors import (
    ApiException,
    AuthenticationError,
    InvalidEvent,
    RateLimitError,
    ServerError,
    StatusError,
    StreamTruncated,
    UnprocessableEntityError,
)
from humanloop_async.types import (
    ChatChunk,
    ChatEvent,
    ChatResponse,
    CompletionChunk,
    CompletionEvent,
    CompletionResponse,
)
from humanloop_async.wire.demux import Demultiplexer
from humanloop_async.wire.sse import ErrorEvent

Completions = Demultiplexer[CompletionChunk, CompletionResponse]
Chats = Demultiplexer[ChatChunk, ChatResponse]


def completions(num_samples: int = 1) -> Completions:
    return Demultiplexer(CompletionEvent, CompletionResponse, num_samples)


def chats(num_samples: int = 1) -> Chats:
    return Demultiplexer(ChatEvent, ChatResponse, num_samples)


def item(index: Any, output: Any = "", finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"index": index, "id": f"data_{index}", "output": output, "finish_reason": finish_reason, **more}


def event(*items: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"data": items, **more}).encode()


def one(index: Any, output: Any = "", finish_reason: str | None = None, **more: Any) -> bytes:
    return event(item(index, output, finish_reason, **more))


USAGE = {"prompt_tokens": 1, "generation_tokens": 2, "total_tokens": 3}


# Valid streams


def test_a_chunk_belongs_to_the_sample_its_index_names() -> None:
    """Samples arrive in any order, several in one event, and at positions other than their index."""
    demux = completions(3)
    chunks = demux.feed(
        [event(item(2, "c"), item(0, "a")), one(1, "b"), event(item(0, "A"), item(0, "!"), item(2, "C"))]
    )
    assert [(chunk.index, chunk.output) for chunk in chunks] == [
        (2, "c"),
        (0, "a"),
        (1, "b"),
        (0, "A"),
        (0, "!"),
        (2, "C"),
    ]
    assert [sample.text for sample in demux.samples] == ["aA!", "b", "cC"]
    assert [sample.id for sample in demux.samples] == ["data_0", "data_1", "data_2"]
    assert demux.failure is None
    assert not demux.finished


def test_a_sample_ends_with_its_finish_reason_and_the_stream_with_its_last_sample() -> None:
    demux = completions(2)
    demux.feed([one(1, "b", "length")])
    assert not demux.finished
    demux.feed([one(0, "a", "stop")])
    assert demux.finished
    assert [sample.finish_reason for sample in demux.samples] == ["stop", "length"]
    demux.end()
    assert demux.failure is None


@pytest.mark.parametrize("make", [completions, chats])
def test_a_null_is_an_absent_field(make: Any) -> None:
    """Applies also to an ``output_message``, which is decoded only on access."""
    demux = make()
    whole = item(0, None, None, id=None, model_config_id=None, tool_results=None, tool_calls=None)
    whole["output_message"] = {"role": "assistant", "content": None}
    (chunk,) = demux.feed([event(whole, usage=None, metadata=None)])
    assert demux.failure is None
    assert (chunk.index, chunk.output, chunk.id, chunk.finish_reason) == (0, "", None, None)


def test_a_message_is_decoded_on_access() -> None:
    (good,) = chats().feed([one(0, "x", output_message={"role": "assistant", "content": "x"})])
    assert good.output_message is not None
    assert good.output_message.content == "x"
    (none,) = chats().feed([one(0, "x", output_message=None)])
    assert none.output_message is None
    (bad,) = chats().feed([one(0, "x", output_message={"role": "nobody"})])
    with pytest.raises(InvalidEvent, match="output_message"):
        _ = bad.output_message


def test_unknown_fields_are_ignored() -> None:
    demux = completions()
    (chunk,) = demux.feed([one(0, "x", surprise=[1, {"data": []}])[:-1] + b', "more": {"index": 9}}'])
    assert chunk.output == "x"


def test_usage_may_arrive_alone_after_the_last_sample() -> None:
    demux = completions()
    assert len(demux.feed([one(0, "a", "stop"), event(usage=USAGE), event()])) == 1
    assert demux.failure is None
    usage = demux.assemble().usage
    assert usage is not None
    assert usage.total_tokens == 3


def test_invalid_utf8_becomes_the_replacement_character() -> None:
    """The SSE standard decodes streams this way; the sample continues."""
    demux = completions()
    chunks = demux.feed(
        [b'{"data":[{"index":0,"output":"a\xffb"}]}', b'{"data":[{"index":0,"output":"\xc3"}]}', one(0, "c", "stop")]
    )
    assert [chunk.output for chunk in chunks] == ["a\ufffdb", "\ufffd", "c"]
    assert demux.failure is None
    assert demux.assemble().data[0].output == "a\ufffdb\ufffdc"


@pytest.mark.parametrize("value", [b'"\xff"', b"1e999", b"9" * 6000], ids=len)
def test_a_value_that_is_not_decoded_may_be_invalid(value: bytes) -> None:
    """Holds in an event with chunks, without chunks, and with a null; an error next to it is still found."""
    demux = completions()
    demux.feed([e % value for e in (b'{"data":[],"x":%b}', b'{"data":[{"index":0,"output":null}],"x":%b}')])
    assert (demux.failure, len(demux.assemble().data)) == (None, 1)
    demux.feed([b'{"data":[],"x":%b,"detail":"no"}' % value])
    assert "no" in str(demux.failure)


pieces = st.lists(st.text(max_size=5), min_size=1, max_size=5)


@given(st.lists(pieces, min_size=1, max_size=5), st.data())
def test_any_interleaving_gives_each_sample_its_text(texts: list[list[str]], data: st.DataObject) -> None:
    """Neither the order, nor the samples per event, nor the events per read matter."""
    order = data.draw(st.permutations([index for index, parts in enumerate(texts) for _ in parts]))
    queues = [list(parts) for parts in texts]
    items = []
    for index in order:
        output = queues[index].pop(0)
        items.append(item(index, output, None if queues[index] else "stop"))
    events = [event(*group) for group in grouped(items, data)]
    demux = completions(len(texts))
    chunks = [chunk for batch in grouped(events, data) for chunk in demux.feed(batch)]
    assert [(chunk.index, chunk.output) for chunk in chunks] == [(each["index"], each["output"]) for each in items]
    assert [sample.text for sample in demux.samples] == ["".join(parts) for parts in texts]
    assert demux.finished
    demux.end()
    assert demux.failure is None


def grouped(things: list[Any], data: st.DataObject) -> Iterable[list[Any]]:
    while things:
        size = data.draw(st.integers(1, len(things)))
        yield things[:size]
        things = things[size:]


# Invalid streams


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (one(3), "index 3, but the call requested 3 sample"),
        (one(-1), "index -1"),
        (one(10**30), "requested 3 sample"),
        (one(1), "sample 1 after its finish_reason"),
        (one(1, "", "length"), "sample 1 after its finish_reason"),
        (one(1, "more", "stop"), "sample 1 after its finish_reason"),
        (event({"output": "x"}), "missing required field `index`"),
        (one(None), "missing required field `index`"),
        (one("0"), "Expected `int`, got `str`"),
        (one(0.0), "Expected `int`, got `float`"),
        (one(0.5), "Expected `int`, got `float`"),
        (one(True), "Expected `int`, got `bool`"),
        (one([0]), "Expected `int`, got `array`"),
        (one(0, 7), "Expected `str`, got `int`"),
        (one(0, ["x"]), "Expected `str`, got `array`"),
        (b'{"data": [null]}', "Expected `object`, got `null`"),
        (b'{"data": {"index": 0}}', "Expected `array`, got `object`"),
        (b'{"data": null}', "missing required field `data`"),
        (b"{}", "missing required field `data`"),
        (b"[]", "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (b'"text"', "Expected `object`, got `str`"),
        (b"17", "Expected `object`, got `int`"),
        (b"", "not JSON"),
        (b"Internal Server Error", "not JSON"),
        (b'{"data": [', "not JSON"),
        (one(0)[:-1] + b"}}", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (rb'{"data": [{"index": 0, "output": "\ud83d"}]}', "not JSON"),
        (rb'{"big": 1e400, "data": [{"index": 0, "id": null, "output": "\ud83d"}]}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"data": [], "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not JSON"),
        (event(usage={"prompt_tokens": "many"}), "Expected `int`, got `str`"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else "",
)
def test_an_invalid_event_is_a_typed_error(bad: bytes, message: str) -> None:
    """Earlier chunks are returned, later events are ignored, and the error contains the event."""
    demux = completions(3)
    chunks = demux.feed([one(0, "a"), one(1, "b", "stop"), bad, one(2, "too late")])
    assert [(chunk.index, chunk.output) for chunk in chunks] == [(0, "a"), (1, "b")]
    failure = demux.failure
    assert isinstance(failure, InvalidEvent)
    assert message in str(failure)
    assert failure.data == bad[:1000]
    assert [sample.text for sample in demux.samples] == ["a", "b", ""]
    demux.end()
    assert demux.failure is failure  # the end of the connection does not replace it
    assert [data.output for data in demux.assemble().data] == ["a", "b"]
    assert str(pickle.loads(pickle.dumps(failure))) == str(failure)


def test_the_valid_items_before_an_invalid_one_are_returned() -> None:
    demux = completions(2)
    assert [chunk.output for chunk in demux.feed([event(item(0, "a"), item(2, "?"), item(1, "b"))])] == ["a"]
    assert isinstance(demux.failure, InvalidEvent)
    assert demux.started


def test_a_repeated_end_of_a_sample_is_dropped() -> None:
    demux = completions()
    ends = [one(0, "a", "stop"), one(0, "", "stop")]
    assert [chunk.output for chunk in demux.feed(ends)] == ["a"]
    assert demux.feed([one(0, "", "stop")]) == []
    assert (demux.failure, demux.finished) == (None, True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no healthy upstream", "500: no healthy upstream"),
        (b"\xff", "500: \ufffd"),
        (b'"overloaded"', "500: overloaded"),
        (b'{"msg": "overloaded"}', "500: {'msg': 'overloaded'}"),
        (b'[{"msg": "overloaded"}]', "500: overloaded"),
        (b'{"detail": {"message": "no", "code": 401}}', "401: no"),
        (b"null", "500: no error message"),
    ],
)
def test_an_event_of_the_type_error_is_a_status_error(data: bytes, message: str) -> None:
    demux = completions()
    assert len(demux.feed([one(0, "a"), ErrorEvent(data)])) == 1
    assert isinstance(demux.failure, StatusError)
    assert str(demux.failure) == message


def test_events_without_chunks_or_errors_are_ignored() -> None:
    demux = completions()
    assert demux.feed([b'{"data": []}', b'{"data": [], "error": null}', b'{"data": [], "usage": null}']) == []
    assert demux.failure is None


def test_a_second_chunk_in_the_event_that_ends_a_sample_is_misplaced() -> None:
    demux = completions()
    assert len(demux.feed([event(item(0, "a", "stop"), item(0, "b"))])) == 1
    assert isinstance(demux.failure, InvalidEvent)
    assert demux.samples[0].text == "a"


@pytest.mark.parametrize(
    ("body", "kind", "message", "origin"),
    [
        (
            {"detail": {"type": "rate_limit_error", "message": "slow down", "code": 429, "origin": "OpenAI"}},
            RateLimitError,
            "429 from OpenAI: slow down",
            "OpenAI",
        ),
        ({"detail": {"message": "no", "code": 401}}, AuthenticationError, "401: no", None),
        ({"detail": {"message": "no", "code": 503}, "data": None}, ServerError, "503: no", None),
        ({"detail": {"message": "odd", "code": 200}}, ServerError, "500: odd", None),
        ({"detail": {"message": "odd", "code": "429"}}, ServerError, "500: odd", None),
        ({"detail": {"code": 422}}, UnprocessableEntityError, "422: {'code': 422}", None),
        (
            {"detail": [{"loc": ["body", "x"], "msg": "field required"}]},
            UnprocessableEntityError,
            "422: body.x: field required",
            None,
        ),
        ({"detail": "out of memory"}, ServerError, "500: out of memory", None),
        ({"detail": None, "error": {"message": "theirs", "code": 400}}, StatusError, "400: theirs", None),
        ({"error": {"message": "boom", "type": "server_error", "code": None}}, ServerError, "500: boom", None),
        ({"error": "boom"}, ServerError, "500: boom", None),
        ({"error": "boom", "data": []}, ServerError, "500: boom", None),
        ({"errors": ["boom", {"msg": "bang"}]}, ServerError, "500: boom; bang", None),
        ({"message": "Internal server error"}, ServerError, "500: Internal server error", None),
        ({"type": "error", "code": 7, "message": "boom", "data": None}, ServerError, "500: boom", None),
        ({"message": "slow down", "code": 429}, RateLimitError, "429: slow down", None),
    ],
    ids=str,
)
def test_an_error_event_is_a_status_error(body: dict[str, Any], kind: type, message: str, origin: str | None) -> None:
    """The error has the status that the event names, and earlier chunks are still returned."""
    demux = completions(2)
    chunks = demux.feed([one(0, "a"), json.dumps(body).encode(), one(1, "b")])
    assert [chunk.output for chunk in chunks] == ["a"]
    failure = demux.failure
    assert isinstance(failure, kind)
    assert isinstance(failure, StatusError)
    assert str(failure) == message
    assert failure.origin == origin
    assert demux.started
    demux.end()
    assert demux.failure is failure


def test_an_error_after_every_sample_had_finished_is_still_an_error() -> None:
    demux = completions()
    demux.feed([one(0, "a", "stop")])
    assert demux.finished
    demux.feed([b'{"detail": "late"}'])
    assert isinstance(demux.failure, ServerError)


@pytest.mark.parametrize(
    "shape", ['{"detail":%s}', '{"detail":[%s]}', '{"data":[{"index":0,"output":null,"output_message":%s}]}']
)
def test_deep_nesting_raises_no_other_error(shape: str) -> None:
    """Covers depths near the recursion limit, where decoding works but printing fails."""
    for depth in range(900, 1010, 3):
        demux = chats()
        demux.feed([(shape % ("[" * depth + "]" * depth)).encode()])
        demux.assemble()
        assert demux.failure is None or isinstance(demux.failure, ApiException)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["data", "index", "output", "detail", "usage", "error"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(st.binary(max_size=20) | json_values.map(lambda value: json.dumps(value).encode()), max_size=4))
def test_no_event_raises(events: list[bytes]) -> None:
    """Any input gives chunks, a failure, or both; `feed` never raises."""
    for demux in (completions(2), chats(2)):
        demux.feed(events)
        demux.end()
        assert isinstance(demux.failure, ApiException)  # two samples cannot finish here
        assert isinstance(demux.assemble(), CompletionResponse | ChatResponse)


# The end of the connection


def test_done_is_accepted_after_the_last_sample() -> None:
    demux = completions()
    demux.feed([one(0, "a", "stop"), b"[DONE]"])
    assert demux.done
    demux.end()
    assert demux.failure is None


@pytest.mark.parametrize("done", [b"[DONE]", b" [DONE]", b"[DONE]\n"])
def test_done_before_the_last_finish_reason_truncates_the_stream(done: bytes) -> None:
    demux = completions(2)
    assert len(demux.feed([one(0, "a"), done, one(1, "never read")])) == 1
    assert demux.done
    assert not demux.finished
    demux.end()
    assert isinstance(demux.failure, StreamTruncated)
    assert "[DONE]" in str(demux.failure)
    assert [data.finish_reason for data in demux.assemble().data] == [None]


def test_the_error_of_an_early_end_names_the_unfinished_samples() -> None:
    demux = completions(4)
    demux.feed([one(2, "c", "stop"), one(0, "a")])
    demux.end()
    assert isinstance(demux.failure, StreamTruncated)
    assert str(demux.failure).startswith("the connection ended before sample 0, 1, 3 of 4 had a finish_reason")


def test_an_empty_stream_is_truncated() -> None:
    demux = completions()
    demux.feed([])
    assert not demux.started
    demux.end()
    assert isinstance(demux.failure, StreamTruncated)
    assert not demux.started


def test_the_grouping_of_events_into_reads_does_not_matter() -> None:
    """Covers the failure, too."""
    good, bad = [one(0, "a"), one(1, "b", "stop")], [one(1, "?"), b"{", b'{"detail": "x"}', b"[DONE]"]
    for last, sizes in product(bad, [(1, 1, 1), (2, 1), (1, 2), (3,)]):
        demux = completions(2)
        chunks = [chunk for batch in sliced([*good, last], sizes) for chunk in demux.feed(batch)]
        demux.end()
        assert len(chunks) == 2
        assert demux.failure is not None
        assert [data.output for data in demux.assemble().data] == ["a", "b"]


def sliced(events: list[bytes], sizes: Sequence[int]) -> Iterable[list[bytes]]:
    for size in sizes:
        yield events[:size]
        events = events[size:]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 32, 1000])
def test_text_is_complete_for_any_number_of_pieces(count: int) -> None:
    """Packing pieces into blocks loses, repeats and moves none of them."""
    demux = completions()
    for number in range(count):
        demux.feed([one(0, f"{number},")])
        assert demux.samples[0].text.count(",") == number + 1
    assert demux.samples[0].text == "".join(f"{number}," for number in range(count))
