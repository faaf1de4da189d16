"""The chunks of a stream -> the response that the same call gives without streaming."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ..types import ChatDataResponse, ChatResponse, CompletionResponse, DataResponse, Json, ToolCall, Usage
from ..types.shared import decode_json
from .requests import drop_nulls

ResponseT = TypeVar("ResponseT", bound=CompletionResponse | ChatResponse)

_BLOCK = 448
"""Most bytes of a block of text. Python's own allocator hands out up to 512, without the holes that larger blocks, let
alone a growing one, leave in the heap."""

_LARGE = 64 * 1024
"""Bytes from which an event is not kept as it is: every sample has a first one, which may be of `max_event_bytes`."""


class Sample:
    """What has arrived of one sample.

    Text is kept in pieces and joined when asked for. A piece of a few letters takes ten times their room, so whoever
    adds to `pieces` calls `pack` whenever there are `PIECES` of them. Blocks are UTF-8: in a string, one emoji makes
    four bytes of every letter. (Half a character, which UTF-8 cannot hold, is refused where JSON is decoded.)
    """

    PIECES = 6

    __slots__ = ("_blocks", "_tool_calls", "finish_reason", "first", "id", "index", "pieces")

    def __init__(self, index: int) -> None:
        self.index: int = index
        self.id: str | None = None
        self.finish_reason: str | None = None
        self.first: bytes | None = None  # its first event: holds what no later event repeats
        self.pieces: list[str] = []
        self._blocks: list[bytes] = []
        self._tool_calls: dict[str, tuple[ToolCall, list[str]]] | None = None  # few samples have any

    @property
    def text(self) -> str:
        """All text so far."""
        return b"".join(self._blocks).decode() + "".join(self.pieces)

    def pack(self) -> None:
        """Add the pieces to the last block, or make another of them."""
        block, blocks = "".join(self.pieces).encode(), self._blocks
        self.pieces.clear()
        if blocks and len(blocks[-1]) + len(block) <= _BLOCK:
            blocks[-1] += block
        else:
            blocks.append(block)

    def add_tool_calls(self, calls: list[ToolCall]) -> None:
        """Add calls; a further piece with the same id extends the arguments of that call."""
        known = self._tool_calls = self._tool_calls or {}
        for call in calls:
            _, pieces = known.setdefault(call.id, (call, []))
            pieces.append(call.function.arguments or "")

    @property
    def tool_calls(self) -> list[Json]:
        """The calls as plain JSON, arguments joined."""
        return [
            {
                "id": call.id,
                "type": call.type,
                "function": {"name": call.function.name, "arguments": "".join(pieces)},
            }
            for call, pieces in (self._tool_calls or {}).values()
        ]


def first_event(kind: type[ResponseT], event: bytes, index: int) -> bytes:
    """What to keep of a sample's first event: all of it, or of a large one the fields that `assemble` reads."""
    if len(event) <= _LARGE:
        return event
    body = _decode(event)
    item = _by_index(body).get(index, {})
    item_kind = ChatDataResponse if kind is ChatResponse else DataResponse
    echoes = {name: body[name] for name in kind.__struct_fields__ if name in body}
    item = {name: item[name] for name in item_kind.__struct_fields__ if name in item}
    return msgspec.json.encode({**echoes, "data": [{**item, "index": index}]})


def assemble(kind: type[ResponseT], samples: list[Sample], usage: Usage | None, last: bytes) -> ResponseT:
    """The response that these samples make, whole or in part.

    What the events of a call repeat (project, metadata, ...) is read from the samples' first events and the
    call's last, here and not when they come, for few callers look at it.

    Args:
        kind: `CompletionResponse` or `ChatResponse`.
        samples: Every sample of the call; those without any chunk are left out.
        usage: Token counts, None when none came.
        last: Data of the last event.
    """
    begun = [sample for sample in samples if sample.first is not None]
    # Samples may share their first event, which is then decoded once.
    firsts = {event: _decode(event) for event in dict.fromkeys(sample.first for sample in begun)}
    said = {event: _by_index(body) for event, body in firsts.items()}
    chat = kind is ChatResponse
    made: dict[str, Json] = {
        "data": [_sample_data(sample, said[sample.first].get(sample.index, {}), chat) for sample in begun],
        "usage": msgspec.to_builtins(usage),
        "provider_responses": [],  # v4 promises one per provider call, and no event holds that
    }
    echoes: dict[str, Json] = {"num_samples": len(samples)}
    for event in (*firsts.values(), _decode(last)):
        echoes |= drop_nulls(event)
    try:
        return msgspec.convert({**echoes, **made}, kind)
    except msgspec.ValidationError:  # an echo of a shape v4 does not know must not cost the samples
        made["data"] = [_sample_data(sample, {"inputs": {}}, chat) for sample in begun]
        return msgspec.convert({"num_samples": len(samples), **made}, kind)


def _by_index(event: dict[str, Json]) -> dict[int, dict[str, Json]]:
    """What an event says of its samples; of a first event, `inputs` and `messages` are nowhere else."""
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
    except (ValueError, RecursionError):  # nested too deeply for echoes, not for its chunks
        return {}
    return body if isinstance(body, dict) else {}
