"""Whole streams from ``tests/data`` through the decoder and the demultiplexer, split at every byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from humanloop_async.errors import ApiException, RateLimitError, StreamTruncated
from humanloop_async.types import ChatEvent, ChatResponse, CompletionEvent, CompletionResponse
from humanloop_async.wire.demux import Demultiplexer
from humanloop_async.wire.sse import EventStreamDecoder

DATA = Path(__file__).parent.parent / "data"


def completions() -> Demultiplexer[Any, CompletionResponse]:
    return Demultiplexer(CompletionEvent, CompletionResponse, 1)


def chats(num_samples: int = 1) -> Demultiplexer[Any, ChatResponse]:
    return Demultiplexer(ChatEvent, ChatResponse, num_samples)


def decode(*pieces: bytes) -> list[bytes]:
    decoder = EventStreamDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def test_the_examples_of_the_standard() -> None:
    """The last block has no blank line after it, so it is not an event."""
    assert decode((DATA / "whatwg_examples.sse").read_bytes()) == [
        b"YHOO\n+2\n10",
        b"first event",
        b"second event",
        b" third event",
        b"",
        b"\n",
        b"test",
        b"test",
        b"73857293",
        b"2153",
    ]


@pytest.mark.parametrize("path", sorted(DATA.glob("*.sse")), ids=lambda path: path.stem)
def test_the_same_events_byte_by_byte_and_at_every_split(path: Path) -> None:
    stream = path.read_bytes()
    whole = decode(stream)
    assert len(whole) >= 2
    assert decode(*(bytes([byte]) for byte in stream)) == whole
    for place in range(len(stream) + 1):
        assert decode(stream[:place], stream[place:]) == whole


RECORDED: list[tuple[str, Any, list[str], type[ApiException] | None]] = [
    ("completion", completions, ["Ah, Ada! Grüße 👋\u2028done "], None),
    ("completion_crlf_pings_done", completions, ["Ah, Ada: data: x"], None),
    ("completion_bom_cr_multiline", completions, ["One\nTwo"], None),
    ("completion_truncated", completions, ["Ah, Ada! Grüße"], StreamTruncated),
    ("chat_three_samples", lambda: chats(3), ["Hello Ada.", "Good day", "Hey there!"], None),
    ("chat_tool_calls", chats, ["Let me look"], None),
    ("chat_error_midway", lambda: chats(3), ["Hello", "Good", "Hey there"], RateLimitError),
]


@pytest.mark.parametrize(("name", "make", "texts", "ends"), RECORDED, ids=[row[0] for row in RECORDED])
def test_whole_streams(name: str, make: Any, texts: list[str], ends: type[ApiException] | None) -> None:
    demux = make()
    demux.feed(EventStreamDecoder().feed((DATA / f"{name}.sse").read_bytes()))
    demux.end()
    assert [sample.text for sample in demux.samples] == texts
    assert demux.failure is None if ends is None else isinstance(demux.failure, ends)
    assert demux.finished == (ends is None)


@pytest.mark.parametrize(("name", "make", "texts"), [row[:3] for row in RECORDED], ids=[row[0] for row in RECORDED])
def test_a_stream_cut_at_any_byte_is_complete_or_truncated(name: str, make: Any, texts: list[str]) -> None:
    """The text received is a prefix of the whole text, and missing finish reasons are not made up."""
    stream = (DATA / f"{name}.sse").read_bytes()
    reasons: set[tuple[str | None, ...]] = set()
    for place in range(0, len(stream) + 1, 3):
        demux = make()
        demux.feed(EventStreamDecoder().feed(stream[:place]))
        demux.end()
        partial = demux.assemble()
        assert all(text.startswith(sample.text) for sample, text in zip(demux.samples, texts, strict=True))
        assert [data.raw_output for data in partial.data] == [s.text for s in demux.samples if s.first]
        assert demux.finished == all(sample.finish_reason for sample in demux.samples)
        assert demux.finished or isinstance(demux.failure, ApiException)
        reasons.add(tuple(sample.finish_reason for sample in demux.samples))
    assert (None,) * len(texts) in reasons
