"""Base classes for wire formats in which one request generates one sample."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ...types import Json, ToolCall
from .base import ProviderCall, ProviderChunk
from .reading import MalformedResponse


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
            self.unfinished.clear()
            emit(ProviderChunk(0, "", v4_finish_reason(reason, bool(calls)), calls or None, _line(data)))


def v4_finish_reason(reason: str, has_calls: bool) -> str:
    """Return "tool_call" for a sample that stopped in order to call tools, whatever its provider says."""
    return "tool_call" if has_calls and reason == "stop" else reason


def _line(data: bytes) -> bytes:
    return data if b"\n" not in data else msgspec.json.format(data, indent=-1)
