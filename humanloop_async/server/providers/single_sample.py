"""Base classes for wire formats in which one request generates one sample."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable

import msgspec

from ...types import Json, ToolCall
from .base import ProviderCall, ProviderChunk
from .reading import UNDECODABLE, MalformedResponse, encodable, tolerant_json


class SingleSampleAdapter:
    """The parts of an `Adapter` that such formats have in common."""

    def stream_body(self, body: dict[str, Json], call: ProviderCall) -> dict[str, Json]:
        return body | {"stream": True}

    def rejected_parameter(self, body: dict[str, Json], message: str) -> str | None:
        return None

    def without_parameters(self, body: dict[str, Json], rejected: set[str]) -> dict[str, Json]:
        return body


class SingleSampleReader:
    """The state of an `EventReader` for one sample."""

    def __init__(self) -> None:
        self.unfinished = {0}
        self.ended = False
        self.words = ""
        self._half = ""  # the first half of a surrogate pair, whose other half may be in the next event
        self._next_half = ""  # the same at the end of the event that is being read

    @abstractmethod
    def read_event(self, data: bytes, emit: Callable[[ProviderChunk], object]) -> None:
        """Emit the chunks of one event. It raises one of `UNDECODABLE` before it changes anything."""

    def read(self, events: Iterable[bytes], emit: Callable[[ProviderChunk], object]) -> None:
        """Emit the chunks of events; see `EventReader.read`."""
        for data in events:
            try:
                try:
                    self.read_event(data, emit)
                except MalformedResponse:
                    raise
                except UNDECODABLE:
                    self._read_unusual(data, emit)
            except MalformedResponse:
                raise
            except UNDECODABLE as exc:
                raise MalformedResponse.undecodable(exc, data) from exc

    def _read_unusual(self, data: bytes, emit: Callable[[ProviderChunk], object]) -> None:
        self._next_half = ""
        body = encodable(self._joined(tolerant_json(data)))
        self.read_event(msgspec.json.encode(body), emit)
        self._half = self._next_half or self._half

    def _joined(self, value: Json) -> Json:
        """Join surrogate pairs that were split over two events: only one string of an event continues another."""
        if isinstance(value, dict):
            return {name: self._joined(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._joined(item) for item in value]
        if isinstance(value, str) and value:
            if self._half and "\udc00" <= value[0] <= "\udfff":
                value, self._half = self._half + value, ""
            if "\ud800" <= value[-1] <= "\udbff":
                value, self._next_half = value[:-1], value[-1]
                if self._half:
                    value, self._half = "\ufffd" + value, ""
        return value

    @property
    def missing(self) -> set[int]:
        return set()

    def end(self, emit: Callable[[ProviderChunk], object]) -> None:
        """Emit nothing: no chunk is held back."""

    def emit_text(
        self, emit: Callable[[ProviderChunk], object], data: bytes, text: str | None, reasoning: str | None
    ) -> None:
        """Emit text and reasoning, if there is any.

        Raises:
            MalformedResponse: The sample has ended already.
        """
        if not text and not reasoning:
            return
        if self._half:  # the other half of the pair has not come
            text = text and "\ufffd" + text
            reasoning = reasoning and "\ufffd" + reasoning
            self._half = ""
        if not self.unfinished:
            raise MalformedResponse("text after the end of the response")
        emit(ProviderChunk(0, text or "", raw=_line(data), reasoning=reasoning or ""))

    def emit_progress(self, emit: Callable[[ProviderChunk], object], data: bytes) -> None:
        """Emit a chunk without text, which says that the provider works on a tool call."""
        if self.unfinished:
            emit(ProviderChunk(0, raw=_line(data)))

    def emit_end(
        self, emit: Callable[[ProviderChunk], object], data: bytes, reason: str, calls: list[ToolCall]
    ) -> None:
        """Emit the last chunk of the sample, once."""
        if self.unfinished:
            if self._half:
                self._half = ""
                emit(ProviderChunk(0, "\ufffd", raw=_line(data)))
            self.unfinished.clear()
            emit(ProviderChunk(0, "", v4_finish_reason(reason, bool(calls)), calls or None, _line(data)))


def v4_finish_reason(reason: str, has_calls: bool) -> str:
    """Return "tool_call" for a sample that stopped in order to call tools, whatever its provider says."""
    return "tool_call" if has_calls and reason == "stop" else reason


def _line(data: bytes) -> bytes:
    return data if b"\n" not in data else msgspec.json.format(data, indent=-1)
