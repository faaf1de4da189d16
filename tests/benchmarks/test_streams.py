"""The synthetic streams have the events, texts and sizes that they announce."""

import json
import re

import pytest

from benchmarks import streams


def body(stream: streams.Stream) -> bytes:
    """Decode the chunked encoding."""
    pieces, framed, at = [], b"".join(stream.writes()), 0
    while at < len(framed):
        start = framed.index(b"\r\n", at) + 2
        end = start + int(framed[at:start], 16)
        pieces.append(framed[start:end])
        at = end + 2
    return b"".join(pieces)


@pytest.mark.parametrize("per_write", [1, 8, 64])
@pytest.mark.parametrize("events", [3, 64, 3_000])
def test_a_stream_has_the_events_and_characters_it_announces(events: int, per_write: int) -> None:
    """Repeated blocks and the tail add up, and every sample ends once."""
    stream = streams.build("v4", events=events, samples=2, per_write=per_write)
    sent = body(stream)
    samples = [json.loads(line[6:])["data"][0] for line in sent.split(b"\n\n")[:-1]]
    assert len(samples) == stream.events == events
    assert sum(len(sample["output"]) for sample in samples) == stream.chars
    assert len(sent) == stream.body_bytes
    assert sorted(s["index"] for s in samples if s["finish_reason"]) == [0, 1]


def test_both_shapes_carry_the_same_texts_in_events_of_the_same_length() -> None:
    """No peer is ahead because its stream is shorter."""
    v4, openai = (body(streams.build(shape, events=500)).split(b"\n\n") for shape in ("v4", "openai"))
    assert openai[-2:] == [b"data: [DONE]", b""]
    for ours, theirs in zip(v4[:-1], openai[:-2], strict=True):
        assert len(ours) == len(theirs)
        choice = json.loads(theirs[6:])["choices"][0]
        assert choice["delta"]["content"] == json.loads(ours[6:])["data"][0]["output"]


@pytest.mark.parametrize("event_size", [4 << 10, 1 << 20])
def test_events_have_about_the_size_asked_for(event_size: int) -> None:
    """Within one part in ten."""
    stream = streams.build("v4", events=5, samples=1, event_size=event_size)
    assert stream.body_bytes / 4 == pytest.approx(event_size, rel=0.1)


def test_a_stamped_event_has_its_stamp_wherever_its_text_stands() -> None:
    """Joined with 20 digits, the pieces are an event whose text starts with them."""
    stream = streams.build_stamped("v4", events=10)
    sent = b"".join((b"%020d" % 7).join(pieces) for pieces in stream.pieces)
    outputs = [json.loads(line[6:])["data"][0]["output"] for line in sent.split(b"\n\n")[:-1]]
    assert sum(map(len, outputs)) == stream.chars
    assert [bool(re.match(r"0{19}7", output)) for output in outputs] == [True] * 8 + [False] * 2
