"""Stream a stored response: events of the same shape as in the first stream, but fewer, each with more text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from .ascii_json import to_ascii
from .mux import MAX_FIRST_LINE, MAX_LINE

MAX_TEXT = 1536
"""Longest text in an event, in characters. Events contain their text three times, and an escaped character has up to
12 bytes; that is below `MAX_LINE`."""

_Object: TypeAlias = dict[str, Any]
_NO_ECHO: _Object = {"metadata": None, "provider_request": None}


def replayed_events(response: bytes) -> Iterator[bytes]:
    """Return the events of a generation's stored response, one sample after the other."""
    body: _Object = msgspec.json.decode(response)
    usage, samples = body["usage"], body["data"]
    common: _Object = {**body, "usage": None, "provider_responses": []}
    for sample in samples:
        *texts, last = _split(sample["raw_output"])
        unfinished = sample | {"finish_reason": None}
        if "output_message" in sample:
            unfinished |= {"tool_call": None, "tool_calls": None}
        for text in texts:
            yield _event(common, _with_text(unfinished, text))
            unfinished = _without_first_fields(unfinished)
            sample = _without_first_fields(sample)
        is_last = sample["index"] == samples[-1]["index"]
        yield _event(common | {"usage": usage if is_last else None}, _with_text(sample, last))


def _split(text: str) -> list[str]:
    return [text[start : start + MAX_TEXT] for start in range(0, len(text), MAX_TEXT)] or [""]


def _with_text(sample: _Object, text: str) -> _Object:
    changed = sample | {"output": text, "raw_output": text}
    if "output_message" in sample:
        message = {"content": text or None, "tool_calls": sample["tool_calls"], "tool_call": sample["tool_call"]}
        changed["output_message"] = sample["output_message"] | message
    return changed


def _without_first_fields(sample: _Object) -> _Object:
    """Return a sample without the fields that only its first event has."""
    return {name: value for name, value in _without_messages(sample).items() if name != "reasoning"}


def _without_messages(sample: _Object) -> _Object:
    return sample | {"messages": None} if "messages" in sample else sample


def _event(common: _Object, sample: _Object) -> bytes:
    """Return one event. As in the first stream, one that is too long omits the fields that repeat the request."""
    limit = MAX_FIRST_LINE if sample.get("messages") else MAX_LINE
    lean = common | _NO_ECHO
    without_inputs: _Object = {**sample, "inputs": {}, "tool_results": None}
    for top, data in ((common, sample), (lean, without_inputs), (lean, _without_messages(without_inputs))):
        event = b"data: " + to_ascii(msgspec.json.encode(top | {"data": [data]})) + b"\n\n"
        if len(event) <= limit:
            break
    return event
