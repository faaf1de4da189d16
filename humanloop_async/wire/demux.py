"""Decode the events of one streamed call into chunks, check each and add it to its sample."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from ..errors import ApiException, InvalidEvent, StatusError, StreamTruncated, status_error
from ..types import (
    ChatChunk,
    ChatEvent,
    ChatResponse,
    CompletionChunk,
    CompletionEvent,
    CompletionResponse,
    Json,
    Usage,
)
from ..types.shared import decode_json
from .assemble import Sample, assemble, first_event
from .responses import without_nulls
from .sse import ErrorEvent

ChunkT = TypeVar("ChunkT", bound=CompletionChunk | ChatChunk)
ResponseT = TypeVar("ResponseT", bound=CompletionResponse | ChatResponse)

DONE = b"[DONE]"
"""The last event of some servers. v4 does not send it; the client accepts it."""

_ERROR_KEYS = ("detail", "error", "errors", "message")
"""Fields of an event without chunks that contain an error, or its message: v4's is the first."""

# Building a decoder costs as much as several decodes, so all streams share these.
_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (CompletionEvent, ChatEvent)
}


class Demultiplexer(Generic[ChunkT, ResponseT]):
    """Checks the events of one stream and assigns their chunks to samples; does no I/O.

    The ``index`` of a chunk, not its position in the event, names its sample. The chunk that has a
    ``finish_reason`` ends its sample.

    Args:
        event: Type to decode events with: `CompletionEvent` or `ChatEvent`.
        response: Type that `assemble` returns: `CompletionResponse` or `ChatResponse`.
        num_samples: Number of samples that the call requested.

    Attributes:
        failure: The error that ended the stream early, else None. All chunks that `feed` returned arrived before it.
        finished: Whether every sample has its ``finish_reason``.
        done: Whether the server announced the end of the stream.
        started: Whether any event has arrived.
    """

    __slots__ = (
        "_decode",
        "_last",
        "_response",
        "_unfinished",
        "_usage",
        "done",
        "failure",
        "finished",
        "samples",
        "started",
    )

    def __init__(self, event: type[Any], response: type[ResponseT], num_samples: int) -> None:
        self._decode = _decoders[event].decode
        self._response: type[ResponseT] = response
        self.samples: list[Sample] = [Sample(index) for index in range(num_samples)]
        self._unfinished = num_samples
        self.finished: bool = not num_samples
        self._usage: Usage | None = None
        self._last = b""
        self.failure: ApiException | None = None
        self.done: bool = False
        self.started: bool = False

    def feed(self, events: list[bytes]) -> list[ChunkT]:
        """Decode events into chunks, in order, up to the first invalid event, which sets `failure`."""
        chunks: list[ChunkT] = []
        decode, samples = self._decode, self.samples
        last, pack_at = self._last, Sample.PIECES
        if self.done or self.failure is not None:
            return chunks  # ignore everything after the end
        if events:
            self.started = True
        for data in events:
            try:
                event = decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
                event = self._decode_unusual(data, exc)
                if event is None:
                    break
            if not event.data and self._is_error(data):
                break
            chunk: ChunkT
            for chunk in event.data:
                index = chunk.index
                if not 0 <= index < len(samples) or (sample := samples[index]).finish_reason is not None:
                    if 0 <= index < len(samples) and _repeats_end(chunk, samples[index]):
                        continue
                    self.failure = self._misplaced(index, data)
                    self._last = last
                    return chunks
                pieces = sample.pieces
                pieces.append(chunk.output)
                if len(pieces) == pack_at:
                    sample.pack()
                if sample.first is None:
                    sample.first = first_event(self._response, data, index)
                    sample.id = chunk.id
                if chunk.reasoning:
                    sample.reasoning_pieces = sample.reasoning_pieces or []
                    sample.reasoning_pieces.append(chunk.reasoning)
                if chunk.tool_calls is not None:
                    sample.add_tool_calls(chunk.tool_calls)
                if chunk.finish_reason is not None:
                    sample.finish_reason = chunk.finish_reason
                    self._unfinished -= 1
                    self.finished = not self._unfinished
                chunks.append(chunk)
            if event.usage is not None:
                self._usage = event.usage
            last = data
        self._last = last
        return chunks

    def end(self) -> None:
        """Handle the end of the connection: set `failure` unless every sample has finished.

        Finish reasons that did not arrive are never made up.
        """
        if self._unfinished and self.failure is None:
            missing = ", ".join(str(sample.index) for sample in self.samples if sample.finish_reason is None)
            how = f"the server sent {DONE.decode()}" if self.done else "the connection ended"
            self.failure = StreamTruncated(
                f"{how} before sample {missing} of {len(self.samples)} had a finish_reason; "
                "the output received so far is in `partial`"
            )

    def assemble(self) -> ResponseT:
        """Assemble the chunks received so far; unfinished samples have no ``finish_reason``."""
        return assemble(self._response, self.samples, self._usage, self._last)

    def _decode_unusual(self, data: bytes, exc: Exception) -> Any:
        """Decode an event that the fast decoder rejected: one with nulls or invalid UTF-8, an error, or garbage.

        Returns None if the event ends the stream, after setting `done` or `failure`.
        """
        if data.strip() == DONE:
            self.done = True
            return None
        try:
            # The SSE standard decodes UTF-8 with replacement characters; only then is the text parsed as JSON.
            body = decode_json(data)
        except (ValueError, RecursionError):
            if isinstance(data, ErrorEvent):
                self.failure = status_error(500, data.decode(errors="replace"))
                return None
            self.failure = InvalidEvent(f"received an event that is not JSON: {exc}", data)
            self.failure.__cause__ = exc
            return None
        present = without_nulls(body)
        if _reports_error(data, present):
            self.failure = _error_event(present)
            return None
        try:
            return self._decode(msgspec.json.encode(present))  # not `convert`, which cannot produce a `Raw`
        except (msgspec.ValidationError, RecursionError) as invalid:
            self.failure = InvalidEvent(f"received an event that does not match the v4 schema: {invalid}", data)
            self.failure.__cause__ = invalid
            return None

    def _is_error(self, data: bytes) -> bool:
        """Check whether an event without chunks reports an error, and store that error as `failure`."""
        try:
            body = decode_json(data)
        except (ValueError, RecursionError):
            return False
        present = without_nulls(body)
        if not _reports_error(data, present):
            return False
        self.failure = _error_event(present)
        return True

    def _misplaced(self, index: int, data: bytes) -> InvalidEvent:
        if 0 <= index < len(self.samples):
            return InvalidEvent(f"received a chunk of sample {index} after its finish_reason", data)
        return InvalidEvent(
            f"received a chunk with index {index}, but the call requested {len(self.samples)} sample(s)", data
        )


def _repeats_end(chunk: CompletionChunk | ChatChunk, sample: Sample) -> bool:
    """Return whether a chunk only repeats the end of its sample, as some servers do."""
    return chunk.finish_reason == sample.finish_reason and not chunk.output and chunk.tool_calls is None


def _reports_error(data: bytes, body: Json) -> bool:
    if isinstance(data, ErrorEvent):
        return True
    if not isinstance(body, dict) or (isinstance(chunks := body.get("data"), list) and chunks):
        return False
    return any(key in body for key in _ERROR_KEYS)


def _error_event(body: Json) -> StatusError:
    """Return the error that an event reports, in v4's form or in another."""
    if not isinstance(body, dict):
        return status_error(500, body)
    detail = next((body[key] for key in _ERROR_KEYS[:3] if key in body), body)
    code = detail.get("code") if isinstance(detail, dict) else None
    default = 422 if isinstance(body.get("detail"), list) else 500  # in v4 a list always contains validation issues
    status = code if isinstance(code, int) and 400 <= code <= 599 else default
    return status_error(status, body if detail is body or "detail" in body else {"detail": detail, **body})
