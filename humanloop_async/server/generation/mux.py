"""A provider's chunks -> the bytes of v4's events: one sample each, told apart by index.

Every token takes this path, so everything that stays the same during a call is encoded once: the whole event is
encoded from its Struct with gaps where its values change, and an event is then the constant pieces between the gaps
joined by the chunk's text, which is all that is encoded for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ...types import ChatDataResponse, ChatFields, ChatMessage, ChatResponse, CompletionResponse, DataResponse, Usage
from ..providers.base import ProviderChunk
from .generation import Generation, Sample
from .responses import echoed_fields

MAX_LINE = 64 * 1024
"""Length to keep an event below, in bytes, because clients that read by lines bound them. What would make an event
longer is left out of it: the provider's chunk, and the echoes of the request."""

MAX_FIRST_LINE = 4 * MAX_LINE
"""The same for the first event of a sample, which alone carries the messages."""

_encode = msgspec.json.Encoder().encode
# A raw NUL never occurs in JSON, so a gap cannot be mistaken for a caller's text.
_GAP = re.compile(rb"\0(\w+)\0")
_UNFINISHED: Mapping[str, bytes] = {
    "finish_reason": b"null",
    "tool_call": b"null",
    "tool_calls": b"null",
    "usage": b"null",
}


class Mux:
    """Encodes one call's events, and remembers what its samples have said."""

    def __init__(self, generation: Generation) -> None:
        self._samples = generation.samples
        self._unfinished = len(generation.samples)
        self._fresh = {sample.index for sample in generation.samples}  # they have had no event yet
        self._finished: list[tuple[Sample, ProviderChunk]] = []
        full, lean = _skeleton(generation, echo=True), _skeleton(generation, echo=False)
        self._event = _fill(full if len(full) <= MAX_LINE else lean, {"messages": b"null"})
        messages = _encode(generation.messages)
        candidates = (_fill(skeleton, {"messages": messages}) for skeleton in (full, lean))
        self._first_event = next((event for event in candidates if len(event) <= MAX_FIRST_LINE), self._event)
        delta = _encode(ChatMessage(role="assistant", content=_gap("output")))
        before, self._tail = _fill(self._event, {**_UNFINISHED, "message": delta}).split(b"\0raw\0")
        # For each sample what goes before, between and after its texts.
        self._pieces = [
            _fill(before, {"id": _encode(sample.id), "index": _encode(sample.index)}).split(b"\0output\0")
            for sample in self._samples
        ]
        self._texts = len(self._pieces[0]) - 1
        self._room = MAX_LINE - len(before) - len(self._tail)

    @property
    def unfinished(self) -> int:
        """How many samples still have no finish reason."""
        return self._unfinished

    def feed(self, chunks: Iterable[ProviderChunk]) -> bytes:
        """The events of a batch, ``b""`` when there are none, without last events: those wait for their logs."""
        out: list[bytes] = []
        samples, fresh, pieces, tail = self._samples, self._fresh, self._pieces, self._tail
        texts, room = self._texts, self._room
        for chunk in chunks:
            index, text = chunk.index, chunk.text
            sample = samples[index]
            sample.pieces.append(text)
            if chunk.finish_reason is not None:
                sample.finish_reason, sample.tool_calls = chunk.finish_reason, chunk.tool_calls
                self._finished.append((sample, chunk))
                self._unfinished -= 1
            elif not text:
                continue
            elif index in fresh:
                out.append(self._whole_event(sample, chunk, _UNFINISHED))
            else:
                encoded, raw = _encode(text), chunk.raw
                if len(raw) + texts * len(encoded) > room:
                    raw = b""
                out += (encoded.join(pieces[index]), raw, tail)
        return b"".join(out)

    def take_finished(self) -> list[tuple[Sample, ProviderChunk]]:
        """The samples that have finished since the last call, each with its last chunk."""
        finished, self._finished = self._finished, []
        return finished

    def last_event(self, sample: Sample, chunk: ProviderChunk, usage: Usage | None = None) -> bytes:
        """A sample's last event.

        Args:
            usage: Token counts of the call, for the last event of all.
        """
        tool_calls = chunk.tool_calls
        return self._whole_event(
            sample,
            chunk,
            {
                "finish_reason": _encode(chunk.finish_reason),
                "tool_call": _encode(tool_calls[0].function if tool_calls else None),
                "tool_calls": _encode(tool_calls),
                "usage": _encode(usage),
            },
        )

    def _whole_event(self, sample: Sample, chunk: ProviderChunk, values: Mapping[str, bytes]) -> bytes:
        is_first = sample.index in self._fresh
        self._fresh.discard(sample.index)
        tool_calls = chunk.tool_calls
        message = ChatMessage(
            role="assistant",
            content=chunk.text or None,
            tool_calls=tool_calls,
            tool_call=tool_calls[0].function if tool_calls else None,
        )
        event = _fill(
            self._first_event if is_first else self._event,
            {
                "id": _encode(sample.id),
                "index": _encode(sample.index),
                "output": _encode(chunk.text),
                "message": _encode(message),
                **values,
            },
        )
        limit = MAX_FIRST_LINE if is_first else MAX_LINE
        return _fill(event, {"raw": chunk.raw if len(event) + len(chunk.raw) <= limit else b""})


def _skeleton(generation: Generation, *, echo: bool) -> bytes:
    """An event with gaps for what changes; `echo` tells whether it repeats what the request said."""
    request = generation.request
    data: dict[str, Any] = {
        "id": _gap("id"),
        "index": _gap("index"),
        "output": _gap("output"),
        "raw_output": _gap("output"),
        "inputs": request.inputs if echo and request.return_inputs else {},
        "finish_reason": _gap("finish_reason"),
        "model_config_id": generation.context.config_id,
    }
    common: dict[str, Any] = echoed_fields(generation) | {"usage": _gap("usage"), "provider_responses": [_gap("raw")]}
    if not echo:
        common |= {"metadata": None, "provider_request": None}
    event: ChatResponse | CompletionResponse
    if isinstance(request, ChatFields):
        data |= {
            "messages": _gap("messages"),
            "tool_call": _gap("tool_call"),
            "tool_calls": _gap("tool_calls"),
            "output_message": _gap("message"),
        }
        event = ChatResponse(data=[ChatDataResponse(**data)], **common)
    else:
        event = CompletionResponse(data=[DataResponse(**data)], **common)
    return b"data: " + _encode(event) + b"\n\n"


def _gap(name: str) -> Any:
    return msgspec.Raw(b"\0" + name.encode() + b"\0")


def _fill(skeleton: bytes, values: Mapping[str, bytes]) -> bytes:
    """Fill the gaps that `values` names, and leave the others."""
    return _GAP.sub(lambda gap: values.get(gap[1].decode(), gap[0]), skeleton)
