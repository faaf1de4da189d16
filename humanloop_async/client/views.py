"""What a stream is read through: a loop over all chunks, one sample, or text alone."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..types import ChatChunk, CompletionChunk
from ..wire.assemble import Sample
from .waiting import Waiter

if TYPE_CHECKING:
    from .stream import Stream

ChunkT = TypeVar("ChunkT", bound=CompletionChunk | ChatChunk)

CHUNK_BYTES = 256
"""Bytes that a buffered chunk counts for, beside its event: a chat's chunk keeps that alive."""


class SampleBuffer(Generic[ChunkT]):
    """Chunks of one sample that nobody has taken yet, and who waits for more."""

    __slots__ = ("chunks", "closed", "has_reader", "size", "state", "waiter")

    def __init__(self, state: Sample) -> None:
        self.state: Sample = state
        self.chunks: deque[ChunkT] = deque()
        self.size: int = 0  # bytes
        self.closed: bool = False
        self.has_reader: bool = False  # somebody wants the next chunk
        self.waiter: Waiter | None = None  # by which to wake them, when another task reads

    def take(self) -> ChunkT:
        chunks = self.chunks
        self.size -= self.size // len(chunks)  # its share; what each chunk took is not kept
        return chunks.popleft()

    def clear(self) -> None:
        self.chunks.clear()
        self.size = 0


class ChunkIterator(AsyncIterator[ChunkT]):
    """One loop over a `Stream`.

    Args:
        leaving_closes: Whether dropping it before the stream's end, as ``break`` does, closes the stream.
    """

    __slots__ = ("_begun", "_leaving_closes", "_ready", "_stream")

    def __init__(self, stream: Stream[ChunkT, Any], *, leaving_closes: bool) -> None:
        self._stream = stream
        self._ready = stream._ready
        self._leaving_closes = leaving_closes
        self._begun = False

    def __aiter__(self) -> ChunkIterator[ChunkT]:
        return self

    async def __anext__(self) -> ChunkT:
        self._begun = True
        ready = self._ready
        if not ready:
            stream = self._stream
            if stream._split or stream._reading:
                stream._begin_to_iterate()
            stream._iterating = True
            try:
                while not ready:
                    if not await stream._more():
                        raise StopAsyncIteration
            finally:
                stream._iterating = False
        return ready.pop()

    def __del__(self) -> None:
        if self._begun and self._leaving_closes:
            self._stream.close()


class SampleStream(AsyncIterator[ChunkT]):
    """The chunks of one sample, in order. For one reader at a time; can be left and taken up again.

    Raises as `Stream` does.
    """

    __slots__ = ("_buffer", "_chunks", "_stream")

    def __init__(self, stream: Stream[ChunkT, Any], buffer: SampleBuffer[ChunkT]) -> None:
        self._stream = stream
        self._buffer = buffer
        self._chunks = buffer.chunks

    @property
    def index(self) -> int:
        """Which sample this is."""
        return self._buffer.state.index

    @property
    def id(self) -> str | None:
        """The sample's log id; None until its first chunk has arrived."""
        return self._buffer.state.id

    @property
    def finish_reason(self) -> str | None:
        """Why the sample ended; None until it has. Known on arrival, also before its chunks are read."""
        return self._buffer.state.finish_reason

    @property
    def text(self) -> str:
        """All text that has arrived, read or not."""
        return self._buffer.state.text

    @property
    def text_stream(self) -> TextStream:
        """The sample's text, piece by piece; empty pieces are left out."""
        return TextStream(self)

    def __aiter__(self) -> SampleStream[ChunkT]:
        return self

    async def __anext__(self) -> ChunkT:
        if self._chunks:
            return self._buffer.take()
        return await self._stream._next_of(self._buffer)

    async def aclose(self) -> None:
        """Drop what is unread, now and from now on. The other samples go on."""
        await self._stream._close_buffer(self._buffer)


class TextStream(AsyncIterator[str]):
    """Text pieces of one sample; empty ones are left out."""

    __slots__ = ("_chunks",)

    def __init__(self, chunks: AsyncIterator[Any]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> TextStream:
        return self

    async def __anext__(self) -> str:
        while True:
            text: str = (await anext(self._chunks)).output
            if text:
                return text
