"""The events of one streamed call -> chunks, each checked and added to its sample."""

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
from .requests import drop_nulls
from .responses import without_nulls

ChunkT = TypeVar("ChunkT", bound=CompletionChunk | ChatChunk)
ResponseT = TypeVar("ResponseT", bound=CompletionResponse | ChatResponse)

DONE = b"[DONE]"
"""What some servers send as their last event. v4 does not, and it is tolerated."""

_ERROR_KEYS = {"detail", "error"}

# Building a decoder costs as much as several decodes; these are reused by every stream.
_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (CompletionEvent, ChatEvent)
}


class Demultiplexer(Generic[ChunkT, ResponseT]):
    """Checks the events of one stream and tells its samples apart; does no I/O.

    A chunk belongs to the sample its ``index`` names, never to the one at its position. A sample ends with the
    chunk that has a ``finish_reason``.

    Args:
        event: How an event is decoded: `CompletionEvent` or `ChatEvent`.
        response: What `assemble` makes: `CompletionResponse` or `ChatResponse`.
        num_samples: How many samples the call asked for.

    Attributes:
        failure: What ended the stream early, None while it is in order. Chunks that `feed` returned
            arrived before it.
        finished: Every sample has its ``finish_reason``.
        done: The server said that nothing follows.
        started: Any event has come.
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
        """The chunks of these events, in order, up to the first event that is not in order."""
        chunks: list[ChunkT] = []
        decode, samples = self._decode, self.samples
        last, pack_at = self._last, Sample.PIECES
        if self.done or self.failure is not None:
            return chunks  # nothing that follows counts
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
        """The connection ended: that is a failure unless every sample had finished.

        A finish reason that did not come is never made up.
        """
        if self._unfinished and self.failure is None:
            missing = ", ".join(str(sample.index) for sample in self.samples if sample.finish_reason is None)
            how = f"the server said {DONE.decode()}" if self.done else "the connection ended"
            self.failure = StreamTruncated(
                f"{how} before sample {missing} of {len(self.samples)} had a finish_reason; "
                "`partial` holds what had arrived"
            )

    def assemble(self) -> ResponseT:
        """The response as far as it has come; the samples that have not ended have no ``finish_reason``."""
        return assemble(self._response, self.samples, self._usage, self._last)

    def _decode_unusual(self, data: bytes, exc: Exception) -> Any:
        """An event that is no plain v4 event: one with nulls or broken UTF-8, an error, or nonsense.

        None ends the stream: `done` or `failure` says why.
        """
        if data.strip() == DONE:
            self.done = True
            return None
        try:
            # The standard decodes UTF-8 with replacement characters; JSON is then decoded as usual.
            body = decode_json(data)
        except (ValueError, RecursionError):
            self.failure = InvalidEvent(f"an event is not JSON: {exc}", data)
            self.failure.__cause__ = exc
            return None
        present = without_nulls(body)
        if isinstance(present, dict) and not isinstance(present.get("data"), list) and present.keys() & _ERROR_KEYS:
            self.failure = _error_event(present)
            return None
        try:
            return self._decode(msgspec.json.encode(present))  # not `convert`, which cannot make a `Raw`
        except (msgspec.ValidationError, RecursionError) as invalid:
            self.failure = InvalidEvent(f"an event is not what v4 documents: {invalid}", data)
            self.failure.__cause__ = invalid
            return None

    def _is_error(self, data: bytes) -> bool:
        """Whether an event without chunks tells of an error; it is kept as `failure` then."""
        try:
            body = decode_json(data)
        except (ValueError, RecursionError):
            return False
        if not isinstance(body, dict) or not drop_nulls(body).keys() & _ERROR_KEYS:
            return False
        self.failure = _error_event(drop_nulls(body))
        return True

    def _misplaced(self, index: int, data: bytes) -> InvalidEvent:
        if 0 <= index < len(self.samples):
            return InvalidEvent(f"an event adds to sample {index}, which had its finish_reason before", data)
        return InvalidEvent(f"an event has index {index}, and the call asked for {len(self.samples)} samples", data)


def _error_event(body: dict[str, Json]) -> StatusError:
    detail = body.get("detail", body.get("error"))
    code = detail.get("code") if isinstance(detail, dict) else None
    unnamed = 422 if isinstance(detail, list) else 500  # v4 lists what is wrong with a request, and nothing else
    status = code if isinstance(code, int) and 400 <= code <= 599 else unnamed
    return status_error(status, body if "detail" in body else {"detail": detail, **body})
