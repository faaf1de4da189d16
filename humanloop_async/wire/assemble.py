"""Assemble the chunks of a stream into the response that the same call returns without streaming."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ..types import ChatDataResponse, ChatResponse, CompletionResponse, DataResponse, Json, ToolCall, Usage
from ..types.shared import decode_json
from .requests import drop_nulls

ResponseT = TypeVar("ResponseT", bound=CompletionResponse | ChatResponse)

_BLOCK = 448
"""Largest block of text, in bytes. Python's small-object allocator serves blocks of up to 512 bytes, object header
included; larger or growing blocks come from malloc and fragment the heap."""

_LARGE = 64 * 1024
"""Largest first event that is stored unchanged, in bytes. Each sample stores one, of up to `max_event_bytes`."""


class Sample:
    """The chunks of one sample received so far.

    Text is stored in pieces and joined on access. A short string needs about ten times the memory of its text, so the
    code that appends to `pieces` calls `pack` whenever the list holds `PIECES` of them. Blocks are UTF-8, because one
    emoji in a string makes every character four bytes wide. (UTF-8 has no form for a lone surrogate; the JSON decoder
    rejects those.)
    """

    PIECES = 6

    __slots__ = ("_blocks", "_tool_calls", "finish_reason", "first", "id", "index", "pieces", "reasoning_pieces")

    def __init__(self, index: int) -> None:
        self.index: int = index
        self.id: str | None = None
        self.finish_reason: str | None = None
        self.first: bytes | None = None  # its first event, with fields that no later event repeats
        self.pieces: list[str] = []
        self._blocks: list[bytes] = []
        self.reasoning_pieces: list[str] | None = None  # few samples have any
        self._tool_calls: dict[str, tuple[ToolCall, list[str]]] | None = None  # few samples have any

    @property
    def text(self) -> str:
        """All text received so far."""
        return b"".join(self._blocks).decode() + "".join(self.pieces)

    @property
    def reasoning(self) -> str | None:
        """All reasoning received so far; None if there is none."""
        return "".join(self.reasoning_pieces) if self.reasoning_pieces else None

    def pack(self) -> None:
        """Append the pieces to the last block, or start another block with them."""
        block, blocks = "".join(self.pieces).encode(), self._blocks
        self.pieces.clear()
        if blocks and len(blocks[-1]) + len(block) <= _BLOCK:
            blocks[-1] += block
        else:
            blocks.append(block)

    def add_tool_calls(self, calls: list[ToolCall]) -> None:
        """Add tool calls; one whose id is known extends the arguments of that call."""
        by_id = self._tool_calls = self._tool_calls or {}
        for call in calls:
            _, pieces = by_id.setdefault(call.id, (call, []))
            pieces.append(call.function.arguments or "")

    @property
    def tool_calls(self) -> list[Json]:
        """The tool calls as plain JSON, arguments joined."""
        return [
            {
                "id": call.id,
                "type": call.type,
                "function": {"name": call.function.name, "arguments": "".join(pieces)},
            }
            for call, pieces in (self._tool_calls or {}).values()
        ]


def first_event(kind: type[ResponseT], event: bytes, index: int) -> bytes:
    """Return the part of a sample's first event to store: all of it, or from a large one the fields of `assemble`."""
    if len(event) <= _LARGE:
        return event
    body = _decode(event)
    item = _items_by_index(body).get(index, {})
    item_kind = ChatDataResponse if kind is ChatResponse else DataResponse
    echoed = {name: body[name] for name in kind.__struct_fields__ if name in body}
    item = {name: item[name] for name in item_kind.__struct_fields__ if name in item}
    return msgspec.json.encode({**echoed, "data": [{**item, "index": index}]})


def assemble(kind: type[ResponseT], samples: list[Sample], usage: Usage | None, last: bytes) -> ResponseT:
    """Assemble the samples received so far into a response.

    Fields that every event repeats (project, metadata, ...) are read from the samples' first events and from the
    last event of the call, here rather than per event, because few callers use them.

    Args:
        kind: `CompletionResponse` or `ChatResponse`.
        samples: Every sample of the call; those without a chunk are left out.
        usage: Token counts; None if no event had any.
        last: Data of the last event.
    """
    started = [sample for sample in samples if sample.first is not None]
    # Samples may share their first event, which is then decoded once.
    first_events = {event: _decode(event) for event in dict.fromkeys(sample.first for sample in started)}
    items = {event: _items_by_index(body) for event, body in first_events.items()}
    chat = kind is ChatResponse
    assembled: dict[str, Json] = {
        "data": [_sample_data(sample, items[sample.first].get(sample.index, {}), chat) for sample in started],
        "usage": msgspec.to_builtins(usage),
        "provider_responses": [],  # v4 documents one per provider call, but no event contains it
    }
    echoed: dict[str, Json] = {"num_samples": len(samples)}
    for event in (*first_events.values(), _decode(last)):
        echoed |= drop_nulls(event)
    try:
        return msgspec.convert({**echoed, **assembled}, kind)
    except msgspec.ValidationError:  # an invalid echoed field must not lose the samples
        assembled["data"] = [_sample_data(sample, {"inputs": {}}, chat) for sample in started]
        return msgspec.convert({"num_samples": len(samples), **assembled}, kind)


def _items_by_index(event: dict[str, Json]) -> dict[int, dict[str, Json]]:
    """Return an event's items by sample index; only first events contain `inputs` and `messages`."""
    items = event.get("data")
    return {
        index: drop_nulls(item)
        for item in (reversed(items) if isinstance(items, list) else ())
        if isinstance(item, dict) and isinstance(index := item.get("index"), int)
    }


def _sample_data(sample: Sample, first: dict[str, Json], chat: bool) -> dict[str, Json]:
    text = sample.text
    data: dict[str, Json] = dict(first)
    data.update(
        id=sample.id or "",
        index=sample.index,
        output=text.strip(),
        raw_output=text,
        finish_reason=sample.finish_reason,
        reasoning=sample.reasoning,
    )
    if chat:
        calls = sample.tool_calls
        data["tool_calls"] = calls or None
        data["tool_call"] = calls[0]["function"] if calls and isinstance(calls[0], dict) else None
        data["output_message"] = {"role": "assistant", "content": text or None, "tool_calls": calls or None}
    return data


def _decode(event: bytes | None) -> dict[str, Json]:
    try:
        body = decode_json(event) if event else {}
    except (ValueError, RecursionError):  # echoed fields can be nested too deeply where the chunks are not
        return {}
    return body if isinstance(body, dict) else {}
