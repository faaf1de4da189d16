"""The decoder follows the WHATWG rules, wherever the reads split the stream.

``benchmarks/`` measures that its time is linear; a test that reads the clock would not be reliable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise

import httpx
import httpx_sse
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanloop_async.errors import EventTooLarge
from humanloop_async.wire.sse import MAX_EVENT_BYTES, ErrorEvent, EventStreamDecoder, encode_event
from tests.wire.sse_cases import BOM, CASES


def reference(stream: bytes) -> list[bytes]:
    """Decode a whole stream by the algorithm of the standard (HTML, 9.2.6), written for clarity, not speed."""
    events, buffer = [], b""
    for line in re.split(rb"\r\n|\n|\r", stream.removeprefix(BOM))[:-1]:
        name, _, value = line.partition(b":")
        if line == b"":
            if buffer:
                events.append(buffer.removesuffix(b"\n"))
            buffer = b""
        elif name == b"data":
            buffer += value.removeprefix(b" ") + b"\n"
    return events


def decode(pieces: Iterable[bytes]) -> list[bytes]:
    decoder = EventStreamDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def cut(stream: bytes, *places: int) -> list[bytes]:
    return [stream[start:end] for start, end in pairwise((0, *sorted(places), len(stream)))]


def bytewise(stream: bytes) -> Iterator[bytes]:
    return (stream[place : place + 1] for place in range(len(stream)))


cases = pytest.mark.parametrize(("stream", "events"), CASES.values(), ids=CASES.keys())


@cases
def test_each_rule_of_the_standard(stream: bytes, events: list[bytes]) -> None:
    """The decoder and the reference give the same events for a whole stream."""
    assert decode([stream]) == events == reference(stream)


@cases
def test_events_do_not_depend_on_the_split_into_reads(stream: bytes, events: list[bytes]) -> None:
    """Byte by byte, at every split and every pair of splits, with empty reads between them."""
    assert decode(bytewise(stream)) == events
    for place in range(len(stream) + 1):
        assert decode([stream[:place], b"", stream[place:]]) == events
    if len(stream) <= 64:
        for places in combinations(range(len(stream) + 1), 2):
            assert decode(cut(stream, *places)) == events


@cases
def test_an_event_is_returned_with_the_byte_that_completes_it(stream: bytes, events: list[bytes]) -> None:
    """No event waits for bytes that it does not need, such as the LF of a CRLF."""
    decoder, seen = EventStreamDecoder(), list[bytes]()
    for place, piece in enumerate(bytewise(stream)):
        seen += decoder.feed(piece)
        assert seen == reference(stream[: place + 1])


@cases
@pytest.mark.parametrize(
    "trailing", [b"data: more\n\n", b"\n", b"\n\ndata: more\n\n", b": c\n", b"\r\r\n", b"da", b"x" * 99]
)
def test_trailing_bytes_do_not_change_earlier_events(stream: bytes, events: list[bytes], trailing: bytes) -> None:
    """Holds for trailing bytes in the same read and in the next one."""
    expected = reference(stream + trailing)
    assert expected[: len(events)] == events
    assert decode([stream + trailing]) == decode([stream, trailing]) == expected


# Pieces for adversarial streams: line ends, prefixes of `data: `, and characters that resemble line ends.
looks = [b"\n", b"\r", b"\r\n", b"\n\n", b"\xc2\x85", b"\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\0", b"\xff", BOM]
fields = [b"data", b"data:", b"data: ", b"da", b":", b" ", b"id: 1", b"event: y", b"data: x\n\n", b"data: {}\r\n\r\n"]
fragments = st.sampled_from(looks + fields) | st.binary(max_size=8)
streams = st.builds(lambda start, parts: start + b"".join(parts), st.sampled_from([b"", BOM]), st.lists(fragments))
places = st.lists(st.integers(0, 10_000), max_size=8)


def cut_anywhere(stream: bytes, where: list[int]) -> list[bytes]:
    return cut(stream, *(place % (len(stream) + 1) for place in where))


@given(streams, places)
def test_any_bytes_split_anywhere_match_the_reference(stream: bytes, where: list[int]) -> None:
    expected = reference(stream)
    assert decode(cut_anywhere(stream, where)) == expected
    assert decode(bytewise(stream)) == expected


line_values = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)
noise = st.one_of(
    st.builds(":{}".format, line_values),
    st.builds("{}: {}".format, st.sampled_from(["event", "retry", "foo", "Data", "data "]), line_values),
)
written = st.lists(st.tuples(st.lists(line_values, min_size=1, max_size=3), st.lists(noise, max_size=2)), max_size=6)


@st.composite
def wire_forms(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Draw a stream that uses any form which the standard allows, and its events."""
    stream, events, last = "", list[bytes](), ""

    def add(line: str) -> None:
        nonlocal stream, last
        end = draw(st.sampled_from(["\n", "\r", "\r\n"]))
        if not line and last == "\r" and end == "\n":
            end = "\r"  # CR and LF side by side are one line end
        stream += line + end
        last = end

    for values, others in draw(written):
        lines = [
            f"data: {value}" if value.startswith(" ") else f"data{draw(st.sampled_from([':', ': ']))}{value}"
            for value in values
        ]
        for other in others:
            lines.insert(draw(st.integers(0, len(lines))), other)
        for line in (*lines, *[""] * draw(st.integers(1, 3))):
            add(line)
        events.append("\n".join(values).encode())
    return stream.encode(), events


@given(wire_forms(), st.booleans(), places)
def test_every_encoding_of_the_same_events(form: tuple[bytes, list[bytes]], bom: bool, where: list[int]) -> None:
    """Mixed line ends, comments, other fields and a byte order mark do not change the events."""
    stream, events = form
    assert decode(cut_anywhere(BOM + stream if bom else stream, where)) == events


@given(wire_forms(), places)
def test_httpx_sse_gives_the_same_events(form: tuple[bytes, list[bytes]], where: list[int]) -> None:
    """Compare with a second implementation; the next test lists its deviations from the standard."""
    stream, _ = form
    assert read_by_httpx_sse(cut_anywhere(stream, where)) == [event.decode() for event in decode([stream])]


def read_by_httpx_sse(pieces: list[bytes]) -> list[str]:
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=iter(pieces))
    return [event.data for event in httpx_sse.EventSource(response).iter_sse()]


@pytest.mark.parametrize(
    ("stream", "theirs"),
    [
        pytest.param(BOM + b"data: a\n\ndata: b\n\n", ["b"], id="a leading byte order mark costs it the first event"),
        pytest.param(b"event: x\n\ndata: a\n\n", ["", "a"], id="an event without data is handed out"),
        pytest.param(b"id: 1\ndata: a\n\n\n\n", ["a", "", ""], id="after an id every blank line is an event"),
    ],
)
def test_deviations_of_httpx_sse_from_the_standard(stream: bytes, theirs: list[str]) -> None:
    """The test above leaves these streams out. If this fails, httpx-sse was fixed: add them there."""
    assert read_by_httpx_sse([stream]) == theirs
    assert [event.decode() for event in decode([stream])] == [
        data for data in ("a", "b") if data.encode() in stream[7:]
    ]


@pytest.mark.parametrize(
    ("stream", "is_error"),
    [
        (b"event: error\ndata: a\n\n", True),
        (b"event:error\r\ndata: a\r\n\r\n", True),
        (b"data: a\nevent: error\n\n", True),
        (b"data: x\n\nevent: error\ndata: a\n\n", True),
        (b"event: error\nevent: message\ndata: a\n\n", False),
        (b"event: error\n\ndata: a\n\n", False),
        (b"event: errors\ndata: a\n\n", False),
        (b"eventual: error\ndata: a\n\n", False),
    ],
)
def test_an_event_of_the_type_error_is_marked(stream: bytes, is_error: bool) -> None:
    for pieces in ([stream], bytewise(stream)):
        decoder = EventStreamDecoder()
        last = [event for piece in pieces for event in decoder.feed(piece)][-1]
        assert (last, isinstance(last, ErrorEvent)) == (b"a", is_error)


# The limit of one event


def decode_bounded(pieces: Iterable[bytes], limit: int) -> tuple[list[bytes], bool]:
    """Return all events, those on the error included, and whether there was an error."""
    decoder, events = EventStreamDecoder(max_event_bytes=limit), list[bytes]()
    try:
        for piece in pieces:
            events += decoder.feed(piece)
    except EventTooLarge as error:
        return events + error.events, True
    return events, False


def reference_bounded(stream: bytes, limit: int) -> tuple[list[bytes], bool]:
    text = re.sub(rb"\r\n?", b"\n", stream.removeprefix(BOM))
    events: list[bytes] = []
    blocks = [block.strip(b"\n") for block in re.split(rb"\n\n+", text)]
    for number, block in enumerate(blocks, 1):
        if len(block) > limit:
            return events, True
        if number < len(blocks):
            events += reference(b"\n" + block + b"\n\n")  # only a stream begins with a byte order mark
    return events, False


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n", b""], ids=repr)
@pytest.mark.parametrize("before", [b"", b"data: first\n\n", b"data: first\n\n\n", b": c\r\n\r\n"], ids=repr)
@pytest.mark.parametrize(
    "event",
    [b"data: " + b"x" * 94, b"data: a\n" + b": " + b"c" * 90, b":" + b"c" * 99, b"foo:" + b"x" * 96, b"x" * 100],
    ids=["data", "data and comment", "comment", "other field", "no field"],
)
def test_an_event_may_be_as_large_as_the_limit(event: bytes, before: bytes, end: bytes) -> None:
    """An event at the limit passes, and one byte more fails, in one read or in many; earlier events are returned."""
    assert len(event) == 100
    first = reference(before)
    for stream, fits in [(before + event + end, True), (before + event + b"x" + end, False)]:
        expected = (reference(stream), False) if fits else (first, True)
        assert decode_bounded([stream], 100) == expected
        assert decode_bounded(bytewise(stream), 100) == expected
        for place in range(len(stream)):
            assert decode_bounded([stream[:place], stream[place:]], 100) == expected


@given(streams, st.integers(3, 24), places)
def test_the_limit_does_not_depend_on_the_split_into_reads(stream: bytes, limit: int, where: list[int]) -> None:
    expected = reference_bounded(stream, limit)
    assert decode_bounded(cut_anywhere(stream, where), limit) == expected
    assert decode_bounded(bytewise(stream), limit) == expected


def test_events_before_one_that_is_too_large_are_on_the_error() -> None:
    with pytest.raises(EventTooLarge) as caught:
        EventStreamDecoder(max_event_bytes=20).feed(b"data: a\n\ndata: b\n\ndata: " + b"x" * 40 + b"\n\ndata: c\n\n")
    assert caught.value.events == [b"a", b"b"]
    assert caught.value.limit == 20
    assert "max_event_bytes=20" in str(caught.value)


def test_many_small_events_in_one_read_do_not_exceed_the_limit() -> None:
    stream = b"data: 12345\n\n" * 1000
    assert decode_bounded([stream], 16) == ([b"12345"] * 1000, False)


def test_an_endless_line_fails_soon_after_the_limit() -> None:
    """A server that never ends its line cannot exhaust the memory."""
    decoder = EventStreamDecoder(max_event_bytes=1000)
    for _ in range(10):
        decoder.feed(b"x" * 100)
    with pytest.raises(EventTooLarge):
        decoder.feed(b"x" * 100)


def test_the_default_limit_is_16_mib() -> None:
    assert MAX_EVENT_BYTES == 16 * 2**20
    largest = b"data: " + b"x" * (MAX_EVENT_BYTES - 6)
    assert decode([largest[:-1], largest[-1:], b"\n\n"]) == [largest[6:]]
    with pytest.raises(EventTooLarge):
        decode([largest, b"x", b"\n\n"])


# Encoding


@pytest.mark.parametrize(
    ("data", "wire"),
    [
        (b"{}", b"data: {}\n\n"),
        (b"", b"data: \n\n"),
        (b" a", b"data:  a\n\n"),
        (b"a\nb", b"data: a\ndata: b\n\n"),
        (b"a\r\nb\rc\n", b"data: a\ndata: b\ndata: c\ndata: \n\n"),
    ],
)
def test_an_encoded_event(data: bytes, wire: bytes) -> None:
    assert encode_event(data) == wire


@given(st.lists(st.binary(max_size=30)), places)
def test_encoded_data_is_decoded_unchanged(payloads: list[bytes], where: list[int]) -> None:
    """Only line ends change: all three kinds are decoded as LF."""
    stream = b"".join(map(encode_event, payloads))
    assert decode(cut_anywhere(stream, where)) == [re.sub(rb"\r\n?", b"\n", data) for data in payloads]
