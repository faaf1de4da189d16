"""A stored answer as a stream: events of the same shape as those of the first time, fewer and with more text each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from .mux import MAX_FIRST_LINE, MAX_LINE

PIECE_CHARS = 2048
"""Text of one event, in characters: three times of it, escaped at worst, stay below `MAX_LINE` bytes."""

_Object: TypeAlias = dict[str, Any]
_LEAN: _Object = {"metadata": None, "provider_request": None}


def replayed_events(answer: bytes) -> Iterator[bytes]:
    """The events of a generation's stored answer, one sample after the other."""
    body: _Object = msgspec.json.decode(answer)
    usage, samples = body["usage"], body["data"]
    common: _Object = {**body, "usage": None, "provider_responses": []}
    for sample in samples:
        *texts, last = _pieces(sample["raw_output"])
        unfinished = sample | {"finish_reason": None}
        if "output_message" in sample:
            unfinished |= {"tool_call": None, "tool_calls": None}
        for text in texts:
            yield _event(common, _with_text(unfinished, text))
            unfinished = _later(unfinished)
            sample = _later(sample)
        is_last = sample["index"] == samples[-1]["index"]
        yield _event(common | {"usage": usage if is_last else None}, _with_text(sample, last))


def _pieces(text: str) -> list[str]:
    return [text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS)] or [""]


def _with_text(sample: _Object, text: str) -> _Object:
    changed = sample | {"output": text, "raw_output": text}
    if "output_message" in sample:
        message = {"content": text or None, "tool_calls": sample["tool_calls"], "tool_call": sample["tool_call"]}
        changed["output_message"] = sample["output_message"] | message
    return changed


def _later(sample: _Object) -> _Object:
    return sample | {"messages": None} if "messages" in sample else sample


def _event(common: _Object, sample: _Object) -> bytes:
    """One event; what makes it longer than clients that read by lines take is left out, as it was the first time."""
    limit = MAX_FIRST_LINE if sample.get("messages") else MAX_LINE
    lean = common | _LEAN
    without_inputs: _Object = {**sample, "inputs": {}}
    for top, data in ((common, sample), (lean, without_inputs), (lean, _later(without_inputs))):
        event = b"data: " + msgspec.json.encode(top | {"data": [data]}) + b"\n\n"
        if len(event) <= limit:
            break
    return event
