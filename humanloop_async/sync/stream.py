"""A streamed call for plain iteration. What has arrived comes over from the loop's thread in one hop."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from ..client.stream import Stream
from ..client.views import SampleBuffer
from ..errors import InvalidArgument
from ..types import ChatChunk, ChatResponse, CompletionChunk, CompletionResponse
from .loop_thread import LoopThread

ChunkT = TypeVar("ChunkT", bound=CompletionChunk | ChatChunk)
ResponseT = TypeVar("ResponseT", bound=CompletionResponse | ChatResponse)


class SyncStream(Generic[ChunkT, ResponseT]):
    """`Stream` for plain iteration: the same views, the same errors, the same contract.

    Samples may be read from several threads, each from one at a time.
    """

    def __init__(self, loop: LoopThread, stream: Stream[ChunkT, ResponseT]) -> None:
        self._loop = loop
        self._stream = stream
        self._ready: deque[ChunkT] = deque()
        self._samples: tuple[SyncSampleStream[ChunkT], ...] = ()

    @property
    def samples(self) -> tuple[SyncSampleStream[ChunkT], ...]:
        """One iterator per sample, by index. From the first use on, chunks wait in their sample's buffer."""
        self._loop.call(self._share)
        return self._samples

    async def _share(self) -> None:
        self._stream._give_back(self._ready)
        self._ready.clear()
        self._stream._use_buffers()
        if not self._samples:
            self._samples = tuple(SyncSampleStream(self, buffer) for buffer in self._stream._buffers)

    @property
    def partial(self) -> ResponseT:
        """The response as far as it has come; samples that have not ended have a ``finish_reason`` of None."""
        return self._stream.partial

    @property
    def status(self) -> int:
        """The HTTP status code."""
        return self._stream.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The response's headers."""
        return self._stream.headers

    @property
    def text_stream(self) -> Iterator[str]:
        """The text of a call with one sample, piece by piece.

        Raises:
            InvalidArgument: The call has several samples, whose texts would mix.
        """
        if len(self._stream._reader.demux.samples) > 1:
            raise InvalidArgument("this call has several samples; use stream.samples[i].text_stream")
        return _texts(iter(self))

    def __iter__(self) -> SyncChunkIterator[ChunkT]:
        return SyncChunkIterator(self)

    def __next__(self) -> ChunkT:
        if not self._ready:
            for sample in self._samples:  # taken over from the loop, and not read there either
                self._ready.extend(sample._ready)
                sample._ready.clear()
        if not self._ready:
            self._loop.call(self._fill)
            if not self._ready:
                raise StopIteration
        return self._ready.popleft()

    async def _fill(self) -> None:
        # On the loop: what is taken from the stream there is here, even when the reader is interrupted meanwhile.
        self._ready.extend(await self._stream._next_batch())

    def final(self) -> ResponseT:
        """Read what is left and give the whole response; see `Stream.final`."""
        if not self._stream._split:
            self._ready.clear()
        return self._loop.call(self._stream.final)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, unless the stream was read to its end; twice does no harm."""
        if self._loop.is_running:
            self._loop.call(self._stream.aclose)

    def _close_soon(self) -> None:
        self._loop.call_soon(self._stream.close)

    def __del__(self) -> None:
        # The connection belongs to the loop's thread; the closure keeps the stream alive until it is closed there.
        if not self._stream._reader.ended:
            self._close_soon()


class SyncChunkIterator(Iterator[ChunkT]):
    """One loop over a stream. Dropping it before the stream's end, as ``break`` does, closes the stream."""

    __slots__ = ("_begun", "_ready", "_stream")

    def __init__(self, stream: SyncStream[ChunkT, Any]) -> None:
        self._stream = stream
        self._ready = stream._ready
        self._begun = False

    def __next__(self) -> ChunkT:
        self._begun = True
        if self._ready:
            return self._ready.popleft()
        return next(self._stream)

    def __del__(self) -> None:
        if self._begun and not self._stream._stream._reader.ended:
            self._stream._close_soon()


class SyncSampleStream(Iterator[ChunkT]):
    """The chunks of one sample, in order; see `SampleStream`."""

    __slots__ = ("_buffer", "_parent", "_ready")

    def __init__(self, parent: SyncStream[ChunkT, Any], buffer: SampleBuffer[ChunkT]) -> None:
        self._parent = parent
        self._buffer = buffer
        self._ready: deque[ChunkT] = deque()

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
    def text_stream(self) -> Iterator[str]:
        """The sample's text, piece by piece; empty pieces are left out."""
        return _texts(self)

    def __next__(self) -> ChunkT:
        if not self._ready:
            self._parent._loop.call(self._fill)
            if not self._ready:
                raise StopIteration
        return self._ready.popleft()

    async def _fill(self) -> None:
        self._ready.extend(await self._parent._stream._next_batch(self._buffer))

    def close(self) -> None:
        """Drop what is unread, now and from now on. The other samples go on."""
        self._ready.clear()
        batch = self._parent._ready  # taken over for a loop over all of them
        others = [chunk for chunk in batch if chunk.index != self.index]
        batch.clear()
        batch.extend(others)
        self._parent._loop.call(self._parent._stream._close_buffer, self._buffer)


def _texts(chunks: Iterator[Any]) -> Iterator[str]:
    return (chunk.output for chunk in chunks if chunk.output)


class SyncCompletionStream(SyncStream[CompletionChunk, CompletionResponse]):
    """A streamed completion for plain iteration. See `SyncStream`."""


class SyncChatStream(SyncStream[ChatChunk, ChatResponse]):
    """A streamed chat for plain iteration. See `SyncStream`."""
