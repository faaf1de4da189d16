"""Encode a provider's chunks as v4's events, each with the index of its sample.

Every token takes this path, so the constant part of a call's events is encoded once: as a template, with placeholders
for the values that change. To encode an event is then to encode the chunk's text and to join the template's parts with
it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ...types import ChatFields, ChatMessage, Usage
from ..providers.base import ProviderChunk
from .ascii_json import encode_text, to_ascii
from .generation import Generation, Sample
from .responses import NO_REASONING, OMITTED, build_response

MAX_LINE = 64 * 1024
"""Longest event, in bytes: clients that read line by line limit the length of a line. An event that would be longer
omits the provider's chunk and the fields that repeat the request."""

MAX_FIRST_LINE = 4 * MAX_LINE
"""The same for the first event of a sample, the only one with the messages."""

PROGRESS_INTERVAL = 1.0
"""Shortest time between two events without text, in seconds. They say that the provider works: on its reasoning, or on
the arguments of a tool call. Clients measure the silence of a stream by its events."""

_encode = msgspec.json.Encoder().encode
# JSON never contains a raw NUL, so no text of a caller looks like a placeholder.
_PLACEHOLDER = re.compile(rb"\0(\w+)\0")
_UNFINISHED: Mapping[str, bytes] = {
    "finish_reason": b"null",
    "tool_call": b"null",
    "tool_calls": b"null",
    "usage": b"null",
    "reasoning": b"",
}


class Mux:
    """Encodes the events of one call, and collects the text of its samples."""

    def __init__(self, generation: Generation) -> None:
        self._samples = generation.samples
        self._unfinished = len(generation.samples)
        self._without_first_event = {sample.index for sample in generation.samples}
        # Samples whose next event is not the usual one: the first, or one with reasoning.
        self._special = set(self._without_first_event)
        self._unsent_reasoning: dict[int, list[str]] = {}
        self._last_progress = float("-inf")
        self._finished: list[tuple[Sample, ProviderChunk]] = []
        full, lean = _template(generation, echo=True), _template(generation, echo=False)
        self._event = _render(full if len(full) <= MAX_LINE else lean, {"messages": b"null"})
        messages = to_ascii(_encode(generation.messages))
        candidates = (_render(template, {"messages": messages}) for template in (full, lean))
        self._first_event = next((event for event in candidates if len(event) <= MAX_FIRST_LINE), self._event)
        delta = _encode(ChatMessage(role="assistant", content=_placeholder("output")))
        before, self._tail = _render(self._event, {**_UNFINISHED, "output_message": delta}).split(b"\0raw\0")
        # Fails for every call if the fields of responses are reordered.
        assert b"\0" not in self._tail, "responses must have the field `data` before `provider_responses`"
        # For each sample, the parts of an event before, between and after its text.
        self._parts = [
            _render(before, {"id": _encode(sample.id), "index": _encode(sample.index)}).split(b"\0output\0")
            for sample in self._samples
        ]
        self._text_slots = len(self._parts[0]) - 1
        self._raw_budget = MAX_LINE - len(before) - len(self._tail)

    @property
    def unfinished(self) -> int:
        """The number of samples that have no finish reason yet."""
        return self._unfinished

    def feed(self, chunks: Iterable[ProviderChunk]) -> bytes:
        """Return the events of a batch, or ``b""``. A sample's last event is not among them: it waits for the log."""
        out: list[bytes] = []
        samples, special, parts, tail = self._samples, self._special, self._parts, self._tail
        text_slots, raw_budget = self._text_slots, self._raw_budget
        for chunk in chunks:
            index, text = chunk.index, chunk.text
            sample = samples[index]
            sample.pieces.append(text)
            if chunk.reasoning:
                self._add_reasoning(sample, chunk.reasoning)
            if chunk.finish_reason is not None:
                sample.finish_reason, sample.tool_calls = chunk.finish_reason, chunk.tool_calls
                self._finished.append((sample, chunk))
                self._unfinished -= 1
            elif not text:
                if (now := time.monotonic()) - self._last_progress >= PROGRESS_INTERVAL:
                    self._last_progress = now
                    out.append(self._whole_event(sample, chunk, _UNFINISHED))
            elif index in special:
                out.append(self._whole_event(sample, chunk, _UNFINISHED))
            else:
                encoded, raw = _encode(text), chunk.raw
                if not (text.isascii() and raw.isascii()):
                    encoded, raw = encode_text(text), to_ascii(raw)
                if len(raw) + text_slots * len(encoded) > raw_budget:
                    raw = b""
                out += (encoded.join(parts[index]), raw, tail)
        return b"".join(out)

    def _add_reasoning(self, sample: Sample, reasoning: str) -> None:
        """Keep reasoning for the sample's next event."""
        sample.reasoning_pieces.append(reasoning)
        self._unsent_reasoning.setdefault(sample.index, []).append(reasoning)
        self._special.add(sample.index)

    def take_finished(self) -> list[tuple[Sample, ProviderChunk]]:
        """Return the samples that have finished since the last call, each with its last chunk."""
        finished, self._finished = self._finished, []
        return finished

    def last_event(self, sample: Sample, chunk: ProviderChunk, usage: Usage | None = None) -> bytes:
        """Return a sample's last event. The last one of the stream has the call's `usage`."""
        tool_calls = chunk.tool_calls
        return self._whole_event(
            sample,
            chunk,
            {
                "finish_reason": _encode(chunk.finish_reason),
                "tool_call": to_ascii(_encode(tool_calls[0].function if tool_calls else None)),
                "tool_calls": to_ascii(_encode(tool_calls)),
                "usage": _encode(usage),
            },
        )

    def _whole_event(self, sample: Sample, chunk: ProviderChunk, values: Mapping[str, bytes]) -> bytes:
        is_first = sample.index in self._without_first_event
        self._without_first_event.discard(sample.index)
        self._special.discard(sample.index)
        reasoning = self._unsent_reasoning.pop(sample.index, None)
        tool_calls = chunk.tool_calls
        message = ChatMessage(
            role="assistant",
            content=chunk.text or None,
            tool_calls=tool_calls,
            tool_call=tool_calls[0].function if tool_calls else None,
        )
        event = _render(
            self._first_event if is_first else self._event,
            {
                "id": _encode(sample.id),
                "index": _encode(sample.index),
                "output": encode_text(chunk.text),
                "output_message": to_ascii(_encode(message)),
                **values,
                "reasoning": b',"reasoning":' + encode_text("".join(reasoning)) if reasoning else b"",
            },
        )
        limit = MAX_FIRST_LINE if is_first else MAX_LINE
        raw = to_ascii(chunk.raw)
        return _render(event, {"raw": raw if len(event) + len(raw) <= limit else b""})


def _template(generation: Generation, *, echo: bool) -> bytes:
    """Return an event with placeholders for the values that change."""
    names = ["id", "index", "output", "finish_reason"]
    if isinstance(generation.request, ChatFields):
        names += ["messages", "tool_call", "tool_calls", "output_message"]
    sample = {name: _placeholder(name) for name in names}
    sample |= {"raw_output": _placeholder("output"), "reasoning": OMITTED}
    usage, raw = _placeholder("usage"), _placeholder("raw")
    event = build_response(generation, [sample], usage=usage, provider_responses=[raw], echo=echo)
    return b"data: " + to_ascii(_encode(event)).replace(NO_REASONING, b"\0reasoning\0") + b"\n\n"


def _placeholder(name: str) -> Any:
    return msgspec.Raw(b"\0" + name.encode() + b"\0")


def _render(template: bytes, values: Mapping[str, bytes]) -> bytes:
    """Replace the placeholders that have a value; the others stay."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1].decode(), match[0]), template)
